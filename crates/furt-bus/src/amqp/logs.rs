//! The logs of a node. Each is declared, bound and read on a channel of its own: a broker without streams refuses it, and one that
//! has lost its majority answers nothing, which must not hold up anything else. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::channel::PREFETCH;
use super::declaring::{ACCESS_REFUSED, NOT_FOUND};
use super::method::{self, Life, Mode, Said};
use crate::inbox::Reading;
use crate::message::{ReadingEnd, Value};
use crate::topology::{LOG_BYTES, LOG_SEGMENT_BYTES, Topology};

/// For each answer; it may come later all the same.
const ANSWER: Duration = Duration::from_secs(30);
/// Until one that was refused is asked for again; each time twice as long. A broker that has just started refuses for a moment.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// What the broker is asked for, or has answered.
#[derive(Clone, Copy, PartialEq)]
enum State {
    /// For the channel; then comes the step.
    Opening(Step),
    /// Whether the log is there.
    Finding,
    /// For the log, which compares what it is made of where it is there.
    Making,
    Binding,
    /// How many entries may be ahead.
    Limiting,
    Ready,
    /// For a consumer.
    Starting,
    Reading,
    /// To close the channel.
    Closing(Step),
    /// The broker closed the channel for something.
    Refused,
}

#[derive(Clone, Copy, PartialEq)]
enum Step {
    Find,
    Make,
    Bind,
}

struct Log {
    name: String,
    exchange: String,
    state: State,
    since: Instant,
    /// After the next refusal.
    pause: Duration,
    /// Whether the node was told that there is no answer.
    is_late: bool,
    /// Whether it was there before it was made.
    is_found: bool,
    /// The broker's words, if it ended a whole connection when it was to make the log.
    cut: Option<String>,
    wanted: Option<(Reading, u64)>,
    /// The offset that is to be read next, where no number is passed over.
    next: u64,
    told: Option<Result<(), String>>,
}

/// What a session does for a log, on its channel.
#[derive(Debug, PartialEq)]
pub(super) enum Act {
    Send(Vec<u8>),
    Tell(Result<(), String>),
    End(Reading, ReadingEnd),
    /// Nothing more of what arrives there counts.
    Forget,
}

/// What an entry is for.
#[derive(Debug, PartialEq)]
pub(super) enum Arrived {
    Entry(Reading),
    /// It is before what is wanted.
    Earlier,
    /// For nobody any more.
    Late(Vec<Act>),
}

/// The logs of a connection, by their channels.
pub(super) struct Logs {
    first: u16,
    logs: Vec<Log>,
}

impl Logs {
    /// The channels from `first` on are to be opened. `cuts` are logs for which the connection before was ended, and why.
    pub(super) fn new(topology: &Topology, first: u16, cuts: &BTreeMap<String, String>, now: Instant) -> Self {
        let log = |name: &String| Log {
            name: name.clone(),
            exchange: topology.exchange.clone(),
            state: State::Opening(Step::Find),
            since: now,
            pause: FIRST_PAUSE,
            is_late: false,
            is_found: false,
            cut: cuts.get(name).cloned(),
            wanted: None,
            next: 0,
            told: None,
        };
        Self { first, logs: topology.logs.iter().map(log).collect() }
    }

    fn at(&self, channel: u16) -> Option<&Log> {
        self.logs.get(usize::from(channel.checked_sub(self.first)?))
    }

    fn at_mut(&mut self, channel: u16) -> Option<&mut Log> {
        self.logs.get_mut(usize::from(channel.checked_sub(self.first)?))
    }

    /// By its name, with its channel.
    fn called(&mut self, name: &str) -> Option<(u16, &mut Log)> {
        (self.first..).zip(&mut self.logs).find(|(_, log)| log.name == name)
    }

    pub(super) fn channels(&self) -> impl Iterator<Item = u16> + use<> {
        (self.first..).take(self.logs.len())
    }

    /// The log of a channel.
    pub(super) fn name(&self, channel: u16) -> Option<&str> {
        self.at(channel).map(|log| &*log.name)
    }

    /// Whether what arrives on a channel is passed over.
    pub(super) fn is_closing(&self, channel: u16) -> bool {
        self.at(channel).is_some_and(|log| matches!(log.state, State::Closing(_)))
    }

    /// Logs that the broker was asked to make and has not answered for.
    pub(super) fn in_making(&self) -> impl Iterator<Item = &str> {
        self.logs.iter().filter(|log| log.state == State::Making).map(|log| &*log.name)
    }

    /// # Errors
    /// It is none that was asked for.
    pub(super) fn heard(&mut self, channel: u16, said: Said, now: Instant) -> Result<Vec<Act>, Said> {
        let Some(log) = self.at_mut(channel) else { return Err(said) };
        Ok(match (log.state, said) {
            (State::Closing(_), Said::Closed { .. }) => vec![Act::Send(method::channel_close_ok())],
            (State::Closing(step), Said::CloseOk) => vec![log.open(step, now)],
            (State::Closing(_), _) => Vec::new(),
            (_, Said::Closed { code, text }) => log.closed(code, text, now),
            (State::Opening(step), Said::ChannelOpenOk) => vec![log.step(step, now)],
            (State::Finding, Said::Done { class: 50, method: 11, .. }) => {
                log.is_found = true;
                vec![log.step(Step::Make, now)]
            }
            (State::Making, Said::Done { class: 50, method: 11, .. }) => vec![log.step(Step::Bind, now)],
            (State::Binding, Said::Done { class: 50, method: 21, .. }) => {
                vec![log.ask(State::Limiting, method::prefetch(PREFETCH), now)]
            }
            (State::Limiting, Said::Done { class: 60, method: 11, .. }) => {
                log.enter(State::Ready, now);
                log.pause = FIRST_PAUSE;
                log.tell(Ok(())).into_iter().chain(log.start(now)).collect()
            }
            (State::Starting, Said::Done { class: 60, method: 21, .. }) => {
                log.enter(State::Reading, now);
                Vec::new()
            }
            (State::Reading, Said::Cancelled { .. }) => {
                let end = log.end("the log is gone");
                end.into_iter().chain(log.close(Step::Find, now)).collect()
            }
            (_, said) => return Err(said),
        })
    }

    /// Reads from the entry `from` on, now or as soon as the log is there. `None`: there is no such log.
    pub(super) fn read(&mut self, name: &str, reading: Reading, from: u64, now: Instant) -> Option<(u16, Vec<Act>)> {
        let (channel, log) = self.called(name)?;
        log.wanted = Some((reading, from));
        let acts = match log.state {
            State::Ready => log.start(now).into_iter().collect(),
            State::Starting | State::Reading => log.close(Step::Bind, now),
            State::Refused => {
                let words = log.told.clone().and_then(Result::err).unwrap_or_default();
                log.end(&words).into_iter().collect()
            }
            _ if log.is_late => log.end(&silent()).into_iter().collect(),
            State::Opening(_)
            | State::Finding
            | State::Making
            | State::Binding
            | State::Limiting
            | State::Closing(_) => Vec::new(),
        };
        Some((channel, acts))
    }

    pub(super) fn stop(&mut self, name: &str, now: Instant) -> Option<(u16, Vec<Act>)> {
        let (channel, log) = self.called(name)?;
        log.wanted = None;
        let is_open = matches!(log.state, State::Starting | State::Reading);
        Some((channel, if is_open { log.close(Step::Bind, now) } else { Vec::new() }))
    }

    /// An entry arrived. It has no offset where the broker gave it none.
    pub(super) fn arrived(&mut self, channel: u16, offset: Option<u64>, now: Instant) -> Arrived {
        let Some(log) = self.at_mut(channel) else { return Arrived::Late(Vec::new()) };
        let Some((reading, from)) = log.wanted else { return Arrived::Late(log.close(Step::Bind, now)) };
        let why = match offset {
            Some(offset) if offset < from => return Arrived::Earlier,
            Some(offset) if log.follows(offset, from) => {
                log.next = offset + 1;
                return Arrived::Entry(reading);
            }
            Some(first) => ReadingEnd::Trimmed { first },
            None => ReadingEnd::Failed("the broker does not number its entries: it is no stream".to_owned()),
        };
        log.wanted = None;
        Arrived::Late([Act::End(reading, why)].into_iter().chain(log.close(Step::Bind, now)).collect())
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.logs.iter().filter_map(Log::deadline).min()
    }

    /// What is to be done for those that did not answer, and those that are tried again.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(u16, Vec<Act>)> {
        let due = (self.first..).zip(&mut self.logs).filter(|(_, log)| log.deadline().is_some_and(|due| due <= now));
        let acts = due.map(|(channel, log)| match log.state {
            State::Refused => {
                log.pause = (log.pause * 2).min(LAST_PAUSE);
                (channel, vec![log.open(Step::Find, now)])
            }
            _ => {
                log.is_late = true;
                (channel, log.tell(Err(silent())).into_iter().chain(log.end(&silent())).collect())
            }
        });
        acts.collect()
    }
}

impl Log {
    fn enter(&mut self, state: State, now: Instant) {
        (self.state, self.since, self.is_late) = (state, now, false);
    }

    fn ask(&mut self, state: State, payload: Vec<u8>, now: Instant) -> Act {
        self.enter(state, now);
        Act::Send(payload)
    }

    fn open(&mut self, step: Step, now: Instant) -> Act {
        self.ask(State::Opening(step), method::channel_open(), now)
    }

    fn close(&mut self, step: Step, now: Instant) -> Vec<Act> {
        vec![Act::Forget, self.ask(State::Closing(step), method::channel_close(), now)]
    }

    fn step(&mut self, step: Step, now: Instant) -> Act {
        let Self { name, exchange, .. } = &*self;
        let declare = |mode| method::queue_declare(name, Life::Durable, mode, &arguments());
        let (state, payload) = match step {
            Step::Find => (State::Finding, declare(Mode::Find)),
            Step::Make => (State::Making, declare(Mode::Make)),
            Step::Bind => (State::Binding, method::queue_bind(name, exchange, name)),
        };
        self.ask(state, payload, now)
    }

    /// Where it is wanted and ready.
    fn start(&mut self, now: Instant) -> Option<Act> {
        let (_, from) = self.wanted?;
        self.next = from;
        Some(self.ask(State::Starting, method::consume_from(&self.name, from), now))
    }

    fn tell(&mut self, result: Result<(), String>) -> Option<Act> {
        if self.told.as_ref() == Some(&result) {
            return None;
        }
        self.told = Some(result.clone());
        Some(Act::Tell(result))
    }

    fn end(&mut self, words: &str) -> Option<Act> {
        let (reading, _) = self.wanted.take()?;
        Some(Act::End(reading, ReadingEnd::Failed(words.to_owned())))
    }

    /// The broker closed the channel.
    fn closed(&mut self, code: u16, text: String, now: Instant) -> Vec<Act> {
        let mut acts = vec![Act::Forget, Act::Send(method::channel_close_ok())];
        match (self.state, code, self.cut.clone()) {
            (State::Finding, NOT_FOUND, None) => acts.push(self.open(Step::Make, now)),
            // A user that may not make it may still use it.
            (State::Making, ACCESS_REFUSED, _) if self.is_found => acts.push(self.open(Step::Bind, now)),
            (State::Starting | State::Reading, ..) => {
                acts.extend(self.end(&text));
                acts.push(self.open(Step::Find, now));
            }
            (_, _, cut) => {
                let words = cut.filter(|_| code == NOT_FOUND).unwrap_or(text);
                self.enter(State::Refused, now);
                acts.extend(self.tell(Err(words.clone())));
                acts.extend(self.end(&words));
            }
        }
        acts
    }

    /// Whether nothing can be missing before it. Brokers use a number for themselves where a segment of the log begins, and never the
    /// first one; what they drop are whole segments.
    fn follows(&self, offset: u64, from: u64) -> bool {
        offset == self.next || (offset == self.next + 1 && (self.next, from) != (0, 0))
    }

    fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Ready | State::Reading => None,
            State::Refused => Some(self.since + self.pause),
            _ => (!self.is_late).then_some(self.since + ANSWER),
        }
    }
}

fn silent() -> String {
    format!("the broker says nothing for {} s: the log may have no majority", ANSWER.as_secs())
}

fn arguments() -> [(&'static str, Value); 3] {
    let number = |bytes: u64| Value::Integer(i64::try_from(bytes).unwrap_or(i64::MAX));
    [
        ("x-queue-type", "stream".into()),
        ("x-max-length-bytes", number(LOG_BYTES)),
        ("x-stream-max-segment-size-bytes", number(LOG_SEGMENT_BYTES)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::inbox::Inbox;

    const A: u16 = 7;

    fn logs(cuts: &BTreeMap<String, String>, now: Instant) -> Logs {
        let logs = vec!["l".to_owned()];
        let topology =
            Topology { exchange: "e".into(), queue: "q".into(), bindings: Vec::new(), shared: Vec::new(), logs };
        Logs::new(&topology, A, cuts, now)
    }

    fn done(class: u16, method: u16) -> Said {
        Said::Done { class, method, name: None }
    }

    fn closed(code: u16) -> Said {
        Said::Closed { code, text: "words".into() }
    }

    /// What the broker says, one after the other, and what is done for the last.
    fn hear(logs: &mut Logs, now: Instant, said: impl IntoIterator<Item = Said>) -> Vec<Act> {
        said.into_iter().fold(Vec::new(), |_, said| logs.heard(A, said, now).unwrap())
    }

    fn until_ready() -> [Said; 5] {
        [Said::ChannelOpenOk, done(50, 11), done(50, 11), done(50, 21), done(60, 11)]
    }

    fn reading(number: u8) -> Reading {
        let inbox = Inbox::default();
        (0..number).for_each(|_| {
            inbox.begin_reading("l");
        });
        inbox.begin_reading("l")
    }

    #[test]
    fn one_that_is_not_there_is_made_and_one_that_may_not_be_made_is_used() {
        let now = clock::now();
        let mut fresh = logs(&BTreeMap::new(), now);
        hear(&mut fresh, now, [Said::ChannelOpenOk, closed(NOT_FOUND), Said::ChannelOpenOk]);
        assert_eq!(fresh.in_making().collect::<Vec<_>>(), ["l"]);
        assert_eq!(hear(&mut fresh, now, [done(50, 11), done(50, 21), done(60, 11)]), [Act::Tell(Ok(()))]);
        let mut strict = logs(&BTreeMap::new(), now);
        hear(&mut strict, now, [Said::ChannelOpenOk, done(50, 11), closed(ACCESS_REFUSED), Said::ChannelOpenOk]);
        assert_eq!(hear(&mut strict, now, [done(50, 21), done(60, 11)]), [Act::Tell(Ok(()))]);
        assert_eq!(strict.heard(A, done(60, 11), now), Err(done(60, 11)), "nobody asked");
    }

    #[test]
    fn one_that_ended_a_connection_is_looked_for_and_never_made() {
        let now = clock::now();
        let mut logs = logs(&BTreeMap::from([("l".to_owned(), "no streams".to_owned())]), now);
        let refused = hear(&mut logs, now, [Said::ChannelOpenOk, closed(NOT_FOUND)]);
        assert_eq!(refused.last(), Some(&Act::Tell(Err("no streams".into()))));
        let one = reading(0);
        let ended = Act::End(one, ReadingEnd::Failed("no streams".into()));
        assert_eq!(logs.read("l", one, 0, now), Some((A, vec![ended])));
        // The same is not told twice; one that was made meanwhile is found.
        let later = logs.deadline().unwrap();
        assert_eq!(logs.due(later), [(A, vec![Act::Send(method::channel_open())])]);
        let refused = hear(&mut logs, now, [Said::ChannelOpenOk, closed(NOT_FOUND)]);
        assert!(!refused.iter().any(|act| matches!(act, Act::Tell(_))));
        assert_eq!(logs.deadline(), Some(now + FIRST_PAUSE * 2), "refused again");
        assert_eq!(logs.due(now + LAST_PAUSE).len(), 1);
        assert_eq!(hear(&mut logs, now, until_ready()), [Act::Tell(Ok(()))]);
    }

    #[test]
    fn a_reading_has_every_entry_or_ends() {
        let now = clock::now();
        for (from, offsets, trimmed) in [
            (0, &[0, 1, 3, 4][..], None),
            (0, &[1], Some(1)),
            (0, &[2], Some(2)),
            (0, &[0, 3], Some(3)),
            (5, &[4, 5, 6], None),
            (5, &[6, 8], None),
            (5, &[7], Some(7)),
        ] {
            let (mut logs, one) = (logs(&BTreeMap::new(), now), reading(0));
            hear(&mut logs, now, until_ready());
            let start = Act::Send(method::consume_from("l", from));
            assert_eq!(logs.read("l", one, from, now), Some((A, vec![start])));
            hear(&mut logs, now, [done(60, 21)]);
            let last = offsets.iter().map(|offset| logs.arrived(A, Some(*offset), now)).last().unwrap();
            match trimmed {
                None => assert_eq!(last, Arrived::Entry(one), "{offsets:?}"),
                Some(first) => {
                    let Arrived::Late(acts) = last else { panic!("{offsets:?}: {last:?}") };
                    assert_eq!(acts[0], Act::End(one, ReadingEnd::Trimmed { first }));
                    assert!(logs.is_closing(A));
                }
            }
        }
    }

    #[test]
    fn another_reading_waits_until_the_one_before_is_closed() {
        let now = clock::now();
        let (mut logs, one, two) = (logs(&BTreeMap::new(), now), reading(0), reading(1));
        assert_eq!(logs.read("l", one, 0, now), Some((A, vec![])), "it is not there yet");
        let ready = hear(&mut logs, now, until_ready());
        assert_eq!(ready.last(), Some(&Act::Send(method::consume_from("l", 0))));
        let close = vec![Act::Forget, Act::Send(method::channel_close())];
        assert_eq!(logs.read("l", two, 3, now), Some((A, close)));
        let open = vec![Act::Send(method::channel_open())];
        assert_eq!(hear(&mut logs, now, [done(60, 21), Said::CloseOk]), open, "the consumer's answer is passed over");
        let again = hear(&mut logs, now, [Said::ChannelOpenOk, done(50, 21), done(60, 11)]);
        assert_eq!(again, [Act::Send(method::consume_from("l", 3))]);
        hear(&mut logs, now, [done(60, 21)]);
        assert_eq!(logs.arrived(A, Some(3), now), Arrived::Entry(two));
        logs.stop("l", now).unwrap();
        assert_eq!(
            (logs.stop("l", now), logs.stop("m", now), logs.read("m", one, 0, now)),
            (Some((A, vec![])), None, None)
        );
    }

    #[test]
    fn what_the_broker_does_not_answer_is_told_once_and_may_come_late() {
        let now = clock::now();
        let (mut logs, one) = (logs(&BTreeMap::new(), now), reading(0));
        logs.read("l", one, 0, now);
        let later = logs.deadline().unwrap();
        assert_eq!(logs.due(now), []);
        let told = vec![Act::Tell(Err(silent())), Act::End(one, ReadingEnd::Failed(silent()))];
        assert_eq!(logs.due(later), [(A, told)]);
        assert_eq!((logs.due(later), logs.deadline()), (vec![], None));
        assert_eq!(logs.read("l", one, 0, now), Some((A, vec![Act::End(one, ReadingEnd::Failed(silent()))])));
        assert_eq!(hear(&mut logs, now, until_ready()), [Act::Tell(Ok(()))]);
        let ended = logs
            .read("l", one, 0, now)
            .and_then(|_| logs.heard(A, Said::Cancelled { consumer: "l".into() }, now).err());
        assert!(ended.is_some(), "there is no consumer yet");
        hear(&mut logs, now, [done(60, 21)]);
        let gone = hear(&mut logs, now, [Said::Cancelled { consumer: "l".into() }]);
        assert_eq!(gone[0], Act::End(one, ReadingEnd::Failed("the log is gone".into())));
    }
}
