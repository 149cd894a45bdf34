//! What is sent and what arrives. Bodies are bytes that nobody here looks into.

use std::collections::BTreeMap;
use std::time::Duration;

/// What a body may have: both what is sent and what is accepted. A message of a cluster has no more.
pub const LARGEST_BODY: usize = 128 << 10;
/// What names and headers of one message may have together, far below a frame of AMQP.
pub const LARGEST_HEADERS: usize = 16 << 10;
/// Headers of one message. A few more are read, which brokers add.
pub const MOST_HEADERS: usize = 64;
/// What a name may have by AMQP: its length is one byte.
pub const LONGEST_NAME: usize = 255;

/// The value of a header.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text.
    Text(String),
    /// Text that is no UTF-8, or a byte array.
    Bytes(Vec<u8>),
    /// Any of the protocol's whole numbers.
    Integer(i64),
    /// A truth value.
    Boolean(bool),
    /// What furt neither sends nor reads: floats, decimals, times, arrays, tables. Those within are not looked at.
    Other,
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Value {
    /// The text; `None` where it is none.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Bytes(_) | Self::Integer(_) | Self::Boolean(_) | Self::Other => None,
        }
    }
}

/// What a message says of itself, beside its body.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Properties {
    /// Such as `application/json`.
    pub content_type: Option<String>,
    /// Such as `identity`.
    pub content_encoding: Option<String>,
    /// In the order of their names.
    pub headers: BTreeMap<String, Value>,
    /// Whether a durable queue keeps it while the broker restarts.
    pub is_persistent: bool,
    /// From 0 to 9.
    pub priority: Option<u8>,
    /// When a queue drops it, counted from its arrival there; whole milliseconds.
    pub expires: Option<Duration>,
    /// The time of day in s since the Unix epoch, by the sender's clock.
    pub timestamp: Option<u64>,
    /// AMQP's `type`.
    pub kind: Option<String>,
    /// The program that sent it, by its own word.
    pub app_id: Option<String>,
    /// The broker's user that sent it. The broker refuses a message with another.
    pub user_id: Option<String>,
}

/// A message to be sent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outgoing {
    /// The routing key.
    pub key: String,
    /// Whether a message that no queue takes is an outcome of its own.
    pub is_mandatory: bool,
    /// Beside the body.
    pub properties: Properties,
    /// At most [`LARGEST_BODY`].
    pub body: Vec<u8>,
}

/// Names a message that was given to a bus; its [`Outcome`] has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Why a message was not even taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Its body.
    #[error("the message has {bytes} bytes, and at most {LARGEST_BODY} are sent")]
    TooLarge {
        /// Those of the body.
        bytes: usize,
    },
    /// Its headers and names.
    #[error("the message has {bytes} bytes of headers, and at most {LARGEST_HEADERS} are sent")]
    HeadersTooLarge {
        /// Those of all names and headers.
        bytes: usize,
    },
    /// More than [`MOST_HEADERS`].
    #[error("the message has {count} headers, and at most {MOST_HEADERS} are sent")]
    TooManyHeaders {
        /// So many.
        count: usize,
    },
    /// A routing key, the name of a header or a property.
    #[error("\"{name}\" is too long for a name: at most {LONGEST_NAME} bytes")]
    NameTooLong {
        /// Its beginning.
        name: String,
    },
    /// A broker counts milliseconds in four bytes.
    #[error("the message expires after {0:?}, and 49 days are the most that a broker takes")]
    ExpiresTooLate(Duration),
    /// There is no connection. Nothing is kept for later: an old message would mislead.
    #[error("there is no connection to the broker")]
    Down,
    /// So many messages wait for their outcome.
    #[error("{MOST_IN_FLIGHT} messages wait for the broker already")]
    Full,
}

/// Messages that may wait for their outcome, or with an outcome that nobody took yet: 32 MiB of bodies.
pub const MOST_IN_FLIGHT: usize = 256;

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The broker answers for it: each queue that its key leads to has it. Where it was not mandatory there may be none.
    Taken,
    /// Its key leads to no queue, and it was mandatory.
    Unroutable,
    /// The broker did not let it in, or a queue was full. Other queues may have it.
    Refused(String),
    /// The connection was lost before it was sent.
    NotSent,
    /// The connection was lost, or nothing was heard, after it was sent: nobody knows.
    Unknown,
}

/// Names a delivery to its bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Receipt {
    /// The connection, which alone knows the tag.
    pub(crate) session: u64,
    /// A tag is one of its channel.
    pub(crate) channel: u16,
    pub(crate) tag: u64,
}

/// A message that arrived. It stays with its queue until it is acknowledged.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// The queue that had it.
    pub queue: String,
    /// The key that it was sent with.
    pub key: String,
    /// Whether somebody may have had it before.
    pub is_redelivered: bool,
    /// Beside the body.
    pub properties: Properties,
    /// As it was sent, byte for byte.
    pub body: Vec<u8>,
    /// For [`crate::Bus::ack`].
    pub receipt: Receipt,
}

/// A message in a log that is read.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The log's name.
    pub log: String,
    /// Its place, which grows with each entry. Brokers pass over a number now and then.
    pub offset: u64,
    /// As everybody reads it, or why nobody does. Its `queue` is the log. It needs no acknowledgement.
    pub message: Result<Delivery, Discard>,
    pub(crate) receipt: Receipt,
}

/// Why a reading of a log is over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadingEnd {
    /// The log has outgrown its room, and so what was to be read next is gone.
    #[error("the log has nothing left before its entry {first}")]
    Trimmed {
        /// The first entry that is left.
        first: u64,
    },
    /// The connection, the broker or the log; in words.
    #[error("{0}")]
    Failed(String),
}

/// Why a message that arrived was thrown away unread. It is not delivered again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Discard {
    /// Its body.
    #[error("its body has {0} bytes, more than {LARGEST_BODY}")]
    TooLarge(u64),
    /// Its names or headers.
    #[error("its header cannot be read: {0}")]
    Unreadable(&'static str),
}

impl Outgoing {
    /// # Errors
    /// It is larger than what is sent.
    pub fn check(&self) -> Result<(), PublishError> {
        if self.body.len() > LARGEST_BODY {
            return Err(PublishError::TooLarge { bytes: self.body.len() });
        }
        let Properties { headers, content_type, content_encoding, kind, app_id, user_id, .. } = &self.properties;
        if headers.len() > MOST_HEADERS {
            return Err(PublishError::TooManyHeaders { count: headers.len() });
        }
        if let Some(expires) = self.properties.expires.filter(|expires| expires.as_millis() > u32::MAX.into()) {
            return Err(PublishError::ExpiresTooLate(expires));
        }
        let properties = [content_type, content_encoding, kind, app_id, user_id].into_iter().flatten();
        let names = || properties.clone().chain(headers.keys()).chain([&self.key]);
        if let Some(name) = names().find(|name| name.len() > LONGEST_NAME) {
            return Err(PublishError::NameTooLong { name: name.chars().take(40).collect() });
        }
        let values = headers.values().map(|value| match value {
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            Value::Integer(_) | Value::Boolean(_) | Value::Other => 8,
        });
        let bytes = names().map(String::len).chain(values).sum();
        if bytes > LARGEST_HEADERS {
            return Err(PublishError::HeadersTooLarge { bytes });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_header(name: &str, value: Value) -> Outgoing {
        let headers = BTreeMap::from([(name.to_owned(), value)]);
        Outgoing { properties: Properties { headers, ..Properties::default() }, ..Outgoing::default() }
    }

    #[test]
    fn what_is_too_large_is_refused_and_what_just_fits_is_not() {
        let body = |bytes| Outgoing { body: vec![0; bytes], ..Outgoing::default() };
        assert_eq!(body(LARGEST_BODY).check(), Ok(()));
        assert_eq!(body(LARGEST_BODY + 1).check(), Err(PublishError::TooLarge { bytes: LARGEST_BODY + 1 }));
        let key = |bytes| Outgoing { key: "k".repeat(bytes), ..Outgoing::default() };
        assert_eq!(key(LONGEST_NAME).check(), Ok(()));
        assert!(matches!(key(LONGEST_NAME + 1).check(), Err(PublishError::NameTooLong { .. })));
        assert!(matches!(with_header(&"n".repeat(256), Value::Other).check(), Err(PublishError::NameTooLong { .. })));
        assert_eq!(with_header("n", Value::Bytes(vec![0; LARGEST_HEADERS - 1])).check(), Ok(()));
        let mut late = Outgoing::default();
        late.properties.expires = Some(Duration::from_millis(u32::MAX.into()));
        assert_eq!(late.check(), Ok(()));
        late.properties.expires = Some(Duration::from_millis(1 << 32));
        assert!(matches!(late.check(), Err(PublishError::ExpiresTooLate(_))));
        let bytes = LARGEST_HEADERS + 1;
        let large = with_header("n", Value::Text("x".repeat(LARGEST_HEADERS)));
        assert_eq!(large.check(), Err(PublishError::HeadersTooLarge { bytes }));
        let mut many = Outgoing::default();
        many.properties.headers = (0..=MOST_HEADERS).map(|number| (number.to_string(), Value::Other)).collect();
        assert_eq!(many.check(), Err(PublishError::TooManyHeaders { count: MOST_HEADERS + 1 }));
    }
}
