//! The target of a request, as the server is told it in `X-Forwarded-Uri`.
//!
//! Server and service must not read one path differently, so each path has one form: what may be written plainly is.

/// The target in the client's terms: path and query of an absolute form, `/` of an empty one.
///
/// In the path, escapes of unreserved characters (RFC 3986 §2.3) are decoded. All other escapes and the query stay as they are. A `%` of
/// the path that begins no escape, and what a header's value or a url cannot have, is escaped. A path keeps its segments. The outcome has
/// visible ASCII alone, and is its own outcome.
pub fn forwarded_uri(path_and_query: &str) -> String {
    let target = origin_form(path_and_query);
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let mut uri = String::with_capacity(target.len() + 1);
    if path.is_empty() {
        uri.push('/');
    }
    push_path(&mut uri, path.as_bytes());
    if let Some(query) = query {
        uri.push('?');
        query.bytes().for_each(|byte| push_plain(&mut uri, byte));
    }
    uri
}

/// What follows the authority of an absolute form (RFC 9112 §3.2.2).
fn origin_form(target: &str) -> &str {
    match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
            rest.find(['/', '?']).map_or("", |start| &rest[start..])
        }
        _ => target,
    }
}

fn push_path(uri: &mut String, path: &[u8]) {
    let mut at = 0;
    while let Some(&byte) = path.get(at) {
        let escaped =
            path.get(at + 1).zip(path.get(at + 2)).and_then(|(high, low)| Some(hex(*high)? << 4 | hex(*low)?));
        match escaped {
            Some(escaped) if byte == b'%' => {
                if is_unreserved(escaped) {
                    uri.push(char::from(escaped));
                } else {
                    uri.extend(path[at..at + 3].iter().map(|byte| char::from(*byte)));
                }
                at += 3;
            }
            // Otherwise it could begin an escape with what is decoded after it.
            _ if byte == b'%' => {
                push_escaped(uri, byte);
                at += 1;
            }
            _ => {
                push_plain(uri, byte);
                at += 1;
            }
        }
    }
}

fn push_plain(uri: &mut String, byte: u8) {
    // A server would take "#" for the end.
    if byte.is_ascii_graphic() && byte != b'#' { uri.push(char::from(byte)) } else { push_escaped(uri, byte) }
}

fn push_escaped(uri: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    uri.push('%');
    uri.push(char::from(DIGITS[usize::from(byte >> 4)]));
    uri.push(char::from(DIGITS[usize::from(byte & 15)]));
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_form_and_a_query_stays() {
        for (target, expected) in [
            ("/", "/"),
            ("", "/"),
            ("?a=1", "/?a=1"),
            ("/%61dmin", "/admin"),
            ("/a%2Fb", "/a%2Fb"),
            ("/a%2fb", "/a%2fb"),
            ("/%7E", "/~"),
            ("/%7e%2D%5f%2E", "/~-_."),
            ("/%2561", "/%2561"),
            ("/%%36%31", "/%2561"),
            ("/%", "/%25"),
            ("/%6", "/%256"),
            ("/%zz%3", "/%25zz%253"),
            ("/a%00b%3F", "/a%00b%3F"),
            ("/a?b=%61?%2f", "/a?b=%61?%2f"),
            ("/a?", "/a?"),
            ("/a#b", "/a%23b"),
            ("/é x", "/%C3%A9%20x"),
            ("http://h/p?q=%61", "/p?q=%61"),
            ("http://h", "/"),
            ("http://h?a", "/?a"),
            ("HTTPS://h:1/%61//", "/a//"),
            ("//h/p", "//h/p"),
            ("/go?to=http://h/%61", "/go?to=http://h/%61"),
            ("/http://h/a", "/http://h/a"),
            ("*", "*"),
        ] {
            assert_eq!(forwarded_uri(target), expected, "{target}");
        }
    }

    #[test]
    fn the_form_is_its_own_form_and_keeps_the_segments() {
        const PIECES: [&str; 16] =
            ["/", "%", "%2", "%25", "%61", "%2F", "%2f", "%2E", "a", "6", "1", "?", "://", "#", "é", "%7"];
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let rest: String = (0..random.usize(..12)).map(|_| PIECES[random.usize(..PIECES.len())]).collect();
            let target = format!("/{rest}");
            let uri = forwarded_uri(&target);
            assert_eq!(forwarded_uri(&uri), uri, "{target}");
            let segments = |text: &str| text.split('?').next().map(|path| path.split('/').count());
            assert_eq!(segments(&uri), segments(&target), "{target} {uri}");
            assert!(uri.bytes().all(|byte| byte.is_ascii_graphic()), "{uri}");
        }
    }
}
