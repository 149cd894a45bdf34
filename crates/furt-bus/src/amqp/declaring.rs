//! A connection is opened, and everything declared, before any message goes over it.

use std::time::Duration;

use super::channel::{CONSUME, CONTROL, FIRST_SHARED, PREFETCH, PUBLISH};
use super::connection::{Connection, LARGEST};
use super::dial::dial;
use super::frame::Frame;
use super::method::{self, Life, Said};
use super::options::Options;
use crate::message::Value;
use crate::topology::{SharedQueue, Topology};
use crate::trouble::Trouble;

/// For the socket, TLS and the first words: a frozen broker's kernel still takes connections.
const OPEN: Duration = Duration::from_secs(10);
/// For everything that is declared. A quorum queue is an election, after a start of the broker of many.
const DECLARE: Duration = Duration::from_secs(30);
/// Messages that a node's own queue may hold: others learn that it is full. Beside it in bytes, of which the broker has that many for
/// each node.
const MOST_WAITING: i64 = 4096;
const MOST_WAITING_BYTES: i64 = 16 << 20;
/// Connections that may die over one message of a shared queue, before the broker drops it.
const MOST_DELIVERIES: i64 = 8;

/// What the broker may answer with instead.
pub(super) const NOT_FOUND: u16 = 404;
pub(super) const ACCESS_REFUSED: u16 = 403;
pub(super) const RESOURCE_LOCKED: u16 = 405;
pub(super) const PRECONDITION_FAILED: u16 = 406;
pub(super) const NOT_ALLOWED: u16 = 530;
/// From here on it is the broker's own lack or fault.
pub(super) const NOT_IMPLEMENTED: u16 = 540;

enum Failed {
    /// The broker closed the channel, or the whole connection.
    Closed {
        channel: u16,
        code: u16,
        text: String,
    },
    Lost(String),
}

/// `number` counts the connections that are tried.
///
/// # Errors
/// It is not connected, or not everything is there.
pub(super) async fn open(options: &Options, number: usize) -> Result<Connection, Trouble> {
    let silent =
        |during: &str, limit: Duration| format!("{}: no answer within {} s {during}", options.url, limit.as_secs());
    let opening = async { handshake(options, Connection::new(dial(options, number).await?, OPEN)).await };
    let mut connection = tokio::time::timeout(OPEN, opening)
        .await
        .map_err(|_| Trouble::Unreachable(silent("to a new connection", OPEN)))??;
    tokio::time::timeout(DECLARE, declare(options, &mut connection))
        .await
        .map_err(|_| Trouble::Lost(silent("to declarations", DECLARE)))??;
    Ok(connection)
}

/// What [`open`] does on a socket, in any time.
///
/// # Errors
/// As for [`open`].
pub(super) async fn greet(options: &Options, connection: Connection) -> Result<Connection, Trouble> {
    let mut connection = handshake(options, connection).await?;
    declare(options, &mut connection).await?;
    Ok(connection)
}

async fn handshake(options: &Options, mut connection: Connection) -> Result<Connection, Trouble> {
    let password = options.password.ask().map_err(Trouble::Unusable)?;
    let Said::Start { mechanisms } = said(&mut connection, 0).await.map_err(not_let_in)? else { return Err(strange()) };
    if !mechanisms.split(u8::is_ascii_whitespace).any(|mechanism| mechanism == b"PLAIN") {
        return Err(Trouble::NotLetIn("it takes no passwords (PLAIN)".to_owned()));
    }
    connection.method(0, &method::start_ok(options.url.user(), &password, &options.name));
    let Said::Tune { channels, frame, heartbeat } = said(&mut connection, 0).await.map_err(not_let_in)? else {
        return Err(strange());
    };
    // 0 is "no limit" in all three.
    let least = |ours: u32, theirs: u32| if theirs == 0 { ours } else { ours.min(theirs) };
    let ours = u16::try_from(options.heartbeat.as_secs()).unwrap_or(u16::MAX);
    let heartbeat = u16::try_from(least(ours.into(), heartbeat.into())).unwrap_or(ours);
    let frame = least(LARGEST, frame);
    let Topology { shared, logs, .. } = &options.topology;
    let needed = u16::try_from(shared.len() + logs.len()).unwrap_or(u16::MAX).saturating_add(PUBLISH);
    if channels != 0 && channels < needed {
        return Err(Trouble::NotLetIn(format!(
            "it gives {channels} channels to a connection, and {needed} are needed"
        )));
    }
    connection.method(0, &method::tune_ok(needed, frame, heartbeat));
    connection.agree(frame, Duration::from_secs(heartbeat.into()));
    connection.method(0, &method::open(options.url.vhost()));
    match said(&mut connection, 0).await.map_err(not_let_in)? {
        Said::OpenOk => Ok(connection),
        _ => Err(strange()),
    }
}

fn strange() -> Trouble {
    Trouble::Unreachable("the broker says something else than it was asked".to_owned())
}

fn not_let_in(failed: Failed) -> Trouble {
    match failed {
        Failed::Closed { text, .. } => Trouble::NotLetIn(text),
        Failed::Lost(text) => Trouble::Unreachable(text),
    }
}

/// What it says next on a channel.
async fn said(connection: &mut Connection, channel: u16) -> Result<Said, Failed> {
    loop {
        match connection.next().await.map_err(Failed::Lost)? {
            Frame::Heartbeat => {}
            Frame::Method { channel: of, class, method, arguments } => {
                match method::read(class, method, &arguments).map_err(|error| Failed::Lost(error.to_string()))? {
                    Said::Closed { code, text } => {
                        let ok = if of == 0 { method::close_ok() } else { method::channel_close_ok() };
                        connection.method(of, &ok);
                        return Err(Failed::Closed { channel: of, code, text });
                    }
                    Said::Blocked(_) | Said::Unblocked => {}
                    said if of == channel => return Ok(said),
                    _ => return Err(Failed::Lost("an answer on another channel".to_owned())),
                }
            }
            Frame::Header { .. } | Frame::Body { .. } => {
                return Err(Failed::Lost("a message before any consumer".to_owned()));
            }
        }
    }
}

async fn asked(connection: &mut Connection, channel: u16, payload: &[u8]) -> Result<Said, Failed> {
    connection.method(channel, payload);
    said(connection, channel).await
}

/// `what` is shown where it is not allowed.
async fn done(connection: &mut Connection, channel: u16, payload: &[u8], what: &str) -> Result<(), Trouble> {
    asked(connection, channel, payload).await.map(drop).map_err(|failed| denied(failed, what))
}

fn denied(failed: Failed, what: &str) -> Trouble {
    match failed {
        Failed::Closed {
            code: NOT_FOUND | ACCESS_REFUSED | RESOURCE_LOCKED | PRECONDITION_FAILED | NOT_ALLOWED,
            text,
            ..
        } => Trouble::Denied { what: what.to_owned(), text },
        // 541 among them: a broker that has just started, or elects, says it. It is tried again.
        Failed::Closed { text, .. } | Failed::Lost(text) => Trouble::Lost(text),
    }
}

async fn declare(options: &Options, connection: &mut Connection) -> Result<(), Trouble> {
    for channel in [CONTROL, CONSUME, PUBLISH] {
        done(connection, channel, &method::channel_open(), "a channel").await?;
    }
    let topology = &options.topology;
    let exchange = &*topology.exchange;
    let what = format!("the exchange \"{exchange}\"");
    found_or_made(connection, |mode| method::exchange_declare(exchange, mode), &what).await?;
    own_queue(options, connection).await?;
    for key in &topology.bindings {
        bind(connection, &topology.queue, exchange, key).await?;
    }
    for SharedQueue { name, bindings } in &topology.shared {
        let arguments = shared_arguments();
        let what = format!("the queue \"{name}\"");
        found_or_made(connection, |mode| method::queue_declare(name, Life::Durable, mode, &arguments), &what).await?;
        for key in bindings {
            bind(connection, name, exchange, key).await?;
        }
    }
    done(connection, PUBLISH, &method::confirm_select(), "confirms").await?;
    for channel in [CONSUME].into_iter().chain((FIRST_SHARED..).take(topology.shared.len())) {
        if channel != CONSUME {
            done(connection, channel, &method::channel_open(), "a channel").await?;
        }
        done(connection, channel, &method::prefetch(PREFETCH), "a limit of what is sent ahead").await?;
    }
    Ok(())
}

/// A user that may not make it may still use it.
async fn found_or_made(
    connection: &mut Connection,
    payload: impl Fn(method::Mode) -> Vec<u8>,
    what: &str,
) -> Result<(), Trouble> {
    match asked(connection, CONTROL, &payload(method::Mode::Make)).await {
        Ok(_) => Ok(()),
        Err(Failed::Closed { channel: CONTROL, code: ACCESS_REFUSED, text }) => {
            done(connection, CONTROL, &method::channel_open(), "a channel").await?;
            let found = asked(connection, CONTROL, &payload(method::Mode::Find)).await;
            // The first words are the better ones: the broker says which right is missing.
            found.map(drop).map_err(|_| Trouble::Denied { what: what.to_owned(), text })
        }
        Err(failed) => Err(denied(failed, what)),
    }
}

async fn own_queue(options: &Options, connection: &mut Connection) -> Result<(), Trouble> {
    let queue = &*options.topology.queue;
    let arguments = [
        ("x-max-length", Value::Integer(MOST_WAITING)),
        ("x-max-length-bytes", Value::Integer(MOST_WAITING_BYTES)),
        ("x-overflow", "reject-publish".into()),
    ];
    let payload = method::queue_declare(queue, Life::Exclusive, method::Mode::Make, &arguments);
    asked(connection, CONTROL, &payload).await.map(drop).map_err(|failed| match failed {
        Failed::Closed { code: RESOURCE_LOCKED, .. } => {
            Trouble::Locked { queue: queue.to_owned(), within: options.heartbeat * 3 }
        }
        failed => denied(failed, &format!("the queue \"{queue}\"")),
    })
}

fn shared_arguments() -> [(&'static str, Value); 5] {
    [
        ("x-queue-type", "quorum".into()),
        ("x-single-active-consumer", Value::Boolean(true)),
        ("x-max-length", Value::Integer(MOST_WAITING)),
        ("x-overflow", "reject-publish".into()),
        ("x-delivery-limit", Value::Integer(MOST_DELIVERIES)),
    ]
}

async fn bind(connection: &mut Connection, queue: &str, exchange: &str, key: &str) -> Result<(), Trouble> {
    let what = format!("to bind the queue \"{queue}\" to \"{key}\"");
    done(connection, CONTROL, &method::queue_bind(queue, exchange, key), &what).await
}
