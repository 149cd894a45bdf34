//! A figure as it is measured, written, and read again by whoever draws it.
//!
//! Times are of several samples, each the mean over many operations: their median, and the least and the most of them.
//! Memory is one reading.

use serde::{Deserialize, Serialize};

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Unit {
    /// Of one operation.
    Ns,
    /// Of one thing of those that there are.
    Bytes,
}

/// Of several samples or rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    /// The median.
    pub(crate) median: f64,
    /// The least.
    pub(crate) min: f64,
    /// The most.
    pub(crate) max: f64,
}

impl Spread {
    /// `None`: there are no values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Self { median, min, max })
    }
}

/// What something costs where there are `size` of the subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// What there are many of.
    pub(crate) subject: String,
    /// How many.
    pub(crate) size: u32,
    /// What is measured.
    pub(crate) what: String,
    /// In which unit.
    pub(crate) unit: Unit,
    /// The figure.
    #[serde(flatten)]
    pub(crate) spread: Spread,
}

/// What the scaling bench writes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ScalingRun {
    /// Of a debug build, which says nothing about furt.
    pub(crate) is_debug: bool,
    /// All of them.
    pub(crate) figures: Vec<Figure>,
}

/// Figures of one subject, a row for each thing that was measured, in the order of the figures.
pub(crate) struct Row<'a> {
    /// What is measured.
    pub(crate) what: &'a str,
    /// By size, the least first.
    pub(crate) figures: Vec<&'a Figure>,
}

/// The rows of a subject.
pub(crate) fn rows_of<'a>(subject: &str, figures: &'a [Figure]) -> Vec<Row<'a>> {
    let mut rows: Vec<Row<'a>> = Vec::new();
    for figure in figures.iter().filter(|figure| figure.subject == subject) {
        match rows.iter_mut().find(|row| row.what == figure.what) {
            Some(row) => row.figures.push(figure),
            None => rows.push(Row { what: &figure.what, figures: vec![figure] }),
        }
    }
    rows.iter_mut().for_each(|row| row.figures.sort_by_key(|figure| figure.size));
    rows
}

impl Row<'_> {
    /// The last figure divided by the first, and how many times as many there are there; `None`: there is only one.
    pub(crate) fn growth(&self) -> Option<(f64, f64)> {
        let [first, .., last] = &self.figures[..] else { return None };
        (first.spread.median > 0.0 && last.size > first.size)
            .then(|| (last.spread.median / first.spread.median, f64::from(last.size) / f64::from(first.size)))
    }
}

/// A number with commas.
pub(crate) fn number(value: u32) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A figure for people, with its unit.
pub(crate) fn text(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Ns if value < 1e3 => format!("{value:.0} ns"),
        Unit::Ns if value < 1e5 => format!("{:.1} µs", value / 1e3),
        Unit::Ns if value < 1e6 => format!("{:.0} µs", value / 1e3),
        Unit::Ns => format!("{:.1} ms", value / 1e6),
        Unit::Bytes => format!("{value:.0} B"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn figures_are_shown_in_the_unit_that_fits() {
        use super::*;
        let shown = [12.4, 8_120.0, 240_000.0, 2_500_000.0].map(|ns| text(ns, Unit::Ns));
        assert_eq!(shown, ["12 ns", "8.1 µs", "240 µs", "2.5 ms"]);
        assert_eq!([1, 1_000, 100_000, 1_234_567].map(number), ["1", "1,000", "100,000", "1,234,567"]);
    }
}
