//! As much HTTP/1.1 as the origin and the driver need: where a head ends, its first line, how long the body is.
//!
//! Both have a share of one core while a gateway has the other to itself, so they look at no byte twice. They speak with
//! known programs, not with strangers: what they do not expect is an error, not to be tolerated.

/// What ends a head.
const END: &[u8] = b"\r\n\r\n";

/// How the body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Nothing said.
    None,
}

/// A whole head.
#[derive(Debug)]
pub(super) struct Head<'a> {
    /// The first line.
    pub(super) first_line: &'a [u8],
    /// Its length with all line ends.
    pub(super) length: usize,
    /// Of what follows.
    pub(super) framing: Framing,
    /// Whether the sender closes after this message.
    pub(super) closes: bool,
}

impl<'a> Head<'a> {
    /// The head that `input` begins with; `None`: it is not whole yet.
    pub(super) fn read(input: &'a [u8]) -> Option<Self> {
        let mut rest = input;
        let mut first_line = None;
        let (mut framing, mut closes) = (Framing::None, false);
        loop {
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
            rest = &rest[end + 1..];
            match first_line {
                None => first_line = Some(line),
                Some(first_line) if line.is_empty() => {
                    return Some(Self { first_line, length: input.len() - rest.len(), framing, closes });
                }
                Some(_) => match line.first() {
                    Some(b'c' | b'C') => {
                        if let Some(value) = value_of(line, b"content-length:") {
                            framing = std::str::from_utf8(value)
                                .ok()
                                .and_then(|text| text.trim().parse().ok())
                                .map_or(Framing::None, Framing::Length);
                        } else if let Some(value) = value_of(line, b"connection:") {
                            closes = value.trim_ascii().eq_ignore_ascii_case(b"close");
                        }
                    }
                    Some(b't' | b'T') if value_of(line, b"transfer-encoding:").is_some() => framing = Framing::Chunked,
                    _ => {}
                },
            }
        }
    }

    /// The status of an answer's first line.
    pub(super) fn status(&self) -> Option<u16> {
        std::str::from_utf8(self.first_line.get(9..12)?).ok()?.parse().ok()
    }
}

fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let start = line.get(..name.len())?;
    start.eq_ignore_ascii_case(name).then(|| &line[name.len()..])
}

/// A chunked body that passes by: only its length and its end are of interest.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    /// Of the chunk and the line end behind it that pass at the moment.
    left: u64,
    /// The beginning of a chunk's first line.
    line: Vec<u8>,
    is_last: bool,
    /// Bytes of the body so far.
    pub(super) length: u64,
}

impl Chunks {
    /// Takes `input`; gives how much of it belonged to the body and whether the body has ended.
    pub(super) fn pass(&mut self, input: &[u8]) -> (usize, bool) {
        let mut rest = input;
        while !rest.is_empty() {
            if self.left > 0 {
                let taken = rest.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                rest = &rest[taken..];
                self.left -= taken as u64;
                continue;
            }
            let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
            self.line.extend_from_slice(&rest[..end]);
            rest = &rest[end..];
            if self.line.last() != Some(&b'\n') {
                break;
            }
            let line = std::mem::take(&mut self.line);
            let text = line.trim_ascii();
            if self.is_last {
                // Trailers pass until the empty line.
                if text.is_empty() {
                    return (input.len() - rest.len(), true);
                }
                continue;
            }
            let digits = text.split(|byte| *byte == b';').next().unwrap_or_default();
            let size = std::str::from_utf8(digits).ok().and_then(|text| u64::from_str_radix(text, 16).ok());
            let size = size.unwrap_or_default();
            self.is_last = size == 0;
            self.length += size;
            self.left = if self.is_last { 0 } else { size + 2 };
        }
        (input.len(), false)
    }
}

/// Whether `input` is one whole head and nothing else, by its end alone.
pub(super) fn ends_head(input: &[u8]) -> bool {
    input.ends_with(END)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_head_is_read_once_it_is_whole() {
        use super::*;
        let text = b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 64\r\nConnection: close\r\n\r\nbody";
        assert!(Head::read(&text[..text.len() - 6]).is_none());
        let head = Head::read(text).unwrap();
        assert_eq!((head.status(), head.framing, head.closes), (Some(200), Framing::Length(64), true));
        assert_eq!(&text[head.length..], b"body");
        assert!(ends_head(&text[..head.length]));
    }

    #[test]
    fn chunks_pass_by_in_pieces_of_any_size() {
        use super::*;
        let text = b"5\r\nhello\r\n1a;x=y\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nTrailer: 1\r\n\r\nGET";
        for size in 1..text.len() {
            let (mut chunks, mut passed) = (Chunks::default(), 0);
            for piece in text.chunks(size) {
                let (taken, has_ended) = chunks.pass(piece);
                passed += taken;
                if has_ended {
                    break;
                }
            }
            assert_eq!((chunks.length, passed), (31, text.len() - 3), "pieces of {size}");
        }
    }
}
