//! Medians, and ratios within rounds. A machine is another one a minute later, so only what was measured in one round is
//! divided by one another, and only then the rounds are summed up.

use serde::Serialize;

/// Of several rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Spread {
    /// The median.
    pub(super) median: f64,
    /// The least.
    pub(super) min: f64,
    /// The most.
    pub(super) max: f64,
}

impl Spread {
    /// `None`: there are no values.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Self { median, min, max })
    }

    /// What `ours` is of `theirs`, round by round.
    pub(super) fn of_ratios(ours: &[f64], theirs: &[f64]) -> Option<Self> {
        Self::of(ours.iter().zip(theirs).filter(|(_, theirs)| **theirs > 0.0).map(|(ours, theirs)| ours / theirs))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn ratios_are_taken_within_a_round() {
        use super::*;
        // The second round met a machine of half the speed.
        let spread = Spread::of_ratios(&[10.0, 22.0, 12.0], &[5.0, 10.0, 5.0]).unwrap();
        assert_eq!((spread.median, spread.min, spread.max), (2.2, 2.0, 2.4));
        assert_eq!(Spread::of_ratios(&[1.0], &[0.0]), None);
        assert_eq!(Spread::of([1.0, 4.0]).unwrap().median, 2.5);
    }
}
