//! Frames.

use super::content::put_properties;
use super::wire::{self, Reader, Unreadable};
use crate::message::Properties;

/// Before the payload of a frame: its type, channel and length.
const HEAD: usize = 7;
const END: u8 = 0xce;
const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;
/// `basic`, the class of all contents.
const BASIC: u16 = 60;

/// One frame from the broker.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Method { channel: u16, class: u16, method: u16, arguments: Vec<u8> },
    Header { channel: u16, size: u64, properties: Vec<u8> },
    Body { channel: u16, bytes: Vec<u8> },
    Heartbeat,
}

/// What frames may have with their ends, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) frame: usize,
    /// Of a message's header. It may be larger than any other: a publisher may have been allowed larger frames, and a broker adds
    /// headers of its own where a publisher has filled a frame.
    pub(super) header: usize,
}

/// The first frame of `bytes`, and how many of them it has; `None`: it is not whole yet.
pub(super) fn next(bytes: &[u8], limits: Limits) -> Result<Option<(Frame, usize)>, Unreadable> {
    if bytes.len() < HEAD {
        return Ok(None);
    }
    let mut reader = Reader(bytes);
    let (kind, channel) = (reader.u8()?, reader.u16()?);
    let length = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
    let largest = if kind == HEADER { limits.header } else { limits.frame };
    let Some(whole) = length.checked_add(HEAD + 1).filter(|whole| *whole <= largest) else {
        return Err(Unreadable("a frame is larger than what was agreed"));
    };
    if bytes.len() < whole {
        return Ok(None);
    }
    let mut payload = Reader(reader.take(length)?);
    if reader.u8()? != END {
        return Err(Unreadable("a frame does not end where it should"));
    }
    let frame = match kind {
        METHOD => {
            let (class, method) = (payload.u16()?, payload.u16()?);
            Frame::Method { channel, class, method, arguments: payload.0.to_vec() }
        }
        HEADER => {
            let (_class, _weight, size) = (payload.u16()?, payload.u16()?, payload.u64()?);
            Frame::Header { channel, size, properties: payload.0.to_vec() }
        }
        BODY => Frame::Body { channel, bytes: payload.0.to_vec() },
        HEARTBEAT => Frame::Heartbeat,
        _ => return Err(Unreadable("a frame is of an unknown type")),
    };
    Ok(Some((frame, whole)))
}

fn put(to: &mut Vec<u8>, kind: u8, channel: u16, payload: &[u8]) {
    to.push(kind);
    to.extend(channel.to_be_bytes());
    wire::put_long(to, payload);
    to.push(END);
}

pub(super) fn put_heartbeat(to: &mut Vec<u8>) {
    put(to, HEARTBEAT, 0, &[]);
}

/// `payload` begins with class and method.
pub(super) fn put_method(to: &mut Vec<u8>, channel: u16, payload: &[u8]) {
    put(to, METHOD, channel, payload);
}

/// What follows a `basic.publish`.
pub(super) fn put_content(to: &mut Vec<u8>, channel: u16, properties: &Properties, body: &[u8], largest: usize) {
    let mut header = Vec::new();
    header.extend(BASIC.to_be_bytes());
    header.extend(0_u16.to_be_bytes());
    header.extend((body.len() as u64).to_be_bytes());
    put_properties(&mut header, properties);
    put(to, HEADER, channel, &header);
    for part in body.chunks(largest.saturating_sub(HEAD + 1).max(1)) {
        put(to, BODY, channel, part);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::amqp::content::{Content, properties};
    use crate::message::Value;

    const LARGEST: usize = 4096;
    const LIMITS: Limits = Limits { frame: LARGEST, header: 8192 };

    fn frames(mut bytes: &[u8]) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some((frame, count)) = next(bytes, LIMITS).unwrap() {
            frames.push(frame);
            bytes = &bytes[count..];
        }
        assert!(bytes.is_empty());
        frames
    }

    fn everything() -> Properties {
        Properties {
            content_type: Some("application/json".into()),
            content_encoding: Some("identity".into()),
            headers: BTreeMap::from([("furt-seq".into(), Value::Integer(7)), ("function".into(), "beat".into())]),
            is_persistent: true,
            priority: Some(0),
            expires: Some(Duration::from_secs(5)),
            timestamp: Some(1_795_818_211),
            kind: Some("heartbeat".into()),
            app_id: Some("legion".into()),
            user_id: Some("guest".into()),
        }
    }

    #[test]
    fn a_content_is_read_as_it_was_written_over_as_many_frames_as_it_takes() {
        for (properties, length) in [(Properties::default(), 0), (everything(), 1), (everything(), 10_000)] {
            let body: Vec<u8> = (0..length).map(|at: u32| at.to_be_bytes()[3]).collect();
            let mut bytes = Vec::new();
            put_content(&mut bytes, 3, &properties, &body, LARGEST);
            let mut frames = frames(&bytes).into_iter();
            let Some(Frame::Header { channel: 3, size, properties: written }) = frames.next() else { panic!() };
            let mut content = Content::new(size, written);
            for frame in frames {
                let Frame::Body { channel: 3, bytes } = frame else { panic!() };
                assert!(!content.is_whole() && bytes.len() <= LARGEST - 8);
                content.append(&bytes).unwrap();
            }
            assert!(content.is_whole() && !content.is_too_large());
            assert!(content.append(b"x").is_err());
            let (Ok(read), read_body) = Content::into_parts(content) else { panic!() };
            assert_eq!((read, read_body == body), (properties, true));
        }
    }

    #[test]
    fn a_frame_waits_until_it_is_whole_and_a_bent_one_is_an_error() {
        let mut bytes = Vec::new();
        put_method(&mut bytes, 1, &[0, 60, 0, 60, 9]);
        put_heartbeat(&mut bytes);
        let method = Frame::Method { channel: 1, class: 60, method: 60, arguments: vec![9] };
        for end in 0..13 {
            assert_eq!(next(&bytes[..end], LIMITS), Ok(None));
        }
        assert_eq!(frames(&bytes), [method, Frame::Heartbeat]);
        bytes[12] = 0;
        assert!(next(&bytes, LIMITS).is_err());
        assert!(next(&[1, 0, 0, 0xff, 0xff, 0xff, 0xff], LIMITS).is_err());
        assert!(next(&[1, 0, 0, 0, 0, 0x10, 0], LIMITS).is_err(), "with its ends it is larger than agreed");
        assert_eq!(next(&[2, 0, 0, 0, 0, 0x10, 0], LIMITS), Ok(None), "a header may be larger");
        assert!(next(&[2, 0, 0, 0, 0, 0x20, 0], LIMITS).is_err());
        assert!(next(&[9, 0, 0, 0, 0, 0, 0, END], LIMITS).is_err());
        assert!(next(&[1, 0, 0, 0, 0, 0, 1, 0, END], LIMITS).is_err(), "a method has four bytes");
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..20_000 {
            let length = random.usize(..200);
            let mut bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
            let _ = next(&bytes, LIMITS);
            let _ = properties(&bytes);
            if bytes.len() > 8 {
                bytes[0] = [METHOD, HEADER, BODY][random.usize(..3)];
                let inner = u32::try_from(bytes.len() - 8).unwrap();
                bytes[3..7].copy_from_slice(&inner.to_be_bytes());
                *bytes.last_mut().unwrap() = END;
                let _ = next(&bytes, LIMITS);
            }
        }
    }
}
