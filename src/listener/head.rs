//! The header section of a request as bytes, before it is parsed: where it ends, whether its first line is a request line,
//! whether a body follows.
//!
//! Pingora's parser repairs a request line that is none: it encodes what may not be there, and cuts off what begins with
//! `#`. Gateway and service would then look at another target than the client sent, so such lines are found here and refused
//! (RFC 9112 §3.2). What else is found at no cost is the length of the target and the number of fields. Reads nothing itself,
//! knows no connection; [`super::reading`] feeds it.

/// The longest target: longer ones the `http` crate does not take.
pub const MAX_TARGET: usize = 65_534;
/// The most fields of a header section: Pingora reads no more.
pub(super) const MAX_FIELDS: usize = 256;

/// What a request announces about its body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Body {
    /// No field that frames a body.
    #[default]
    None,
    /// A `Content-Length`, and no `Transfer-Encoding`.
    Sized,
    /// A `Transfer-Encoding`, which goes before a length (RFC 9112 §6.3).
    Chunked,
}

/// What the first line of a request is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RequestLine {
    /// A method, a target and a version of HTTP/1, or not known yet.
    #[default]
    Plain,
    /// The same, but `"`, `<` or `>` in the target, where many clients leave them as they are.
    Quoted,
    /// Nothing of this: other bytes in the target than visible ASCII without `#`, another version, other words.
    Malformed,
    /// Its target is longer than [`MAX_TARGET`].
    TooLong,
}

/// Looks at a header section as it arrives; each byte once, however small the pieces are.
#[derive(Debug, Default)]
pub struct HeadScan {
    /// Up to where line ends were looked for.
    searched: usize,
    /// Where the last line begins whose beginning may not be complete; `None`: it is the request line.
    last_line: Option<usize>,
    /// What the first line is.
    pub line: RequestLine,
    /// Lines so far, with the first one.
    lines: usize,
    /// How a body would be framed, by the fields so far.
    pub body: Body,
    /// Where the line of the first `Content-Length` begins, if there is one before any `Transfer-Encoding`.
    length_line: usize,
    /// Whether there is a `TE`: the client may take trailers.
    pub has_te: bool,
}

impl HeadScan {
    /// Looks at what came since the last call; `bytes` begins with the request line and holds everything received since.
    /// Returns the length of the header section with its empty line, once it is complete.
    pub fn advance(&mut self, bytes: &[u8]) -> Option<usize> {
        if let Some(end) = self.last_line.and_then(|start| self.begin_line(bytes, start)) {
            return Some(end);
        }
        let from = self.searched;
        self.searched = bytes.len();
        for found in memchr::memchr_iter(b'\n', bytes.get(from..)?) {
            let start = from + found + 1;
            if self.last_line.is_none() {
                self.line = request_line(&bytes[..start - 1]);
            }
            self.lines += 1;
            self.last_line = Some(start);
            if let Some(end) = self.begin_line(bytes, start) {
                return Some(end);
            }
        }
        None
    }

    /// How long the body of a [`Body::Sized`] request is; `None`: that is not said in plain digits. Of several lengths the
    /// first one.
    pub fn content_length(&self, head: &[u8]) -> Option<u64> {
        let line = head.get(self.length_line..)?;
        let line = line.get(..memchr::memchr(b'\n', line)?)?;
        let digits = line.get(LENGTH.len() + 1..)?.trim_ascii();
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// Whether there are more fields than any request may have; to be asked of a section that is complete.
    pub fn has_too_many_fields(&self) -> bool {
        // The first line is counted too; the empty one is not.
        self.lines > MAX_FIELDS + 1
    }

    /// Looks at how the line at `start` begins: the end of the section, where it is the empty one.
    fn begin_line(&mut self, bytes: &[u8], start: usize) -> Option<usize> {
        let line = bytes.get(start..)?;
        // Nearly every field is ruled out by its first letter.
        match line.first()? {
            b'\r' if line.get(1) == Some(&b'\n') => return Some(start + 2),
            b'\n' => return Some(start + 1),
            b'T' | b't' if is_field(line, b"transfer-encoding") => self.body = Body::Chunked,
            b'T' | b't' if is_field(line, b"te") => self.has_te = true,
            b'C' | b'c' if self.body == Body::None && is_field(line, LENGTH) => {
                (self.body, self.length_line) = (Body::Sized, start);
            }
            _ => {}
        }
        None
    }
}

const LENGTH: &[u8] = b"content-length";

fn is_field(line: &[u8], name: &[u8]) -> bool {
    line.get(name.len()) == Some(&b':') && line[..name.len()].eq_ignore_ascii_case(name)
}

fn request_line(line: &[u8]) -> RequestLine {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let method = line.iter().position(|byte| *byte == b' ').unwrap_or_default();
    let version = line.iter().rposition(|byte| *byte == b' ').unwrap_or_default();
    if method == 0 || method + 1 >= version || !matches!(&line[version + 1..], b"HTTP/1.1" | b"HTTP/1.0") {
        return RequestLine::Malformed;
    }
    let target = &line[method + 1..version];
    if target.len() > MAX_TARGET {
        return RequestLine::TooLong;
    }
    // It asks for a tunnel, and no service is asked for that.
    if &line[..method] == b"CONNECT" {
        return RequestLine::Malformed;
    }
    if is_plain(target) { RequestLine::Plain } else { odd_target(target) }
}

#[cold]
fn odd_target(target: &[u8]) -> RequestLine {
    let is_visible = target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#');
    if is_visible { RequestLine::Quoted } else { RequestLine::Malformed }
}

/// Whether it is visible ASCII without `"`, `#`, `<` and `>`. Eight bytes at a time: every request's target goes through it.
fn is_plain(word: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * ONES;
    const ANY: u64 = 0x7f * ONES;
    let (chunks, rest) = word.as_chunks::<8>();
    // Of bytes below 0x80 no sum carries into the next one; each leaves its answer in its high bit.
    let is_fit = |chunk: &[u8; 8]| {
        let bytes = u64::from_le_bytes(*chunk);
        let is_above_blank = bytes.wrapping_add((0x80 - 0x21) * ONES);
        let is_delete = bytes.wrapping_add(ONES);
        // Each two of them differ in one bit.
        let is_no_quote_or_hash = ((bytes ^ (u64::from(b'"') * ONES)) & (0xfe * ONES)).wrapping_add(ANY);
        let is_no_angle = ((bytes ^ (u64::from(b'<') * ONES)) & (0xfd * ONES)).wrapping_add(ANY);
        is_above_blank & is_no_quote_or_hash & is_no_angle & !is_delete & !bytes & HIGH == HIGH
    };
    chunks.iter().all(is_fit) && rest.iter().all(|byte| is_plain_byte(*byte))
}

fn is_plain_byte(byte: u8) -> bool {
    matches!(byte, b'!' | b'$'..=b';' | b'=' | b'?'..=b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanned(bytes: &[u8]) -> (Option<usize>, HeadScan) {
        let mut scan = HeadScan::default();
        (scan.advance(bytes), scan)
    }

    #[test]
    fn a_request_line_is_three_words_of_visible_ascii_without_a_fragment() {
        use RequestLine::{Malformed, Plain, Quoted, TooLong};
        let of_length = |length| format!("GET /{} HTTP/1.1", "a".repeat(length - 1));
        assert_eq!(request_line(of_length(MAX_TARGET).as_bytes()), Plain);
        assert_eq!(request_line(of_length(MAX_TARGET + 1).as_bytes()), TooLong);
        for (line, expected) in [
            ("GET / HTTP/1.1", Plain),
            ("GET /a%20b;c?d=%23 HTTP/1.1", Plain),
            ("GET http://g/a HTTP/1.1", Plain),
            ("GET */../a HTTP/1.1", Plain),
            ("GET /a HTTP/1.0", Plain),
            ("X-Y_1 * HTTP/1.1", Plain),
            ("GET /?q=\"a\" HTTP/1.1", Quoted),
            ("GET /<a HTTP/1.1", Quoted),
            ("GET /?a>b HTTP/1.1", Quoted),
            ("GET /?a>b\" # HTTP/1.1", Malformed),
            ("GET /a HTTP/1.2", Malformed),
            ("GET /a HTTP/2.0", Malformed),
            ("GET /a HTTP/0.9", Malformed),
            ("GET /a http/1.1", Malformed),
            ("GET /a HTTP/1.11", Malformed),
            ("CONNECT a:443 HTTP/1.1", Malformed),
            ("CONNECT /a HTTP/1.1", Malformed),
            ("GET /a b HTTP/1.1", Malformed),
            ("GET /a  HTTP/1.1", Malformed),
            ("GET  /a HTTP/1.1", Malformed),
            (" GET /a HTTP/1.1", Malformed),
            ("GET /a HTTP/1.1 ", Malformed),
            ("GET /a\tb HTTP/1.1", Malformed),
            ("GET\t/a HTTP/1.1", Malformed),
            ("GET /a#b HTTP/1.1", Malformed),
            ("GET /?q=\u{1} HTTP/1.1", Malformed),
            ("GET /?q=\u{7f} HTTP/1.1", Malformed),
            ("GET /?q=\u{e9} HTTP/1.1", Malformed),
            ("GET /a\rb HTTP/1.1", Malformed),
            ("GET /", Malformed),
            ("GET", Malformed),
            ("", Malformed),
        ] {
            assert_eq!(request_line(line.as_bytes()), expected, "{line:?}");
        }
    }

    #[test]
    fn each_byte_at_each_position_of_a_word_is_looked_at() {
        for length in 1..=20 {
            for (at, byte) in (0..length).flat_map(|at| (0..=u8::MAX).map(move |byte| (at, byte))) {
                let mut word = vec![b'a'; length];
                word[at] = byte;
                assert_eq!(is_plain(&word), byte.is_ascii_graphic() && !b"\"#<>".contains(&byte), "{word:?}");
            }
        }
    }

    #[test]
    fn the_body_is_told_by_the_fields_whatever_their_case() {
        for (fields, body) in [
            ("", Body::None),
            ("Content-Length: 3\r\n", Body::Sized),
            ("cONTENT-lENGTH: 3\r\n", Body::Sized),
            ("Transfer-Encoding: chunked\r\n", Body::Chunked),
            ("TRANSFER-ENCODING:chunked\r\nContent-Length: 3\r\n", Body::Chunked),
            ("Content-Length: 3\nTransfer-Encoding: chunked\n", Body::Chunked),
            ("Content-Lengths: 3\r\nX-Transfer-Encoding: chunked\r\nTransfer-Encodings: x\r\n", Body::None),
        ] {
            let head = format!("POST / HTTP/1.1\r\n{fields}\r\n");
            let (end, scan) = scanned(head.as_bytes());
            assert_eq!((end, scan.body), (Some(head.len()), body), "{fields}");
        }
    }

    #[test]
    fn a_length_is_told_where_it_is_in_plain_digits() {
        for (fields, length) in [
            ("Content-Length: 3\r\n", Some(3)),
            ("Host: a\r\ncontent-length:\t0012 \r\nHost: b\r\n", Some(12)),
            ("Content-Length: 3\nContent-Length: 4\n", Some(3)),
            ("Content-Length: 3, 3\r\n", None),
            ("Content-Length: +3\r\n", None),
            ("Content-Length: -3\r\n", None),
            ("Content-Length:\r\n", None),
            ("Content-Length: 18446744073709551616\r\n", None),
        ] {
            let head = format!("POST / HTTP/1.1\r\n{fields}\r\n");
            let (_, scan) = scanned(head.as_bytes());
            assert_eq!((scan.body, scan.content_length(head.as_bytes())), (Body::Sized, length), "{fields}");
        }
    }

    #[test]
    fn a_te_is_seen_whatever_its_case_and_nothing_else_is_one() {
        for (fields, has_te) in [("TE: trailers", true), ("te:trailers", true), ("Test: te: x", false), ("T: e", false)]
        {
            let (_, scan) = scanned(format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n").as_bytes());
            assert_eq!(scan.has_te, has_te, "{fields}");
        }
    }

    #[test]
    fn so_many_fields_are_counted_however_they_come() {
        for (fields, is_too_many) in [(0, false), (MAX_FIELDS, false), (MAX_FIELDS + 1, true)] {
            let head = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(fields));
            let (end, scan) = scanned(head.as_bytes());
            assert_eq!((end, scan.has_too_many_fields()), (Some(head.len()), is_too_many), "{fields}");
            let mut scan = HeadScan::default();
            let ends: Vec<_> =
                (0..=head.len()).filter(|&end| scan.advance(&head.as_bytes()[..end]).is_some()).collect();
            assert_eq!((ends, scan.has_too_many_fields()), (vec![head.len()], is_too_many), "{fields} by bytes");
        }
    }

    #[test]
    fn the_end_is_found_whatever_follows_and_however_the_bytes_come() {
        for (head, rest) in [("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "body\r\n\r\n"), ("GET / HTTP/1.1\nHost: a\n\n", "")]
        {
            let whole = format!("{head}{rest}");
            assert_eq!(scanned(whole.as_bytes()).0, Some(head.len()));
            let mut scan = HeadScan::default();
            for end in 0..head.len() {
                assert_eq!(scan.advance(&whole.as_bytes()[..end]), None, "{end}");
            }
            assert_eq!(scan.advance(whole.as_bytes()), Some(head.len()));
        }
    }

    /// The parser must never want more of a header section than was found here: nothing would time its reading.
    #[test]
    fn a_header_section_that_ends_here_ends_for_the_parser() {
        let words: [&[u8]; 10] = [b"GET", b" ", b"/", b"HTTP/1.1", b"\r\n", b"\n", b"\r", b"a", b": ", b"\r\n\r\n"];
        let mut random = fastrand::Rng::with_seed(7);
        let mut whole = 0;
        for _ in 0..200_000 {
            let bytes = (0..random.usize(1..12)).flat_map(|_| words[random.usize(..words.len())]).copied();
            let bytes: Vec<u8> = bytes.collect();
            // Empty lines before a request are taken off before.
            if bytes.starts_with(b"\r") || bytes.starts_with(b"\n") {
                continue;
            }
            if let (Some(end), _) = scanned(&bytes) {
                whole += 1;
                let mut headers = [httparse::EMPTY_HEADER; 16];
                let parsed = httparse::Request::new(&mut headers).parse(&bytes[..end]);
                assert!(!matches!(parsed, Ok(httparse::Status::Partial)), "{:?}", String::from_utf8_lossy(&bytes));
            }
        }
        assert!(whole > 1000, "{whole}");
    }
}
