//! The chunked coding of a request's body, read strictly (RFC 9112 §7.1): whether the bytes on the wire are chunks at all.
//!
//! Pingora's parser takes an empty chunk size for the end of a body, and any byte within an extension. A proxy before furt
//! that reads such bytes otherwise would see another request in them. This is a check alone: Pingora decodes the same bytes
//! afterwards. Keeps no data.

/// Hexadecimal digits of a chunk size: those of 64 bits.
const MAX_SIZE_DIGITS: u8 = 16;

/// What the client is told.
pub(super) const MALFORMED_CHUNKS: &str = "the chunks of the body are malformed";

/// The bytes are no chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MALFORMED_CHUNKS}")]
pub(super) struct MalformedChunks;

/// Where in a body the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At a chunk's size, after so many digits.
    Size { digits: u8, size: u64 },
    /// In blanks after a size: an extension must follow.
    Blanks { size: u64 },
    /// In an extension.
    Extension { size: u64 },
    /// At the LF that ends the line of a size.
    SizeEnd { size: u64 },
    /// In a chunk's data, of which so many bytes are left; at its CR if none are.
    Data { left: u64 },
    /// At the LF behind a chunk's data.
    DataEnd,
    /// At the start of a trailer field, or at the CR of the empty line.
    Trailer,
    /// In a trailer field's name.
    TrailerName,
    /// In a trailer field's value.
    TrailerValue,
    /// At the LF that ends a trailer field.
    TrailerEnd,
    /// At the LF of the empty line.
    LastEnd,
    /// Behind the body: what follows is another request.
    Done,
    /// At bytes that are no body.
    Malformed,
}

/// The chunked body of one request, fed as it arrives.
#[derive(Debug)]
pub(super) struct Chunks {
    state: State,
    data: u64,
}

impl Chunks {
    /// Before the first byte of a body.
    pub(super) fn new() -> Self {
        Self { state: State::Size { digits: 0, size: 0 }, data: 0 }
    }

    /// Whether the body is complete.
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The bytes of data in all chunks so far.
    pub(super) fn data(&self) -> u64 {
        self.data
    }

    /// Takes the next bytes of the connection, and returns how many of them are of the body. Once it is complete, none are.
    ///
    /// # Errors
    /// They are no chunks, or those before were none.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<usize, MalformedChunks> {
        let given = bytes.len();
        while let Some((&byte, rest)) = bytes.split_first() {
            bytes = match self.state {
                State::Done => break,
                State::Data { left } if left > 0 => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    self.state = State::Data { left: left - taken as u64 };
                    self.data += taken as u64;
                    &bytes[taken..]
                }
                state => {
                    self.state = next(state, byte);
                    rest
                }
            };
            if self.state == State::Malformed {
                return Err(MalformedChunks);
            }
        }
        if self.state == State::Malformed { Err(MalformedChunks) } else { Ok(given - bytes.len()) }
    }
}

fn next(state: State, byte: u8) -> State {
    let data = |size| if size == 0 { State::Trailer } else { State::Data { left: size } };
    match (state, byte) {
        (State::Size { digits, size }, _) if byte.is_ascii_hexdigit() && digits < MAX_SIZE_DIGITS => {
            let digit = char::from(byte).to_digit(16).unwrap_or_default();
            State::Size { digits: digits + 1, size: size << 4 | u64::from(digit) }
        }
        (State::Size { digits: 1.., size }, b'\r') | (State::Extension { size }, b'\r') => State::SizeEnd { size },
        (State::Size { digits: 1.., size } | State::Blanks { size }, b' ' | b'\t') => State::Blanks { size },
        (State::Size { digits: 1.., size } | State::Blanks { size }, b';') => State::Extension { size },
        (State::Extension { size }, _) if is_text(byte) => State::Extension { size },
        (State::SizeEnd { size }, b'\n') => data(size),
        (State::Data { left: 0 }, b'\r') => State::DataEnd,
        (State::DataEnd, b'\n') => State::Size { digits: 0, size: 0 },
        (State::Trailer, b'\r') => State::LastEnd,
        (State::Trailer | State::TrailerName, _) if is_token(byte) => State::TrailerName,
        (State::TrailerName, b':') => State::TrailerValue,
        (State::TrailerValue, b'\r') => State::TrailerEnd,
        (State::TrailerValue, _) if is_text(byte) => State::TrailerValue,
        (State::TrailerEnd, b'\n') => State::Trailer,
        (State::LastEnd, b'\n') => State::Done,
        _ => State::Malformed,
    }
}

/// What may stand in an extension or a value: anything but control characters, though tabs.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_taken(body: &[u8]) -> bool {
        let whole = Chunks::new().feed(body).is_ok();
        let mut chunks = Chunks::new();
        let by_bytes = body.chunks(1).all(|byte| chunks.feed(byte).is_ok());
        assert_eq!(whole, by_bytes, "{:?}", String::from_utf8_lossy(body));
        whole
    }

    #[test]
    fn chunks_are_taken() {
        for body in [
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "5\r\nhello\r\n00000\r\n\r\n",
            "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
            "5;a=b;c=\"d e\";\u{e9}\r\nhello\r\n0;last\r\n\r\n",
            "5 \t;a\r\nhello\r\n0\r\n\r\n",
            "2\r\n\r\n\r\n0\r\n\r\n",
            "0\r\nX-Sum: 1\r\nx-empty:\r\n\r\n",
            "0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        ] {
            assert!(is_taken(body.as_bytes()), "{body:?}");
        }
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for body in [
            "\r\n\r\n",
            "5\r\nhello\r\n\r\n\r\n",
            "5\r\nhello\r\n;x\r\n",
            " 5\r\nhello\r\n",
            "5\r\nhello\r\n \r\n\r\n",
            "5 \r\nhello\r\n",
            "5\nhello\r\n",
            "5\r\nhello\n",
            "5\r\nhello!\r\n",
            "5\r\nhell\r\n0",
            "5;a\nb\r\nhello\r\n",
            "5;a\0b\r\nhello\r\n",
            "5;a\rb\r\nhello\r\n",
            "0x5\r\nhello\r\n",
            "-5\r\nhello\r\n",
            "+5\r\nhello\r\n",
            "5_\r\nhello\r\n",
            "00000000000000005\r\nhello\r\n",
            "0\r\n\n",
            "0\r\nno colon\r\n\r\n",
            "0\r\n: no name\r\n\r\n",
            "0\r\n folded\r\n\r\n",
            "0\r\na: b\nc: d\r\n\r\n",
            "0\r\na: \0\r\n\r\n",
        ] {
            assert!(!is_taken(body.as_bytes()), "{body:?}");
        }
    }

    #[test]
    fn the_data_of_chunks_is_counted_however_it_comes() {
        let body = b"5;a=b\r\nhello\r\n1\r\n \r\n00a\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\nGET /";
        for size in [1, 2, 7, body.len()] {
            let mut chunks = Chunks::new();
            for part in body.chunks(size) {
                chunks.feed(part).unwrap();
            }
            assert_eq!((chunks.data(), chunks.is_done()), (16, true), "{size}");
        }
    }

    /// After bytes that are no chunk nothing is taken, and after the end nothing is of the body.
    #[test]
    fn a_body_is_malformed_for_good_and_complete_for_good() {
        let mut chunks = Chunks::new();
        assert_eq!(chunks.feed(b"x"), Err(MalformedChunks));
        assert_eq!(chunks.feed(b"0\r\n\r\n"), Err(MalformedChunks));
        assert_eq!(chunks.feed(b""), Err(MalformedChunks));
        let mut chunks = Chunks::new();
        assert_eq!((chunks.feed(b"0\r\n\r\nGET /"), chunks.is_done()), (Ok(5), true));
        assert_eq!(chunks.feed(b"x\0"), Ok(0));
    }
}
