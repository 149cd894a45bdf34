//! The one place that reads clocks. Everything else is handed the time or asks here; `clippy.toml` holds to that.

use std::time::{Instant, SystemTime};

/// The monotonic time. Follows tokio's clock, so that a paused test decides how it passes.
#[expect(clippy::disallowed_methods, reason = "the one place that reads this clock")]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The time of day in ms since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "the one place that reads this clock")]
pub fn unix_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// The time of day, as exactly as the system has it.
#[expect(clippy::disallowed_methods, reason = "the one place that reads this clock")]
pub fn system_time() -> SystemTime {
    SystemTime::now()
}

/// A time of day as RFC 3339 in UTC, to the second; what lies beyond the calendar becomes its edge.
pub fn rfc3339(unix_ms: i64) -> String {
    jiff::Timestamp::from_second(unix_ms.div_euclid(1000)).unwrap_or(jiff::Timestamp::MAX).to_string()
}

/// The same with milliseconds, for logs.
pub fn rfc3339_ms(unix_ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(unix_ms).unwrap_or(jiff::Timestamp::MAX);
    format!("{time:.3}")
}

/// A time of day that is written as RFC 3339, with its offset, in ms since the Unix epoch; `None`: it is none.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_are_shown_as_rfc_3339_in_utc() {
        assert_eq!(super::rfc3339(1_763_152_200_999), "2025-11-14T20:30:00Z");
        assert_eq!(super::rfc3339_ms(1_763_152_200_999), "2025-11-14T20:30:00.999Z");
        assert_eq!(super::rfc3339_ms(1_763_152_200_000), "2025-11-14T20:30:00.000Z");
    }
}
