//! Runs a staged program with a few arguments: bounded in time and in what it says, never through a shell.

use std::io::{self, Read};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::clock;

/// What is kept of each of its two streams.
const MAX_OUTPUT: u64 = 16 * 1024;
/// Between two looks whether it has ended.
const PAUSE: Duration = Duration::from_millis(10);
/// What it said comes this long after its end at most: a process that it left behind may hold the pipe open.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Another thread that starts a process holds every open file for a moment, also the program's that was just written.
const BUSY_TRIES: u32 = 100;
/// Characters of what it said that are told.
const MAX_TOLD: usize = 600;

/// How a run ended that went well.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) stdout: String,
}

/// Runs it and waits.
///
/// # Errors
/// It cannot be started, did not end until `deadline`, or ended with a failure; what it said is in the sentence.
pub(super) fn run(program: &Path, arguments: &[&Path], deadline: Instant) -> Result<Said, String> {
    let mut child = start(program, arguments).map_err(|error| format!("cannot be started: {error}"))?;
    let (stdout, stderr) = (gather(child.stdout.take()), gather(child.stderr.take()));
    let Some(status) = wait(&mut child, deadline).map_err(|error| format!("cannot be waited for: {error}"))? else {
        return Err("did not end in time".to_owned());
    };
    let said = |from: mpsc::Receiver<String>| from.recv_timeout(LAST_WORDS).unwrap_or_default();
    let (stdout, stderr) = (said(stdout), said(stderr));
    if status.success() {
        return Ok(Said { stdout });
    }
    Err(format!("ended with {status}: {}", told(if stderr.trim().is_empty() { &stdout } else { &stderr })))
}

fn start(program: &Path, arguments: &[&Path]) -> io::Result<Child> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own, so that what it starts ends with it.
    command.process_group(0);
    for _ in 0..BUSY_TRIES {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => std::thread::sleep(PAUSE),
            outcome => return outcome,
        }
    }
    command.spawn()
}

/// Reads a stream to its end on a thread of its own, and keeps its beginning.
fn gather(stream: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let read = move || {
        let Some(mut stream) = stream else { return };
        let mut bytes = Vec::new();
        // What breaks off was said so far.
        _ = stream.by_ref().take(MAX_OUTPUT).read_to_end(&mut bytes);
        _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
        _ = io::copy(&mut stream, &mut io::sink());
    };
    // Without a thread nothing was said.
    _ = std::thread::Builder::new().name("update".to_owned()).spawn(read);
    receiver
}

/// `None`: it had no more time, and was ended.
fn wait(child: &mut Child, deadline: Instant) -> io::Result<Option<std::process::ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if clock::now() >= deadline {
            end(child);
            return Ok(None);
        }
        std::thread::sleep(PAUSE);
    }
}

fn end(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended by itself.
        _ = kill_process_group(group, Signal::KILL);
    }
    _ = child.kill();
    _ = child.wait();
}

/// One line without control characters.
fn told(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().filter(|one| !one.is_control()).take(MAX_TOLD).collect()
}
