//! The methods that are spoken: what furt says as bytes, what the broker says as [`Said`].

use super::wire::{self, Reader, Unreadable};
use crate::message::Value;

/// Where a consumer of a stream begins, and the header in which the broker says where an entry is.
pub(super) const OFFSET: &str = "x-stream-offset";
pub(super) const PROTOCOL: &[u8; 8] = b"AMQP\0\0\x09\x01";

/// What the broker says.
#[derive(Debug, PartialEq)]
pub(super) enum Said {
    Start {
        mechanisms: Vec<u8>,
    },
    Tune {
        channels: u16,
        frame: u32,
        heartbeat: u16,
    },
    OpenOk,
    /// It ends the connection, or the channel.
    Closed {
        code: u16,
        text: String,
    },
    CloseOk,
    /// It holds what is published back, for want of memory or disk.
    Blocked(String),
    Unblocked,
    ChannelOpenOk,
    /// The answer to a declaration, a binding, a consumer and so on; `name` where it gives one.
    Done {
        class: u16,
        method: u16,
        name: Option<String>,
    },
    Deliver {
        tag: u64,
        consumer: String,
        is_redelivered: bool,
        key: Result<String, Unreadable>,
    },
    Return {
        code: u16,
        key: Result<String, Unreadable>,
    },
    Ack {
        tag: u64,
        is_multiple: bool,
    },
    Nack {
        tag: u64,
        is_multiple: bool,
    },
    /// A queue that is consumed from is gone.
    Cancelled {
        consumer: String,
    },
}

/// # Errors
/// It is none that furt knows, or cannot be read.
pub(super) fn read(class: u16, method: u16, arguments: &[u8]) -> Result<Said, Unreadable> {
    let mut reader = Reader(arguments);
    Ok(match (class, method) {
        (10, 10) => {
            reader.take(2)?;
            reader.long()?;
            Said::Start { mechanisms: reader.long()?.to_vec() }
        }
        (10, 30) => Said::Tune { channels: reader.u16()?, frame: reader.u32()?, heartbeat: reader.u16()? },
        (10, 41) => Said::OpenOk,
        (10, 50) | (20, 40) => {
            let code = reader.u16()?;
            // What it says of a stranger's key has the stranger's bytes.
            let length = reader.u8()?;
            Said::Closed { code, text: printable(reader.take(length.into())?) }
        }
        (10, 51) | (20, 41) => Said::CloseOk,
        (10, 60) => {
            let length = reader.u8()?;
            Said::Blocked(printable(reader.take(length.into())?))
        }
        (10, 61) => Said::Unblocked,
        (20, 11) => Said::ChannelOpenOk,
        (40, 11) | (50, 21 | 51) | (60, 11) | (85, 11) => Said::Done { class, method, name: None },
        (50, 11) | (60, 21) => Said::Done { class, method, name: Some(reader.name()?) },
        (60, 30) => Said::Cancelled { consumer: reader.name()? },
        (60, 50) => {
            let code = reader.u16()?;
            let length = reader.u8()?;
            reader.take(length.into())?;
            let length = reader.u8()?;
            reader.take(length.into())?;
            Said::Return { code, key: reader.name() }
        }
        (60, 60) => {
            let consumer = reader.name()?;
            let (tag, is_redelivered) = (reader.u64()?, reader.u8()? & 1 != 0);
            let length = reader.u8()?;
            reader.take(length.into())?;
            Said::Deliver { tag, consumer, is_redelivered, key: reader.name() }
        }
        (60, 80) => Said::Ack { tag: reader.u64()?, is_multiple: reader.u8()? & 1 != 0 },
        (60, 120) => Said::Nack { tag: reader.u64()?, is_multiple: reader.u8()? & 1 != 0 },
        _ => return Err(Unreadable("a method is none that was asked for")),
    })
}

/// Text for a log: no control character breaks its line.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

fn method(class: u16, method: u16) -> Vec<u8> {
    [class.to_be_bytes(), method.to_be_bytes()].concat()
}

/// A method, then a reserved number and names.
fn named(class: u16, number: u16, names: &[&str]) -> Vec<u8> {
    let mut bytes = method(class, number);
    bytes.extend([0, 0]);
    for name in names {
        wire::put_name(&mut bytes, name);
    }
    bytes
}

/// What a client says it can, of which RabbitMQ makes use.
const CAPABILITIES: [&str; 5] = [
    "publisher_confirms",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "authentication_failure_close",
];

/// `name` is for the broker's list of connections.
pub(super) fn start_ok(user: &str, password: &str, name: &str) -> Vec<u8> {
    let mut bytes = method(10, 11);
    let mut capabilities = Vec::new();
    let yes = Value::Boolean(true);
    wire::put_table(&mut capabilities, CAPABILITIES.map(|name| (name, &yes)));
    let mut properties = Vec::new();
    for (key, value) in [("product", "furt"), ("platform", "Rust"), ("connection_name", name)] {
        wire::put_name(&mut properties, key);
        properties.push(b'S');
        wire::put_long(&mut properties, value.as_bytes());
    }
    wire::put_name(&mut properties, "capabilities");
    properties.push(b'F');
    properties.extend(capabilities);
    wire::put_long(&mut bytes, &properties);
    wire::put_name(&mut bytes, "PLAIN");
    wire::put_long(&mut bytes, format!("\0{user}\0{password}").as_bytes());
    wire::put_name(&mut bytes, "en_US");
    bytes
}

pub(super) fn tune_ok(channels: u16, frame: u32, heartbeat: u16) -> Vec<u8> {
    let mut bytes = method(10, 31);
    bytes.extend(channels.to_be_bytes());
    bytes.extend(frame.to_be_bytes());
    bytes.extend(heartbeat.to_be_bytes());
    bytes
}

pub(super) fn open(vhost: &str) -> Vec<u8> {
    let mut bytes = method(10, 40);
    wire::put_name(&mut bytes, vhost);
    bytes.extend([0, 0]);
    bytes
}

pub(super) fn close() -> Vec<u8> {
    let mut bytes = method(10, 50);
    bytes.extend(200_u16.to_be_bytes());
    wire::put_name(&mut bytes, "leaving");
    bytes.extend([0; 4]);
    bytes
}

pub(super) fn close_ok() -> Vec<u8> {
    method(10, 51)
}

pub(super) fn channel_open() -> Vec<u8> {
    let mut bytes = method(20, 10);
    bytes.push(0);
    bytes
}

pub(super) fn channel_close() -> Vec<u8> {
    let mut bytes = method(20, 40);
    bytes.extend(200_u16.to_be_bytes());
    wire::put_name(&mut bytes, "read");
    bytes.extend([0; 4]);
    bytes
}

pub(super) fn channel_close_ok() -> Vec<u8> {
    method(20, 41)
}

/// Whether something is declared or only looked for, which takes no right to make it.
#[derive(Clone, Copy)]
pub(super) enum Mode {
    Make = 0,
    Find = 1,
}

/// A durable exchange of topics.
pub(super) fn exchange_declare(exchange: &str, mode: Mode) -> Vec<u8> {
    let mut bytes = named(40, 10, &[exchange, "topic"]);
    bytes.push(0b10 | mode as u8);
    wire::put_table(&mut bytes, []);
    bytes
}

/// How long a queue lives.
pub(super) enum Life {
    /// As long as the broker.
    Durable,
    /// As long as this connection, which alone may read from it.
    Exclusive,
}

pub(super) fn queue_declare(queue: &str, life: Life, mode: Mode, arguments: &[(&str, Value)]) -> Vec<u8> {
    let mut bytes = named(50, 10, &[queue]);
    let life = match life {
        Life::Durable => 0b10,
        Life::Exclusive => 0b1100,
    };
    bytes.push(life | mode as u8);
    wire::put_table(&mut bytes, arguments.iter().map(|(name, value)| (*name, value)));
    bytes
}

pub(super) fn queue_bind(queue: &str, exchange: &str, key: &str) -> Vec<u8> {
    let mut bytes = named(50, 20, &[queue, exchange, key]);
    bytes.push(0);
    wire::put_table(&mut bytes, []);
    bytes
}

pub(super) fn queue_unbind(queue: &str, exchange: &str, key: &str) -> Vec<u8> {
    let mut bytes = named(50, 50, &[queue, exchange, key]);
    wire::put_table(&mut bytes, []);
    bytes
}

/// Each consumer has at most so many unacknowledged.
pub(super) fn prefetch(count: u16) -> Vec<u8> {
    let mut bytes = method(60, 10);
    bytes.extend([0; 4]);
    bytes.extend(count.to_be_bytes());
    bytes.push(0);
    bytes
}

/// The consumer is called as its queue.
pub(super) fn consume(queue: &str) -> Vec<u8> {
    consume_with(queue, None)
}

/// Entries of a stream from that offset on.
pub(super) fn consume_from(stream: &str, offset: u64) -> Vec<u8> {
    let offset = Value::Integer(i64::try_from(offset).unwrap_or(i64::MAX));
    consume_with(stream, Some((OFFSET, &offset)))
}

fn consume_with(queue: &str, argument: Option<(&str, &Value)>) -> Vec<u8> {
    let mut bytes = named(60, 20, &[queue, queue]);
    bytes.push(0);
    wire::put_table(&mut bytes, argument);
    bytes
}

pub(super) fn confirm_select() -> Vec<u8> {
    let mut bytes = method(85, 10);
    bytes.push(0);
    bytes
}

pub(super) fn publish(exchange: &str, key: &str, is_mandatory: bool) -> Vec<u8> {
    let mut bytes = named(60, 40, &[exchange, key]);
    bytes.push(u8::from(is_mandatory));
    bytes
}

pub(super) fn ack(tag: u64) -> Vec<u8> {
    let mut bytes = method(60, 80);
    bytes.extend(tag.to_be_bytes());
    bytes.push(0);
    bytes
}

/// It is not delivered again.
pub(super) fn reject(tag: u64) -> Vec<u8> {
    let mut bytes = method(60, 90);
    bytes.extend(tag.to_be_bytes());
    bytes.push(0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_broker_says_is_read() {
        assert_eq!(
            read(10, 30, &[0, 9, 0, 2, 0, 0, 0, 60]),
            Ok(Said::Tune { channels: 9, frame: 131_072, heartbeat: 60 })
        );
        let closed = Said::Closed { code: 405, text: "LOCKED \u{fffd} ".into() };
        assert_eq!(read(20, 40, b"\x01\x95\x09LOCKED \xff\n\0\0\0\0"), Ok(closed));
        let deliver = |key| Said::Deliver { tag: 7, consumer: "q".into(), is_redelivered: true, key };
        assert_eq!(read(60, 60, b"\x01q\0\0\0\0\0\0\0\x07\x01\x01e\x01k"), Ok(deliver(Ok("k".into()))));
        let strange = Err(Unreadable("a name is no UTF-8"));
        assert_eq!(read(60, 60, b"\x01q\0\0\0\0\0\0\0\x07\x01\x01e\x01\xff"), Ok(deliver(strange)));
        assert_eq!(read(60, 80, &[0, 0, 0, 0, 0, 0, 0, 3, 1]), Ok(Said::Ack { tag: 3, is_multiple: true }));
        assert_eq!(
            read(60, 50, b"\x01\x38\x08NO_ROUTE\x01e\x01k"),
            Ok(Said::Return { code: 312, key: Ok("k".into()) })
        );
        assert!(read(60, 71, &[]).is_err());
    }

    #[test]
    fn nothing_that_is_cut_is_read_and_nothing_makes_it_panic() {
        let mut random = fastrand::Rng::with_seed(2);
        for class in [10, 20, 40, 50, 60, 85] {
            for number in 0..=120 {
                for _ in 0..50 {
                    let length = random.usize(..40);
                    let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
                    let _ = read(class, number, &bytes);
                }
            }
        }
        assert!(read(60, 60, b"\x01q\0\0\0\0\0\0\0").is_err());
    }
}
