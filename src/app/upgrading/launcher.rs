//! A process of the running furt's own program that starts the new one and ends once that has taken over. The new one is a child of
//! whoever watches furt then, as if that had started it.
//!
//! systemd relies on it: a main process that is no child of its own is killed at a stop without a word, and is not started again
//! where it fails.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::channel::{self, Channel, FROM, REPLACES, inherited_socket, receive, send};
use super::program::{self, Program};

/// The program of this process, also where another one is at its path now.
pub(super) const RUNNING: &str = "/proc/self/exe";
/// The process for which another is to be started.
const LAUNCH: &str = "FURT_UPGRADE_LAUNCH";
/// Between two looks at the process that was started.
const PAUSE: Duration = Duration::from_millis(10);
/// A process that has closed its socket ends within this time, or is one that goes on without it.
const ENDING: Duration = Duration::from_millis(500);

/// What the launcher is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Order {
    /// Start a program; it and its standard input come with this.
    Start,
    /// It has taken over.
    LetGo,
    /// It is not to go on.
    End,
}

/// What the launcher says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Report {
    Started { pid: u32 },
    Ended { how: String },
}

/// A launcher, as the process sees it that needs one. Where it is dropped before [`Self::let_go`], what it started is ended.
pub(super) struct Launch {
    launcher: Child,
    channel: Channel,
    is_over: bool,
}

impl Launch {
    /// Starts a program as this process was started, with `stdin`; returns its process's number as well.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) async fn start(program: &Program, stdin: OwnedFd) -> io::Result<(Self, u32)> {
        let (channel, other) = channel::pair()?;
        let mut command = program::command(RUNNING);
        command.stdin(Stdio::from(other)).env(LAUNCH, std::process::id().to_string());
        let launch = Self { launcher: command.spawn()?, channel, is_over: false };
        // With the launcher's end of the channel, which is nobody else's.
        drop(command);
        launch.channel.tell(&Order::Start, &[program.file(), stdin.as_fd()])?;
        match launch.channel.answer().await? {
            Report::Started { pid } => Ok((launch, pid)),
            Report::Ended { how } => Err(io::Error::other(how)),
        }
    }

    /// How the new process ended, where it does so by itself.
    pub(super) async fn ended(&self) -> Option<String> {
        match timeout(ENDING, self.channel.answer()).await {
            Ok(Ok(Report::Ended { how })) => Some(how),
            _ => None,
        }
    }

    /// The new process has taken over, and nobody here ends it any more.
    pub(super) fn let_go(&mut self) {
        self.conclude(Order::LetGo);
    }

    /// Ends the new process, and waits until it has ended.
    pub(super) fn end(&mut self) {
        self.conclude(Order::End);
    }

    fn conclude(&mut self, order: Order) {
        if self.is_over {
            return;
        }
        self.is_over = true;
        // It may have ended by itself.
        _ = self.channel.tell(&order, &[]);
        _ = self.launcher.wait();
    }
}

impl Drop for Launch {
    fn drop(&mut self) {
        self.end();
    }
}

/// Is the launcher, where the process that started this one wants that.
pub(super) fn serve() -> Option<io::Result<()>> {
    let (wanted_by, socket) = inherited_socket(LAUNCH)?;
    Some(launch(wanted_by, &socket))
}

fn launch(wanted_by: u32, socket: &OwnedFd) -> io::Result<()> {
    let (order, files): (Order, Vec<OwnedFd>) = receive(socket.as_fd())?;
    let (Order::Start, Ok([program, stdin])) = (order, <[OwnedFd; 2]>::try_from(files)) else {
        return Err(io::Error::other(format!("it says {order:?} too early")));
    };
    let mut command = program::command(program::path_of(program.as_fd()));
    command
        .stdin(Stdio::from(stdin))
        .env(FROM, std::process::id().to_string())
        .env(REPLACES, wanted_by.to_string())
        .env_remove(LAUNCH);
    let mut process = match command.spawn() {
        Ok(process) => process,
        Err(error) => return send(socket.as_fd(), &Report::Ended { how: error.to_string() }, &[]),
    };
    // With the new process's end of its channel, by which the other end knows that it has ended.
    drop(command);
    send(socket.as_fd(), &Report::Started { pid: process.id() }, &[])?;
    set_socket_timeout(socket, Timeout::Recv, Some(PAUSE))?;
    loop {
        match receive(socket.as_fd()) {
            Ok((Order::LetGo, _)) => return Ok(()),
            Ok((Order::End | Order::Start, _)) => {
                process.kill()?;
                process.wait()?;
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            // The process that was to be replaced is gone. The new one hears of it by itself, and may have taken over.
            Err(_) => return Ok(()),
        }
        if let Some(status) = process.try_wait()? {
            return send(socket.as_fd(), &Report::Ended { how: status.to_string() }, &[]);
        }
    }
}
