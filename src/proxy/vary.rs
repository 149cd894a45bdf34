//! `Vary`: by which headers of requests answers differ, so that caches keep them apart (RFC 9110 §12.5.5).

use http::HeaderMap;
use http::header::VARY;
use pingora::Result;
use pingora::http::ResponseHeader;

/// Adds a header's name, unless it stands there already or `*` does.
///
/// # Errors
/// A header that cannot be made; none of ours.
pub(super) fn append(response: &mut ResponseHeader, name: &'static str) -> Result<()> {
    if has(&response.headers, name) { Ok(()) } else { response.append_header(VARY, name).map(drop) }
}

fn has(headers: &HeaderMap, name: &str) -> bool {
    let lines = headers.get_all(VARY).iter().filter_map(|value| value.to_str().ok());
    let mut names = lines.flat_map(|text| text.split(',')).map(str::trim);
    names.any(|one| one == "*" || one.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_added_once_and_not_beside_a_star() {
        for (said, expected) in [
            (&[][..], &["Origin"][..]),
            (&["Accept-Encoding"], &["Accept-Encoding", "Origin"]),
            (&["X-Origin"], &["X-Origin", "Origin"]),
            (&["origin"], &["origin"]),
            (&["Accept, Origin"], &["Accept, Origin"]),
            (&["a", "b ,ORIGIN"], &["a", "b ,ORIGIN"]),
            (&["Accept", "*"], &["Accept", "*"]),
        ] {
            let mut response = ResponseHeader::build(200, None).unwrap();
            for value in said {
                response.append_header(VARY, *value).unwrap();
            }
            append(&mut response, "Origin").unwrap();
            let has: Vec<_> = response.headers.get_all(VARY).iter().map(|value| value.to_str().unwrap()).collect();
            assert_eq!(has, expected, "{said:?}");
        }
    }
}
