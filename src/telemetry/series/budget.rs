//! The cardinality budget: how many series `/metrics` may have by service and by route, and how they are shared out. A line
//! of `/metrics` is one series; a histogram is several.
//!
//! Services and routes share the budget, first come, first served, except for what is reserved for the other: a thousand
//! services leave routes their guaranteed number, and routes leave room for every service that is registered, because the
//! series of a service are only added when they are read. Probes have a share of their own, since each takes more series.

use furt_core::live::{PROBE_BOUNDS_MS, ROUTE_BOUNDS_MS, STATUS_CLASSES};

/// The most series with a service or a route as a label, those under `other` included (docs/metrics.md).
pub(super) const MAX_SERIES: usize = 10_000;

/// UP, uptime, transitions, in flight, and the instances by status.
const SERIES_PER_SERVICE: usize = 7;
/// The instances by status, transitions, in flight: what can be summed.
const SUMMED_SERIES_PER_SERVICE: usize = 5;
/// Of a histogram: its bounds, `+Inf`, sum and count.
const fn series_per_histogram(bounds: usize) -> usize {
    bounds + 3
}
/// Two histograms, of good probes and of failed ones.
const SERIES_PER_PROBE: usize = 2 * series_per_histogram(PROBE_BOUNDS_MS.len());
/// A counter for each class, and a histogram.
const SERIES_PER_ROUTE: usize = STATUS_CLASSES.len() + series_per_histogram(ROUTE_BOUNDS_MS.len());

/// Of a side of a split: the same.
const SERIES_PER_SIDE: usize = SERIES_PER_ROUTE;

const SERIES_OF_OTHER: usize = SUMMED_SERIES_PER_SERVICE + SERIES_PER_PROBE + SERIES_PER_ROUTE + SERIES_PER_SIDE;

/// What has series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SeriesKind {
    Service,
    Probe,
    Route,
    Side,
}

const SERIES_KINDS: [SeriesKind; 4] = [SeriesKind::Service, SeriesKind::Probe, SeriesKind::Route, SeriesKind::Side];

impl SeriesKind {
    /// How many series one has.
    pub(super) const fn series(self) -> usize {
        match self {
            Self::Service => SERIES_PER_SERVICE,
            Self::Probe => SERIES_PER_PROBE,
            Self::Route => SERIES_PER_ROUTE,
            Self::Side => SERIES_PER_SIDE,
        }
    }

    /// How many have their own series whatever the other kinds take. With these numbers 1,000 services and 160 routes fit, or
    /// 300 services and 500 routes (docs/metrics.md). Services may come later than routes, so some are reserved for them.
    const fn guaranteed(self) -> usize {
        match self {
            Self::Service => 300,
            Self::Probe => 50,
            Self::Route => 160,
            Self::Side => 0,
        }
    }

    const fn may_exceed_guarantee(self) -> bool {
        match self {
            Self::Service | Self::Route | Self::Side => true,
            Self::Probe => false,
        }
    }
}

/// How much of [`MAX_SERIES`] is used, by kind.
#[derive(Debug, Default)]
pub(super) struct CardinalityBudget {
    used: [usize; SERIES_KINDS.len()],
    registered: usize,
}

/// The most services that leave the other kinds what is guaranteed to them.
const MAX_RESERVED_SERVICES: usize = (MAX_SERIES
    - SERIES_OF_OTHER
    - SeriesKind::Probe.guaranteed() * SERIES_PER_PROBE
    - SeriesKind::Route.guaranteed() * SERIES_PER_ROUTE)
    / SERIES_PER_SERVICE;

impl CardinalityBudget {
    /// Reserves the series of one more; `false`: the budget is used up.
    pub(super) fn try_reserve(&mut self, kind: SeriesKind) -> bool {
        let after = self.used[kind as usize] + 1;
        if !kind.may_exceed_guarantee() && after > kind.guaranteed() {
            return false;
        }
        let series: usize = SERIES_KINDS
            .map(|one| if one == kind { after } else { self.reserved_for(one) } * one.series())
            .iter()
            .sum();
        let fits = series + SERIES_OF_OTHER <= MAX_SERIES;
        self.used[kind as usize] += usize::from(fits);
        fits
    }

    /// How many services are registered from now on.
    pub(super) fn expect_services(&mut self, registered: usize) {
        self.registered = registered;
    }

    /// How many of a kind the other kinds must leave room for.
    fn reserved_for(&self, kind: SeriesKind) -> usize {
        let guaranteed = match kind {
            SeriesKind::Service => kind.guaranteed().max(self.registered.min(MAX_RESERVED_SERVICES)),
            SeriesKind::Probe | SeriesKind::Route | SeriesKind::Side => kind.guaranteed(),
        };
        guaranteed.max(self.used[kind as usize])
    }

    /// Gives back what was reserved for one.
    pub(super) fn release(&mut self, kind: SeriesKind) {
        let used = &mut self.used[kind as usize];
        *used = used.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reserve_all(budget: &mut CardinalityBudget, kind: SeriesKind) -> usize {
        (0..MAX_SERIES).filter(|_| budget.try_reserve(kind)).count()
    }

    #[test]
    fn each_kind_has_what_is_guaranteed_whichever_comes_first() {
        for first in [SeriesKind::Service, SeriesKind::Route] {
            let mut budget = CardinalityBudget::default();
            reserve_all(&mut budget, first);
            assert_eq!(reserve_all(&mut budget, SeriesKind::Probe), SeriesKind::Probe.guaranteed());
            let second = if first == SeriesKind::Service { SeriesKind::Route } else { SeriesKind::Service };
            let least = second.guaranteed();
            assert!((least..least + 2).contains(&reserve_all(&mut budget, second)), "{second:?}");
            let series: usize = SERIES_KINDS.into_iter().map(|kind| budget.used[kind as usize] * kind.series()).sum();
            assert!((MAX_SERIES - 100..=MAX_SERIES).contains(&(series + SERIES_OF_OTHER)), "{series}");
        }
    }

    #[test]
    fn a_thousand_services_have_room_or_five_hundred_routes() {
        assert!(reserve_all(&mut CardinalityBudget::default(), SeriesKind::Service) >= 1_000);
        assert!(reserve_all(&mut CardinalityBudget::default(), SeriesKind::Route) >= 500);
    }

    #[test]
    fn routes_leave_room_for_the_services_that_are_registered() {
        let mut budget = CardinalityBudget::default();
        budget.expect_services(1_000);
        assert!(reserve_all(&mut budget, SeriesKind::Route) >= SeriesKind::Route.guaranteed());
        assert!(reserve_all(&mut budget, SeriesKind::Service) >= 1_000);
    }

    #[test]
    fn services_that_come_after_the_routes_use_what_is_left() {
        let mut budget = CardinalityBudget::default();
        let routes = reserve_all(&mut budget, SeriesKind::Route);
        budget.expect_services(100_000);
        assert!(!budget.try_reserve(SeriesKind::Route), "{routes}");
        assert!((300..400).contains(&reserve_all(&mut budget, SeriesKind::Service)));
    }

    #[test]
    fn what_is_released_can_be_reserved_again() {
        let mut budget = CardinalityBudget::default();
        reserve_all(&mut budget, SeriesKind::Route);
        assert!(!budget.try_reserve(SeriesKind::Route));
        budget.release(SeriesKind::Route);
        assert!(budget.try_reserve(SeriesKind::Route));
        assert!(!budget.try_reserve(SeriesKind::Route));
    }
}
