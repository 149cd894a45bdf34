//! Services in five languages, each a program under one `furt join`.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command};

use tempfile::TempDir;

use crate::support::gateway::furt;
use crate::support::{Gateway, ports};

/// What a service is written in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Language {
    Node,
    Python,
    Shell,
    Java,
    Rust,
}

impl Language {
    pub(crate) const ALL: [Self; 5] = [Self::Node, Self::Python, Self::Shell, Self::Java, Self::Rust];

    /// What `furt join` starts for a service of that name.
    fn command(self, service: &str, folder: &Path) -> Vec<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let source = |name: &str| root.join("tests/interop/programs").join(name).to_str().unwrap().to_owned();
        let unpacked = |name: &str| {
            let path = root.join("target/interop").join(name).join("bin").join(name);
            assert!(path.exists(), "{} is missing: `make setup-interop-all` gets it", path.display());
            path.to_str().unwrap().to_owned()
        };
        match self {
            Self::Node => vec![unpacked("node"), source("server.js")],
            Self::Python => vec!["python3".into(), source("server.py")],
            Self::Shell => vec!["sh".into(), source("server.sh"), service.to_owned()],
            Self::Java => vec![unpacked("java"), source("Server.java")],
            Self::Rust => {
                let program = folder.join("echo").to_str().unwrap().to_owned();
                let example = root.join("examples/echo.rs");
                let mut compiler = Command::new("rustc");
                compiler.args(["--edition", "2024", "-o", &program]).arg(example);
                assert!(compiler.status().unwrap().success());
                vec!["sh".into(), "-c".into(), "exec \"$0\" \"127.0.0.1:$PORT\"".into(), program]
            }
        }
    }
}

/// A running `furt join`, whose service `<name>` has the path `/<name>/*`.
pub(crate) struct Joined {
    name: String,
    child: Child,
    folder: TempDir,
}

impl Joined {
    /// At all of these gateways, with these options of the connection string.
    pub(crate) fn start(name: &str, language: Language, gateways: &[&Gateway], options: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let routes = folder.path().join("routes.json");
        fs::write(&routes, format!(r#"[{{"method": "*", "path": "/{name}/*"}}]"#)).unwrap();
        let hosts: Vec<_> = gateways.iter().map(|gateway| gateway.internal.to_string()).collect();
        let url = format!("furt://{}?{options}", hosts.join(","));
        let port = ports::free_address().port().to_string();
        let own = ["join", name, "--url", &url, "--port", &port, "--routes", routes.to_str().unwrap(), "--"];
        let program = language.command(name, folder.path());
        // The shell says its id, which is the program's: it takes the shell's place.
        let by_shell = ["sh", "-c", "echo $$ >pid; exec \"$0\" \"$@\""].map(str::to_owned);
        let all: Vec<&str> = own.into_iter().chain(by_shell.iter().chain(&program).map(String::as_str)).collect();
        let said = || File::options().create(true).append(true).open(folder.path().join("said")).unwrap();
        let mut command = furt(&all);
        command.current_dir(folder.path()).stdout(said()).stderr(said());
        Self { name: name.to_owned(), child: command.spawn().unwrap(), folder }
    }

    /// A path that its program answers.
    pub(crate) fn path(&self) -> String {
        format!("/{}/x", self.name)
    }

    /// SIGKILL for `furt join` alone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGKILL for the program, where it still runs.
    pub(crate) fn kill_program(&self) {
        let id = fs::read_to_string(self.folder.path().join("pid")).unwrap_or_default();
        let folder = fs::read_link(format!("/proc/{}/cwd", id.trim()));
        // Another process may have that id by now.
        if folder.is_ok_and(|folder| folder == self.folder.path()) {
            // The shell's own kill: there is none in std.
            let _ = Command::new("sh").args(["-c", &format!("kill -KILL {id}")]).status();
        }
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("said")).unwrap_or_default()
    }
}

/// SIGKILL for both.
impl Drop for Joined {
    fn drop(&mut self) {
        self.kill_program();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- furt join {}\n{}---", self.name, self.said());
        }
    }
}
