//! Gateways of others: Envoy, Caddy and nginx, each one process with a configuration in a folder of its own.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpStream;

use super::program::{self, Program};
use crate::support::{eventually, ports};

/// For a start, on a machine that builds and tests beside it.
const START: Duration = Duration::from_secs(30);

/// Which one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Product {
    Envoy,
    Caddy,
    Nginx,
}

impl Product {
    fn program(self) -> &'static str {
        match self {
            Self::Envoy => "envoy",
            Self::Caddy => "caddy",
            Self::Nginx => "nginx",
        }
    }

    /// The name of its configuration.
    fn file(self) -> &'static str {
        match self {
            Self::Envoy => "envoy.yaml",
            Self::Caddy => "Caddyfile",
            Self::Nginx => "nginx.conf",
        }
    }

    /// What it prints about its version.
    pub(crate) fn version(self) -> String {
        let argument = match self {
            Self::Envoy => "--version",
            Self::Caddy => "version",
            Self::Nginx => "-v",
        };
        let output = program::command(self.program()).arg(argument).output().unwrap();
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat()
    }

    fn command(self, dir: &TempDir) -> Command {
        let config = dir.path().join(self.file());
        let mut command = program::command(self.program());
        command
            .current_dir(dir.path())
            .env("HOME", dir.path())
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_DATA_HOME");
        match self {
            Self::Envoy => {
                command.arg("-c").arg(config).args(["--concurrency", "1", "--disable-hot-restart", "-l", "warn"])
            }
            Self::Caddy => command.args(["run", "--adapter", "caddyfile", "--config"]).arg(config),
            Self::Nginx => command.arg("-c").arg(config).arg("-p").arg(dir.path()).args(["-e", "stderr"]),
        };
        command
    }
}

/// A running one.
pub(crate) struct Peer {
    /// Where clients connect to.
    pub(crate) address: SocketAddr,
    _program: Program,
    _dir: TempDir,
}

impl Peer {
    /// Starts it with what `config` makes of the address to listen on, and with further files beside it.
    pub(crate) async fn start(product: Product, config: impl Fn(SocketAddr) -> String, files: &[(&str, &str)]) -> Self {
        let (address, dir) = (ports::free_address(), TempDir::new().unwrap());
        fs::write(dir.path().join(product.file()), config(address)).unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let log = dir.path().join("log");
        let mut program = Program::start(&mut product.command(&dir), &log);
        eventually("it listens", START, async || {
            assert!(!program.has_ended(), "{product:?} ended at its start\n{}", program.log());
            TcpStream::connect(address).await.ok()
        })
        .await;
        Self { address, _program: program, _dir: dir }
    }
}
