//! When a certificate is renewed, and how long a name that failed waits.

pub(in crate::acme) const HOUR: i64 = 3600;
pub(in crate::acme) const DAY: i64 = 24 * HOUR;
/// The first and the longest wait after failures.
const BACK_OFF: (i64, i64) = (60, DAY);
/// Waits differ by as much, so that many gateways do not come back together.
const JITTER: f64 = 0.2;

/// From when to when a certificate is good, in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::acme) struct Life {
    pub(in crate::acme) not_before: i64,
    pub(in crate::acme) not_after: i64,
}

impl Life {
    /// 0 where it ends before it begins.
    pub(super) fn length(&self) -> i64 {
        self.not_after.saturating_sub(self.not_before).max(0)
    }
}

/// From when to when an authority wants a certificate to be renewed (RFC 9773 §4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::acme) struct Window {
    pub(in crate::acme) start: i64,
    pub(in crate::acme) end: i64,
}

/// When a certificate is renewed: at a point of the authority's window, else after two thirds of its life. A window that leaves less
/// than a tenth of the life is not waited for: an order may fail a few times.
pub(super) fn renew_at(life: &Life, window: Option<Window>, fraction: f64) -> i64 {
    let length = life.length();
    let Some(window) = window else { return life.not_before.saturating_add(length / 3 * 2) };
    let within = window.end.saturating_sub(window.start).max(0) as f64 * fraction.clamp(0.0, 1.0);
    window.start.saturating_add(within as i64).min(life.not_after.saturating_sub(length / 10))
}

/// How long to wait after so many failures in a row; `random` is from 0 to 1.
pub(super) fn back_off(failures: u32, random: f64) -> i64 {
    let (first, longest) = BACK_OFF;
    let doubled = first.saturating_mul(1_i64.checked_shl(failures.saturating_sub(1).min(20)).unwrap_or(i64::MAX));
    let jitter = 1.0 + JITTER * (2.0 * random.clamp(0.0, 1.0) - 1.0);
    ((doubled.min(longest) as f64 * jitter) as i64).clamp(first, longest)
}
