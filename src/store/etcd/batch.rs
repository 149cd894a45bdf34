//! Writes that go to the store together: one transaction, whose parts are decided one by one.
//!
//! etcd takes 128 comparisons and operations a transaction, and as many as are left within one: so up to 100 on top and 28 in
//! each write, or one wide write alone. A write that is wider still is cut in pieces that stand by themselves, unless it is to be stored
//! as a whole: then its operations are within transactions of their own ([`Nested::groups`](super::txn::Nested::groups)).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use super::layout::{Fence, Key, Layout};
use super::mirror::Mirror;
use super::plan::{Own, Plan, Planned, plan};
use super::txn::{Compare, Op, Txn, Under};
use furt_core::registry::{Change, InstanceRef, Premise, Record, Write, WriteId};

/// Operations on top of a batch of several writes, and within each of these.
const MOST_ON_TOP: usize = 100;
const MOST_WITHIN: usize = 28;
/// Within a write that goes alone: the session and a fence stand on top of it.
const MOST_ALONE: usize = 100;
/// etcd takes 1.5 MiB a request.
const MOST_BYTES: usize = 1 << 20;

/// A write that waits for its turn.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) of: Of,
    pub(super) write: Write,
    /// What is left of it once this piece is stored.
    pub(super) rest: VecDeque<Write>,
    /// When it came.
    pub(super) since: Instant,
}

/// Who waits for a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Of {
    /// The core.
    Core(WriteId),
    /// Nobody.
    Nobody,
}

/// What became of a write without a question to the store.
#[derive(Debug)]
pub(super) enum Decided {
    Outdated(Of),
    /// The store has it as it is to be.
    Done(Of),
}

#[derive(Debug)]
pub(super) struct Batch {
    pub(super) writes: Vec<(Waiting, Box<Planned>)>,
}

/// Takes the first writes that can go together.
pub(super) fn gather(
    queue: &mut VecDeque<Waiting>,
    mirror: &Mirror,
    own: &Own,
    layout: &Layout,
) -> (Option<Batch>, Vec<Decided>) {
    let (mut writes, mut decided): (Vec<(Waiting, Box<Planned>)>, _) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    while let Some(waiting) = queue.pop_front() {
        let planned = match plan(&waiting.write, mirror, own, layout) {
            // What goes before it may change what was found.
            Plan::Outdated | Plan::Nothing if !writes.is_empty() => {
                queue.push_front(waiting);
                break;
            }
            Plan::Outdated => {
                decided.push(Decided::Outdated(waiting.of));
                continue;
            }
            Plan::Nothing if waiting.rest.is_empty() => {
                decided.push(Decided::Done(waiting.of));
                continue;
            }
            Plan::Nothing => {
                let Waiting { of, mut rest, since, .. } = waiting;
                if let Some(write) = rest.pop_front() {
                    queue.push_front(Waiting { of, write, rest, since });
                }
                continue;
            }
            Plan::Do(planned) => planned,
        };
        let is_whole = waiting.write.is_whole;
        if planned.width() > MOST_ALONE && waiting.write.changes.len() > 1 && !is_whole {
            queue.push_front(in_pieces(waiting));
            continue;
        }
        let is_wide = planned.width() > MOST_WITHIN || is_whole;
        let fits = !is_wide
            && writes.len() < MOST_ON_TOP - 2
            && bytes + planned.size() <= MOST_BYTES
            && writes.iter().all(|(_, other)| planned.is_apart_from(other));
        if !writes.is_empty() && !fits {
            queue.push_front(waiting);
            break;
        }
        bytes += planned.size();
        writes.push((waiting, planned));
        if is_wide {
            break;
        }
    }
    (Some(writes).filter(|writes| !writes.is_empty()).map(|writes| Batch { writes }), decided)
}

/// Cuts a write that is too wide: what it relies on of one instance or key goes along with the changes of that one, and all
/// else with each piece.
fn in_pieces(waiting: Waiting) -> Waiting {
    let Waiting { of, write, mut rest, since } = waiting;
    let Write { changes, seen, premises, .. } = write;
    let mut shared = Vec::new();
    let mut of_each: BTreeMap<Subject, Vec<Premise>> = BTreeMap::new();
    let subjects: BTreeSet<_> = changes.iter().filter_map(subject_of_change).collect();
    for premise in premises {
        match subject_of_premise(&premise).filter(|subject| subjects.contains(subject)) {
            Some(subject) => of_each.entry(subject).or_default().push(premise),
            None => shared.push(premise),
        }
    }
    let half = changes.len() / 2;
    let mut pieces = Vec::new();
    let (first, second) = changes.split_at(half.max(1));
    for changes in [first, second] {
        let subjects: BTreeSet<_> = changes.iter().filter_map(subject_of_change).collect();
        let own = subjects.iter().filter_map(|subject| of_each.get(subject)).flatten().cloned();
        let premises = shared.iter().cloned().chain(own).collect();
        pieces.push(Write::new(changes.to_vec(), seen, premises));
    }
    let second = pieces.pop();
    if let Some(second) = second.filter(|second| !second.changes.is_empty()) {
        rest.push_front(second);
    }
    let write = pieces.pop().unwrap_or(Write::new(Vec::new(), seen, Vec::new()));
    Waiting { of, write, rest, since }
}

/// What a change is of, where its write is one of many alike.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Instance(InstanceRef),
    ApiKey(furt_core::model::KeyName),
}

fn subject_of_change(change: &Change) -> Option<Subject> {
    match change {
        Change::PutInstance(record) => Some(Subject::Instance(record.instance())),
        Change::RemoveInstance(instance)
        | Change::NoteTtl { instance, .. }
        | Change::PutDraining(instance, _)
        | Change::RemoveDraining(instance)
        | Change::PutHold(instance, _)
        | Change::RemoveHold(instance)
        | Change::Observe(instance, _) => Some(Subject::Instance(instance.clone())),
        Change::PutKey(api_key) => Some(Subject::ApiKey(api_key.name().clone())),
        Change::RemoveKey(name) => Some(Subject::ApiKey(name.clone())),
        Change::PutDefinition(_)
        | Change::RemoveService { .. }
        | Change::PutMaintenance(..)
        | Change::RemoveMaintenance(_)
        | Change::PutSplit(..)
        | Change::RemoveSplit(_)
        | Change::PutGrant(..)
        | Change::RemoveGrant(_)
        | Change::Audit(_) => None,
    }
}

fn subject_of_premise(premise: &Premise) -> Option<Subject> {
    let (Premise::Absent(record) | Premise::Unchanged(record)) = premise else { return None };
    match record {
        Record::Instance(instance) | Record::Drain(instance) | Record::Hold(instance) => {
            Some(Subject::Instance(instance.clone()))
        }
        Record::Key(name) => Some(Subject::ApiKey(name.clone())),
        Record::Definition(_) | Record::Digest(_) | Record::Maintenance(_) | Record::Split(_) => None,
        Record::Grant(_) => None,
    }
}

impl Batch {
    /// The transaction; `session`: the key of this gateway's, what it is put to, and the revision of the last one.
    pub(super) fn txn(&self, layout: &Layout, session: SessionPut) -> Txn {
        let SessionPut { key, value, under, put_at } = session;
        // Every definition puts it, so it cannot be within each of them.
        let puts_any = self.writes.iter().any(|(_, planned)| planned.puts_any);
        let any = puts_any.then(|| Op::Put { key: layout.fence(Fence::Any), value: Vec::new(), under: Under::None });
        let session = Op::Put { key: key.clone(), value, under };
        Txn {
            compares: vec![Compare::PutAt(key, put_at)],
            ops: std::iter::once(session).chain(any).collect(),
            writes: self.writes.iter().map(|(_, planned)| planned.nested.clone()).collect(),
        }
    }

    /// Whether each of its writes was stored, by the keys that changed with it.
    pub(super) fn outcomes(&self, changed: &BTreeSet<Key>) -> Vec<bool> {
        let is_stored =
            |(_, planned): &(Waiting, Box<Planned>)| planned.witnesses.iter().any(|key| changed.contains(key));
        self.writes.iter().map(is_stored).collect()
    }
}

/// How the session is put with a batch.
pub(super) struct SessionPut {
    pub(super) key: String,
    pub(super) value: Vec<u8>,
    pub(super) under: Under,
    pub(super) put_at: u64,
}
