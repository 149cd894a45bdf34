//! How many lines there may be, and who may take them. The bound is on lines as `/metrics` shows them.
//!
//! Services and routes take what is free, first come, first served, but for what is kept for the other: a thousand
//! services leave routes their floor, and routes leave room for every service that is registered, though its lines are only
//! taken when they are read. Probes have a share of their own, since there may be twice as many of their lines.

use furt_core::live::{PROBE_BOUNDS_MS, ROUTE_BOUNDS_MS, STATUS_CLASSES};

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
    /// or 300 services and 500 routes. Services can also come later, so some room is kept for them.
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
    registered: usize,
}

/// As many services as leave the others their floors.
const MOST_SERVICES: usize =
    (MAX_SERIES - OTHER_LINES - Kind::Probe.floor() * PROBE_LINES - Kind::Route.floor() * ROUTE_LINES) / SERVICE_LINES;

impl Room {
    /// Takes the lines of one more, if there is room for them.
    pub(super) fn take(&mut self, kind: Kind) -> bool {
        let after = self.taken[kind as usize] + 1;
        if !kind.may_exceed_floor() && after > kind.floor() {
            return false;
        }
        let lines: usize =
            KINDS.map(|one| if one == kind { after } else { self.kept_for(one) } * one.lines()).iter().sum();
        let has_room = lines + OTHER_LINES <= MAX_SERIES;
        self.taken[kind as usize] += usize::from(has_room);
        has_room
    }

    /// From now on so many services are registered.
    pub(super) fn expect_services(&mut self, registered: usize) {
        self.registered = registered;
    }

    /// What the other kinds must leave.
    fn kept_for(&self, kind: Kind) -> usize {
        let floor = match kind {
            Kind::Service => kind.floor().max(self.registered.min(MOST_SERVICES)),
            Kind::Probe | Kind::Route => kind.floor(),
        };
        floor.max(self.taken[kind as usize])
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
    fn routes_leave_room_for_the_services_that_are_registered() {
        let mut room = Room::default();
        room.expect_services(1_000);
        assert!(taken(&mut room, Kind::Route) >= Kind::Route.floor());
        assert!(taken(&mut room, Kind::Service) >= 1_000);
    }

    #[test]
    fn services_that_come_after_the_routes_take_what_is_left() {
        let mut room = Room::default();
        let routes = taken(&mut room, Kind::Route);
        room.expect_services(100_000);
        assert!(!room.take(Kind::Route), "{routes}");
        assert!((300..400).contains(&taken(&mut room, Kind::Service)));
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
