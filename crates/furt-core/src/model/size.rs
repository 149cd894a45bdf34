//! Sizes as people write them: a number, and a unit after it. What is too large for its use is the reader's matter.

/// From `65536`, `64KiB`, `10MiB` or `1GiB`. `None` where it is no whole number with such a unit, or too large for 64 bits.
pub fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at(digits);
    let unit = match unit.trim_start() {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    count.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_a_unit_or_means_bytes() {
        for (text, expected) in [
            ("65536", Some(65_536)),
            ("64KiB", Some(65_536)),
            (" 1 MiB ", Some(1 << 20)),
            ("1GiB", Some(1 << 30)),
            ("0", Some(0)),
            ("", None),
            ("KiB", None),
            ("1kb", None),
            ("1.5MiB", None),
            ("-1", None),
            ("18446744073709551615GiB", None),
        ] {
            assert_eq!(size(text), expected, "{text}");
        }
    }
}
