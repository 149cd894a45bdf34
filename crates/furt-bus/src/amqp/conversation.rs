//! One connection over whatever stream there is, from the greeting to its end, and the frames of a content in both directions.
//!
//! The fuzz targets hold what brokers and publishers send against it. No gateway comes here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::AmqpBus;
use super::connection::{Connection, FIRST_LARGEST};
use super::content::Content;
use super::declaring;
use super::frame::{self, Frame, Limits};
use super::method::PROTOCOL;
use super::options::Options;
use super::session::{Ended, Session};
use crate::inbox::Inbox;
use crate::message::Properties;

/// How a conversation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// In words; `None`: the node left.
    pub why: Option<String>,
    /// What was kept of frames and messages that were not whole, in bytes.
    pub kept_bytes: usize,
}

/// A bus over one connection, and that connection's life. No other one follows.
pub fn converse(
    options: Options,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> (AmqpBus, impl Future<Output = Ending>) {
    let inbox = Arc::new(Inbox::default());
    let (commands, mut receiver) = mpsc::unbounded_channel();
    let bus = AmqpBus { inbox: Arc::clone(&inbox), commands };
    let life = async move {
        let connection = Connection::new(Box::new(stream), options.heartbeat);
        let connection = match declaring::greet(&options, connection).await {
            Ok(connection) => connection,
            Err(trouble) => return Ending { why: Some(trouble.to_string()), kept_bytes: 0 },
        };
        let mut keys = BTreeSet::new();
        let mut session = Session::new(1, connection, &options, &inbox, &keys, &BTreeMap::new());
        let why = match session.run(&mut receiver, &mut keys).await {
            Ended::Left => None,
            Ended::Lost { trouble, .. } => Some(trouble.to_string()),
        };
        Ending { why, kept_bytes: session.kept_bytes() }
    };
    (bus, life)
}

/// The frames of a content: its header, and its body in pieces.
pub fn content(channel: u16, properties: &Properties, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::put_content(&mut bytes, channel, properties, body, FIRST_LARGEST);
    bytes
}

/// The contents of all that a node has said, in their order.
///
/// # Errors
/// It is not whole frames and whole contents, in words.
pub fn contents(said: &[u8]) -> Result<Vec<(Properties, Vec<u8>)>, String> {
    let mut rest = said.strip_prefix(PROTOCOL).ok_or("it does not begin with the protocol")?;
    let limits = Limits { frame: usize::MAX, header: usize::MAX };
    let (mut contents, mut partial) = (Vec::new(), None);
    while !rest.is_empty() {
        let next = frame::next(rest, limits).map_err(|error| error.to_string())?;
        let (frame, count) = next.ok_or("its last frame is not whole")?;
        rest = &rest[count..];
        let content: &mut Content = match frame {
            Frame::Heartbeat => continue,
            Frame::Method { .. } if partial.is_none() => continue,
            Frame::Header { size, properties, .. } if partial.is_none() => {
                partial.insert(Content::new(size, properties))
            }
            Frame::Body { bytes, .. } => {
                let content = partial.as_mut().ok_or("a body belongs to nothing")?;
                content.append(&bytes).map_err(|error| error.to_string())?;
                content
            }
            Frame::Method { .. } | Frame::Header { .. } => return Err("a content is not whole".to_owned()),
        };
        if content.is_whole()
            && let Some(content) = partial.take()
        {
            let (properties, body) = content.into_parts();
            contents.push((properties.map_err(|error| error.to_string())?, body));
        }
    }
    if partial.is_none() { Ok(contents) } else { Err("its last content is not whole".to_owned()) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt as _;

    use super::*;
    use crate::amqp::options::Password;
    use crate::topology::{SharedQueue, Topology};

    const NAMED: &[u8] = b"\0\x32\0\x0b\x01q\0\0\0\0\0\0\0\0";
    const DONE: [(u16, &[u8]); 16] = [
        (0, b"\0\x0a\0\x0a\0\x09\0\0\0\0\0\0\0\x05PLAIN\0\0\0\x05en_US"),
        (0, b"\0\x0a\0\x1e\0\0\0\x02\0\0\0\x0a"),
        (0, b"\0\x0a\0\x29\0"),
        (1, b"\0\x14\0\x0b\0\0\0\0"),
        (2, b"\0\x14\0\x0b\0\0\0\0"),
        (3, b"\0\x14\0\x0b\0\0\0\0"),
        (1, b"\0\x28\0\x0b"),
        (1, NAMED),
        (1, NAMED),
        (3, b"\0\x55\0\x0b"),
        (2, b"\0\x3c\0\x0b"),
        (4, b"\0\x14\0\x0b\0\0\0\0"),
        (4, b"\0\x3c\0\x0b"),
        (2, b"\0\x3c\0\x15\x01q"),
        (4, b"\0\x3c\0\x15\x01s"),
        (5, b"\0\x14\0\x0b\0\0\0\0"),
    ];

    /// Why a connection ends on which all is declared and consumed, and then this is said, and nothing more.
    async fn ends_after(said: &[(u16, &[u8])]) -> String {
        let shared = vec![SharedQueue { name: "s".into(), bindings: Vec::new() }];
        let (exchange, queue, bindings, logs) = ("e".into(), "q".into(), Vec::new(), vec!["l".into()]);
        let options = Options {
            url: "amqp://furt@localhost".parse().unwrap(),
            password: Password::text("secret"),
            ca: None,
            identity: None,
            name: "node".into(),
            heartbeat: Duration::from_secs(10),
            topology: Topology { exchange, queue, bindings, shared, logs },
        };
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let (_bus, life) = converse(options, near);
        let mut bytes = Vec::new();
        for (channel, payload) in DONE.iter().chain(said) {
            frame::put_method(&mut bytes, *channel, payload);
        }
        far.write_all(&bytes).await.unwrap();
        far.shutdown().await.unwrap();
        life.await.why.unwrap()
    }

    fn delivery(consumer: &str) -> Vec<u8> {
        let length = u8::try_from(consumer.len()).unwrap();
        [b"\0\x3c\0\x3c", &[length][..], consumer.as_bytes(), b"\0\0\0\0\0\0\0\x01\0\x01e\x01k"].concat()
    }

    #[tokio::test]
    async fn what_is_delivered_where_nobody_asked_for_it_ends_the_connection() {
        for (channel, consumer) in [(2, "q"), (4, "s"), (5, "l")] {
            let why = ends_after(&[(channel, &delivery(consumer))]).await;
            assert!(why.ends_with("the broker ended it"), "{why}");
        }
        for (channel, consumer) in [(2, "s"), (2, "x"), (3, "q"), (4, "q"), (5, "s"), (6, "l"), (6, "q"), (200, "q")] {
            let why = ends_after(&[(channel, &delivery(consumer))]).await;
            assert!(why.contains("which nobody asked for there"), "{consumer} on {channel}: {why}");
        }
    }

    #[tokio::test]
    async fn no_name_that_a_broker_says_breaks_a_line() {
        let gone = ends_after(&[(2, b"\0\x3c\0\x1e\x03q\n1\0")]).await;
        assert!(gone.ends_with(r#"the queue "q\n1" is gone"#), "{gone}");
        let delivered = ends_after(&[(2, &delivery("q\n"))]).await;
        assert!(!delivered.contains('\n'), "{delivered}");
    }
}
