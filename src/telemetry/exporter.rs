//! The only maker of metrics: each is registered with the `prometheus` crate as it is made, so none can be forgotten.
//!
//! A handle is made once, at the start, with the children of all its labels. Counting is then one atomic operation,
//! without a lookup by name or by label.

use std::vec;

use prometheus::proto::MetricFamily;
use prometheus::{
    Encoder as _, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, TextEncoder,
};

/// A metric cannot be made or registered: its name is bad or taken, which is a bug.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct MetricsError(#[from] prometheus::Error);

/// All metrics without a service or a route as a label.
#[derive(Default)]
pub(super) struct Exporter(prometheus::Registry);

impl Exporter {
    pub(super) fn counter(&self, name: &str, help: &str) -> Result<IntCounter, MetricsError> {
        self.add(IntCounter::new(name, help)?)
    }

    /// The counters of one label, which has just these values.
    pub(super) fn counters<const N: usize>(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: [&str; N],
    ) -> Result<[IntCounter; N], MetricsError> {
        let all = self.counter_vec(name, help, label)?;
        Ok(values.map(|value| all.with_label_values(&[value])))
    }

    /// Counters of one label, each of which is shown once it is asked for.
    pub(super) fn counter_vec(&self, name: &str, help: &str, label: &str) -> Result<IntCounterVec, MetricsError> {
        self.add(IntCounterVec::new(Opts::new(name, help), &[label])?)
    }

    /// The same of several labels.
    pub(super) fn counter_by(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, MetricsError> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    /// Gauges of labels whose values come and go.
    pub(super) fn gauge_by(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, MetricsError> {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, MetricsError> {
        self.add(IntGauge::new(name, help)?)
    }

    /// A gauge that is always 1 and whose labels are what it says.
    pub(super) fn info(&self, name: &str, help: &str, labels: &[(&str, &str)]) -> Result<(), MetricsError> {
        let opts = labels.iter().fold(Opts::new(name, help), |opts, (label, value)| opts.const_label(*label, *value));
        self.add(IntGauge::with_opts(opts)?)?.set(1);
        Ok(())
    }

    /// `bounds` are in the metric's unit, ascending.
    pub(super) fn histogram(&self, name: &str, help: &str, bounds: &[f64]) -> Result<Histogram, MetricsError> {
        self.add(Histogram::with_opts(HistogramOpts::new(name, help).buckets(bounds.to_vec()))?)
    }

    /// Metrics that are read when they are asked for.
    pub(super) fn add_read(&self, metrics: impl prometheus::core::Collector + 'static) -> Result<(), MetricsError> {
        Ok(self.0.register(Box::new(metrics))?)
    }

    fn add<M: prometheus::core::Collector + Clone + 'static>(&self, metric: M) -> Result<M, MetricsError> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    /// All metrics, and `more` after them.
    pub(super) fn gather(&self, more: Vec<MetricFamily>) -> Exposition {
        let mut families = self.0.gather();
        families.extend(more);
        Exposition(families.into_iter())
    }
}

/// Metrics in Prometheus' text format (version 0.0.4), in parts: a family's is written down when it is taken.
pub struct Exposition(vec::IntoIter<MetricFamily>);

impl Iterator for Exposition {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let family = self.0.next()?;
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&[family], &mut text) {
            log::error!("metrics cannot be rendered: {error}");
        }
        Some(text)
    }
}
