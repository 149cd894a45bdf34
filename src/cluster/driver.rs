//! The thread of the cluster: it waits for its folder, then for messages, orders and deadlines, and ends with a word to the others.
//!
//! It has a runtime of its own: signatures, fsyncs and what strangers send take no time from requests or from the registry.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use furt_bus::{Bus, Topology, log_of};
use furt_cluster::model::{Fingerprint, NodeName, Scope, SettingsId};
use furt_cluster::{Condition, Event, Policy};
use furt_seal::Seal;
use tokio::sync::{mpsc, oneshot};

use super::folder::{Folder, settings_in, token_of};
use super::handle::{Link, Order};
use super::hearing::{carry_out, heard, refuse, show};
use super::node::Node;
use super::outside::{self, Outside, Task};
use super::programs::{ProgramTask, Programs};
use super::shared::Shared;
use super::telling::Telling;
use super::vault::{self, VaultDoor};
use crate::private_files::FileError;
use crate::telemetry::ClusterMetrics;

/// Between two looks whether the folder is free, or can be written again.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a process may hold the folder until that is told: one that is replaced needs a moment.
const TOLD_AFTER: u32 = 20;
/// For the last beat, at the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a node is made of.
pub struct Options {
    /// What outlives the process.
    pub folder: PathBuf,
    /// What the node is called.
    pub name: NodeName,
    /// The exchange, with which the names of queues begin.
    pub exchange: String,
    /// A file with a token to join by.
    pub token_file: Option<PathBuf>,
    /// The part of the configuration that the core needs, as it is now.
    pub policy: Box<dyn Fn() -> Policy + Send>,
    /// How the node is, now.
    pub condition: Box<dyn Fn() -> Condition + Send>,
    /// Where tokens of a Vault are made and kept; `None`: there is no Vault.
    pub vault: Option<VaultDoor>,
    /// Where it is counted.
    pub metrics: Arc<ClusterMetrics>,
    /// Has settings checked and put in force.
    pub tasks: mpsc::Sender<Task>,
    /// Takes what gateways derive from the cluster's secret, whenever that changes.
    pub share: Box<dyn Fn(&Shared) + Send>,
    /// Has other programs checked and started; `None`: there are no updates.
    pub programs: Option<mpsc::Sender<ProgramTask>>,
    /// The settings that the process began with.
    pub began_with: BTreeMap<Scope, SettingsId>,
}

/// How the node's part in the cluster ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The node goes, and says so.
    Leaving,
    /// Another process goes on with its key and its folder.
    Replaced,
}

/// The thread.
#[derive(Debug)]
pub struct Running {
    ending: Option<oneshot::Sender<Ending>>,
    thread: JoinHandle<()>,
}

impl Running {
    /// Tells it to end. It has 1 s to say so to the others; another process can have the folder then.
    pub fn end(&mut self, ending: Ending) {
        if let Some(told) = self.ending.take() {
            // A thread that has ended by itself has said why.
            _ = told.send(ending);
        }
    }

    /// Waits for the end, where it was told to end.
    pub fn join(self) {
        drop(self.ending);
        if self.thread.join().is_err() {
            log::error!("cluster: its thread has panicked");
        }
    }
}

/// Starts the thread. `connect` makes the bus, once the node's key is known.
///
/// # Errors
/// The folder cannot be used, or there is no thread.
pub fn start<B: Bus + 'static>(
    options: Options,
    orders: mpsc::Receiver<Order>,
    connect: impl FnOnce(Topology) -> Result<B> + Send + 'static,
) -> Result<Running> {
    let folder = Folder::new(&options.folder);
    folder.check()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ending, ended) = oneshot::channel();
    let run = move || {
        let telling = Telling::new(Arc::clone(&options.metrics));
        let driver = Driver { options, folder, telling, told: None, link: Link::Down(None) };
        if let Err(why) = runtime.block_on(driver.run(Inputs { orders, ended }, connect)) {
            log::error!("cluster: this node takes no part any more: {why:#}");
        }
    };
    let thread = std::thread::Builder::new().name("cluster".to_owned()).spawn(run);
    Ok(Running { ending: Some(ending), thread: thread.context("no thread can be started for the cluster")? })
}

/// What is asked of the thread.
struct Inputs {
    orders: mpsc::Receiver<Order>,
    ended: oneshot::Receiver<Ending>,
}

struct Driver {
    options: Options,
    folder: Folder,
    telling: Telling,
    /// What was logged last of why the node takes no part.
    told: Option<String>,
    link: Link,
}

/// How a wait went.
enum Waited {
    /// It was over in time.
    Through,
    Ended,
}

impl Driver {
    async fn run<B: Bus>(mut self, mut inputs: Inputs, connect: impl FnOnce(Topology) -> Result<B>) -> Result<()> {
        if let Waited::Ended = self.own_folder(&mut inputs).await {
            return Ok(());
        }
        let Some(key) = self.await_key(&mut inputs).await else { return Ok(()) };
        self.catch_up().await;
        let mut bus = connect(topology(&self.options, &key))?;
        log::info!("cluster: this node is {} with the key {key}", self.options.name);
        let mut start = Start::First;
        loop {
            match self.follow(&mut inputs, &mut bus, start).await {
                Ok(Ending::Leaving) => {
                    // A broker that does not answer is left all the same.
                    _ = tokio::time::timeout(FAREWELL, bus.close()).await;
                    return Ok(());
                }
                Ok(Ending::Replaced) => return Ok(()),
                Err(why) => {
                    if let Waited::Ended = self.stay_apart(&mut inputs, why.to_string()).await {
                        return Ok(());
                    }
                }
            }
            start = Start::Again;
        }
    }

    /// Waits until no other process has the folder.
    async fn own_folder(&mut self, inputs: &mut Inputs) -> Waited {
        for tries in 0.. {
            let why = match self.folder.own() {
                Ok(true) => return Waited::Through,
                Ok(false) => format!("another process has {}", self.options.folder.display()),
                Err(why) => why.to_string(),
            };
            let waited = match tries {
                0..TOLD_AFTER => inputs.refuse_for(&why).await,
                _ => self.stay_apart(inputs, why).await,
            };
            if let Waited::Ended = waited {
                return Waited::Ended;
            }
        }
        Waited::Ended
    }

    /// Puts in force what the process before this one was still given when this one had begun already.
    async fn catch_up(&self) {
        let Options { folder, tasks, began_with, .. } = &self.options;
        let stored = settings_in(folder).unwrap_or_else(|why| {
            log::error!("cluster: {why}");
            Vec::new()
        });
        for (scope, id, text) in stored {
            if began_with.get(&scope).is_none_or(|has| *has < id)
                && let Err(why) = outside::apply(tasks, scope, id, text).await
            {
                let generation = id.generation;
                log::error!("cluster: generation {generation} of the settings of {scope:?} is not in force: {why}");
            }
        }
    }

    async fn await_key(&mut self, inputs: &mut Inputs) -> Option<Fingerprint> {
        loop {
            match self.folder.key_or_new() {
                Ok(key) => return Some(key.fingerprint()),
                Err(why) => {
                    if let Waited::Ended = self.stay_apart(inputs, why.to_string()).await {
                        return None;
                    }
                }
            }
        }
    }

    /// Tells it, and refuses all orders for a while.
    async fn stay_apart(&mut self, inputs: &mut Inputs, why: String) -> Waited {
        if self.told.as_ref() != Some(&why) {
            log::error!("cluster: this node takes no part: {why}");
            self.telling.apart(format!("this node takes no part: {why}"));
            self.told = Some(why.clone());
        }
        inputs.refuse_for(&why).await
    }

    /// Runs a node until it ends or its folder fails.
    async fn follow<B: Bus>(&mut self, inputs: &mut Inputs, bus: &mut B, start: Start) -> Result<Ending, FileError> {
        let Self { options, folder, telling, told, link } = self;
        let mut policy = (options.policy)();
        let (outside, mut done) = Outside::new(options.tasks.clone());
        let (calls, mut made) = options.vault.as_mut().map(|door| (&door.calls, &mut door.made)).unzip();
        let share = &*options.share;
        let seal = Seal::new(folder.key_or_new()?);
        let (programs, mut of_programs) = Programs::new(options.programs.clone());
        let names = (options.name.clone(), log_of(&options.exchange));
        let node = Node::begin(seal, names, policy.clone(), folder, bus, telling, outside)?;
        let mut node = node.with_programs(programs);
        node.use_vault(calls);
        *told = None;
        if start == Start::First {
            join_by_file(&mut node, options.token_file.as_deref())?;
        }
        node.handle(Event::ConditionChanged((options.condition)()))?;
        show(&mut node, share);
        loop {
            let deadline = node.next_deadline();
            tokio::select! {
                ending = &mut inputs.ended => {
                    // Where nobody has the other end any more the process ends.
                    let ending = ending.unwrap_or(Ending::Leaving);
                    if ending == Ending::Leaving {
                        node.handle(Event::Leaving)?;
                    } else {
                        node.replaced()?;
                    }
                    return Ok(ending);
                }
                event = node.bus().event() => heard(&mut node, event, link, share)?,
                Some(event) = done.recv() => {
                    node.handle(event)?;
                    show(&mut node, share);
                }
                Some(event) = of_programs.recv() => {
                    node.handle(event)?;
                    show(&mut node, share);
                }
                order = inputs.orders.recv() => {
                    let Some(order) = order else { return Ok(Ending::Leaving) };
                    carry_out(&mut node, order, link)?;
                    show(&mut node, share);
                }
                (to, outcome) = vault::next(made.as_deref_mut()) => node.take_made(to, outcome)?,
                () = until(deadline) => {
                    let in_force = (options.policy)();
                    if in_force != policy {
                        policy = in_force.clone();
                        node.handle(Event::PolicyChanged(in_force))?;
                    }
                    node.handle(Event::ConditionChanged((options.condition)()))?;
                    node.pass_deadlines()?;
                    show(&mut node, share);
                }
            }
        }
    }
}

/// Whether the node began before in this process.
#[derive(Clone, Copy, PartialEq)]
enum Start {
    First,
    Again,
}

impl Inputs {
    async fn refuse_for(&mut self, why: &str) -> Waited {
        let over = tokio::time::sleep(PAUSE);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return Waited::Through,
                _ = &mut self.ended => return Waited::Ended,
                order = self.orders.recv() => match order {
                    Some(order) => refuse(order, why),
                    None => return Waited::Ended,
                }
            }
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

fn topology(options: &Options, key: &Fingerprint) -> Topology {
    Topology {
        exchange: options.exchange.clone(),
        queue: format!("{}.{}", options.exchange, options.name),
        bindings: furt_seal::bindings(&options.name, key),
        shared: Vec::new(),
        logs: vec![log_of(&options.exchange)],
    }
}

/// A node that belongs to a cluster already needs no token.
fn join_by_file<B: Bus>(node: &mut Node<'_, B>, file: Option<&Path>) -> Result<(), FileError> {
    let Some(path) = file.filter(|_| node.core().membership().is_none()) else { return Ok(()) };
    match token_of(path) {
        Ok(token) => node.join(token, None),
        Err(why) => {
            log::error!("cluster: this node cannot join by cluster.token_file: {why}");
            Ok(())
        }
    }
}
