//! The last events of the registry, for operators that follow them: what is logged and counted, as data.
//!
//! A ring of fixed size that the driver writes and never waits for; each event has bounded texts. Numbers grow over
//! restarts, since they begin at the process's start in ms × 1000: who followed the process before is told that events
//! are lost. Knows nothing of what the events are about.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::clock;
use furt_core::model::{InstanceId, ServiceName};

/// Events that are kept: the last minutes of a fleet in trouble, and with their texts at most some 6 MiB.
const KEPT: usize = 1000;
/// Characters of a text that are kept, and members of a list: an answer of a resolver or a refusal may be of any length.
const MAX_TEXT: usize = 500;
const MAX_LIST: usize = 16;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    seq: u64,
    time: String,
    kind: &'static str,
    service: Option<String>,
    instance: Option<String>,
    #[serde(flatten)]
    details: Map<String, Value>,
}

impl Event {
    /// Of a kind, about nothing in particular.
    pub fn new(kind: &'static str) -> Self {
        Self { seq: 0, time: String::new(), kind, service: None, instance: None, details: Map::new() }
    }

    /// About a service.
    pub fn service(mut self, service: &ServiceName) -> Self {
        self.service = Some(service.to_string());
        self
    }

    /// About an instance of it.
    pub fn instance(mut self, instance: &InstanceId) -> Self {
        self.instance = Some(instance.to_string());
        self
    }

    /// With a detail, cut to a length that can be kept.
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), cut(value.into()));
        self
    }
}

/// What is too long says so.
fn cut(value: Value) -> Value {
    match value {
        Value::String(text) => match text.char_indices().nth(MAX_TEXT) {
            Some((end, _)) => format!("{}… (cut, {} characters)", &text[..end], text.chars().count()).into(),
            None => text.into(),
        },
        Value::Array(list) => {
            let more = list.len().saturating_sub(MAX_LIST);
            let kept = list.into_iter().take(MAX_LIST).map(cut);
            kept.chain((more > 0).then(|| format!("… (cut, {more} more)").into())).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value,
    }
}

/// What someone who has seen all events up to a number is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Following {
    /// Those after it that are kept, in their order.
    pub events: Vec<Arc<Event>>,
    /// Where to go on.
    pub next: u64,
    /// Whether some between it and the oldest kept are gone.
    pub is_lossy: bool,
}

impl Following {
    /// Whether there is nothing to tell yet.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && !self.is_lossy
    }
}

/// The last events.
pub struct Events {
    ring: Mutex<VecDeque<Arc<Event>>>,
    /// The number of the last event; wakes those that wait for the next.
    last: watch::Sender<u64>,
}

impl Default for Events {
    fn default() -> Self {
        Self::beginning_at(clock::unix_ms())
    }
}

impl Events {
    /// None so far, of a process that started then. Numbers stay below 2^53, which JSON readers take for exact, until the
    /// year 2255; a process would have to report a million events a second for as long as it runs to meet the next one's.
    fn beginning_at(unix_ms: i64) -> Self {
        let first = u64::try_from(unix_ms).unwrap_or(0) * 1000;
        Self { ring: Mutex::new(VecDeque::with_capacity(KEPT)), last: watch::Sender::new(first) }
    }

    /// Adds an event; the oldest goes where there are too many. Never waits but for a reader that copies pointers.
    pub fn push(&self, mut event: Event) {
        event.time = clock::rfc3339_ms(clock::unix_ms());
        let mut ring = self.lock();
        event.seq = *self.last.borrow() + 1;
        if ring.len() == KEPT {
            ring.pop_front();
        }
        let seq = event.seq;
        ring.push_back(Arc::new(event));
        self.last.send_replace(seq);
    }

    /// Those after `after`; without it, from the oldest that is kept. A number beyond the last one is of a process whose
    /// clock was ahead: for its follower all that is here is new.
    pub fn after(&self, after: Option<u64>) -> Following {
        let ring = self.lock();
        let last = *self.last.borrow();
        let floor = ring.front().map_or(last, |oldest| oldest.seq - 1);
        let is_lossy = after.is_some_and(|after| after < floor || after > last);
        let seen = after.filter(|_| !is_lossy).unwrap_or(floor);
        // Numbers have no gaps.
        let skipped = usize::try_from(seen - floor).unwrap_or(usize::MAX);
        Following { events: ring.iter().skip(skipped).cloned().collect(), next: last, is_lossy }
    }

    /// Resolves once there is an event after `seen`.
    pub async fn follows(&self, seen: u64) {
        // The sender lives as long as this does.
        _ = self.last.subscribe().wait_for(|last| *last > seen).await;
    }

    /// Held for a few operations in memory, never across an await.
    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Event>>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_763_152_200_000 * 1000;

    fn events(count: usize) -> Events {
        let events = Events::beginning_at(1_763_152_200_000);
        (0..count).for_each(|number| events.push(Event::new("test").with("number", number)));
        events
    }

    fn seen(events: &Events, after: Option<u64>) -> (usize, u64, bool) {
        let following = events.after(after);
        let numbers: Vec<_> = following.events.iter().map(|event| event.seq).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "without gaps: {numbers:?}");
        assert!(numbers.last().is_none_or(|last| *last == following.next));
        (numbers.len(), following.next - START, following.is_lossy)
    }

    #[test]
    fn who_follows_sees_each_event_once() {
        let events = events(3);
        assert_eq!(seen(&events, None), (3, 3, false));
        assert_eq!(seen(&events, Some(START)), (3, 3, false));
        assert_eq!(seen(&events, Some(START + 2)), (1, 3, false));
        assert_eq!(seen(&events, Some(START + 3)), (0, 3, false));
        assert!(events.after(Some(START + 3)).is_empty());
    }

    #[test]
    fn beyond_what_is_kept_events_are_lost_and_that_is_told() {
        let events = events(KEPT + 5);
        assert_eq!(seen(&events, None), (KEPT, KEPT as u64 + 5, false));
        assert_eq!(seen(&events, Some(START + 5)), (KEPT, KEPT as u64 + 5, false));
        assert_eq!(seen(&events, Some(START + 4)), (KEPT, KEPT as u64 + 5, true));
    }

    #[test]
    fn who_followed_another_process_is_told_that_events_are_lost() {
        for (count, after) in [(0, START - 1), (3, START - 1), (3, 0), (0, START + 1), (3, START + 4), (3, u64::MAX)] {
            let events = events(count);
            assert_eq!(seen(&events, Some(after)), (count, count as u64, true), "{count} {after}");
            assert!(!events.after(Some(after)).is_empty(), "it is told at once");
        }
    }

    #[test]
    fn numbers_are_exact_in_every_reader_of_json() {
        let year_2255 = 9_007_199_254_740;
        assert!(*Events::beginning_at(year_2255).last.borrow() < 1 << 53);
    }

    #[test]
    fn a_long_text_or_list_is_cut_and_says_so() {
        let long = "ä".repeat(MAX_TEXT + 1);
        let list: Vec<Value> = (0..MAX_LIST + 2).map(|_| long.clone().into()).collect();
        let event = Event::new("test").with("text", long).with("list", list).with("short", "ä".repeat(MAX_TEXT));
        let shown = serde_json::to_value(&event).unwrap();
        let expected = format!("{}… (cut, {} characters)", "ä".repeat(MAX_TEXT), MAX_TEXT + 1);
        assert_eq!(shown["text"], expected);
        assert_eq!(shown["short"], "ä".repeat(MAX_TEXT));
        assert_eq!(shown["list"].as_array().unwrap().len(), MAX_LIST + 1);
        assert_eq!((&shown["list"][0], &shown["list"][MAX_LIST]), (&expected.into(), &"… (cut, 2 more)".into()));
    }

    #[test]
    fn an_event_is_shown_with_its_details_beside_its_head() {
        let events = Events::beginning_at(0);
        let name = ServiceName::try_new("a").unwrap();
        events.push(Event::new("test").service(&name).instance(&InstanceId::from(&name)).with("failures", 3));
        let shown = serde_json::to_string(&*events.after(None).events[0]).unwrap();
        let time = &events.after(None).events[0].time;
        let expected =
            format!(r#"{{"seq":1,"time":"{time}","kind":"test","service":"a","instance":"a","failures":3}}"#);
        assert_eq!(shown, expected);
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_the_next_event() {
        let events = Arc::new(events(1));
        events.follows(START).await;
        let waiting = Arc::clone(&events);
        let waiting = tokio::spawn(async move { waiting.follows(START + 1).await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        events.push(Event::new("test"));
        waiting.await.unwrap();
    }
}
