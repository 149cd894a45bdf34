//! A foreign program as a process: found below `target/interop`, ended by its id, its output kept for tests that fail.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Lines of a log that a failed test shows.
const LINES_SHOWN: usize = 60;

/// Where `.ci/interop` put it: in the folder of that room.
pub(crate) fn path(room: &str, name: &str) -> PathBuf {
    let path = self::room(room).join("bin").join(name);
    assert!(path.exists(), "{} is missing: `make setup-interop` unpacks it there", path.display());
    path
}

/// A room below `target/interop`.
pub(crate) fn room(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/interop").join(name)
}

/// A command of a program that has a room of its own, with the libraries and the other programs that were unpacked with it.
pub(crate) fn command(name: &str) -> Command {
    command_of(name, name)
}

/// The same of another program in that room.
pub(crate) fn command_of(room: &str, name: &str) -> Command {
    let (program, room) = (path(room, name), self::room(room));
    let of_machine = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let mut command = Command::new(program);
    let others = std::env::var("PATH").unwrap_or_default();
    command
        .env("LD_LIBRARY_PATH", room.join(of_machine))
        .env("PATH", format!("{}:{others}", room.join("usr/bin").display()));
    command
}

/// A running program.
pub(crate) struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts it; what it prints is appended to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let output = || File::options().create(true).append(true).open(log).unwrap();
        let child = command.stdin(Stdio::null()).stdout(output()).stderr(output()).spawn().unwrap();
        Self { child, log: log.to_owned() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends the signal of that name.
    pub(super) fn signal(&self, name: &str) {
        // The shell's own kill: there is none in std.
        let script = format!("kill -{name} {}", self.id());
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    }

    /// SIGSTOP, and waits until every thread of it has stopped: until then it may answer.
    pub(super) fn freeze(&self) {
        self.signal("STOP");
        let tasks = format!("/proc/{}/task", self.id());
        let is_stopped = |task: std::io::Result<fs::DirEntry>| {
            let stat = fs::read_to_string(task.unwrap().path().join("stat")).unwrap_or_default();
            stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
        };
        while !fs::read_dir(&tasks).unwrap().all(is_stopped) {
            std::thread::yield_now();
        }
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// SIGKILL, which ends one that is stopped as well.
impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            // What the test itself asks while it waits for a leader.
            let lines: Vec<_> = log.lines().filter(|line| !line.contains("/health error")).collect();
            let shown = &lines[lines.len().saturating_sub(LINES_SHOWN)..];
            eprintln!("--- the end of {}\n{}\n---", self.log.display(), shown.join("\n"));
        }
    }
}
