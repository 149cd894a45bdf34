//! The three encoders as one: bytes in, encoded bytes out, part by part.
//!
//! Each part that comes out can be decoded as far as it goes, so that a client waits for nothing that the service has sent. What an
//! encoder keeps is bounded, whatever the parts are: [`memory`] says by how much.

use std::io::{self, Write};

use brotli::CompressorWriter;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use zstd::zstd_safe::CParameter;

use crate::config::ContentCoding;

const GZIP_LEVEL: u32 = 5;
const ZSTD_LEVEL: i32 = 3;
const BROTLI_LEVEL: u32 = 4;
/// The window of zstd and brotli, as a power of two: 128 KiB (docs/decisions/078-compression.md has what larger ones take).
const LARGEST_WINDOW: u32 = 17;
/// The least that both of them take.
const LEAST_WINDOW: u32 = 10;
/// What brotli has of its output before it is taken.
const BROTLI_BUFFER: usize = 4096;
/// Brotli keeps all that it has of a part until its end, so it gets long parts in pieces: with pieces of 64 KiB it takes 0.4 MiB more.
const BROTLI_PIECE: usize = 32 * 1024;
/// The tables of zstd, as powers of two: with its own ones for such a window an encoder takes 0.4 MiB more, for less than 1 %.
const ZSTD_TABLES: [CParameter; 2] = [CParameter::HashLog(16), CParameter::ChainLog(15)];

/// The most memory that an encoder takes, in bytes, as it was measured with a text of 4 MiB in parts of 8 KiB to 64 KiB: 1,307 KiB for
/// brotli, 1,323 KiB for zstd, 392 KiB for gzip. `docs/decisions/078` has the figures.
pub(super) const fn memory(coding: ContentCoding) -> u64 {
    match coding {
        ContentCoding::Zstd | ContentCoding::Brotli => 1344 * 1024,
        ContentCoding::Gzip => 400 * 1024,
    }
}

/// An encoder of one answer. Dropped before [`Self::finish`], it leaves an end that no decoder takes for one.
pub(super) enum Encoder {
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Gzip(GzEncoder<Vec<u8>>),
}

impl Encoder {
    /// For an answer of so many bytes, as far as that is known.
    ///
    /// # Errors
    /// There is no memory for it.
    pub(super) fn new(coding: ContentCoding, length: Option<u64>) -> io::Result<Self> {
        let window = window(length);
        Ok(match coding {
            ContentCoding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.set_parameter(CParameter::WindowLog(window))?;
                for table in ZSTD_TABLES {
                    encoder.set_parameter(table)?;
                }
                Self::Zstd(encoder)
            }
            ContentCoding::Brotli => {
                Self::Brotli(Box::new(CompressorWriter::new(Vec::new(), BROTLI_BUFFER, BROTLI_LEVEL, window)))
            }
            ContentCoding::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL))),
        })
    }

    /// All that comes of a part and of what came before it. A part has at least one byte.
    ///
    /// # Errors
    /// The encoder has failed.
    pub(super) fn encode(&mut self, part: &[u8]) -> io::Result<Bytes> {
        match self {
            Self::Zstd(encoder) => flush(encoder, part)?,
            Self::Brotli(encoder) => flush_in_pieces(encoder, part)?,
            Self::Gzip(encoder) => flush(encoder, part)?,
        }
        let encoded = match self {
            Self::Zstd(encoder) => encoder.get_mut(),
            Self::Brotli(encoder) => encoder.get_mut(),
            Self::Gzip(encoder) => encoder.get_mut(),
        };
        Ok(std::mem::take(encoded).into())
    }

    /// What comes of the last part, which may be empty, with the end.
    ///
    /// # Errors
    /// The encoder has failed.
    pub(super) fn finish(self, part: &[u8]) -> io::Result<Bytes> {
        let encoded = match self {
            Self::Zstd(mut encoder) => {
                encoder.write_all(part)?;
                encoder.finish()?
            }
            Self::Brotli(mut encoder) => {
                let whole = part.len() - part.len() % BROTLI_PIECE;
                flush_in_pieces(&mut *encoder, &part[..whole])?;
                encoder.write_all(&part[whole..])?;
                encoder.into_inner()
            }
            Self::Gzip(mut encoder) => {
                encoder.write_all(part)?;
                encoder.finish()?
            }
        };
        Ok(encoded.into())
    }
}

fn flush(encoder: &mut impl Write, part: &[u8]) -> io::Result<()> {
    encoder.write_all(part)?;
    encoder.flush()
}

fn flush_in_pieces(encoder: &mut impl Write, part: &[u8]) -> io::Result<()> {
    part.chunks(BROTLI_PIECE).try_for_each(|piece| flush(encoder, piece))
}

/// No larger than the answer needs.
fn window(length: Option<u64>) -> u32 {
    let needed = length.map_or(LARGEST_WINDOW, |length| u64::BITS - length.saturating_sub(1).leading_zeros());
    needed.clamp(LEAST_WINDOW, LARGEST_WINDOW)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// What a decoder has read once it has all of `encoded`, and whether that is a whole content.
    fn decoded(coding: ContentCoding, encoded: &[u8]) -> (Vec<u8>, bool) {
        let mut reader: Box<dyn io::Read + '_> = match coding {
            ContentCoding::Zstd => Box::new(zstd::stream::read::Decoder::new(encoded).unwrap()),
            ContentCoding::Brotli => Box::new(brotli::Decompressor::new(encoded, 4096)),
            ContentCoding::Gzip => Box::new(flate2::read::MultiGzDecoder::new(encoded)),
        };
        let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return (all, true),
                Ok(count) => all.extend_from_slice(&buffer[..count]),
                Err(_) => return (all, false),
            }
        }
    }

    #[test]
    fn each_part_can_be_decoded_before_the_next_one_is_there() {
        let mut random = fastrand::Rng::with_seed(7);
        for coding in ContentCoding::ALL {
            for (length, last) in [(None, 0), (Some(1), 3), (Some(70_000), 32_768), (Some(u64::MAX), 70_000)] {
                let last = vec![b'e'; last];
                let (mut encoder, mut plain, mut encoded) =
                    (Encoder::new(coding, length).unwrap(), Vec::new(), Vec::new());
                for size in [1, 2, 100, 65_536, 3, 1] {
                    let letters = "abcdefgh".as_bytes();
                    let part: Vec<u8> = (0..size).map(|_| *random.choice(letters).unwrap()).collect();
                    plain.extend_from_slice(&part);
                    let more = encoder.encode(&part).unwrap();
                    assert!(!more.is_empty(), "an empty part would end an answer");
                    encoded.extend_from_slice(&more);
                    let (read, is_whole) = decoded(coding, &encoded);
                    assert_eq!((read == plain, is_whole), (true, false), "{coding:?} {length:?} {size}");
                }
                encoded.extend_from_slice(&encoder.finish(&last).unwrap());
                plain.extend_from_slice(&last);
                assert_eq!(decoded(coding, &encoded), (plain.clone(), true), "{coding:?} {length:?}");
                assert!(encoded.len() < plain.len() / 2, "{coding:?}: {} of {}", encoded.len(), plain.len());
            }
        }
    }

    /// What the process has in memory, in bytes.
    fn resident() -> u64 {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
    }

    /// Each test is a process of its own.
    #[test]
    fn an_encoder_takes_as_much_memory_as_is_counted_for_it() {
        const ENCODERS: u64 = 16;
        let mut random = fastrand::Rng::with_seed(7);
        let part: Vec<u8> = (0..64 * 1024).map(|_| b'a' + random.u8(..20)).collect();
        for coding in ContentCoding::ALL {
            let before = resident();
            let encoders: Vec<_> = (0..ENCODERS)
                .map(|_| {
                    let mut encoder = Encoder::new(coding, None).unwrap();
                    (0..4).for_each(|_| drop(encoder.encode(&part).unwrap()));
                    encoder
                })
                .collect();
            let each = resident().saturating_sub(before) / ENCODERS;
            // What the process had before is used again, and the allocator keeps some.
            let (least, most) = (memory(coding) / 2, memory(coding) + memory(coding) / 8);
            assert!((least..=most).contains(&each), "{coding:?}: {each} bytes, {} are counted", memory(coding));
            drop(encoders);
        }
    }

    #[test]
    fn nothing_at_all_is_a_whole_content_too() {
        for coding in ContentCoding::ALL {
            let encoded = Encoder::new(coding, None).unwrap().finish(b"").unwrap();
            assert_eq!(decoded(coding, &encoded), (Vec::new(), true), "{coding:?}");
        }
    }

    #[test]
    fn a_window_is_as_large_as_the_answer_and_bounded() {
        for (length, expected) in [
            (None, 17),
            (Some(0), 10),
            (Some(1024), 10),
            (Some(1025), 11),
            (Some(65_536), 16),
            (Some(65_537), 17),
            (Some(1 << 19), 17),
            (Some(u64::MAX), 17),
        ] {
            assert_eq!(window(length), expected, "{length:?}");
        }
    }
}
