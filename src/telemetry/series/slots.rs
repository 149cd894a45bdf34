//! The slots of one kind of series: which keys have series with labels of their own, and which are summed under `other`.
//!
//! A key gets its slot when it is first seen and keeps it until it is gone. When a key with its own labels goes, its slot is
//! retained with its counts, for when it comes back. When a key under `other` goes, its counts stay in that sum, which never
//! decreases.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::budget::{CardinalityBudget, SeriesKind};

/// How many slots of keys that are gone are retained: more than have labels of their own at a time. The one that went first
/// is dropped first; if its key comes back it counts from 0, which Prometheus reads as a restart.
const MAX_RETAINED: usize = 2_048;

/// Whether a route still points to its counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CounterUse {
    /// A route of the table does, or one that a request took.
    Referenced,
    /// Only the slot itself does.
    Unreferenced,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Labels {
    Own,
    Other,
}

struct Slot<C, const N: usize> {
    labels: Labels,
    /// What was counted by counters before these.
    carried_over: [u64; N],
    counters: Arc<C>,
}

impl<C, const N: usize> Slot<C, N> {
    fn counter_use(&self) -> CounterUse {
        if Arc::strong_count(&self.counters) > 1 { CounterUse::Referenced } else { CounterUse::Unreferenced }
    }
}

pub(super) struct Slots<K, C, const N: usize> {
    kind: SeriesKind,
    read: fn(&C) -> [u64; N],
    active: BTreeMap<K, Slot<C, N>>,
    /// Those with labels of their own whose key is gone, numbered in the order in which they went.
    retained: BTreeMap<K, (u64, Slot<C, N>)>,
    last_number: u64,
    /// The counts of keys under `other` that are gone.
    gone_other: [u64; N],
}

/// The numbers of one kind of series at one time.
pub(super) struct Samples<K, const N: usize> {
    /// Of the keys with labels of their own.
    pub(super) own: BTreeMap<K, [u64; N]>,
    /// The sum of all other keys.
    pub(super) other: [u64; N],
    /// How many keys are under `other` now.
    pub(super) other_count: usize,
}

impl<K: Ord + Clone, C, const N: usize> Slots<K, C, N> {
    pub(super) fn new(kind: SeriesKind, read: fn(&C) -> [u64; N]) -> Self {
        let (active, retained) = (BTreeMap::new(), BTreeMap::new());
        Self { kind, read, active, retained, last_number: 0, gone_other: [0; N] }
    }

    pub(super) fn len(&self) -> usize {
        self.active.len()
    }

    pub(super) fn has(&self, key: &K) -> bool {
        self.active.contains_key(key)
    }

    /// The counters of a key, which it keeps until it is gone; `new` makes those of a key that has none.
    pub(super) fn counters(&mut self, key: &K, budget: &mut CardinalityBudget, new: impl FnOnce() -> Arc<C>) -> Arc<C> {
        Arc::clone(&self.slot(key, budget, new).counters)
    }

    /// From now on a key is counted by `counters`; what was counted before is carried over.
    pub(super) fn replace(&mut self, key: &K, budget: &mut CardinalityBudget, counters: &Arc<C>) {
        let read = self.read;
        let slot = self.slot(key, budget, || Arc::clone(counters));
        if !Arc::ptr_eq(&slot.counters, counters) {
            add(&mut slot.carried_over, read(&slot.counters));
            slot.counters = Arc::clone(counters);
        }
    }

    fn slot(&mut self, key: &K, budget: &mut CardinalityBudget, new: impl FnOnce() -> Arc<C>) -> &mut Slot<C, N> {
        let (kind, retained) = (self.kind, &mut self.retained);
        self.active.entry(key.clone()).or_insert_with(|| {
            let labels = if budget.try_reserve(kind) { Labels::Own } else { Labels::Other };
            // Under `other` retained counts are dropped: its sum would jump by them.
            let retained = retained.remove(key).filter(|_| labels == Labels::Own);
            retained.map_or_else(|| Slot { labels, carried_over: [0; N], counters: new() }, |(_, slot)| slot)
        })
    }

    /// Frees the slots of keys that are gone: those for which `is_present` does not hold.
    pub(super) fn retain(&mut self, budget: &mut CardinalityBudget, is_present: impl Fn(&K, CounterUse) -> bool) {
        self.free_where(budget, |key, slot| !is_present(key, slot.counter_use()));
    }

    /// Frees the slots under `other` whose counters nothing references; those with labels of their own are few.
    pub(super) fn sweep(&mut self, budget: &mut CardinalityBudget) {
        self.free_where(budget, |_, slot| {
            slot.labels == Labels::Other && slot.counter_use() == CounterUse::Unreferenced
        });
    }

    fn free_where(&mut self, budget: &mut CardinalityBudget, is_gone: impl Fn(&K, &Slot<C, N>) -> bool) {
        let gone = self.active.iter().filter(|(key, slot)| is_gone(key, slot));
        let gone: Vec<_> = gone.map(|(key, _)| key.clone()).collect();
        for key in gone {
            let Some(slot) = self.active.remove(&key) else { continue };
            match slot.labels {
                Labels::Other => {
                    let counted = self.counted(&slot);
                    add(&mut self.gone_other, counted);
                }
                Labels::Own => {
                    budget.release(self.kind);
                    self.last_number += 1;
                    self.retained.insert(key, (self.last_number, slot));
                }
            }
        }
        while self.retained.len() > MAX_RETAINED {
            let first = self.retained.iter().min_by_key(|(_, (number, _))| *number).map(|(key, _)| key.clone());
            first.and_then(|key| self.retained.remove(&key));
        }
    }

    pub(super) fn read(&self) -> Samples<K, N> {
        let mut samples = Samples { own: BTreeMap::new(), other: self.gone_other, other_count: 0 };
        for (key, slot) in &self.active {
            match slot.labels {
                Labels::Own => {
                    samples.own.insert(key.clone(), self.counted(slot));
                }
                Labels::Other => {
                    add(&mut samples.other, self.counted(slot));
                    samples.other_count += 1;
                }
            }
        }
        samples
    }

    fn counted(&self, slot: &Slot<C, N>) -> [u64; N] {
        let mut counted = (self.read)(&slot.counters);
        add(&mut counted, slot.carried_over);
        counted
    }
}

fn add<const N: usize>(numbers: &mut [u64; N], more: [u64; N]) {
    numbers.iter_mut().zip(more).for_each(|(number, more)| *number += more);
}
