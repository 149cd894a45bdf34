//! Who has lines of its own and who is summed under `other`, for one kind of lines.
//!
//! A place is given when a key is first seen and kept until it is gone. The counts of one with its own lines are kept after
//! that, for when it comes back; those of one under `other` stay in that sum, which never falls.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::room::{Kind, Room};

/// How many that are gone are remembered: more than have lines at a time. The one that went first is forgotten first; if it
/// comes back it counts from 0, which Prometheus reads as a restart.
const MAX_GONE: usize = 2_048;

/// Whether a route still points to its counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// A route of the table does, or one that a request took.
    ByRoute,
    /// Nothing but the place itself.
    ByNone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Own,
    Other,
}

struct Seat<C, const N: usize> {
    place: Place,
    /// What was counted by counters before these.
    before: [u64; N],
    counters: Arc<C>,
}

impl<C, const N: usize> Seat<C, N> {
    fn held(&self) -> Held {
        if Arc::strong_count(&self.counters) > 1 { Held::ByRoute } else { Held::ByNone }
    }
}

pub(super) struct Family<K, C, const N: usize> {
    kind: Kind,
    read: fn(&C) -> [u64; N],
    seats: BTreeMap<K, Seat<C, N>>,
    /// Those that had lines of their own, with the turn in which they went.
    gone: BTreeMap<K, (u64, Seat<C, N>)>,
    next_turn: u64,
    /// Of those under `other` that are gone.
    gone_of_other: [u64; N],
}

/// What one family shows.
pub(super) struct Reading<K, const N: usize> {
    /// Those with lines of their own.
    pub(super) own: BTreeMap<K, [u64; N]>,
    /// All others together.
    pub(super) other: [u64; N],
    /// How many these are now.
    pub(super) others: usize,
}

impl<K: Ord + Clone, C, const N: usize> Family<K, C, N> {
    pub(super) fn new(kind: Kind, read: fn(&C) -> [u64; N]) -> Self {
        Self { kind, read, seats: BTreeMap::new(), gone: BTreeMap::new(), next_turn: 0, gone_of_other: [0; N] }
    }

    pub(super) fn len(&self) -> usize {
        self.seats.len()
    }

    pub(super) fn has(&self, key: &K) -> bool {
        self.seats.contains_key(key)
    }

    /// The counters of a key, which it keeps while it is there; `new` makes those of one that is not remembered.
    pub(super) fn place(&mut self, key: &K, room: &mut Room, new: impl FnOnce() -> Arc<C>) -> Arc<C> {
        Arc::clone(&self.seat(key, room, new).counters)
    }

    /// From now on a key is counted by these counters; what was counted before is added to them.
    pub(super) fn replace(&mut self, key: &K, room: &mut Room, counters: &Arc<C>) {
        let read = self.read;
        let seat = self.seat(key, room, || Arc::clone(counters));
        if !Arc::ptr_eq(&seat.counters, counters) {
            add(&mut seat.before, read(&seat.counters));
            seat.counters = Arc::clone(counters);
        }
    }

    fn seat(&mut self, key: &K, room: &mut Room, new: impl FnOnce() -> Arc<C>) -> &mut Seat<C, N> {
        let (kind, gone) = (self.kind, &mut self.gone);
        self.seats.entry(key.clone()).or_insert_with(|| {
            // The counts of lines of its own have no place under `other`, which would jump by them.
            let place = if room.take(kind) { Place::Own } else { Place::Other };
            let back = gone.remove(key).filter(|_| place == Place::Own);
            back.map_or_else(|| Seat { place, before: [0; N], counters: new() }, |(_, seat)| seat)
        })
    }

    /// Lets those go for which `is_there` does not hold.
    pub(super) fn retain(&mut self, room: &mut Room, is_there: impl Fn(&K, Held) -> bool) {
        self.remove_where(room, |key, seat| !is_there(key, seat.held()));
    }

    /// Lets those under `other` go that nothing holds; those with lines of their own are few.
    pub(super) fn sweep(&mut self, room: &mut Room) {
        self.remove_where(room, |_, seat| seat.place == Place::Other && seat.held() == Held::ByNone);
    }

    fn remove_where(&mut self, room: &mut Room, is_leaving: impl Fn(&K, &Seat<C, N>) -> bool) {
        let leaving = self.seats.iter().filter(|(key, seat)| is_leaving(key, seat));
        let leaving: Vec<_> = leaving.map(|(key, _)| key.clone()).collect();
        for key in leaving {
            let Some(seat) = self.seats.remove(&key) else { continue };
            match seat.place {
                Place::Other => {
                    let counted = self.counted(&seat);
                    add(&mut self.gone_of_other, counted);
                }
                Place::Own => {
                    room.give_back(self.kind);
                    self.next_turn += 1;
                    self.gone.insert(key, (self.next_turn, seat));
                }
            }
        }
        while self.gone.len() > MAX_GONE {
            let first = self.gone.iter().min_by_key(|(_, (turn, _))| *turn).map(|(key, _)| key.clone());
            first.and_then(|key| self.gone.remove(&key));
        }
    }

    pub(super) fn read(&self) -> Reading<K, N> {
        let mut reading = Reading { own: BTreeMap::new(), other: self.gone_of_other, others: 0 };
        for (key, seat) in &self.seats {
            match seat.place {
                Place::Own => {
                    reading.own.insert(key.clone(), self.counted(seat));
                }
                Place::Other => {
                    add(&mut reading.other, self.counted(seat));
                    reading.others += 1;
                }
            }
        }
        reading
    }

    fn counted(&self, seat: &Seat<C, N>) -> [u64; N] {
        let mut counted = (self.read)(&seat.counters);
        add(&mut counted, seat.before);
        counted
    }
}

fn add<const N: usize>(numbers: &mut [u64; N], more: [u64; N]) {
    numbers.iter_mut().zip(more).for_each(|(number, more)| *number += more);
}
