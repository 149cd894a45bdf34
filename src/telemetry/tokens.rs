//! What is counted of tokens, by their issuer: checks, and how its keys are.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts};

use super::exporter::{Exporter, MetricsError};
use crate::clock;
use furt_core::model::ProviderName;

/// Of keys that never came.
const NEVER: i64 = i64::MIN;
const AGE: &str = "furt_jwks_age_seconds";
const AGE_HELP: &str = "How long ago the keys in force were fetched, by issuer; none while there are no keys";

/// Tokens of all issuers.
pub struct TokenMetrics {
    checks: IntCounterVec,
    fetches: IntCounterVec,
    failures: IntCounterVec,
    fetched_at: FetchedAt,
}

/// Tokens of one issuer.
pub struct IssuerMetrics {
    good: IntCounter,
    refused: IntCounter,
    no_keys: IntCounter,
    fetches: IntCounter,
    failures: IntCounter,
    fetched_at: Arc<AtomicI64>,
}

/// How a check of a token ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenOutcome {
    /// It says who the caller is.
    Good,
    /// It is not good.
    Refused,
    /// There are no keys to check it.
    NoKeys,
}

impl TokenMetrics {
    pub(super) fn try_new(exporter: &Exporter) -> Result<Self, MetricsError> {
        let fetched_at = FetchedAt::default();
        exporter.add_read(Ages::try_new(fetched_at.clone())?)?;
        Ok(Self {
            checks: exporter.counter_by(
                "furt_token_checks_total",
                "Tokens that were checked, by issuer and how that ended; without those whose verdict was remembered",
                &["issuer", "outcome"],
            )?,
            fetches: exporter.counter_vec(
                "furt_jwks_fetches_total",
                "Attempts to fetch the keys of an issuer, by issuer",
                "issuer",
            )?,
            failures: exporter.counter_vec(
                "furt_jwks_failures_total",
                "Attempts to fetch the keys of an issuer that failed, by issuer; the keys before stay",
                "issuer",
            )?,
            fetched_at,
        })
    }

    /// For tokens that are nobody's: counted, and shown nowhere.
    ///
    /// # Errors
    /// None in practice: the names are fixed and good.
    pub fn unexposed() -> Result<Self, MetricsError> {
        Self::try_new(&Exporter::default())
    }

    /// The counters of one issuer. They go on from an issuer of that name before; the age of its keys is the last issuer's.
    pub fn of_issuer(&self, name: &ProviderName) -> IssuerMetrics {
        let name = name.as_str();
        let fetched_at = Arc::new(AtomicI64::new(NEVER));
        let mut all = self.fetched_at.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, other| other.strong_count() > 0);
        all.insert(name.to_owned(), Arc::downgrade(&fetched_at));
        let checks = |outcome| self.checks.with_label_values(&[name, outcome]);
        IssuerMetrics {
            good: checks("good"),
            refused: checks("refused"),
            no_keys: checks("no_keys"),
            fetches: self.fetches.with_label_values(&[name]),
            failures: self.failures.with_label_values(&[name]),
            fetched_at,
        }
    }
}

impl IssuerMetrics {
    /// A token was checked.
    pub fn checked(&self, outcome: TokenOutcome) {
        match outcome {
            TokenOutcome::Good => &self.good,
            TokenOutcome::Refused => &self.refused,
            TokenOutcome::NoKeys => &self.no_keys,
        }
        .inc();
    }

    /// A fetch has ended.
    pub fn fetched(&self, is_good: bool) {
        self.fetches.inc();
        if !is_good {
            self.failures.inc();
        }
    }

    /// The keys in force were fetched at this time, in ms since the Unix epoch.
    pub fn set_fetched_at(&self, unix_ms: i64) {
        self.fetched_at.store(unix_ms, Ordering::Relaxed);
    }

    /// How many checks ended well, were refused, and had no keys.
    #[cfg(test)]
    pub fn counted_checks(&self) -> [u64; 3] {
        [&self.good, &self.refused, &self.no_keys].map(IntCounter::get)
    }

    /// How many fetches there were, and how many failed.
    #[cfg(test)]
    pub fn counted_fetches(&self) -> [u64; 2] {
        [&self.fetches, &self.failures].map(IntCounter::get)
    }
}

/// When the keys of each issuer were fetched.
#[derive(Clone, Default)]
struct FetchedAt(Arc<Mutex<BTreeMap<String, Weak<AtomicI64>>>>);

/// The ages at the time of a scrape.
struct Ages {
    fetched_at: FetchedAt,
    desc: Vec<Desc>,
}

impl Ages {
    fn try_new(fetched_at: FetchedAt) -> Result<Self, MetricsError> {
        let desc = Desc::new(AGE.to_owned(), AGE_HELP.to_owned(), vec!["issuer".to_owned()], Default::default())?;
        Ok(Self { fetched_at, desc: vec![desc] })
    }

    fn at(&self, now_ms: i64) -> Vec<MetricFamily> {
        // A gauge of its own, so that an issuer that is gone has no line.
        let Ok(ages) = IntGaugeVec::new(Opts::new(AGE, AGE_HELP), &["issuer"]) else { return Vec::new() };
        for (name, at) in &*self.fetched_at.0.lock().unwrap_or_else(PoisonError::into_inner) {
            let at = at.upgrade().map_or(NEVER, |at| at.load(Ordering::Relaxed));
            if at != NEVER {
                ages.with_label_values(&[name]).set(now_ms.saturating_sub(at).max(0) / 1000);
            }
        }
        let mut families = ages.collect();
        families.retain(|family| !family.get_metric().is_empty());
        families
    }
}

impl Collector for Ages {
    fn desc(&self) -> Vec<&Desc> {
        self.desc.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.at(clock::unix_ms())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ProviderName {
        ProviderName::try_new(text).unwrap()
    }

    #[test]
    fn an_age_is_of_the_time_of_the_scrape_and_goes_with_its_issuer() {
        let metrics = TokenMetrics::unexposed().unwrap();
        let ages = Ages::try_new(metrics.fetched_at.clone()).unwrap();
        let shown = |now_ms: i64| -> Vec<(String, f64)> {
            let families = ages.at(now_ms);
            let lines = families.iter().flat_map(|family| family.get_metric());
            let mut shown: Vec<_> =
                lines.map(|line| (line.get_label()[0].value().to_owned(), line.get_gauge().get_value())).collect();
            shown.sort_by(|one: &(String, f64), other| one.0.cmp(&other.0));
            shown
        };
        let (one, other) = (metrics.of_issuer(&name("one")), metrics.of_issuer(&name("other")));
        assert_eq!(shown(1_000), []);
        one.set_fetched_at(5_000);
        other.set_fetched_at(8_000);
        assert_eq!(shown(10_999), [("one".to_owned(), 5.0), ("other".to_owned(), 2.0)]);
        assert_eq!(shown(1_000), [("one".to_owned(), 0.0), ("other".to_owned(), 0.0)], "a clock that went back");
        // As a reload does it: the new one is there before the old one goes.
        let new = metrics.of_issuer(&name("one"));
        new.set_fetched_at(9_000);
        drop(one);
        assert_eq!(shown(10_000), [("one".to_owned(), 1.0), ("other".to_owned(), 2.0)]);
        drop((new, other));
        assert_eq!(shown(10_000), []);
    }

    #[test]
    fn checks_and_fetches_are_shown_by_issuer() {
        let exporter = Exporter::default();
        let metrics = TokenMetrics::try_new(&exporter).unwrap();
        let login = metrics.of_issuer(&name("login"));
        login.checked(TokenOutcome::Good);
        login.checked(TokenOutcome::NoKeys);
        login.fetched(true);
        login.fetched(false);
        login.set_fetched_at(clock::unix_ms() - 100_000);
        let shown = String::from_utf8(exporter.gather(Vec::new()).flatten().collect()).unwrap();
        for line in [
            "furt_token_checks_total{issuer=\"login\",outcome=\"good\"} 1",
            "furt_token_checks_total{issuer=\"login\",outcome=\"refused\"} 0",
            "furt_token_checks_total{issuer=\"login\",outcome=\"no_keys\"} 1",
            "furt_jwks_fetches_total{issuer=\"login\"} 2",
            "furt_jwks_failures_total{issuer=\"login\"} 1",
            "furt_jwks_age_seconds{issuer=\"login\"} 10",
        ] {
            assert!(shown.contains(line), "{line}\n{shown}");
        }
    }
}
