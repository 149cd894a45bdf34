//! Frames over a socket, and heartbeats both ways.

use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};

use super::frame::{self, Frame, Limits};
use super::method;
use crate::clock;
use crate::message::Properties;

/// Read at once.
const READ: usize = 16 << 10;
/// No more is taken to be sent while so much waits: some messages of the largest kind.
const MOST_UNSENT: usize = 1 << 20;
/// Frames until something else is agreed on, by the protocol.
pub(super) const FIRST_LARGEST: usize = 4096;
/// A message's header that is larger ends the connection. By itself a broker lets publishers send 128 KiB.
const LARGEST_HEADER: usize = 16 << 20;
/// What furt asks for: RabbitMQ's own default.
pub(super) const LARGEST: u32 = 128 << 10;

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Everything that is half done is kept here, so that each wait may be dropped.
pub(super) struct Connection {
    read: ReadHalf<Box<dyn Stream>>,
    write: WriteHalf<Box<dyn Stream>>,
    incoming: BytesMut,
    outgoing: BytesMut,
    is_flushed: bool,
    limits: Limits,
    heartbeat: Duration,
    heard: tokio::time::Instant,
    wrote: tokio::time::Instant,
}

impl Connection {
    /// `heartbeat` until another one is agreed on.
    pub(super) fn new(stream: Box<dyn Stream>, heartbeat: Duration) -> Self {
        let (read, write) = tokio::io::split(stream);
        let now = clock::now();
        let outgoing = BytesMut::from(&method::PROTOCOL[..]);
        Self {
            read,
            write,
            incoming: BytesMut::new(),
            outgoing,
            is_flushed: true,
            limits: Limits { frame: FIRST_LARGEST, header: LARGEST_HEADER },
            heartbeat,
            heard: now,
            wrote: now,
        }
    }

    pub(super) fn agree(&mut self, largest: u32, heartbeat: Duration) {
        self.limits.frame = usize::try_from(largest).unwrap_or(FIRST_LARGEST);
        self.heartbeat = heartbeat;
    }

    /// What waits in either direction.
    pub(super) fn kept_bytes(&self) -> usize {
        self.incoming.capacity() + self.outgoing.len()
    }

    pub(super) fn has_room(&self) -> bool {
        self.outgoing.len() < MOST_UNSENT
    }

    pub(super) fn method(&mut self, channel: u16, payload: &[u8]) {
        let mut bytes = Vec::new();
        frame::put_method(&mut bytes, channel, payload);
        self.outgoing.extend_from_slice(&bytes);
    }

    pub(super) fn content(&mut self, channel: u16, properties: &Properties, body: &[u8]) {
        let mut bytes = Vec::new();
        frame::put_content(&mut bytes, channel, properties, body, self.limits.frame);
        self.outgoing.extend_from_slice(&bytes);
    }

    /// The next frame; sends meanwhile. Dropping the wait loses nothing.
    ///
    /// # Errors
    /// In words: the connection is over.
    pub(super) async fn next(&mut self) -> Result<Frame, String> {
        loop {
            match frame::next(&self.incoming, self.limits) {
                Ok(Some((frame, count))) => {
                    self.incoming.advance(count);
                    return Ok(frame);
                }
                Ok(None) => {}
                Err(unreadable) => return Err(format!("the broker speaks no AMQP 0-9-1: {unreadable}")),
            }
            self.progress().await?;
        }
    }

    async fn progress(&mut self) -> Result<(), String> {
        let (due, dead) = (self.wrote + self.heartbeat / 2, self.heard + self.heartbeat * 2);
        let has_unsent = !self.outgoing.is_empty();
        let Self { write, outgoing, .. } = self;
        let sending =
            async { if has_unsent { write.write_buf(outgoing).await } else { write.flush().await.map(|()| 1) } };
        self.incoming.reserve(READ);
        tokio::select! {
            // What has arrived goes first: a process that was held up finds it beside a deadline that has passed.
            biased;
            read = self.read.read_buf(&mut self.incoming) => match read {
                Ok(0) => return Err("the broker ended it".to_owned()),
                Ok(_) => self.heard = clock::now(),
                Err(error) => return Err(error.to_string()),
            },
            sent = sending, if has_unsent || !self.is_flushed => match sent {
                Ok(0) => return Err("nothing can be sent".to_owned()),
                Ok(_) if has_unsent => (self.wrote, self.is_flushed) = (clock::now(), false),
                Ok(_) => self.is_flushed = true,
                Err(error) => return Err(error.to_string()),
            },
            () = tokio::time::sleep_until(due), if !has_unsent => {
                let mut bytes = Vec::new();
                frame::put_heartbeat(&mut bytes);
                self.outgoing.extend_from_slice(&bytes);
            }
            () = tokio::time::sleep_until(dead) => {
                return Err(format!("nothing was heard for {} s", (self.heartbeat * 2).as_secs()));
            }
        }
        Ok(())
    }
}
