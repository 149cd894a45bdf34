//! The last events of the registry, for operators that follow them: what is logged and counted, as data.
//!
//! A ring of fixed size, which the driver writes without waiting; the texts of an event are bounded. Sequence numbers begin
//! at the start of the process, in Unix ms × 1000, so they grow over restarts: a reader that followed the process before is
//! told that events are lost. Knows nothing of what the events are about.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::clock;
use furt_core::model::{InstanceId, ServiceName};

/// How many events are kept: the last minutes when many services fail, and with their texts at most some 6 MiB.
const CAPACITY: usize = 1000;
/// How many characters of a text and items of a list are kept: a resolver's answer or a refusal may be of any length.
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
    /// An event of `kind`, so far without service, instance and details.
    pub fn new(kind: &'static str) -> Self {
        Self { seq: 0, time: String::new(), kind, service: None, instance: None, details: Map::new() }
    }

    /// What happened.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The service that it is about; `None`: none, or several.
    pub fn about_service(&self) -> Option<&str> {
        self.service.as_deref()
    }

    /// The same of an instance.
    pub fn about_instance(&self) -> Option<&str> {
        self.instance.as_deref()
    }

    /// Names the service that it is about.
    pub fn service(mut self, service: &ServiceName) -> Self {
        self.service = Some(service.to_string());
        self
    }

    /// Names the instance that it is about.
    pub fn instance(mut self, instance: &InstanceId) -> Self {
        self.instance = Some(instance.to_string());
        self
    }

    /// Adds a detail; a long text or list is cut.
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), cut(value.into()));
        self
    }
}

/// A text or list that is cut says so, with its length.
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

/// The events after the one that a reader has seen last.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvents {
    /// In the order of their numbers.
    pub events: Vec<Arc<Event>>,
    /// The number to read on after.
    pub next: u64,
    /// Whether some that the reader has not seen are gone.
    pub is_lossy: bool,
}

impl NewEvents {
    /// Whether there is nothing to tell the reader yet.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && !self.is_lossy
    }
}

/// The ring of the last events.
pub struct Events {
    ring: Mutex<VecDeque<Arc<Event>>>,
    /// The number of the last event; a change wakes the readers that wait.
    last: watch::Sender<u64>,
}

impl Default for Events {
    fn default() -> Self {
        Self::beginning_at(clock::unix_ms())
    }
}

impl Events {
    /// Without events, of a process that started at `unix_ms`. Numbers stay below 2^53, up to which JSON readers are exact,
    /// until the year 2255. Only a process that reports a million events a second reaches the numbers of the next one.
    fn beginning_at(unix_ms: i64) -> Self {
        let first = u64::try_from(unix_ms).unwrap_or(0) * 1000;
        Self { ring: Mutex::new(VecDeque::with_capacity(CAPACITY)), last: watch::Sender::new(first) }
    }

    /// Adds an event, and drops the oldest if there are too many. Waits only for a reader that copies pointers.
    pub fn push(&self, mut event: Event) {
        event.time = clock::rfc3339_ms(clock::unix_ms());
        let mut ring = self.lock();
        event.seq = *self.last.borrow() + 1;
        if ring.len() == CAPACITY {
            ring.pop_front();
        }
        let seq = event.seq;
        ring.push_back(Arc::new(event));
        self.last.send_replace(seq);
    }

    /// The events after number `after`, or all that are kept. A number beyond the last one comes from a process whose clock
    /// was ahead: for its reader all events are new.
    pub fn after(&self, after: Option<u64>) -> NewEvents {
        let ring = self.lock();
        let last = *self.last.borrow();
        let floor = ring.front().map_or(last, |oldest| oldest.seq - 1);
        let is_lossy = after.is_some_and(|after| after < floor || after > last);
        let seen = after.filter(|_| !is_lossy).unwrap_or(floor);
        // Numbers have no gaps.
        let skipped = usize::try_from(seen - floor).unwrap_or(usize::MAX);
        NewEvents { events: ring.iter().skip(skipped).cloned().collect(), next: last, is_lossy }
    }

    /// Resolves once there is an event after number `seen`.
    pub async fn wait_after(&self, seen: u64) {
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
        let new = events.after(after);
        let numbers: Vec<_> = new.events.iter().map(|event| event.seq).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "without gaps: {numbers:?}");
        assert!(numbers.last().is_none_or(|last| *last == new.next));
        (numbers.len(), new.next - START, new.is_lossy)
    }

    #[test]
    fn a_reader_sees_each_event_once() {
        let events = events(3);
        assert_eq!(seen(&events, None), (3, 3, false));
        assert_eq!(seen(&events, Some(START)), (3, 3, false));
        assert_eq!(seen(&events, Some(START + 2)), (1, 3, false));
        assert_eq!(seen(&events, Some(START + 3)), (0, 3, false));
        assert!(events.after(Some(START + 3)).is_empty());
    }

    #[test]
    fn beyond_what_is_kept_events_are_lost_and_that_is_told() {
        let events = events(CAPACITY + 5);
        assert_eq!(seen(&events, None), (CAPACITY, CAPACITY as u64 + 5, false));
        assert_eq!(seen(&events, Some(START + 5)), (CAPACITY, CAPACITY as u64 + 5, false));
        assert_eq!(seen(&events, Some(START + 4)), (CAPACITY, CAPACITY as u64 + 5, true));
    }

    #[test]
    fn a_reader_of_another_process_is_told_that_events_are_lost() {
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
    async fn a_reader_that_waits_is_woken_by_the_next_event() {
        let events = Arc::new(events(1));
        events.wait_after(START).await;
        let waiting = Arc::clone(&events);
        let waiting = tokio::spawn(async move { waiting.wait_after(START + 1).await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        events.push(Event::new("test"));
        waiting.await.unwrap();
    }
}
