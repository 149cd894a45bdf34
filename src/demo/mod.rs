//! `furt demo`: a gateway on free ports, and two services with three instances each that misbehave on command.
//!
//! The gateway is the one that `furt run` starts, with a configuration that is written out as text, parsed and shown. The
//! instances live in this process, each on a port of its own, and join over the internal listener as any service would:
//! nothing here reaches into registry, driver or proxy. `modes` says how they misbehave, `handlers` what they answer,
//! `joining` how they register, `instance` how they live and crash, `fleet` all of them, `load` the clients, `guide` what
//! is printed, `ending` what happens to signals that the gateway does not take. Called by `cli` alone.

mod client;
mod ending;
mod fleet;
mod guide;
mod handlers;
mod instance;
mod joining;
mod load;
mod modes;
mod resources;
mod settings;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use tokio::runtime::Runtime;

use crate::app::{self, Handover, Loaded};
use crate::config::Config;
use ending::Ending;
use fleet::{Fleet, INSTANCES};
use guide::Guide;
use load::Load;
use resources::Directory;

/// How long the start may take, on a machine that is busy with other things; mostly it is a fraction of a second.
const START: Duration = Duration::from_secs(20);
/// Threads for six instances that mostly wait.
const THREADS: usize = 2;

/// Where what is printed goes.
pub type Say = Arc<dyn Fn(&str) -> Result<()> + Send + Sync>;

/// What the demo was asked for.
pub struct Options {
    /// Whether clients send requests all the time.
    pub load: Clients,
    /// For whom it prints.
    pub reader: Reader,
    /// How furt is called in the commands that are shown, fit for a shell.
    pub program: String,
    /// The verbs that this furt has: only these are shown.
    pub verbs: Vec<String>,
    /// Prints.
    pub say: Say,
}

/// Whether there are clients beside the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clients {
    /// None.
    None,
    /// Some that send a steady load, and what becomes of it is shown each second.
    Steady,
}

/// Who reads what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// A person at a terminal: what changes is written over itself.
    Terminal,
    /// A person who reads it later: line by line.
    File,
    /// A program: one JSON value a line, the guide first.
    Program,
}

/// Runs the demo until SIGTERM or SIGINT. The instances have deregistered then and the directory is gone.
///
/// # Errors
/// No directory, no ports, or the gateway could not be started.
pub fn run(options: Options) -> Result<()> {
    let runtime = runtime()?;
    // From here on a signal ends the demo in order, so that it leaves nothing behind.
    let signals = ending::catch(&runtime)?;
    let directory = Directory::create()?;
    let key = settings::new_key()?;
    let (gateway, ports) = resources::reserve(INSTANCES)?;
    let addresses = gateway.addresses();
    let text = settings::text(addresses, &key, directory.path())?;
    let file = directory.path().join("furt.toml");
    fs::write(&file, &text).with_context(|| format!("cannot write {}", file.display()))?;
    // The environment is another furt's: what this one does is what it shows.
    let read = Config::load_with_locations(&file, &|_| None).map_err(|errors| anyhow!("{errors}"))?;

    let fleet = Fleet::start(&runtime, addresses.internal, ports)?;
    let guide = Guide { addresses, key, directory: directory.path().to_owned(), config: text, teams: fleet.teams() };
    let load = Load::new(&options, &guide);
    let ending = Arc::new(Ending::new(load, fleet, directory));
    runtime.spawn(Arc::clone(&ending).watch(signals));
    runtime.spawn(announce(Arc::clone(&ending), guide, options));
    gateway.free();
    let mut handover = Handover::never("the demo goes with its process");
    let outcome = app::run_then(&file, Loaded::alone(read), &mut handover, || runtime.block_on(ending.leave()));
    // Once more, for a gateway that could not start, or that ended by itself.
    runtime.block_on(ending.leave());
    let removed = ending.directory.remove();
    runtime.shutdown_background();
    outcome.and(removed)
}

/// Waits until everything is up, then prints what to try and lets the clients begin.
async fn announce(ending: Arc<Ending>, guide: Guide, options: Options) {
    let started = async {
        let joined = tokio::time::timeout(START, ending.fleet.joined(guide.addresses.internal)).await;
        ensure!(joined.is_ok(), "not all instances have registered within {} s", START.as_secs());
        ending.gateway_is_up();
        let text = match options.reader {
            Reader::Program => format!("{}\n", guide.json(&options)),
            Reader::Terminal | Reader::File => guide.text(&options),
        };
        (options.say)(&text)?;
        ending.load.start().context("no threads for the load")
    };
    if let Err(error) = started.await {
        log::error!("the demo cannot go on: {error:#}");
        ending.end(1).await;
    }
}

fn runtime() -> Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(THREADS).thread_name("demo").enable_all().build();
    runtime.context("the demo's runtime cannot be started")
}
