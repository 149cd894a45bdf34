//! What is to be sent, how fast and how long, and what became of it: the driver's plan and its account.
//!
//! At an open pace request number `k` is due at `k / rate`, whatever the answers do; at a closed one whenever a connection is
//! idle.

use std::time::{Duration, Instant};

/// At an open pace no request is sent any more after this many times the time that was given.
const LATE: f64 = 1.25;

/// What is sent, in an order that looks random and is the same in each round.
pub(super) struct Requests {
    /// Whole requests.
    pub(super) all: Vec<Vec<u8>>,
    /// The length of each answer's body.
    pub(super) answer_length: u64,
}

/// How fast.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pace {
    /// Each connection sends when its answer is there.
    Closed,
    /// So many a second, whatever the answers do.
    Open(f64),
}

/// How long.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// Requests are sent for so long.
    Over(Duration),
    /// So many requests are sent.
    Sent(u64),
}

/// What became of them.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Right answers.
    pub(super) answered: u64,
    /// Others, and none.
    pub(super) failed: u64,
    /// Connections that had to be opened anew, and the requests sent again for it.
    pub(super) reconnects: u64,
    /// What the first failure was.
    pub(super) first_failure: Option<String>,
    /// From the first request to the last answer.
    pub(super) elapsed: Duration,
    /// Of each answer at an open pace, in order of size.
    pub(super) latencies: Vec<Duration>,
}

/// As many answers must have taken longer than a percentile: with fewer it is the chance of a few.
const BEYOND: f64 = 10.0;

/// The latency that this share of the answers does not exceed, of latencies in order of size.
pub(super) fn percentile(latencies: &[Duration], share: f64) -> Option<Duration> {
    let rank = (latencies.len() as f64 * share).ceil() as usize;
    latencies.get(rank.max(1) - 1).copied()
}

/// The same, where enough answers took longer to say so.
pub(super) fn firm_percentile(latencies: &[Duration], share: f64) -> Option<Duration> {
    let beyond = latencies.len() as f64 * (1.0 - share);
    // Of a thousand, a hundredth is ten, whatever floats make of it.
    (beyond + 1e-6 >= BEYOND).then(|| percentile(latencies, share)).flatten()
}

impl Outcome {
    /// Counts a failure.
    pub(super) fn fail(&mut self, why: impl FnOnce() -> String) {
        self.failed += 1;
        self.first_failure.get_or_insert_with(why);
    }
}

/// One call of `Driver::drive`.
pub(super) struct Run<'a> {
    /// What is sent.
    pub(super) requests: &'a Requests,
    /// How fast.
    pub(super) pace: Pace,
    /// When it began.
    pub(super) began: Instant,
    /// Requests that are sent.
    most: u64,
    /// When no more are sent.
    end: Option<Instant>,
    /// Sent so far.
    pub(super) sent: u64,
    /// Connections without a request.
    pub(super) idle: Vec<usize>,
    /// What became of the requests so far.
    pub(super) outcome: Outcome,
}

impl<'a> Run<'a> {
    /// Begins now, with all of so many connections idle.
    pub(super) fn new(requests: &'a Requests, pace: Pace, until: Until, connections: usize) -> Self {
        let began = Instant::now();
        let (most, end) = match (pace, until) {
            (_, Until::Sent(count)) => (count, None),
            // Who cannot hold the rate is not waited for: that shows by then.
            (Pace::Open(rate), Until::Over(time)) => {
                ((rate * time.as_secs_f64()).ceil() as u64, Some(began + time.mul_f64(LATE)))
            }
            (Pace::Closed, Until::Over(time)) => (u64::MAX, Some(began + time)),
        };
        let idle = (0..connections).rev().collect();
        Self { requests, pace, began, most, end, sent: 0, idle, outcome: Outcome::default() }
    }

    /// Whether no request is to be sent any more.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        // On a busy machine the time may be over before it has begun.
        self.sent >= self.most || self.sent > 0 && self.end.is_some_and(|end| now >= end)
    }

    /// When the next request is to be sent; `None`: there is none, or it is whenever a connection is idle.
    pub(super) fn next_due(&self) -> Option<Instant> {
        match self.pace {
            Pace::Open(rate) if self.sent < self.most => {
                Some(self.began + Duration::from_secs_f64(self.sent as f64 / rate))
            }
            Pace::Open(_) | Pace::Closed => None,
        }
    }

    /// When the request was due that is to be sent now, if one is.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        match self.pace {
            _ if self.is_over(now) => None,
            Pace::Closed => Some(now),
            Pace::Open(_) => self.next_due().filter(|due| *due <= now),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_percentile_is_told_where_ten_answers_took_longer() {
        use super::*;
        let latencies: Vec<Duration> = (1..=1_000).map(Duration::from_micros).collect();
        assert_eq!(firm_percentile(&latencies, 0.5), Some(Duration::from_micros(500)));
        assert_eq!(firm_percentile(&latencies, 0.99), Some(Duration::from_micros(990)));
        assert_eq!(firm_percentile(&latencies, 0.999), None);
        assert_eq!(firm_percentile(&latencies[..999], 0.99), None);
        assert_eq!(percentile(&latencies[..3], 0.99), Some(Duration::from_micros(3)));
        assert_eq!(percentile(&[], 0.5), None);
    }
}
