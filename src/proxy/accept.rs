//! Whether a client would rather have a page than JSON (RFC 9110 §12.5.1).
//!
//! Only who names HTML gets it: programs send `*/*`, or nothing, and read JSON.

use furt_api::problem::MEDIA_TYPE;
use http::HeaderMap;
use http::header::ACCEPT;

/// Whether HTML is named, and nothing that furt answers otherwise is named with a higher weight.
pub(super) fn prefers_html(headers: &HeaderMap) -> bool {
    let (mut html, mut json) = (None, None);
    let ranges = headers.get_all(ACCEPT).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    for (name, weight) in ranges.filter_map(range) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("text/html") {
            html = html.max(Some(weight));
        } else if is(MEDIA_TYPE) || is("application/json") {
            json = json.max(Some(weight));
        }
    }
    html.is_some_and(|html| html > 0 && json.is_none_or(|json| html >= json))
}

/// A media range and its weight in thousandths; `None`: its weight cannot be read.
fn range(text: &[u8]) -> Option<(&[u8], u16)> {
    let mut parts = text.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let name = parts.next()?;
    let said = parts.find_map(|part| match part {
        [b'q' | b'Q', b'=', weight @ ..] => Some(weight),
        _ => None,
    });
    Some((name, said.map_or(Some(1000), thousandths)?))
}

/// A weight (RFC 9110 §12.4.2): 0 to 1 with up to three digits after the point.
pub(super) fn thousandths(weight: &[u8]) -> Option<u16> {
    let (whole, digits) = match weight {
        [whole @ (b'0' | b'1')] => (*whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', digits @ ..] => (*whole, digits),
        _ => return None,
    };
    if digits.len() > 3 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let padded = digits.iter().copied().chain([b'0'; 3]).take(3);
    let fraction = padded.fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    let sum = u16::from(whole - b'0') * 1000 + fraction;
    Some(sum).filter(|sum| *sum <= 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_names_html_gets_it_unless_json_is_wanted_more() {
        for (accept, expected) in [
            (&[][..], false),
            (&["*/*"], false),
            (&["text/*"], false),
            (&["application/json"], false),
            (&["text/html"], true),
            (&["TEXT/HTML;charset=utf-8"], true),
            (&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], true),
            (&["application/json, text/html"], true),
            (&["application/json, text/html;q=0.9"], false),
            (&["application/problem+json;q=0.5, text/html;q=0.5"], true),
            (&["application/problem+json;q=0.501, text/html;q=0.5"], false),
            (&["application/json;q=0, text/html;q=0.001"], true),
            (&["application/problem+json;q=0.1, application/json, text/html;q=0.5"], false),
            (&["*/*;q=1, text/html;q=0.1"], true),
            (&["text/html;q=0"], false),
            (&["text/html;q=0.000"], false),
            (&["text/html;level=1;q=0.2, text/html;q=0, application/json;q=0.1"], true),
            (&["text/html; Q=1.000"], true),
            (&["text/html;q=1.001"], false),
            (&["text/html;q=2"], false),
            (&["text/html;q=0.5555"], false),
            (&["text/html;q=.5"], false),
            (&["text/html;q=-1"], false),
            (&["text/html;q="], false),
            (&["text/htmlx", "xtext/html", "html"], false),
            (&["application/json;q=0.3", " text/html ; q=0.4 "], true),
            (&["", ",,;,", ";q=1"], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append(ACCEPT, value.parse().unwrap());
            }
            assert_eq!(prefers_html(&headers), expected, "{accept:?}");
        }
    }
}
