//! Durations as people write them: a number, and a unit after it. What is too long for its use is the reader's matter.

use std::time::Duration;

/// The longest duration of a configuration: a month. What is longer is a mistake of unit, and would overflow timers
/// further down.
pub const MAX_DURATION: Duration = Duration::from_secs(30 * 24 * 3600);

/// The longest TTL, slow start and timeout: a day. Longer ones are mistakes of unit.
pub const MAX_TIME: Duration = Duration::from_secs(86_400);
/// The shortest TTL of a heartbeat.
pub const MIN_TTL: Duration = Duration::from_secs(1);
/// The shortest timeout.
pub const MIN_TIMEOUT: Duration = Duration::from_millis(1);

/// From `500ms`, `30s`, `2m`, `1h`, `90d`, or a number of seconds. `None` where it is no number with a unit; a number
/// too large for any duration is the largest there is.
pub fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit_seconds = match unit.trim_start() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    if !number.starts_with(|c: char| c.is_ascii_digit()) || number.ends_with('.') {
        return None;
    }
    let count: f64 = number.parse().ok()?;
    Some(Duration::try_from_secs_f64(count * unit_seconds).unwrap_or(Duration::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_a_unit_or_means_seconds() {
        let ms = Duration::from_millis;
        for (text, expected) in
            [("30", 30_000), ("30s", 30_000), (" 1.5 s ", 1_500), ("250ms", 250), ("2m", 120_000), ("1d", 86_400_000)]
        {
            assert_eq!(duration(text), Some(ms(expected)), "{text}");
        }
        assert_eq!(duration(&"9".repeat(400)), Some(Duration::MAX));
        for bad in ["", "s", "-1s", "1w", "1.s", "1 2", "1e3", ".5", "inf", "nan", "1.2.3", "1S"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}
