//! Writes on their way to the store, and the commands that wait behind them: of services, and of keys.
//!
//! Each write is about one or more subjects, and a command about a subject that is in a write can be parked until that is
//! done. What a write or a parked command means, and which command must wait, is for the caller to say. Writes are
//! numbered in the order in which they are submitted, which is the order in which the store takes them.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::Hash;

use super::ids::WriteId;

/// Numbers writes.
#[derive(Debug, Default)]
pub(super) struct WriteIds {
    next: u64,
}

impl WriteIds {
    pub(super) fn next(&mut self) -> WriteId {
        let write = WriteId(self.next);
        self.next += 1;
        write
    }
}

/// The writes `W` about subjects `S`, and the commands `C` that are parked behind them.
#[derive(Debug)]
pub(super) struct Outbox<S, W, C> {
    writes: BTreeMap<WriteId, InFlight<S, W>>,
    writes_of: HashMap<S, BTreeSet<WriteId>>,
    parked: HashMap<S, VecDeque<C>>,
    /// Subjects of writes that are none of this outbox.
    held: BTreeMap<WriteId, Vec<S>>,
}

#[derive(Debug)]
struct InFlight<S, W> {
    subjects: Vec<S>,
    write: W,
}

impl<S, W, C> Default for Outbox<S, W, C> {
    fn default() -> Self {
        Self { writes: BTreeMap::new(), writes_of: HashMap::new(), parked: HashMap::new(), held: BTreeMap::new() }
    }
}

impl<S: Eq + Hash + Clone, W, C> Outbox<S, W, C> {
    /// Notes a write that is given to the store.
    pub(super) fn submit(&mut self, id: WriteId, subjects: Vec<S>, write: W) {
        for subject in &subjects {
            self.writes_of.entry(subject.clone()).or_default().insert(id);
        }
        self.writes.insert(id, InFlight { subjects, write });
    }

    /// The store is done with a write. Gives it with its subjects, whose parked commands may go on now; `None`: it is none
    /// of this outbox.
    pub(super) fn finish(&mut self, id: WriteId) -> Option<(W, Vec<S>)> {
        let InFlight { subjects, write } = self.writes.remove(&id)?;
        self.forget(id, &subjects);
        Some((write, subjects))
    }

    /// Notes subjects of a write that is none of this outbox: commands about them wait for it as well.
    pub(super) fn hold(&mut self, id: WriteId, subjects: Vec<S>) {
        for subject in &subjects {
            self.writes_of.entry(subject.clone()).or_default().insert(id);
        }
        if !subjects.is_empty() {
            self.held.insert(id, subjects);
        }
    }

    /// That write is done. Gives the subjects, whose parked commands may go on now.
    pub(super) fn release(&mut self, id: WriteId) -> Vec<S> {
        let subjects = self.held.remove(&id).unwrap_or_default();
        self.forget(id, &subjects);
        subjects
    }

    fn forget(&mut self, id: WriteId, subjects: &[S]) {
        for subject in subjects {
            let Some(writes) = self.writes_of.get_mut(subject) else { continue };
            writes.remove(&id);
            if writes.is_empty() {
                self.writes_of.remove(subject);
            }
        }
    }

    /// Subjects of writes that are none of this outbox.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn held(&self) -> impl Iterator<Item = &S> {
        self.held.values().flatten()
    }

    /// Whether a write about the subject is on its way.
    pub(super) fn is_writing(&self, subject: &S) -> bool {
        self.writes_of.contains_key(subject)
    }

    /// How many subjects are in a write.
    pub(super) fn subjects(&self) -> usize {
        self.writes_of.len()
    }

    /// The first and the last write about the subject that are on their way; the same where there is one.
    pub(super) fn ends(&self, subject: &S) -> Option<(&W, &W)> {
        let writes = self.writes_of.get(subject)?;
        let find = |id: Option<&WriteId>| id.and_then(|id| self.writes.get(id)).map(|in_flight| &in_flight.write);
        find(writes.first()).zip(find(writes.last()))
    }

    /// Lets a command wait until the subject's writes are done.
    ///
    /// # Errors
    /// The command, where `limit` commands wait already.
    pub(super) fn park(&mut self, subject: &S, command: C, limit: usize) -> Result<(), C> {
        let queue = self.parked.entry(subject.clone()).or_default();
        if queue.len() >= limit {
            return Err(command);
        }
        queue.push_back(command);
        Ok(())
    }

    /// Lets a command wait before all others: it was judged before them, and must be judged again.
    pub(super) fn park_first(&mut self, subject: &S, command: C) {
        self.parked.entry(subject.clone()).or_default().push_front(command);
    }

    /// What waits for the subject's writes, in the order it came.
    pub(super) fn parked(&self, subject: &S) -> impl Iterator<Item = &C> {
        self.parked.get(subject).into_iter().flatten()
    }

    pub(super) fn is_parked(&self, subject: &S) -> bool {
        self.parked.contains_key(subject)
    }

    /// Takes out all that waits for the subject's writes; [`park_again`](Self::park_again) takes what must go on waiting.
    pub(super) fn take_parked(&mut self, subject: &S) -> VecDeque<C> {
        self.parked.remove(subject).unwrap_or_default()
    }

    /// Lets the rest of what was taken out wait again, behind what was taken out before it and is parked anew.
    pub(super) fn park_again(&mut self, subject: &S, mut rest: VecDeque<C>) {
        if !rest.is_empty() {
            self.parked.entry(subject.clone()).or_default().append(&mut rest);
        }
    }

    /// All writes on their way.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn writes(&self) -> impl Iterator<Item = &W> {
        self.writes.values().map(|in_flight| &in_flight.write)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.writes_of.is_empty() && self.parked.is_empty()
    }

    /// # Panics
    /// Where a subject is noted without its write, or a command waits for nothing.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn sweep(&self)
    where
        S: std::fmt::Debug,
    {
        let of_writes = self.writes.values().map(|in_flight| in_flight.subjects.len());
        let of_writes: usize = of_writes.chain(self.held.values().map(Vec::len)).sum();
        let of_subjects: usize = self.writes_of.values().map(BTreeSet::len).sum();
        assert_eq!(of_writes, of_subjects, "each subject of a write is noted once");
        for (subject, queue) in &self.parked {
            assert!(!queue.is_empty() && self.writes_of.contains_key(subject), "{subject:?}: waits for a write");
        }
    }
}
