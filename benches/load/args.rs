//! The command line.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;

use super::peers::Peer;
use super::workload::Workload;

/// Measures furt beside other gateways, in turns, on cores of their own. What figures mean: benches/README.md.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "cargo bench -p furt-benches --bench load --",
    bin_name = "cargo bench -p furt-benches --bench load --",
    args_override_self = true
)]
pub(crate) struct Options {
    /// What is measured, with commas; or `all`
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "pass,browser,gateway,body,churn,idle,handshake-ec,handshake-rsa,resume,h2,idle-tls,idle-h2"
    )]
    workload: Vec<String>,
    /// Only these gateways, with commas, instead of all that are installed
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_enum)]
    pub(super) only: Vec<Peer>,
    /// How often each gateway has its turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) rounds: u32,
    /// How long one measurement takes; a turn has two
    #[arg(long, default_value_t = 3.0, value_parser = positive)]
    pub(super) seconds: f64,
    /// Requests a second at the open pace; large bodies: a fortieth, handshakes: a tenth
    #[arg(long, default_value_t = 2000.0, value_parser = positive)]
    pub(super) rate: f64,
    /// Client connections, of HTTP/2 requests in flight; large bodies and handshakes: 16 at most
    #[arg(long, default_value_t = 64, value_parser = whole)]
    pub(super) connections: usize,
    /// Worker threads of each gateway, each on a core of its own
    #[arg(long, default_value_t = 1, value_parser = whole)]
    pub(super) threads: usize,
    /// Clients of the idle workload
    #[arg(long, default_value_t = 10_000, value_parser = whole)]
    pub(super) idle_clients: usize,
    /// User-space instructions a request under valgrind's callgrind, instead of everything else
    #[arg(long)]
    pub(super) instructions: bool,
    /// Requests that instructions are counted over
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) requests: u64,
    /// Writes every figure of every round to this file
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// The furt to be measured, instead of the one that cargo has built
    #[arg(long, value_name = "PATH", default_value_os_t = own_furt(), hide_default_value = true)]
    pub(super) furt: PathBuf,
    /// The bare proxy to be measured, built as that furt is, instead of this program's own
    #[arg(long, value_name = "PATH")]
    pub(super) bare: Option<PathBuf>,
    /// Where else other gateways are looked for, before PATH
    #[arg(long, value_name = "DIR")]
    pub(super) peer_path: Option<PathBuf>,
    /// Everything once and as small as it gets, to see that it works
    #[arg(long)]
    pub(super) smoke: bool,
    /// The bare proxy opens a connection to the service for each request, to see that the bench notices
    #[arg(long, hide = true, conflicts_with = "bare")]
    pub(super) bare_closes: bool,
    /// What cargo says to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// The workloads, in order.
    ///
    /// # Errors
    /// One that is not known.
    pub(super) fn workloads(&self) -> Result<Vec<Workload>> {
        let mut workloads = Vec::new();
        for name in &self.workload {
            if name == "all" {
                workloads.extend(<Workload as clap::ValueEnum>::value_variants());
                continue;
            }
            let known = <Workload as clap::ValueEnum>::from_str(name, false);
            let all = <Workload as clap::ValueEnum>::value_variants().iter().map(|one| one.name()).collect::<Vec<_>>();
            let unknown = |_| anyhow::anyhow!("--workload: \"{name}\" is none of {}, all", all.join(", "));
            workloads.push(known.map_err(unknown)?);
        }
        Ok(workloads)
    }

    /// Whether furt is the one of cargo's that this program is beside.
    pub(super) fn is_own_furt(&self) -> bool {
        self.furt == own_furt()
    }

    /// With what `--smoke` means, and paths that hold in any directory.
    ///
    /// # Errors
    /// A program that is named is not there.
    pub(super) fn settled(mut self) -> Result<Self> {
        self.furt = program("--furt", &self.furt)?;
        self.bare = self.bare.map(|path| program("--bare", &path)).transpose()?;
        self.peer_path = self.peer_path.map(std::path::absolute).transpose().context("--peer-path")?;
        if self.smoke {
            self.rounds = 1;
            self.seconds = 0.2;
            self.rate = 200.0;
            self.connections = 4;
            self.idle_clients = 50;
            self.requests = 50;
        }
        Ok(self)
    }
}

/// Where cargo puts furt by the profile that this program was built by: `target/release/furt` for
/// `target/release/deps/load-…`.
fn own_furt() -> PathBuf {
    let folder = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.parent()?.to_owned()));
    folder.unwrap_or_default().join("furt")
}

fn program(option: &str, path: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(path).with_context(|| option.to_owned())?;
    let hint = if path == own_furt() { "; cargo build makes it, for cargo bench with --profile bench" } else { "" };
    ensure!(path.is_file(), "{option}: there is no {}{hint}", path.display());
    Ok(path)
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if number > 0.0 && number <= 1e6 => Ok(number),
        _ => Err("must be a number from above 0 to a million".to_owned()),
    }
}

fn whole(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=1_000_000) => Ok(number),
        _ => Err("must be a whole number from 1 to a million".to_owned()),
    }
}
