//! How many lines there may be, and who may take them. The bound is on lines as `/metrics` shows them.
//!
//! Services and routes take what is free, first come, first served, but for what is kept for the other: a thousand
//! services leave routes their floor, and a burst of new routes leaves services theirs. Probes have a share of their own,
//! since at a start every service is probed before anyone reads its other lines.

use crate::model::{PROBE_BOUNDS_MS, ROUTE_BOUNDS_MS, STATUS_CLASSES};

/// The most lines with a service or a route as a label, `other` among them (the figure).
pub(super) const MAX_SERIES: usize = 10_000;

/// UP, uptime, transitions, in flight, and the instances by status.
const SERVICE_LINES: usize = 7;
/// What of these can be summed.
const SERVICE_LINES_OF_OTHER: usize = 5;
/// Of a histogram: its bounds, `+Inf`, sum and count.
const fn histogram_lines(bounds: usize) -> usize {
    bounds + 3
}
/// Two histograms, of good probes and of failed ones.
const PROBE_LINES: usize = 2 * histogram_lines(PROBE_BOUNDS_MS.len());
/// A counter for each class, and a histogram.
const ROUTE_LINES: usize = STATUS_CLASSES.len() + histogram_lines(ROUTE_BOUNDS_MS.len());

const OTHER_LINES: usize = SERVICE_LINES_OF_OTHER + PROBE_LINES + ROUTE_LINES;

/// What takes lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Service,
    Probe,
    Route,
}

const KINDS: [Kind; 3] = [Kind::Service, Kind::Probe, Kind::Route];

impl Kind {
    /// How many lines one takes.
    pub(super) const fn lines(self) -> usize {
        match self {
            Self::Service => SERVICE_LINES,
            Self::Probe => PROBE_LINES,
            Self::Route => ROUTE_LINES,
        }
    }

    /// How many have room whatever the others take: with these, a thousand services and 160 routes have their own lines,
    /// or 300 services and 500 routes.
    const fn floor(self) -> usize {
        match self {
            Self::Service => 300,
            Self::Probe => 50,
            Self::Route => 160,
        }
    }

    const fn may_exceed_floor(self) -> bool {
        match self {
            Self::Service | Self::Route => true,
            Self::Probe => false,
        }
    }
}

/// Who has taken lines.
#[derive(Debug, Default)]
pub(super) struct Room {
    taken: [usize; KINDS.len()],
}

impl Room {
    /// Takes the lines of one more, if there is room for them.
    pub(super) fn take(&mut self, kind: Kind) -> bool {
        let after = |one: Kind| self.taken[one as usize] + usize::from(one == kind);
        if !kind.may_exceed_floor() && after(kind) > kind.floor() {
            return false;
        }
        let lines: usize = KINDS.into_iter().map(|one| after(one).max(one.floor()) * one.lines()).sum();
        let has_room = lines + OTHER_LINES <= MAX_SERIES;
        self.taken[kind as usize] += usize::from(has_room);
        has_room
    }

    /// Gives the lines of one back.
    pub(super) fn give_back(&mut self, kind: Kind) {
        let taken = &mut self.taken[kind as usize];
        *taken = taken.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(room: &mut Room, kind: Kind) -> usize {
        (0..MAX_SERIES).filter(|_| room.take(kind)).count()
    }

    #[test]
    fn each_kind_has_its_floor_whoever_comes_first() {
        for first in [Kind::Service, Kind::Route] {
            let mut room = Room::default();
            taken(&mut room, first);
            assert_eq!(taken(&mut room, Kind::Probe), Kind::Probe.floor());
            let second = if first == Kind::Service { Kind::Route } else { Kind::Service };
            let least = second.floor();
            assert!((least..least + 2).contains(&taken(&mut room, second)), "{second:?}");
            let lines: usize = KINDS.into_iter().map(|kind| room.taken[kind as usize] * kind.lines()).sum();
            assert!((MAX_SERIES - 100..=MAX_SERIES).contains(&(lines + OTHER_LINES)), "{lines}");
        }
    }

    #[test]
    fn a_thousand_services_have_room_or_five_hundred_routes() {
        assert!(taken(&mut Room::default(), Kind::Service) >= 1_000);
        assert!(taken(&mut Room::default(), Kind::Route) >= 500);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let mut room = Room::default();
        taken(&mut room, Kind::Route);
        assert!(!room.take(Kind::Route));
        room.give_back(Kind::Route);
        assert!(room.take(Kind::Route));
        assert!(!room.take(Kind::Route));
    }
}
