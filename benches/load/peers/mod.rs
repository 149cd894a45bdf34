//! The gateways: how each is found, configured as someone would who knows it, and started.
//!
//! Every configuration does the same, as far as the gateway can: keep-alive to clients and to services, furt's header
//! edits (`src/proxy/headers.rs`), the access log on or off together, furt's timeouts, streamed bodies; idle connections to
//! services are kept for [`UPSTREAM_IDLE`]. `check` compares what really arrives; what a gateway cannot do stands in [`Peer::lacks`] and comes out as a footnote.

mod aralez;
mod bare;
mod caddy;
mod furt;
mod haproxy;
mod nginx;
mod pingap;
#[cfg(test)]
mod shown;
mod sozu;

pub(super) use self::furt::Registrar;

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use rustls::pki_types::CertificateDer;

use super::args::Options;
use super::bare::UPSTREAM_IDLE;
use super::certificates::Certificate;
use super::check::{Ability, wait_for_route};
use super::cores::Cores;
use super::fleet::Fleet;
use super::process::Process;
use super::roles::Own;

/// What Sōzu does instead of what it lacks.
const SOZU: &str = "adds to the X-Forwarded-* that clients send; Sozu-Id is its answers' X-Request-Id";

/// A gateway that the bench knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Peer {
    /// The one that all are compared with.
    Furt,
    /// A Pingora proxy with furt's header edits and nothing else, in this program.
    Bare,
    /// Debian's nginx.
    Nginx,
    /// Debian's HAProxy.
    Haproxy,
    /// Debian's Caddy.
    Caddy,
    /// Sōzu, from crates.io.
    Sozu,
    /// aralez, from crates.io; on Pingora.
    Aralez,
    /// pingap, from crates.io; on Pingora.
    Pingap,
}

/// What a gateway is to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Site {
    /// One public route, `/pass/*`; no access log.
    Public,
    /// The fleet's routes and keys, with the access log.
    Fleet,
}

/// Everything that a configuration is made of.
pub(super) struct Setup<'a> {
    /// What to serve.
    pub(super) site: Site,
    /// Services, routes and keys.
    pub(super) fleet: &'a Fleet,
    /// Behind the public route.
    pub(super) origin: SocketAddr,
    /// Where clients connect.
    pub(super) listen: SocketAddr,
    /// For registrations, where there are any.
    pub(super) internal: SocketAddr,
    /// What clients are shown under TLS; `None`: they come without. Under TLS they choose HTTP/2 or HTTP/1.1.
    pub(super) certificate: Option<&'a Certificate>,
    /// Where furt listens without TLS, which nobody asks, while clients come under it.
    pub(super) plain: SocketAddr,
    /// The gateway's own directory.
    pub(super) dir: PathBuf,
    /// Worker threads.
    pub(super) threads: usize,
    /// Client connections that must be possible.
    pub(super) clients: usize,
    /// Idle connections to services that must be possible: with fewer, requests to a fleet measure handshakes.
    pub(super) idle: usize,
    /// How long bare keeps an unused connection; `None`: it closes each after its answer.
    pub(super) bare_idle: Option<Duration>,
    /// How this program is started again.
    pub(super) own: &'a Own,
    /// What every command is run by, such as valgrind with its options.
    pub(super) runner: Option<&'a Command>,
}

/// A gateway that listens.
pub(super) struct Running {
    /// Which one.
    pub(super) peer: Peer,
    /// Where clients connect.
    pub(super) address: SocketAddr,
    /// Where services register; furt's alone.
    pub(super) internal: SocketAddr,
    /// What it shows under TLS.
    pub(super) certificate: Option<CertificateDer<'static>>,
    /// The process.
    pub(super) process: Process,
}

impl Peer {
    /// All of them, in the order of the tables.
    pub(super) const ALL: [Self; 8] =
        [Self::Furt, Self::Bare, Self::Nginx, Self::Haproxy, Self::Caddy, Self::Sozu, Self::Aralez, Self::Pingap];

    /// As options and tables call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Furt => "furt",
            Self::Bare => "bare",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
            Self::Sozu => "sozu",
            Self::Aralez => "aralez",
            Self::Pingap => "pingap",
        }
    }

    /// Its program, if it is installed; of bare an empty path where it is this program itself.
    pub(super) fn find(self, options: &Options) -> Option<PathBuf> {
        match self {
            Self::Furt => Some(options.furt.clone()),
            Self::Bare => Some(options.bare.clone().unwrap_or_default()),
            Self::Nginx | Self::Haproxy | Self::Caddy | Self::Sozu | Self::Aralez | Self::Pingap => {
                let path = env::var_os("PATH").unwrap_or_default();
                let more = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
                let dirs = options.peer_path.clone().into_iter().chain(env::split_paths(&path)).chain(more);
                dirs.flat_map(|dir| [dir.join(self.name()), dir.join("bin").join(self.name())])
                    .find(|file| file.is_file())
            }
        }
    }

    /// How a missing one is come by.
    pub(super) fn remedy(self) -> &'static str {
        match self {
            Self::Furt => "name it with --furt",
            Self::Bare => "",
            Self::Nginx | Self::Haproxy | Self::Caddy => "install it with apt-get",
            Self::Sozu | Self::Aralez => "cargo install it, and name its place with --peer-path",
            Self::Pingap => "cargo install pingap@0.13.1, and name its place with --peer-path",
        }
    }

    /// Whether the bench has a configuration of it for such a site.
    pub(super) fn can_serve(self, site: Site) -> bool {
        match self {
            Self::Furt | Self::Nginx | Self::Haproxy | Self::Caddy | Self::Sozu => true,
            Self::Bare | Self::Aralez | Self::Pingap => site == Site::Public,
        }
    }

    /// Whether the bench has a configuration of it for TLS and HTTP/2.
    pub(super) fn can_tls(self) -> bool {
        matches!(self, Self::Furt | Self::Nginx | Self::Haproxy | Self::Caddy)
    }

    /// What its program says of its version.
    pub(super) fn version(self, program: &Path) -> Option<String> {
        let argument = match self {
            Self::Bare => return None,
            Self::Nginx | Self::Haproxy => "-v",
            Self::Caddy => "version",
            Self::Furt | Self::Sozu | Self::Aralez | Self::Pingap => "--version",
        };
        let output = Command::new(program).arg(argument).output().ok()?;
        // nginx says it to stderr.
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let line = text.lines().next()?.trim();
        let words = line.split_whitespace().map(|word| word.rsplit('/').next().unwrap_or(word));
        words.filter(|word| word.contains('.')).map(|word| word.trim_start_matches('v').to_owned()).next()
    }

    /// What it cannot do, or not in the same way.
    pub(super) fn lacks(self, site: Site) -> &'static [Ability] {
        match (self, site) {
            (Self::Bare, _) => &[Ability::NotFound],
            (Self::Aralez, Site::Public) => &[
                Ability::ForwardedFor,
                Ability::RequestId,
                Ability::KeyHidden,
                Ability::KeyName,
                Ability::NotFound,
                Ability::ServerTiming,
            ],
            (Self::Pingap, Site::Public) => &[Ability::KeyHidden, Ability::KeyName, Ability::NotFound],
            (Self::Sozu, Site::Public) => {
                &[Ability::ForwardedFor, Ability::ForwardedProto, Ability::RequestId, Ability::ServerTiming]
            }
            (Self::Sozu, Site::Fleet) => &[
                Ability::ForwardedFor,
                Ability::ForwardedProto,
                Ability::RequestId,
                Ability::ServerTiming,
                Ability::KeyName,
                Ability::Keys,
                Ability::Permissions,
            ],
            (Self::Furt | Self::Nginx | Self::Haproxy | Self::Caddy, _)
            | (Self::Aralez | Self::Pingap, Site::Fleet) => &[],
        }
    }

    /// What is to be known of its figures for such a site.
    pub(super) fn note(self, site: Site) -> Option<&'static str> {
        match (self, site) {
            (Self::Bare, Site::Public) => Some("Pingora with furt's header edits; no keys, metrics, limits"),
            (Self::Nginx, Site::Fleet) => Some("keys in a map, in clear; no methods, no metrics"),
            (Self::Haproxy, Site::Fleet) => {
                Some("keys in a map, in clear; no methods; counts by service, not by route")
            }
            (Self::Caddy, Site::Fleet) => {
                Some("keys in clear, in a tree of `handle`s as services are; no methods, no metrics")
            }
            (Self::Sozu, Site::Public) => Some(SOZU),
            (Self::Sozu, Site::Fleet) => Some("routes of a host are looked through one by one"),
            (Self::Aralez, Site::Fleet) => Some("takes no part: it has no wildcards, and one key a path"),
            (Self::Pingap, Site::Fleet) => Some("takes no part: its keys have no permissions"),
            _ => None,
        }
    }

    /// Writes its configuration, and says how it is started.
    fn command(self, program: &Path, setup: &Setup<'_>) -> Result<Command> {
        match self {
            Self::Furt => furt::command(program, setup),
            Self::Bare => bare::command(program, setup),
            Self::Nginx => nginx::command(program, setup),
            Self::Haproxy => haproxy::command(program, setup),
            Self::Caddy => caddy::command(program, setup),
            Self::Sozu => sozu::command(program, setup),
            Self::Aralez => aralez::command(program, setup),
            Self::Pingap => pingap::command(program, setup),
        }
    }

    /// Starts it, and waits until it listens and serves the site.
    ///
    /// # Errors
    /// It does not; with its last words.
    pub(super) fn start(self, program: &Path, setup: &Setup<'_>, cores: &Cores) -> Result<Running> {
        std::fs::create_dir_all(&setup.dir).with_context(|| format!("cannot make {}", setup.dir.display()))?;
        let command = self.command(program, setup)?;
        let command = setup.runner.map_or_else(|| under(None, &command), |runner| under(Some(runner), &command));
        let process = cores.on_gateway(|| Process::start(self.name(), command, &setup.dir))?;
        let certificate = setup.certificate.map(|one| one.der.clone());
        let mut running = Running { peer: self, address: setup.listen, internal: setup.internal, certificate, process };
        running.process.wait_for(setup.listen)?;
        if self == Self::Furt {
            running.process.wait_for(setup.internal)?;
            furt::register(setup).with_context(|| "furt does not take the registrations".to_owned())?;
        }
        if self == Self::Aralez {
            // It listens before it has read its routes.
            wait_for_route(&mut running)?;
        }
        Ok(running)
    }
}

/// The same command, run by another.
fn under(runner: Option<&Command>, command: &Command) -> Command {
    let mut whole = match runner {
        Some(runner) => {
            let mut whole = Command::new(runner.get_program());
            whole.args(runner.get_args()).arg(command.get_program());
            whole
        }
        None => Command::new(command.get_program()),
    };
    whole.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => whole.env(name, value),
            None => whole.env_remove(name),
        };
    }
    whole
}

/// Writes a configuration.
///
/// # Errors
/// It cannot be written.
fn write(setup: &Setup<'_>, name: &str, text: &str) -> Result<PathBuf> {
    let path = setup.dir.join(name);
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
