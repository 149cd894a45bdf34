//! Other parts that this very program plays, as processes of their own: the origin behind all gateways, and the bare
//! Pingora proxy.
//!
//! A role comes in the environment and not among the arguments, so that the test harness of the smoke test, which
//! reads its arguments itself, can be given one as well.

use std::env;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Signal, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};

use super::{bare, origin};

/// The variable that carries a role, as JSON.
const VARIABLE: &str = "LOAD_BENCH_ROLE";

/// What a process of this program is to be.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Role {
    /// The service behind every gateway; on every address of 127/8.
    Origin {
        /// Its port.
        port: u16,
    },
    /// A Pingora proxy without anything of furt's.
    Bare {
        /// Where clients reach it.
        listen: SocketAddr,
        /// Where everything is forwarded to.
        origin: SocketAddr,
        /// Worker threads.
        threads: usize,
        /// How long an unused connection to the origin is kept; `None`: each is closed after its answer.
        idle: Option<Duration>,
    },
}

impl Role {
    /// The role that this process was started in, if any.
    ///
    /// # Errors
    /// The variable is set to something else.
    pub(crate) fn of_this_process() -> Result<Option<Self>> {
        let Some(text) = env::var_os(VARIABLE) else { return Ok(None) };
        let role = serde_json::from_str(&text.to_string_lossy()).context("the role of this process cannot be read")?;
        Ok(Some(role))
    }

    /// Plays it until the process is killed, or whoever started it is gone.
    ///
    /// # Errors
    /// It could not begin.
    pub(crate) fn play(self) -> Result<()> {
        set_parent_process_death_signal(Some(Signal::KILL)).context("cannot follow the bench's end")?;
        match self {
            Self::Origin { port } => origin::serve(port),
            Self::Bare { listen, origin, threads, idle } => bare::serve(listen, origin, threads, idle),
        }
    }
}

/// How this program is started again.
#[derive(Debug, Clone)]
pub(crate) struct Own {
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl Own {
    /// With `arguments` before all else.
    ///
    /// # Errors
    /// The system does not say which program this is.
    pub(crate) fn try_new(arguments: &[&str]) -> Result<Self> {
        let program = env::current_exe().context("this program's own path is not known")?;
        Ok(Self { program, arguments: arguments.iter().map(OsString::from).collect() })
    }

    pub(super) fn command(&self, role: &Role) -> Result<Command> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env(VARIABLE, serde_json::to_string(role).context("a role cannot be told")?);
        Ok(command)
    }
}
