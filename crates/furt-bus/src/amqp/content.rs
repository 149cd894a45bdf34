//! What a message has beside its key: properties, and a body over several frames.

use std::collections::BTreeMap;

use super::method;
use super::wire::{self, Reader, Unreadable};
use crate::message::{LARGEST_BODY, LARGEST_HEADERS, Properties, Value};

/// The bits of the properties, from the highest.
mod flag {
    pub(super) const CONTENT_TYPE: u16 = 1 << 15;
    pub(super) const CONTENT_ENCODING: u16 = 1 << 14;
    pub(super) const HEADERS: u16 = 1 << 13;
    pub(super) const DELIVERY_MODE: u16 = 1 << 12;
    pub(super) const PRIORITY: u16 = 1 << 11;
    pub(super) const CORRELATION_ID: u16 = 1 << 10;
    pub(super) const REPLY_TO: u16 = 1 << 9;
    pub(super) const EXPIRATION: u16 = 1 << 8;
    pub(super) const MESSAGE_ID: u16 = 1 << 7;
    pub(super) const TIMESTAMP: u16 = 1 << 6;
    pub(super) const TYPE: u16 = 1 << 5;
    pub(super) const USER_ID: u16 = 1 << 4;
    pub(super) const APP_ID: u16 = 1 << 3;
}

const PERSISTENT: u8 = 2;
const TRANSIENT: u8 = 1;

pub(super) fn put_properties(to: &mut Vec<u8>, properties: &Properties) {
    let Properties {
        content_type,
        content_encoding,
        headers,
        is_persistent,
        priority,
        expires,
        timestamp,
        kind,
        app_id,
        user_id,
    } = properties;
    let mut flags = flag::DELIVERY_MODE;
    let mut values = Vec::new();
    let name = |flags: &mut u16, values: &mut Vec<u8>, flag, value: Option<&str>| {
        if let Some(value) = value {
            *flags |= flag;
            wire::put_name(values, value);
        }
    };
    name(&mut flags, &mut values, flag::CONTENT_TYPE, content_type.as_deref());
    name(&mut flags, &mut values, flag::CONTENT_ENCODING, content_encoding.as_deref());
    if !headers.is_empty() {
        flags |= flag::HEADERS;
        wire::put_table(&mut values, headers.iter().map(|(name, value)| (&**name, value)));
    }
    values.push(if *is_persistent { PERSISTENT } else { TRANSIENT });
    if let Some(priority) = priority {
        flags |= flag::PRIORITY;
        values.push(*priority);
    }
    let expires = expires.map(|expires| expires.as_millis().to_string());
    name(&mut flags, &mut values, flag::EXPIRATION, expires.as_deref());
    if let Some(timestamp) = timestamp {
        flags |= flag::TIMESTAMP;
        values.extend(timestamp.to_be_bytes());
    }
    name(&mut flags, &mut values, flag::TYPE, kind.as_deref());
    name(&mut flags, &mut values, flag::USER_ID, user_id.as_deref());
    name(&mut flags, &mut values, flag::APP_ID, app_id.as_deref());
    to.extend(flags.to_be_bytes());
    to.extend(values);
}

pub(super) fn properties(bytes: &[u8]) -> Result<Properties, Unreadable> {
    let mut reader = Reader(bytes);
    let flags = reader.u16()?;
    let has = |flag| flags & flag != 0;
    let name = |reader: &mut Reader<'_>, flag| if has(flag) { reader.name().map(Some) } else { Ok(None) };
    let content_type = name(&mut reader, flag::CONTENT_TYPE)?;
    let content_encoding = name(&mut reader, flag::CONTENT_ENCODING)?;
    let headers: BTreeMap<String, Value> = if has(flag::HEADERS) { reader.table()? } else { BTreeMap::new() };
    let is_persistent = has(flag::DELIVERY_MODE) && reader.u8()? == PERSISTENT;
    let priority = if has(flag::PRIORITY) { Some(reader.u8()?) } else { None };
    name(&mut reader, flag::CORRELATION_ID)?;
    name(&mut reader, flag::REPLY_TO)?;
    let expires = name(&mut reader, flag::EXPIRATION)?;
    name(&mut reader, flag::MESSAGE_ID)?;
    let timestamp = if has(flag::TIMESTAMP) { Some(reader.u64()?) } else { None };
    let kind = name(&mut reader, flag::TYPE)?;
    let user_id = name(&mut reader, flag::USER_ID)?;
    let app_id = name(&mut reader, flag::APP_ID)?;
    // The broker has refused what is no number.
    let expires = expires.and_then(|expires| expires.parse().ok()).map(std::time::Duration::from_millis);
    Ok(Properties {
        content_type,
        content_encoding,
        headers,
        is_persistent,
        priority,
        expires,
        timestamp,
        kind,
        app_id,
        user_id,
    })
}

/// What properties of a message may have that is read: all that may be sent, the protocol's bytes about each, and what brokers add.
const MOST_PROPERTIES: usize = LARGEST_HEADERS + (4 << 10);

/// Puts the frames of one content together. What is too large is passed over without being kept.
#[derive(Debug)]
pub(super) struct Content {
    /// `None`: too large.
    properties: Option<Vec<u8>>,
    offset: Option<u64>,
    size: u64,
    seen: u64,
    body: Vec<u8>,
}

impl Content {
    pub(super) fn new(size: u64, properties: Vec<u8>) -> Self {
        let offset = offset(&properties);
        let properties = Some(properties).filter(|properties| properties.len() <= MOST_PROPERTIES);
        Self { properties, offset, size, seen: 0, body: Vec::new() }
    }

    /// # Errors
    /// There is more than was said.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), Unreadable> {
        self.seen = self.seen.saturating_add(bytes.len() as u64);
        if self.seen > self.size {
            return Err(Unreadable("a body is longer than was said"));
        }
        if !self.is_too_large() {
            self.body.extend(bytes);
        }
        Ok(())
    }

    pub(super) fn is_whole(&self) -> bool {
        self.seen == self.size
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn kept_bytes(&self) -> usize {
        self.properties.as_ref().map_or(0, Vec::capacity) + self.body.capacity()
    }

    pub(super) fn is_too_large(&self) -> bool {
        self.size > LARGEST_BODY as u64
    }

    /// Where the broker says that it is in a stream, even where the rest of its header cannot be read.
    pub(super) fn offset(&self) -> Option<u64> {
        self.offset
    }

    pub(super) fn into_parts(self) -> (Result<Properties, Unreadable>, Vec<u8>) {
        let read = self.properties.as_deref().map_or(Err(Unreadable("it is larger than what is read")), properties);
        (read, self.body)
    }
}

fn offset(properties: &[u8]) -> Option<u64> {
    let mut reader = Reader(properties);
    let flags = reader.u16().ok()?;
    for flag in [flag::CONTENT_TYPE, flag::CONTENT_ENCODING] {
        if flags & flag != 0 {
            let length = reader.u8().ok()?;
            reader.take(length.into()).ok()?;
        }
    }
    let offset = if flags & flag::HEADERS == 0 { None } else { reader.integer(method::OFFSET) };
    u64::try_from(offset?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_too_large_is_not_kept() {
        let mut content = Content::new(LARGEST_BODY as u64 + 1, vec![0, 0]);
        while !content.is_whole() {
            content.append(&[0]).unwrap();
        }
        assert!(content.is_too_large() && content.into_parts().1.is_empty());
    }

    #[test]
    fn an_offset_is_found_beside_names_that_cannot_be_read() {
        let table = b"\x01\xffV\x0fx-stream-offsetl\0\0\0\0\0\0\0\x09";
        let mut bytes = (flag::CONTENT_TYPE | flag::HEADERS).to_be_bytes().to_vec();
        bytes.extend(b"\x01\xff");
        wire::put_long(&mut bytes, table);
        let content = Content::new(0, bytes);
        assert_eq!(content.offset(), Some(9));
        assert!(content.into_parts().0.is_err());
        assert_eq!(Content::new(0, vec![0, 0]).offset(), None);
    }

    #[test]
    fn a_header_that_is_too_large_is_not_kept_and_its_offset_is_known() {
        for (fill, is_read) in [(LARGEST_HEADERS, true), (MOST_PROPERTIES, false)] {
            let (long, offset) = (Value::Bytes(vec![7; fill]), Value::Integer(9));
            let mut bytes = flag::HEADERS.to_be_bytes().to_vec();
            wire::put_table(&mut bytes, [("a", &long), (method::OFFSET, &offset)]);
            let content = Content::new(0, bytes);
            assert_eq!((content.offset(), content.properties.is_some()), (Some(9), is_read));
            assert_eq!(content.into_parts().0.is_ok(), is_read);
        }
    }

    #[test]
    fn what_others_set_beside_is_passed_over() {
        let flags = flag::CORRELATION_ID | flag::REPLY_TO | flag::MESSAGE_ID | flag::APP_ID | flag::EXPIRATION;
        let mut bytes = flags.to_be_bytes().to_vec();
        for name in ["correlation", "reply", "5000", "id", "legion"] {
            wire::put_name(&mut bytes, name);
        }
        let read = properties(&bytes).unwrap();
        assert_eq!((read.app_id.as_deref(), read.expires), (Some("legion"), Some(std::time::Duration::from_secs(5))));
        for end in 0..bytes.len() {
            assert!(properties(&bytes[..end]).is_err());
        }
    }
}
