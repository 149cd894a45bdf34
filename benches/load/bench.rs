//! The load bench's map, in reading order, and its way from arguments to figures.
//!
//! - [`args`], [`workload`], [`fleet`], [`certificates`]: what is asked for, and what requests and configurations are made of
//! - [`roles`], [`origin`], [`bare`]: what this program is as well, in processes of its own
//! - [`cores`], [`process`], [`measure`], [`peers`], [`check`]: who is measured, where, and whether it does the same
//! - [`http1`], [`pace`], [`driver`]: the client side; [`tls`], [`h2`], [`timer`], [`secure`]: under TLS; [`clients`], [`guests`]: either
//! - [`connects`]: the origin's count of connections, and who opens too many
//! - [`turns`], [`idle`], [`churn`], [`instructions`]: the measurements
//! - [`report`], [`sections`], [`statistics`], [`table`]: tables and JSON
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench reads clocks, and speaks to whoever runs it"
)]

mod args;
mod bare;
mod certificates;
mod check;
mod churn;
mod clients;
mod connects;
mod cores;
mod driver;
mod fleet;
mod guests;
mod h2;
mod http1;
mod idle;
mod instructions;
mod measure;
mod origin;
mod pace;
mod peers;
mod process;
mod report;
mod roles;
mod sections;
mod secure;
mod statistics;
mod table;
mod timer;
mod tls;
mod turns;
mod workload;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;

pub(crate) use args::Options;
pub(crate) use roles::{Own, Role};

use certificates::Certificates;
use connects::Connects;
use cores::Cores;
use fleet::Fleet;
use peers::{Peer, Running, Setup, Site};
use process::Process;
use report::Report;
use workload::Workload;

/// Below Linux's default range for outgoing connections, so that no client takes a gateway's port.
const PORTS: std::ops::Range<u16> = 10_000..32_000;
/// The UDP sockets of the ports that were chosen: until they are listened on, nobody else may choose them.
static CHOSEN: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
/// Files that a gateway and the driver have open beside those of idle clients, at most.
const MORE_FILES: u64 = 4_096;
/// The least of them that an idle gateway does with. Of the rest furt has three eighths for clients, who may need two each.
const SPARE_FILES: u64 = 1_000;

/// Idle connections to one service that all clients ask: more than there are clients, so that none is closed only because
/// another one is given back a moment earlier.
const PUBLIC_IDLE: usize = 256;
/// As many of 64 clients are hardly ever at one of a thousand services at once.
const FLEET_IDLE: usize = 4;

/// Where everything is written, for an end by a signal.
static DIRECTORY: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Measures what `options` ask for and tells it to `out`.
///
/// # Errors
/// A gateway does not start, does not do what it is measured for or reconnects where it need not, a file cannot be written, ….
pub(crate) fn run(options: Options, own: &Own, out: &mut dyn Write) -> Result<serde_json::Value> {
    let options = options.settled()?;
    let workloads = options.workloads()?;
    let bench = Bench::try_new(&options, own)?;
    let mut report = Report::new(&bench);
    report.head(&bench, out)?;
    for workload in workloads {
        if options.instructions {
            instructions::measure(&bench, workload, &mut report)?;
        } else {
            match workload {
                Workload::Churn => churn::measure(&bench, &mut report)?,
                _ if workload.is_idle() => idle::measure(&bench, workload, &mut report)?,
                _ => turns::measure(&bench, workload, &mut report)?,
            }
        }
        report.show(out)?;
        // Each time, so that what was measured is there, whatever comes next.
        if let Some(path) = &options.json {
            let text = serde_json::to_string_pretty(&report.json())?;
            std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    report.verdict()?;
    Ok(report.json())
}

/// What all measurements share.
struct Bench<'a> {
    options: &'a Options,
    own: &'a Own,
    cores: Cores,
    fleet: Fleet,
    /// The gateways that are there.
    programs: Vec<(Peer, PathBuf)>,
    /// Those that are asked for and are not.
    missing: Vec<Peer>,
    /// As many as there are files for, at most those that are asked for.
    idle_clients: usize,
    origin: SocketAddr,
    connects: Connects,
    certificates: Certificates,
    dir: TempDir,
    /// Until the end of all.
    _origin: Process,
}

impl<'a> Bench<'a> {
    fn try_new(options: &'a Options, own: &'a Own) -> Result<Self> {
        let cores = Cores::divide(options.threads)?;
        cores.enter_driver()?;
        let files = raise_files(2 * options.idle_clients as u64 + MORE_FILES);
        let idle_clients = options.idle_clients.min(usize::try_from(files.saturating_sub(SPARE_FILES) * 3 / 8)?);
        let dir = TempDir::with_prefix("furt-load-").context("no temporary directory can be made")?;
        end_by_signals(dir.path())?;
        let port = free_port()?;
        let size = if options.smoke { (20, 60, 5) } else { (1_000, 10_000, 100) };
        let fleet = Fleet { services: size.0, keys: size.1, teams: size.2, port };
        let (mut programs, mut missing) = (Vec::new(), Vec::new());
        for peer in Peer::ALL.into_iter().filter(|peer| options.only.is_empty() || options.only.contains(peer)) {
            match peer.find(options) {
                Some(program) => programs.push((peer, program)),
                None => missing.push(peer),
            }
        }
        let origin = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut process = Process::start("origin", own.command(&Role::Origin { port })?, dir.path())?;
        process.wait_for(origin)?;
        let connects = Connects::open(origin)?;
        let certificates = Certificates::make(dir.path())?;
        Ok(Self {
            options,
            own,
            cores,
            fleet,
            programs,
            missing,
            idle_clients,
            origin,
            connects,
            certificates,
            dir,
            _origin: process,
        })
    }

    /// Starts a gateway for a workload, run by `runner` if there is one, and checks that it does what it should.
    fn start(&self, peer: Peer, program: &Path, workload: Workload, runner: Option<&Command>) -> Result<Running> {
        let mut running = self.start_unchecked(peer, program, workload, runner)?;
        check::check(&mut running, workload.site(), &self.fleet)?;
        Ok(running)
    }

    /// The same, without the requests of the check.
    fn start_unchecked(
        &self,
        peer: Peer,
        program: &Path,
        workload: Workload,
        runner: Option<&Command>,
    ) -> Result<Running> {
        let setup = Setup {
            site: workload.site(),
            fleet: &self.fleet,
            origin: self.origin,
            listen: (Ipv4Addr::LOCALHOST, free_port()?).into(),
            internal: (Ipv4Addr::LOCALHOST, free_port()?).into(),
            certificate: workload.key().map(|key| self.certificates.of(key)),
            plain: (Ipv4Addr::LOCALHOST, free_port()?).into(),
            dir: self.dir.path().join(format!("{}-{}", workload.name(), peer.name())),
            threads: self.options.threads,
            clients: if workload.is_idle() { self.idle_clients } else { self.options.connections } + 100,
            idle: match workload.site() {
                Site::Public => self.options.connections.max(PUBLIC_IDLE),
                Site::Fleet => self.fleet.services as usize * FLEET_IDLE,
            },
            bare_idle: (!self.options.bare_closes).then_some(bare::UPSTREAM_IDLE),
            own: self.own,
            runner,
        };
        peer.start(program, &setup, &self.cores)
    }

    /// Starts all that have a part in a workload.
    fn start_all(&self, workload: Workload) -> Result<Vec<Running>> {
        let taking_part = self.programs.iter().filter(|(peer, _)| workload.has(*peer));
        taking_part.map(|(peer, program)| self.start(*peer, program, workload, None)).collect()
    }

    /// Says what is going on, where it takes long.
    fn progress(&self, what: &str) {
        if !self.options.smoke {
            eprintln!("load: {what}");
        }
    }
}

fn free_port() -> Result<u16> {
    let is_free = |port: &u16| {
        // On all addresses, since the origin takes it there.
        let at = (Ipv4Addr::UNSPECIFIED, *port);
        let Ok(chosen) = UdpSocket::bind(at) else { return false };
        CHOSEN.lock().unwrap_or_else(PoisonError::into_inner).push(chosen);
        TcpListener::bind(at).is_ok()
    };
    let port = std::iter::repeat_with(|| fastrand::u16(PORTS)).take(1000).find(is_free);
    port.with_context(|| format!("no port from {} to {} is free", PORTS.start, PORTS.end))
}

/// A gateway may have two files open for each client, and some say that they need them. How many there may be now.
fn raise_files(wanted: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let is_enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= wanted);
    // Only root may raise the upper limit, and not everywhere; without, as far as that goes.
    for (current, maximum) in [(wanted, limit.maximum.map(|maximum| maximum.max(wanted))), (wanted, limit.maximum)] {
        let new = Rlimit { current: Some(maximum.map_or(current, |maximum| maximum.min(current))), maximum };
        if is_enough(limit.current) || setrlimit(Resource::Nofile, new).is_ok() {
            break;
        }
    }
    getrlimit(Resource::Nofile).current.unwrap_or(wanted).min(wanted)
}

/// SIGINT and SIGTERM leave nothing behind.
fn end_by_signals(dir: &Path) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let known = DIRECTORY.lock().unwrap_or_else(PoisonError::into_inner).replace(dir.to_owned());
    if known.is_some() {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        process::kill_all();
        if let Some(dir) = &*DIRECTORY.lock().unwrap_or_else(PoisonError::into_inner) {
            // There is nobody left to tell.
            _ = std::fs::remove_dir_all(dir);
        }
        std::process::exit(130);
    });
    Ok(())
}
