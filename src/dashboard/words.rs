//! How values are written on every page.

use furt_api::{Status, Timestamp};
use maud::{Markup, html};

use super::Context;
use crate::clock;

/// A status: a sign, a word and a colour, so that none of them is needed.
pub(super) fn status(status: &Status) -> Markup {
    let (class, sign) = match status {
        Status::Up => ("up", "●"),
        Status::Down => ("down", "✕"),
        _ => ("unknown", "◐"),
    };
    html! { span class={ "status " (class) } { span aria-hidden="true" { (sign) } " " (status.as_str()) } }
}

/// A remark beside a status.
pub(super) fn tag(text: &str) -> Markup {
    html! { " " span .tag { (text) } }
}

/// How long ago a moment was, and the moment itself.
pub(super) fn ago(moment: &Timestamp, context: &Context) -> Markup {
    let text = moment.as_str();
    let shown = clock::parse_rfc3339(text).map(|at_ms| span(context.now_ms.saturating_sub(at_ms)));
    html! { time datetime=(text) title=(text) { @match shown { Some(shown) => { (shown) " ago" } None => { (text) } } } }
}

/// When a moment comes or came, and the moment itself.
pub(super) fn from_now(moment: &Timestamp, context: &Context) -> Markup {
    let text = moment.as_str();
    let shown = clock::parse_rfc3339(text).map(|at_ms| match at_ms.saturating_sub(context.now_ms) {
        ahead @ 0.. => format!("in {}", span(ahead)),
        behind => format!("{} ago", span(behind.saturating_neg())),
    });
    html! { time datetime=(text) title=(text) { @match shown { Some(shown) => { (shown) } None => { (text) } } } }
}

/// A time of day, for a list of moments of which the last ones count.
pub(super) fn clock_time(moment: &Timestamp) -> Markup {
    let text = moment.as_str();
    // RFC 3339 has the date in its first ten characters, then a `T`.
    let shown = match (text.get(..10), text.get(11..19)) {
        (Some(date), Some(time)) => format!("{date} {time}"),
        _ => text.to_owned(),
    };
    html! { time datetime=(text) { (shown) } }
}

/// A span of ms in its largest whole unit: it changes at most once a minute, so that a page that is kept up to date does not
/// change for it alone.
pub(super) fn span(ms: i64) -> String {
    let minutes = ms / 60_000;
    match minutes {
        ..1 => "< 1 min".to_owned(),
        1..120 => format!("{minutes} min"),
        120..2_880 => format!("{} h", minutes / 60),
        _ => format!("{} d", minutes / 1_440),
    }
}

/// A rate.
pub(super) fn rate(a_second: f64) -> String {
    match a_second {
        0.0 => "0/s".to_owned(),
        ..0.1 => "< 0.1/s".to_owned(),
        ..100.0 => format!("{a_second:.1}/s"),
        ..10_000.0 => format!("{a_second:.0}/s"),
        _ => format!("{:.1}k/s", a_second / 1e3),
    }
}

/// A time in ms.
pub(super) fn ms(ms: Option<f64>) -> String {
    match ms {
        None => "–".to_owned(),
        Some(ms @ ..1.0) => format!("{ms:.2} ms"),
        Some(ms @ ..10.0) => format!("{ms:.1} ms"),
        Some(ms @ ..1_000.0) => format!("{ms:.0} ms"),
        Some(ms) => format!("{:.1} s", ms / 1e3),
    }
}

/// A share of 0 to 1: 100 % where it is all of it, and nowhere else.
pub(super) fn percent(share: f64) -> String {
    match share * 100.0 {
        100.0.. => "100 %".to_owned(),
        percent @ 99.0.. => format!("{:.2} %", (percent * 100.0).floor() / 100.0),
        percent => format!("{percent:.1} %"),
    }
}

/// A count with its noun.
pub(super) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A link to a service's page.
pub(super) fn service_link(name: &str, context: &Context) -> Markup {
    html! { a href={ (context.root) "services/" (path_segment(name)) } { (name) } }
}

/// A text as one segment of a path: what is not unreserved (RFC 3986 §2.3) is encoded.
pub(super) fn path_segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => segment.push(char::from(byte)),
            _ => segment.push_str(&format!("%{byte:02X}")),
        }
    }
    segment
}

/// A filter above a list: its text, and a choice where there is one.
pub(super) fn filter(question: &str, placeholder: &str, more: Markup) -> Markup {
    html! {
        form .filter method="get" role="search" {
            label { span .hidden { (placeholder) } input type="search" name="q" value=(question) placeholder=(placeholder); }
            (more)
            button type="submit" { "Filter" }
        }
    }
}

/// A choice of one of several values, the first of which stands for no choice.
pub(super) fn choice(name: &str, label: &str, chosen: &str, options: &[(&str, &str)]) -> Markup {
    html! {
        label {
            span .hidden { (label) }
            select name=(name) {
                @for (value, text) in options { option value=(value) selected[*value == chosen] { (text) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_their_largest_whole_unit() {
        let minute = 60_000;
        for (ms, expected) in [
            (-5, "< 1 min"),
            (59_999, "< 1 min"),
            (minute, "1 min"),
            (119 * minute, "119 min"),
            (120 * minute, "2 h"),
            (47 * 60 * minute, "47 h"),
            (48 * 60 * minute, "2 d"),
        ] {
            assert_eq!(span(ms), expected);
        }
    }

    #[test]
    fn numbers_are_as_exact_as_one_reads_them() {
        for (a_second, expected) in [
            (0.0, "0/s"),
            (0.05, "< 0.1/s"),
            (0.2, "0.2/s"),
            (99.94, "99.9/s"),
            (1234.5, "1234/s"),
            (12_345.0, "12.3k/s"),
        ] {
            assert_eq!(rate(a_second), expected);
        }
        for (time, expected) in [
            (None, "–"),
            (Some(0.068), "0.07 ms"),
            (Some(4.25), "4.2 ms"),
            (Some(250.4), "250 ms"),
            (Some(61_000.0), "61.0 s"),
        ] {
            assert_eq!(ms(time), expected);
        }
        for (share, expected) in [(1.0, "100 %"), (0.999_999, "99.99 %"), (0.5, "50.0 %"), (0.0, "0.0 %")] {
            assert_eq!(percent(share), expected);
        }
    }

    #[test]
    fn a_name_is_one_segment_of_a_path() {
        assert_eq!(path_segment("a/../b?c#d e"), "a%2F..%2Fb%3Fc%23d%20e");
    }

    #[test]
    fn moments_say_how_far_they_are() {
        let context = Context { root: "", now_ms: 1_763_152_200_000 };
        let at = |seconds: i64| Timestamp::from(clock::rfc3339(context.now_ms + seconds * 1_000));
        let text = |markup: Markup| markup.into_string().split(['<', '>']).nth(2).unwrap().to_owned();
        assert_eq!(text(ago(&at(-180), &context)), "3 min ago");
        assert_eq!(text(from_now(&at(86_400 * 30), &context)), "in 30 d");
        assert_eq!(text(from_now(&at(-180), &context)), "3 min ago");
        assert_eq!(text(clock_time(&at(0))), "2025-11-14 20:30:00");
        assert_eq!(text(ago(&Timestamp::from("never".to_owned()), &context)), "never");
    }
}
