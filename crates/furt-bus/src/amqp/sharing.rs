//! Taking part in shared queues. A majority of brokers has each of them: one without its majority answers nothing, which must not
//! hold up anything else, so each has a channel of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::channel::FIRST_SHARED;
use crate::topology::SharedQueue;

/// For the answer to a consumer; the answer may come later all the same.
pub(super) const ANSWER: Duration = Duration::from_secs(30);
/// Until a consumer that was refused is tried again.
const PAUSE: Duration = Duration::from_secs(30);

enum State {
    /// The channel is being opened.
    Opening,
    Asked(Instant),
    /// The same, and the node was told that there is no answer.
    Late,
    Reading,
    /// The broker closed the channel.
    Refused(Instant),
    /// The broker ended the connection before while it was asked: nothing is asked yet.
    Held(Instant),
}

/// What time has come for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// Queues that did not answer in time.
    pub(super) late: Vec<String>,
    /// Channels to open again.
    pub(super) open: Vec<u16>,
    /// Queues to consume from.
    pub(super) ask: Vec<(u16, String)>,
}

/// The shared queues of a node, by their channels.
pub(super) struct Sharing(Vec<(String, State)>);

impl Sharing {
    /// [`Self::asked`] are to be asked for now. `cuts` are queues for which the connection before was ended, and why.
    pub(super) fn new(shared: &[SharedQueue], cuts: &BTreeMap<String, String>, now: Instant) -> Self {
        let state = |name: &str| if cuts.contains_key(name) { State::Held(now) } else { State::Asked(now) };
        Self(shared.iter().map(|shared| (shared.name.clone(), state(&shared.name))).collect())
    }

    /// The queues whose consumers the broker has not answered yet, with their channels.
    pub(super) fn asked(&self) -> impl Iterator<Item = (u16, &str)> {
        let queues = (FIRST_SHARED..).zip(&self.0);
        queues
            .filter(|(_, (_, state))| matches!(state, State::Asked(_) | State::Late))
            .map(|(channel, (queue, _))| (channel, &**queue))
    }

    fn of(&mut self, channel: u16) -> Option<&mut (String, State)> {
        self.0.get_mut(usize::from(channel.checked_sub(FIRST_SHARED)?))
    }

    /// The queue of a channel.
    pub(super) fn queue(&self, channel: u16) -> Option<&str> {
        self.0.get(usize::from(channel.checked_sub(FIRST_SHARED)?)).map(|(queue, _)| &**queue)
    }

    /// The broker answered; the queue that is read from.
    pub(super) fn answered(&mut self, channel: u16) -> Option<String> {
        let (queue, state) = self.of(channel)?;
        *state = State::Reading;
        Some(queue.clone())
    }

    /// The broker closed the channel.
    pub(super) fn refused(&mut self, channel: u16, now: Instant) -> Option<String> {
        let (queue, state) = self.of(channel)?;
        *state = State::Refused(now);
        Some(queue.clone())
    }

    /// The channel is open again: the queue to consume from.
    pub(super) fn opened(&mut self, channel: u16, now: Instant) -> Option<String> {
        let (queue, state) = self.of(channel)?;
        *state = State::Asked(now);
        Some(queue.clone())
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let deadlines = self.0.iter().filter_map(|(_, state)| match state {
            State::Asked(since) => Some(*since + ANSWER),
            State::Refused(since) | State::Held(since) => Some(*since + PAUSE),
            State::Opening | State::Late | State::Reading => None,
        });
        deadlines.min()
    }

    /// What is due.
    pub(super) fn due(&mut self, now: Instant) -> Due {
        let Due { mut late, mut open, mut ask } = Due::default();
        for (channel, (queue, state)) in (FIRST_SHARED..).zip(&mut self.0) {
            match state {
                State::Asked(since) if *since + ANSWER <= now => {
                    *state = State::Late;
                    late.push(queue.clone());
                }
                State::Refused(since) if *since + PAUSE <= now => {
                    *state = State::Opening;
                    open.push(channel);
                }
                State::Held(since) if *since + PAUSE <= now => {
                    *state = State::Asked(now);
                    ask.push((channel, queue.clone()));
                }
                State::Asked(_)
                | State::Refused(_)
                | State::Held(_)
                | State::Opening
                | State::Late
                | State::Reading => {}
            }
        }
        Due { late, open, ask }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn one_that_does_not_answer_is_told_once_and_one_that_is_refused_is_tried_again() {
        let now = clock::now();
        let queue = |name: &str| SharedQueue { name: name.into(), bindings: Vec::new() };
        let mut sharing = Sharing::new(&[queue("a"), queue("b"), queue("c")], &BTreeMap::new(), now);
        let [a, b, c] = [FIRST_SHARED, FIRST_SHARED + 1, FIRST_SHARED + 2];
        assert_eq!([FIRST_SHARED - 1, c, c + 1].map(|channel| sharing.queue(channel)), [None, Some("c"), None]);
        assert_eq!(sharing.answered(a).as_deref(), Some("a"));
        assert_eq!(sharing.refused(b, now).as_deref(), Some("b"));
        assert_eq!(sharing.due(now), Due::default());
        assert_eq!(sharing.asked().collect::<Vec<_>>(), [(c, "c")]);
        let later = sharing.deadline().unwrap();
        assert_eq!(sharing.due(later), Due { late: vec!["c".to_owned()], open: vec![b], ask: vec![] });
        assert_eq!((sharing.due(later), sharing.deadline()), (Due::default(), None));
        assert_eq!(sharing.asked().collect::<Vec<_>>(), [(c, "c")], "it may still end the connection");
        assert_eq!(sharing.opened(b, later).as_deref(), Some("b"));
        assert_eq!(sharing.answered(c).as_deref(), Some("c"), "late is better than never");
        assert_eq!(sharing.deadline(), Some(later + ANSWER));
        assert_eq!(sharing.answered(c + 1), None);
    }

    #[test]
    fn one_that_ended_the_connection_before_is_asked_later() {
        let now = clock::now();
        let queue = |name: &str| SharedQueue { name: name.into(), bindings: Vec::new() };
        let cuts = [("a".to_owned(), "INTERNAL_ERROR".to_owned())].into();
        let mut sharing = Sharing::new(&[queue("a"), queue("b")], &cuts, now);
        let [a, b] = [FIRST_SHARED, FIRST_SHARED + 1];
        assert_eq!(sharing.asked().collect::<Vec<_>>(), [(b, "b")]);
        assert_eq!(sharing.answered(b).as_deref(), Some("b"));
        let later = sharing.deadline().unwrap();
        assert_eq!(sharing.due(later), Due { ask: vec![(a, "a".to_owned())], ..Due::default() });
        assert_eq!(sharing.asked().collect::<Vec<_>>(), [(a, "a")]);
    }
}
