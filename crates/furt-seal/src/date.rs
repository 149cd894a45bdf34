//! Times in lex-node's two forms, by the civil calendar in UTC.

const MS_A_DAY: i64 = 86_400_000;

/// A time in ms since the Unix epoch as Ruby's `Time#to_s` writes it in UTC: `2026-11-27 22:22:47 +0000`.
pub(crate) fn ruby(at_ms: i64) -> String {
    let (date, time) = parts(at_ms);
    format!("{date} {time} +0000")
}

/// The same by ISO 8601: `2026-11-27T22:22:47Z`.
pub(crate) fn iso(at_ms: i64) -> String {
    let (date, time) = parts(at_ms);
    format!("{date}T{time}Z")
}

fn parts(at_ms: i64) -> (String, String) {
    let (days, second) = (at_ms.div_euclid(MS_A_DAY), at_ms.rem_euclid(MS_A_DAY) / 1000);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    (format!("{year:04}-{month:02}-{day:02}"), format!("{hour:02}:{minute:02}:{second:02}"))
}

/// The date so many days after 1970-01-01. Years begin in March here, so that the day that a leap year has more is its last one;
/// 400 years have 146,097 days.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::{iso, ruby};

    #[test]
    fn times_are_written_as_ruby_does() {
        // By `date -u -d @…`.
        for (second, text) in [
            (0, "1970-01-01 00:00:00 +0000"),
            (-1, "1969-12-31 23:59:59 +0000"),
            (951_782_400, "2000-02-29 00:00:00 +0000"),
            (951_868_800, "2000-03-01 00:00:00 +0000"),
            (1_795_818_211, "2026-11-27 22:23:31 +0000"),
            (4_107_542_399, "2100-02-28 23:59:59 +0000"),
            (4_107_542_400, "2100-03-01 00:00:00 +0000"),
            (253_402_300_799, "9999-12-31 23:59:59 +0000"),
        ] {
            assert_eq!(ruby(second * 1000), text);
        }
        assert_eq!(iso(1_795_818_211_999), "2026-11-27T22:23:31Z");
        for far in [i64::MIN, i64::MAX] {
            assert!(ruby(far).ends_with("+0000"));
        }
    }
}
