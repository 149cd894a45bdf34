//! How long things took, counted in buckets that grow with the time: good to 6.25 % from 64 µs to 67 s, at 1.3 KB.
//!
//! Eight buckets to each doubling, as HdrHistogram has them: the bucket of a time is a few shifts, counting it is one relaxed
//! increment, nothing is allocated and nothing is locked. Counts only ever grow; who wants the last second takes the
//! difference of two readings. Counted by the proxy through `traffic`, read by the internal listener and `furt top`.
//!
//! By hand: the atomic histograms of the crate `histogram` have the same buckets from 64 µs on, but 32 below it and none
//! above 67 s, so keeping the bounds in `/internal/stats` would take as much code around it. `hdrhistogram` counts by `&mut`, so behind a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets to a doubling, as a power of two: one of eight is at most 12.5 % wide, so its middle is 6.25 % off at most.
const STEP_BITS: u32 = 3;
const STEPS: usize = 1 << STEP_BITS;
/// Below 64 µs all times are one: a proxied request takes longer.
const LOW_BITS: u32 = 6;
/// From 2^26 µs on, 67 s, all are one: beyond the longest default timeout.
const HIGH_BITS: u32 = 26;

/// How many buckets there are.
pub const LATENCY_BUCKETS: usize = (HIGH_BITS - LOW_BITS) as usize * STEPS + 2;

/// Counts of times by bucket.
#[derive(Debug)]
pub struct Latency([AtomicU64; LATENCY_BUCKETS]);

impl Default for Latency {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Latency {
    /// Counts one.
    pub fn count(&self, took: Duration) {
        self.0[bucket_of(took)].fetch_add(1, Ordering::Relaxed);
    }

    /// What is counted so far, as pairs of a bucket's number and its count, without those at 0.
    pub fn counted(&self) -> Vec<(usize, u64)> {
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        counts.enumerate().filter(|&(_, count)| count > 0).collect()
    }
}

fn bucket_of(took: Duration) -> usize {
    let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    match us.checked_ilog2() {
        Some(bits) if bits >= HIGH_BITS => LATENCY_BUCKETS - 1,
        Some(bits) if bits >= LOW_BITS => {
            let doubling = (bits - LOW_BITS) as usize;
            let step = (us >> (bits - STEP_BITS)) as usize % STEPS;
            1 + doubling * STEPS + step
        }
        _ => 0,
    }
}

/// Where a bucket begins, in µs; its end is where the next one begins, and the last one has none.
pub fn latency_bound_us(bucket: usize) -> u64 {
    let Some(above_low) = bucket.checked_sub(1) else { return 0 };
    let (doubling, step) = (above_low / STEPS, above_low % STEPS);
    ((STEPS + step) as u64) << (doubling + (LOW_BITS - STEP_BITS) as usize)
}

/// The time in µs that the share `quantile` (0 to 1) of what is counted did not exceed: the middle of its bucket.
/// `begins_us` says where each bucket begins; `counts` are by bucket. `None`: nothing is counted.
pub fn quantile_us(begins_us: &[u64], counts: &[u64], quantile: f64) -> Option<f64> {
    let total: u64 = counts.iter().sum();
    let rank = ((quantile * total as f64).ceil() as u64).clamp(1, total.max(1));
    let mut seen = 0;
    let bucket = counts.iter().position(|count| {
        seen += count;
        seen >= rank
    })?;
    let begin = *begins_us.get(bucket)? as f64;
    Some(begins_us.get(bucket + 1).map_or(begin, |&end| f64::midpoint(begin, end as f64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begins() -> Vec<u64> {
        (0..LATENCY_BUCKETS).map(latency_bound_us).collect()
    }

    fn counts(latency: &Latency) -> Vec<u64> {
        let mut counts = vec![0; LATENCY_BUCKETS];
        latency.counted().into_iter().for_each(|(bucket, count)| counts[bucket] = count);
        counts
    }

    #[test]
    fn buckets_follow_each_other_and_hold_what_their_bounds_say() {
        let begins = begins();
        assert!(begins.is_sorted_by(|one, next| one < next), "{begins:?}");
        assert_eq!((begins[1], begins[LATENCY_BUCKETS - 1]), (64, 1 << 26));
        for (bucket, &begin) in begins.iter().enumerate() {
            assert_eq!(bucket_of(Duration::from_micros(begin)), bucket);
            if let Some(next) = begins.get(bucket + 1) {
                assert_eq!(bucket_of(Duration::from_micros(next - 1)), bucket);
            }
        }
        assert_eq!(bucket_of(Duration::MAX), LATENCY_BUCKETS - 1);
    }

    #[test]
    fn a_quantile_is_at_most_a_sixteenth_off_from_100_us_to_60_s() {
        let begins = begins();
        for seed in 0..256 {
            let mut random = fastrand::Rng::with_seed(seed);
            // Evenly over the magnitudes, within a random part of them.
            let (low, high) = (100f64.ln(), 60e6f64.ln());
            let (one, other) = (random.f64(), random.f64());
            let draw =
                |random: &mut fastrand::Rng| (low + (high - low) * (one + (other - one) * random.f64())).exp() as u64;
            let mut times: Vec<u64> = (0..random.usize(1..500)).map(|_| draw(&mut random).max(100)).collect();
            let latency = Latency::default();
            times.iter().for_each(|&us| latency.count(Duration::from_micros(us)));
            times.sort_unstable();
            for quantile in [0.01, 0.5, 0.9, 0.99, 1.0] {
                let rank = ((quantile * times.len() as f64).ceil() as usize).max(1);
                let exact = times[rank - 1] as f64;
                let shown = quantile_us(&begins, &counts(&latency), quantile).unwrap();
                assert!((shown - exact).abs() <= exact / 16.0 + 1.0, "seed {seed}: {quantile}: {shown}, not {exact}");
            }
        }
    }

    #[test]
    fn nothing_counted_has_no_quantile() {
        assert_eq!(quantile_us(&begins(), &[0; LATENCY_BUCKETS], 0.5), None);
        assert_eq!(quantile_us(&[], &[], 0.5), None);
    }

    #[test]
    fn buckets_beyond_the_known_bounds_have_no_time() {
        assert_eq!(quantile_us(&[0, 64], &[0, 0, 5], 0.5), None);
        assert_eq!(quantile_us(&[0, 64], &[0, 5], 0.5), Some(64.0));
    }
}
