//! The program as a process: started, signalled, reaped.
//!
//! It has a process group of its own, so that Ctrl-C reaches furt first, and a signal reaches what the program started, too. At a
//! terminal it stays in furt's group: it may read from there, and a terminal's signals reach both at once.

use std::ffi::OsString;
use std::io::{self, ErrorKind, IsTerminal as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, wait};
use tokio::signal::unix::{self, SignalKind};

use super::{Failure, NOT_EXECUTABLE, NOT_FOUND};

/// A process that was started. It is not ended with this.
pub(super) struct Program {
    id: Pid,
    has_own_group: bool,
    children: unix::Signal,
    ended: Option<u8>,
}

impl Program {
    /// Starts it with PORT in its environment, and with furt's own stdin, stdout and stderr.
    pub(super) fn start(program: &[OsString], port: u16) -> Result<Self, Failure> {
        // Before the start, so that no end is missed.
        let children = unix::signal(SignalKind::child()).context("join cannot be started")?;
        let has_own_group = !io::stdin().is_terminal();
        let mut command = Command::new(&program[0]);
        command.args(&program[1..]).env("PORT", port.to_string());
        if has_own_group {
            command.process_group(0);
        }
        let name = program[0].to_string_lossy().into_owned();
        let child = command.spawn().map_err(|why| {
            let code = if why.kind() == ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE };
            Failure::new(code, anyhow::Error::new(why).context(format!("{name} cannot be started")))
        })?;
        let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("the program has no id")?;
        Ok(Self { id, has_own_group, children, ended: None })
    }

    /// Its exit code once it has ended: 128 and the signal's number where it died by one.
    pub(super) async fn ended(&mut self) -> u8 {
        loop {
            self.reap();
            if let Some(code) = self.ended {
                return code;
            }
            self.children.recv().await;
        }
    }

    /// Takes every child that has ended: as the first process of a container, furt gets those whose parents died.
    fn reap(&mut self) {
        while let Ok(Some((id, status))) = wait(WaitOptions::NOHANG) {
            if id == self.id {
                let code = status.exit_status().or(status.terminating_signal().map(|signal| 128 + signal));
                self.ended = code.and_then(|code| u8::try_from(code).ok()).or(self.ended);
            }
        }
    }

    /// Passes a signal on to the program and to what it started. At a terminal, what that sends has arrived already.
    pub(super) fn pass_on(&mut self, signal: Signal) {
        let by_terminal = [Signal::INT, Signal::QUIT, Signal::HUP, Signal::WINCH].contains(&signal);
        if self.has_own_group || !by_terminal {
            self.send(signal);
        }
    }

    /// Ends it for good.
    pub(super) fn kill(&mut self) {
        self.send(Signal::KILL);
    }

    fn send(&mut self, signal: Signal) {
        // Once it is reaped, its id may be another's.
        self.reap();
        if self.ended.is_some() {
            return;
        }
        let sent = if self.has_own_group { kill_process_group(self.id, signal) } else { kill_process(self.id, signal) };
        // It has just ended, or has rights that furt lacks: nothing is left to do.
        _ = sent;
    }
}
