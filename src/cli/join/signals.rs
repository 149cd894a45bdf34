//! The signals that `join` is sent. One that was ignored at the start stays ignored, for the program as well: so `nohup` works.

use std::io;

use procfs::process::Process;
use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::mpsc;

/// A signal, and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// The program is to end.
    Stop(Signal),
    /// It is the program's own affair.
    Other(Signal),
}

/// Signals in the order in which they come.
pub(super) struct Signals(mpsc::Receiver<Received>);

/// More do not wait: each is an order to do what is being done.
const QUEUE: usize = 16;

impl Signals {
    /// Takes signals from now on. Needs the runtime.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn try_new() -> io::Result<Self> {
        let (to, received) = mpsc::channel(QUEUE);
        let ignored = Process::myself().and_then(|process| process.status()).map_or(0, |status| status.sigign);
        let kinds = [
            (Received::Stop(Signal::TERM), SignalKind::terminate()),
            (Received::Stop(Signal::INT), SignalKind::interrupt()),
            (Received::Other(Signal::HUP), SignalKind::hangup()),
            (Received::Other(Signal::QUIT), SignalKind::quit()),
            (Received::Other(Signal::USR1), SignalKind::user_defined1()),
            (Received::Other(Signal::USR2), SignalKind::user_defined2()),
            (Received::Other(Signal::WINCH), SignalKind::window_change()),
        ];
        for (received, kind) in kinds {
            let is_ignored = ignored & (1 << (kind.as_raw_value() - 1)) != 0;
            if is_ignored && kind != SignalKind::terminate() {
                continue;
            }
            let (mut signal, to) = (unix::signal(kind)?, to.clone());
            tokio::spawn(async move { while signal.recv().await.is_some() && to.send(received).await.is_ok() {} });
        }
        Ok(Self(received))
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Received {
        match self.0.recv().await {
            Some(received) => received,
            // SIGTERM is never ignored, and its task ends with the runtime alone.
            None => std::future::pending().await,
        }
    }
}
