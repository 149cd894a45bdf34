//! The demo's clients: a steady load on both services, and once a second what became of it.
//!
//! They are threads of their own that wait for each answer, as clients do. What is not 2xx has failed, and is counted by
//! what it was.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use furt_api::Code;
use serde::{Deserialize, Serialize};

use super::client::{agent, send};
use super::guide::{Guide, STOCK_HOST, Team};
use super::{Clients, Options, Reader, Say};

/// Clients; half of them for each service.
const CLIENTS: usize = 8;
/// Between an answer and the next request: some 150 requests a second in all, which no machine feels.
const PAUSE: Duration = Duration::from_millis(50);
/// Later than the gateway's own timeouts, so that a failure is seen as the gateway tells it.
const PATIENCE: Duration = Duration::from_secs(10);
/// From one report to the next.
const REPORT: Duration = Duration::from_secs(1);
/// For terminals: over the line before, and cut where the terminal ends, since only one line is written over.
const OVER: &str = "\r\x1b[K\x1b[?7l";
/// For terminals: longer lines are wrapped again.
const WRAP: &str = "\x1b[?7h";

/// The clients, and what they saw.
#[derive(Clone)]
pub(super) struct Load {
    shared: Arc<Shared>,
}

struct Shared {
    clients: Clients,
    reader: Reader,
    say: Say,
    key: String,
    targets: [Target; 2],
    teams: Vec<Team>,
    seen: Mutex<Seen>,
    is_over: AtomicBool,
}

/// Where a client sends its requests.
struct Target {
    url: String,
    host: Option<&'static str>,
}

/// Since the last report, and in all.
#[derive(Default)]
struct Seen {
    now: Tally,
    in_all: Tally,
}

/// Answers, counted.
#[derive(Debug, Default, Clone, PartialEq)]
struct Tally {
    answered: u64,
    failed: BTreeMap<String, u64>,
    instances: BTreeMap<String, u64>,
}

impl Load {
    /// None is sent before [`start`](Self::start).
    pub(super) fn new(options: &Options, guide: &Guide) -> Self {
        let targets =
            [Target { url: guide.orders_url(), host: None }, Target { url: guide.stock_url(), host: Some(STOCK_HOST) }];
        let shared = Shared {
            clients: options.load,
            reader: options.reader,
            say: Arc::clone(&options.say),
            key: guide.key.clone(),
            targets,
            teams: guide.teams.clone(),
            seen: Mutex::default(),
            is_over: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    /// From now on, if clients are wanted.
    ///
    /// # Errors
    /// There is no thread for them.
    pub(super) fn start(&self) -> io::Result<()> {
        if self.shared.clients == Clients::None {
            return Ok(());
        }
        for number in 0..CLIENTS {
            let shared = Arc::clone(&self.shared);
            thread::Builder::new().name("client".to_owned()).spawn(move || shared.send(number))?;
        }
        let shared = Arc::clone(&self.shared);
        thread::Builder::new().name("load".to_owned()).spawn(move || shared.report())?;
        Ok(())
    }

    /// No further request begins; what became of all is told, once.
    pub(super) fn stop(&self) {
        let was_over = self.shared.is_over.swap(true, Ordering::AcqRel);
        if !was_over && self.shared.clients == Clients::Steady {
            self.shared.say_last();
        }
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    fn send(&self, number: usize) {
        let agent = agent(PATIENCE);
        let target = &self.targets[number % self.targets.len()];
        let mut headers = vec![("x-api-key", self.key.as_str())];
        headers.extend(target.host.map(|host| ("host", host)));
        while !self.is_over() {
            let answer = send(&agent, "GET", &target.url, &headers, String::new());
            // What the end cuts off has not failed.
            if !self.is_over() {
                let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.now.count(answer.as_ref().ok().map(|(status, body)| (*status, body.as_str())));
            }
            thread::sleep(PAUSE);
        }
    }

    fn report(&self) {
        while !self.is_over() {
            thread::sleep(REPORT);
            let (now, in_all) = self.take();
            if !self.is_over() {
                self.say(match self.reader {
                    Reader::Program => LoadShown { load: Some(now.shown()), in_all: in_all.shown() }.line(),
                    Reader::Terminal => format!("{OVER}load: {}{WRAP}", now.text(&self.teams)),
                    Reader::File => format!("load: {}\n", now.text(&self.teams)),
                });
            }
        }
    }

    fn say_last(&self) {
        let (_, in_all) = self.take();
        self.say(match self.reader {
            Reader::Program => LoadShown { load: None, in_all: in_all.shown() }.line(),
            Reader::Terminal => format!("{OVER}{WRAP}load in all: {}\n", in_all.text(&self.teams)),
            Reader::File => format!("load in all: {}\n", in_all.text(&self.teams)),
        });
    }

    /// What was seen since the last time, and in all.
    fn take(&self) -> (Tally, Tally) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = std::mem::take(&mut seen.now);
        seen.in_all.add(&now);
        (now, seen.in_all.clone())
    }

    fn say(&self, text: String) {
        // A terminal that is gone ends the demo by a signal; there is nobody else to tell.
        _ = (self.say)(&text);
    }
}

impl Tally {
    /// Counts an answer; `None`: there was none.
    fn count(&mut self, answer: Option<(u16, &str)>) {
        let body = answer.and_then(|(_, body)| serde_json::from_str::<Said>(body).ok()).unwrap_or_default();
        if let Some(instance) = body.instance {
            *self.instances.entry(instance).or_default() += 1;
        }
        match answer {
            Some((200..300, _)) => self.answered += 1,
            Some((status, _)) => {
                let why = body.code.map_or_else(String::new, |code| format!(" {code}"));
                *self.failed.entry(format!("{status}{why}")).or_default() += 1;
            }
            None => *self.failed.entry("no answer".to_owned()).or_default() += 1,
        }
    }

    fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        other.failed.iter().for_each(|(why, count)| *self.failed.entry(why.clone()).or_default() += count);
        other.instances.iter().for_each(|(id, count)| *self.instances.entry(id.clone()).or_default() += count);
    }

    /// One line: how many answers, what failed, how many each instance of these answered.
    fn text(&self, teams: &[Team]) -> String {
        let failures: u64 = self.failed.values().sum();
        let why = self.failed.iter().map(|(what, count)| format!("{what} x {count}")).collect::<Vec<_>>().join(", ");
        let failed = if why.is_empty() { String::new() } else { format!(" ({why})") };
        let team = |team: &Team| {
            let counts = team.members.iter().map(|one| self.instances.get(&one.id).copied().unwrap_or(0).to_string());
            format!("; {} {}", team.service, counts.collect::<Vec<_>>().join(" "))
        };
        format!("{} answered, {failures} failed{failed}{}", self.answered, teams.iter().map(team).collect::<String>())
    }

    fn shown(&self) -> TallyShown<'_> {
        TallyShown {
            answered: self.answered,
            failed: self.failed.values().sum(),
            failures: &self.failed,
            instances: &self.instances,
        }
    }
}

/// Of an answer: the instance that gave it, or the code of the gateway's problem.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    instance: Option<String>,
    code: Option<Code>,
}

/// For programs, in one line.
#[derive(Serialize)]
struct LoadShown<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    load: Option<TallyShown<'a>>,
    in_all: TallyShown<'a>,
}

impl LoadShown<'_> {
    fn line(&self) -> String {
        // Texts and numbers always can be written.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }
}

#[derive(Serialize)]
struct TallyShown<'a> {
    answered: u64,
    failed: u64,
    failures: &'a BTreeMap<String, u64>,
    instances: &'a BTreeMap<String, u64>,
}

#[cfg(test)]
mod tests {
    use super::super::guide::Member;
    use super::super::joining::Way;
    use super::*;

    #[test]
    fn answers_are_counted_by_who_gave_them_and_failures_by_what_they_were() {
        let mut tally = Tally::default();
        tally.count(Some((200, r#"{"instance":"orders-1"}"#)));
        tally.count(Some((500, r#"{"instance":"orders-2"}"#)));
        tally.count(Some((503, r#"{"code":"service-down"}"#)));
        tally.count(Some((502, "no JSON")));
        tally.count(None);
        let mut in_all = tally.clone();
        in_all.add(&tally);
        let member = |id: &str| Member { id: id.to_owned(), address: ([127, 0, 0, 1], 1).into() };
        let members = ["orders-1", "orders-2", "orders-3"].map(member).to_vec();
        let teams = [Team { service: "orders", way: Way::Routes, members }];
        let why = "500 x 1, 502 x 1, 503 service-down x 1, no answer x 1";
        assert_eq!(tally.text(&teams), format!("1 answered, 4 failed ({why}); orders 1 1 0"));
        assert_eq!((in_all.shown().answered, in_all.shown().failed), (2, 8));
        assert_eq!(in_all.shown().failures["503 service-down"], 2);
    }
}
