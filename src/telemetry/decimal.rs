//! Numbers as decimal digits, without `fmt`, which costs ten times as much: every request writes a dozen of them.

use std::time::Duration;

/// Appends a whole number.
pub(super) fn append(text: &mut Vec<u8>, number: u64) {
    text.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a time in ms with three decimals, rounded down. Times over 584,000 years are written as 584,000 years.
pub fn append_ms(text: &mut Vec<u8>, time: Duration) {
    let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    append(text, us / 1000);
    append_thousandths(text, us % 1000);
}

/// Appends a point and the last three digits of `number`.
pub(super) fn append_thousandths(text: &mut Vec<u8>, number: u64) {
    let digit = |number: u64| b"0123456789"[(number % 10) as usize];
    text.extend_from_slice(&[b'.', digit(number / 100), digit(number / 10), digit(number)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_fmt_writes_them() {
        for us in [0, 1, 10, 99, 100, 999, 1_000, 1_001, 12_345, 1_000_000, u64::MAX] {
            let mut text = Vec::new();
            append_ms(&mut text, Duration::from_micros(us));
            assert_eq!(String::from_utf8(text).unwrap(), format!("{}.{:03}", us / 1000, us % 1000));
        }
        let mut text = Vec::new();
        append_ms(&mut text, Duration::MAX);
        assert_eq!(String::from_utf8(text).unwrap(), "18446744073709551.615");
    }
}
