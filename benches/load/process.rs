//! Processes that the bench starts: each in a process group of its own, killed with all its workers when it is dropped,
//! and by [`kill_all`] when the bench itself is told to end. None is ever looked for by name.
//!
//! Their output goes to files; where one fails, the error shows the end of it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process_group};

/// How long a gateway may take to listen; under valgrind it takes fifty times as long as usual.
const START: Duration = Duration::from_secs(120);
/// How long one may take to end by itself.
const END: Duration = Duration::from_secs(10);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);
/// How much of a failed process's output is shown.
const SHOWN_LINES: usize = 12;

/// The groups that run.
static GROUPS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// A running process with its workers.
pub(super) struct Process {
    name: String,
    child: Child,
    group: Pid,
    output: PathBuf,
}

impl Process {
    /// Starts `command`, whose output goes to files in `dir`; stdout to `NAME.out`, stderr to `NAME.err`.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn start(name: &str, mut command: Command, dir: &Path) -> Result<Self> {
        let create = |end: &str| {
            let path = dir.join(format!("{name}.{end}"));
            File::create(&path).with_context(|| format!("cannot write {}", path.display())).map(|file| (path, file))
        };
        let ((_, stdout), (output, stderr)) = (create("out")?, create("err")?);
        command.process_group(0).current_dir(dir).stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        // Nobody may end all in between.
        let mut groups = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
        let child = command
            .spawn()
            .with_context(|| format!("{name}: cannot start {}", command.get_program().to_string_lossy()))?;
        groups.insert(child.id().cast_signed());
        Ok(Self { name: name.to_owned(), group: Pid::from_child(&child), child, output })
    }

    /// The group that it and its workers are in.
    pub(super) fn group(&self) -> Pid {
        self.group
    }

    /// Waits until it listens on `address`.
    ///
    /// # Errors
    /// It ends, or does not listen in time.
    pub(super) fn wait_for(&mut self, address: SocketAddr) -> Result<()> {
        let deadline = Instant::now() + START;
        while TcpStream::connect_timeout(&address, PAUSE).is_err() {
            self.check()?;
            if Instant::now() > deadline {
                bail!("{} does not listen on {address} after {} s{}", self.name, START.as_secs(), self.last_words());
            }
            thread::sleep(PAUSE);
        }
        // Another process could have had the port already.
        self.check()
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// It does not, with its last words.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.child.try_wait().with_context(|| format!("{}: cannot be waited for", self.name))? {
            None => Ok(()),
            Some(status) => Err(anyhow!("{} has ended with {status}{}", self.name, self.last_words())),
        }
    }

    /// Asks it to end and waits, so that what it writes at its end is written.
    pub(super) fn end(mut self) {
        // One that has ended by itself meanwhile needs no signal.
        _ = kill_process_group(self.group, Signal::TERM);
        let deadline = Instant::now() + END;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(PAUSE);
        }
    }

    fn last_words(&self) -> String {
        let text = fs::read(&self.output).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let shown = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
        if shown.is_empty() { String::new() } else { format!("; the end of its stderr:\n  {}", shown.join("\n  ")) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Before it is waited for, so that the group's number cannot be another's by then.
        _ = kill_process_group(self.group, Signal::KILL);
        _ = self.child.wait();
        GROUPS.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.group.as_raw_nonzero().get());
    }
}

/// Kills every process with its workers, for the bench's own end by a signal. None can be started afterwards.
pub(super) fn kill_all() {
    let groups = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
    for group in groups.iter().filter_map(|group| Pid::from_raw(*group)) {
        _ = kill_process_group(group, Signal::KILL);
    }
    // Held until the process is gone.
    std::mem::forget(groups);
}
