//! What is known of a request's body while it comes, and how long its client may take for it: the same over HTTP/1 (`upload`) and
//! over HTTP/2 (`h2`).

use std::pin::Pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use super::pace::{BodyLimits, Pace};
use crate::clock;

/// The client sent the body too slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body came too slowly")]
pub(super) struct BodyTooSlow;

/// What the hooks of the request tell whoever reads its body, and ask it.
#[derive(Debug)]
pub(super) struct BodyWatch {
    is_complete: AtomicBool,
    is_tunnel: AtomicBool,
    /// When the client was heard last, in ms after `began`.
    heard_ms: AtomicU64,
    /// What holds for the body, once that is known; none for streams.
    limits: OnceLock<BodyLimits>,
    began: Instant,
}

impl BodyWatch {
    /// Of a request that is about to be served.
    pub(super) fn new() -> Self {
        Self {
            is_complete: AtomicBool::new(false),
            is_tunnel: AtomicBool::new(false),
            heard_ms: AtomicU64::new(0),
            limits: OnceLock::new(),
            began: clock::now(),
        }
    }

    /// The client has to send the body so fast.
    pub(super) fn limit_body(&self, limits: BodyLimits) {
        // The first attempt's: the request sees one configuration.
        _ = self.limits.set(limits);
    }

    /// What holds for the body; `None`: nothing, or that is not known yet.
    pub(super) fn limits(&self) -> Option<&BodyLimits> {
        self.limits.get()
    }

    /// The client sent something of the body.
    pub(super) fn note_heard(&self, now: Instant) {
        let since = now.saturating_duration_since(self.began);
        // At least 1: that the client was heard at all is told by it.
        self.heard_ms.store(u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
    }

    /// The service is sent the last part of the body.
    pub(super) fn note_complete(&self) {
        self.is_complete.store(true, Ordering::Relaxed);
    }

    /// Whether it was.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete.load(Ordering::Relaxed)
    }

    /// What comes from now on is no body.
    pub(super) fn become_tunnel(&self) {
        self.is_tunnel.store(true, Ordering::Relaxed);
    }

    /// Whether what comes is no body.
    pub(super) fn is_tunnel(&self) -> bool {
        self.is_tunnel.load(Ordering::Relaxed)
    }

    /// Whether the client has sent nothing of the body yet.
    pub(super) fn is_unheard(&self) -> bool {
        self.heard_ms.load(Ordering::Relaxed) == 0
    }

    /// Whether a part of the body is still missing, and the client has sent nothing for `pause`.
    pub(super) fn client_pauses(&self, pause: Duration) -> bool {
        let heard = Duration::from_millis(self.heard_ms.load(Ordering::Relaxed));
        !self.is_complete() && clock::now().saturating_duration_since(self.began).saturating_sub(heard) >= pause
    }
}

/// How the client of a request keeps to the limits of its body.
#[derive(Debug)]
pub(super) struct ClientTime {
    /// `Err`: no service waits for the body yet; so much of it came.
    pace: Result<Pace, usize>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl ClientTime {
    /// Of a body of which so many bytes came with the header.
    pub(super) fn new(received: usize) -> Self {
        Self { pace: Err(received), timer: None }
    }

    /// The client sent so many bytes.
    pub(super) fn note_received(&mut self, bytes: usize, now: Instant) {
        match &mut self.pace {
            Ok(pace) => pace.note_received(bytes, now),
            Err(received) => *received += bytes,
        }
    }

    /// Ready once the client, which is waited for, had its time to send more.
    pub(super) fn poll_too_slow(&mut self, limits: &BodyLimits, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let now = clock::now();
            if let Err(received) = self.pace {
                self.pace = Ok(Pace::new(*limits, received));
            }
            let Some(end) = self.pace.as_mut().ok().and_then(|pace| pace.wait(now)) else { return Poll::Pending };
            if end <= now {
                return Poll::Ready(());
            }
            ready!(poll_until(&mut self.timer, end, context));
        }
    }
}

/// Ready once `timer` rang, which is then or earlier. One that rings too early is set again only then: mostly the client has
/// sent more before.
pub(super) fn poll_until(timer: &mut Option<Pin<Box<Sleep>>>, end: Instant, context: &mut Context<'_>) -> Poll<()> {
    let end = tokio::time::Instant::from(end);
    let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
    if timer.deadline() > end || timer.is_elapsed() {
        timer.as_mut().reset(end);
    }
    timer.as_mut().poll(context)
}
