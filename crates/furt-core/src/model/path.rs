//! Paths as they are matched: unreserved characters percent-decoded, everything ambiguous refused.
//!
//! A gateway and a service that read one path differently are a way around the gateway's checks, so what could be
//! read in two ways is refused rather than repaired. Requests and patterns pass through the same function.

use std::borrow::Cow;

/// Why a path is not matched at all; a request with such a path gets 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not begin with `/` (also the `*` of `OPTIONS *`).
    #[error("the path does not begin with '/'")]
    NotAbsolute,
    /// `%` without two hexadecimal digits.
    #[error("a '%' is not followed by two hexadecimal digits")]
    BadEscape,
    /// `//` anywhere: an empty segment that is not the trailing one; also one of parameters alone (`/;v=1`).
    #[error("the path has an empty segment")]
    EmptySegment,
    /// `.` or `..` as a segment, plain or encoded, also with parameters (`/..;v=1`).
    #[error("the path has a dot segment")]
    DotSegment,
    /// `\`, or an encoded `/`, `\`, or control character.
    #[error("the path has a backslash, or an encoded slash, backslash or control character")]
    Ambiguous,
    /// A byte that no URI has: a control character, a space, `#`, or one beyond ASCII.
    #[error("the path has a character that must be percent-encoded")]
    Unencoded,
}

/// The path as it is matched: unreserved characters decoded, remaining escapes in upper case (RFC 3986 §6.2.2).
///
/// Takes the path alone, without query. Borrows when nothing changes, which is so for nearly every request.
///
/// # Errors
/// See [`PathError`].
pub fn normalize(path: &str) -> Result<Cow<'_, str>, PathError> {
    let bytes = path.as_bytes();
    if bytes.first() != Some(&b'/') {
        return Err(PathError::NotAbsolute);
    }
    let mut suspect = false;
    let mut previous = 0;
    for &byte in bytes {
        match byte {
            b'\\' => return Err(PathError::Ambiguous),
            0..=b' ' | b'#' | 0x7f.. => return Err(PathError::Unencoded),
            b'%' => suspect = true,
            // Only a dot at the start of a segment can make a dot segment.
            b'.' if previous == b'/' => suspect = true,
            // Servers that know parameters (";v=1") take them off: nothing is left of such a segment.
            b'/' | b';' if previous == b'/' => return Err(PathError::EmptySegment),
            _ => {}
        }
        previous = byte;
    }
    if !suspect {
        return Ok(Cow::Borrowed(path));
    }
    let decoded = decode(path)?;
    for segment in decoded.split('/') {
        match without_parameters(segment) {
            "." | ".." => return Err(PathError::DotSegment),
            "" if !segment.is_empty() => return Err(PathError::EmptySegment),
            _ => {}
        }
    }
    Ok(decoded)
}

fn without_parameters(segment: &str) -> &str {
    let name = segment.split(';').next().unwrap_or_default();
    name.split("%3B").next().unwrap_or_default()
}

/// A path that furt keeps for itself on the public listener: `/health`, and all below `/internal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserved {
    /// `/health`: furt answers.
    Health,
    /// `/internal` and below: 404, always.
    Internal,
}

/// Whether a normalized path, or the text of a pattern, is reserved.
pub fn reserved(path: &str) -> Option<Reserved> {
    match path {
        "/health" => Some(Reserved::Health),
        "/internal" => Some(Reserved::Internal),
        _ => path.starts_with("/internal/").then_some(Reserved::Internal),
    }
}

fn decode(path: &str) -> Result<Cow<'_, str>, PathError> {
    if !path.contains('%') {
        return Ok(Cow::Borrowed(path));
    }
    let bytes = path.as_bytes();
    let mut out = String::with_capacity(path.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte != b'%' {
            out.push(char::from(byte));
            at += 1;
            continue;
        }
        let digit = |offset: usize| bytes.get(at + offset).and_then(|&digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(1), digit(2)) else {
            return Err(PathError::BadEscape);
        };
        match (high * 16 + low) as u8 {
            0..=0x1f | 0x7f | b'/' | b'\\' => return Err(PathError::Ambiguous),
            plain if plain.is_ascii_alphanumeric() || b"-._~".contains(&plain) => out.push(char::from(plain)),
            _ => {
                out.push('%');
                out.extend(path[at + 1..at + 3].chars().map(|digit| digit.to_ascii_uppercase()));
            }
        }
        at += 3;
    }
    Ok(Cow::Owned(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreserved_characters_are_decoded_and_the_rest_kept() {
        for (path, matched) in [
            ("/", "/"),
            ("/api/comments/", "/api/comments/"),
            ("/a%41%7e%2D", "/aA~-"),
            ("/a%c3%a9", "/a%C3%A9"),
            ("/a%20b", "/a%20b"),
            ("/a%25", "/a%25"),
            ("/a%2525", "/a%2525"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a..b/...", "/a..b/..."),
            ("/a%2e", "/a."),
            ("/a?b", "/a?b"),
            ("/a;v=1,2:@!$&'()*+=", "/a;v=1,2:@!$&'()*+="),
        ] {
            assert_eq!(normalize(path).as_deref(), Ok(matched), "{path}");
        }
    }

    #[test]
    fn health_and_internal_are_reserved() {
        for (path, expected) in [
            ("/health", Some(Reserved::Health)),
            ("/health/", None),
            ("/healthy", None),
            ("/internal", Some(Reserved::Internal)),
            ("/internal/", Some(Reserved::Internal)),
            ("/internal/*", Some(Reserved::Internal)),
            ("/internals", None),
            ("/*", None),
        ] {
            assert_eq!(reserved(path), expected, "{path}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        use PathError::*;
        for (path, error) in [
            ("", NotAbsolute),
            ("*", NotAbsolute),
            ("a/b", NotAbsolute),
            ("/a%", BadEscape),
            ("/a%4", BadEscape),
            ("/a%zz", BadEscape),
            ("/a%é0", Unencoded),
            ("//a", EmptySegment),
            ("/a//", EmptySegment),
            ("/a//b", EmptySegment),
            ("/./a", DotSegment),
            ("/a/..", DotSegment),
            ("/a/../b", DotSegment),
            ("/a/%2e%2E/b", DotSegment),
            ("/a/.%2e", DotSegment),
            ("/%2e", DotSegment),
            ("/a/..;/b", DotSegment),
            ("/a/%2e.;v=1/b", DotSegment),
            ("/a/..%3b/b", DotSegment),
            ("/a/;/b", EmptySegment),
            ("/a/;v=1", EmptySegment),
            ("/a/%3B/b", EmptySegment),
            ("/a\\b", Ambiguous),
            ("/a%2fb", Ambiguous),
            ("/a%5Cb", Ambiguous),
            ("/a%00", Ambiguous),
            ("/a%0d%0a", Ambiguous),
            ("/a%1F", Ambiguous),
            ("/a%7f", Ambiguous),
            ("/a b", Unencoded),
            ("/a\u{1}", Unencoded),
            ("/é", Unencoded),
            ("/a#b", Unencoded),
        ] {
            assert_eq!(normalize(path), Err(error), "{path:?}");
        }
    }
}
