//! The new process's side of an upgrade: what it is handed, and when it may use it.
//!
//! The process that runs starts this one with a socket for its standard input. Nothing of that is there at a start of the
//! usual kind: then everything here does nothing.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::channel::{Answered, FROM, HandedValue, PROTOCOL, REPLACES, StartingEnd, StoreKind, Told, inherited_socket};
use super::{launcher, program};
use crate::app::settings::{HandedSettings, Loaded};
use crate::config::{Config, KeyLocations, StoreConfig};
use crate::listener::{BoundListener, GivenListener, GivenListeners};
use crate::telemetry::VERSION;
use crate::vault::{ByPlace, Values};

/// A process that was replaced, and may still have clients.
pub(super) struct Predecessor {
    pub(super) pid: u32,
    /// Closed when it ends.
    pub(super) socket: OwnedFd,
}

/// What this process takes over from another one, if there is one.
pub struct Handover {
    inherited: Option<Inherited>,
    /// The program that is started at an upgrade of this process.
    program: Result<PathBuf, &'static str>,
}

struct Inherited {
    end: StartingEnd,
    /// Whom this process replaces.
    from: u32,
    listeners: Vec<GivenListener>,
    predecessors: Vec<Predecessor>,
    program: PathBuf,
    store: StoreKind,
    settings: Option<HandedSettings>,
    values: ByPlace,
}

/// What is kept for the upgrade after this one.
pub(super) struct Kept {
    pub(super) program: Result<PathBuf, &'static str>,
    pub(super) predecessors: Vec<Predecessor>,
}

impl Handover {
    /// Of a process that replaces nobody, and cannot be replaced because of `why`.
    pub fn never(why: &'static str) -> Self {
        Self { inherited: None, program: Err(why) }
    }

    /// Starts another process, where the one that started this one wants that; this one has nothing else to do then.
    ///
    /// # Errors
    /// What it is told makes no sense.
    pub fn launch() -> Option<Result<()>> {
        launcher::serve().map(|served| served.context("the furt that runs cannot be heard"))
    }

    /// Takes what the process that started this one hands over, where one does.
    ///
    /// # Errors
    /// It does not say all of it, or says what this furt does not understand.
    pub fn find() -> Result<Self> {
        let program =
            program::own_path().map_err(|_| "the path that furt was started from is not known: /proc is missing");
        let Some((from, socket)) = inherited_socket(FROM) else { return Ok(Self { inherited: None, program }) };
        let from = std::env::var(REPLACES).ok().and_then(|pid| pid.parse().ok()).unwrap_or(from);
        let end = StartingEnd::new(socket).context("the furt that runs cannot be heard")?;
        let inherited = Inherited::receive(end, from).context("the furt that runs does not hand over what it has")?;
        program::name_this_process(&inherited.program);
        Ok(Self { inherited: Some(inherited), program })
    }

    /// Whether this process is to replace another.
    pub(in crate::app) fn is_due(&self) -> bool {
        self.inherited.is_some()
    }

    /// The program that is started at an upgrade of this process, where that is possible.
    pub(in crate::app) fn program(&self) -> Option<&Path> {
        match &self.inherited {
            Some(inherited) => Some(&inherited.program),
            None => self.program.as_deref().ok(),
        }
    }

    /// Why no process can take over from this one, with such a store.
    ///
    /// # Errors
    /// A sentence.
    pub(in crate::app) fn check_replaceable(&self, store: &StoreConfig) -> Result<(), String> {
        check_replaceable(&store_kind(store))?;
        match &self.inherited {
            Some(_) => Ok(()),
            None => self.program.as_ref().map(|_| ()).map_err(|why| (*why).to_owned()),
        }
    }

    /// The configuration that was read, with the cluster's settings over it: those that were in force when the node ended, and those
    /// that the process that runs hands over.
    ///
    /// # Errors
    /// What it hands over does not fit.
    pub fn with_settings(
        &mut self,
        path: &Path,
        read: (Config, KeyLocations),
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Loaded> {
        let handed = self.inherited.as_mut().and_then(|inherited| inherited.settings.take());
        Loaded::with_settings(path, read, handed, env).map_err(|errors| anyhow::anyhow!("{errors}"))
    }

    /// What a Vault gave the process that runs. This one has it also while the Vault is away.
    pub(in crate::app) fn values(&mut self) -> Values {
        let values = self.inherited.as_mut().map(|inherited| std::mem::take(&mut inherited.values));
        values.map_or_else(Values::default, Values::of)
    }

    /// Tells the process that runs why this one cannot take over.
    pub fn failed(&self, error: &anyhow::Error) {
        if let Some(inherited) = &self.inherited {
            // It may be gone.
            _ = inherited.end.answer(&Answered::Failed { why: format!("{error:#}") });
        }
    }

    /// The listeners that need not be bound.
    ///
    /// # Errors
    /// A line for each socket of a supervisor that is none that listens.
    pub(in crate::app) fn listeners(&mut self) -> Result<GivenListeners> {
        match &mut self.inherited {
            Some(inherited) => Ok(GivenListeners::new(std::mem::take(&mut inherited.listeners))),
            None => GivenListeners::of_supervisor().map_err(|failures| anyhow::anyhow!(failures.join("\n"))),
        }
    }

    /// Judges the addresses that were given and that no key names.
    ///
    /// # Errors
    /// A supervisor listens where the configuration does not.
    pub(in crate::app) fn judge_left(&self, left: &GivenListeners) -> Result<()> {
        for address in left.addresses() {
            if self.is_due() {
                log::info!("{address} is no longer listened on");
            } else {
                bail!(
                    "the supervisor passes a socket for {address} (LISTEN_FDS), and neither server.listen, tls.listen nor \
                     internal.listen names that address"
                );
            }
        }
        Ok(())
    }

    /// Waits until the store's file is free. Returns at once where there is none to be waited for.
    ///
    /// # Errors
    /// The store is another one; or the other process is gone.
    pub(in crate::app) fn await_store(&self, store: &StoreConfig) -> Result<()> {
        let Some(inherited) = &self.inherited else { return Ok(()) };
        if store_kind(store) != inherited.store {
            bail!("[store] has changed: an upgrade takes the store over as it is; restart furt to use another one");
        }
        if let StoreConfig::Disk(_) = store {
            inherited.say(&Answered::WantsStore)?;
            inherited.await_told(&Told::StoreIsFree)?;
        }
        Ok(())
    }

    /// Says that this process serves, and waits until it is the one that runs.
    ///
    /// # Errors
    /// The other process is gone, or goes on by itself.
    pub(in crate::app) fn ready(&self) -> Result<()> {
        let Some(inherited) = &self.inherited else { return Ok(()) };
        inherited.say(&Answered::Ready { version: VERSION.to_owned() })?;
        inherited.await_told(&Told::TakeOver)?;
        inherited.say(&Answered::HasTakenOver)?;
        log::info!("furt {VERSION} has taken over from process {}", inherited.from);
        Ok(())
    }

    /// What the next upgrade needs.
    pub(super) fn keep(&mut self) -> Kept {
        match self.inherited.take() {
            None => Kept { program: self.program.clone(), predecessors: Vec::new() },
            Some(Inherited { end, from, mut predecessors, program, .. }) => {
                predecessors.push(Predecessor { pid: from, socket: end.into_socket() });
                Kept { program: Ok(program), predecessors }
            }
        }
    }
}

impl Inherited {
    fn receive(end: StartingEnd, from: u32) -> Result<Self> {
        let (mut listeners, mut predecessors, mut settings) = (Vec::new(), Vec::new(), None);
        let mut values = ByPlace::new();
        loop {
            let (told, sockets) = end.told()?;
            match told {
                Told::Listener { kind, configured } => {
                    let sockets = sockets.into_iter().map(TcpListener::from).collect();
                    let listener = BoundListener::of_sockets(sockets)?;
                    listeners.push(GivenListener { kind: Some(kind), configured, listener });
                }
                Told::Predecessor { pid } => {
                    let socket = sockets.into_iter().next().context("a process without its socket")?;
                    predecessors.push(Predecessor { pid, socket });
                }
                Told::Settings(handed) => settings = Some(handed),
                Told::Value(HandedValue { place, text }) => {
                    values.insert(place.parse().context("a value without its place")?, text.into());
                }
                Told::Begin { protocol: PROTOCOL, program, store } => {
                    return Ok(Self { end, from, listeners, predecessors, program, store, settings, values });
                }
                Told::Begin { protocol, .. } => {
                    let why =
                        format!("it hands over by protocol {protocol}, and this one knows {PROTOCOL}: restart furt");
                    _ = end.answer(&Answered::Failed { why: why.clone() });
                    bail!(why);
                }
                Told::StoreIsFree | Told::TakeOver => bail!("it says {told:?} too early"),
            }
        }
    }

    fn say(&self, answered: &Answered) -> Result<()> {
        self.end.answer(answered).context("the furt that was to be replaced is gone")
    }

    fn await_told(&self, expected: &Told) -> Result<()> {
        let (told, _) = self.end.told().context("the furt that was to be replaced goes on by itself, or is gone")?;
        if told != *expected {
            bail!("the furt that was to be replaced says {told:?} and not {expected:?}");
        }
        Ok(())
    }
}

/// Whether a process with such a store can be replaced at all.
///
/// # Errors
/// A sentence.
pub(super) fn check_replaceable(store: &StoreKind) -> Result<(), String> {
    if std::process::id() == 1 {
        return Err("furt is process 1, with which its container ends: replace the container".to_owned());
    }
    if *store == StoreKind::Memory {
        return Err("the store is in memory, and would end with this process: restart furt".to_owned());
    }
    Ok(())
}

/// The store of a configuration as it is compared.
pub(super) fn store_kind(store: &StoreConfig) -> StoreKind {
    match store {
        StoreConfig::Memory => StoreKind::Memory,
        StoreConfig::Disk(path) => StoreKind::Disk(whole(path)),
        StoreConfig::Etcd => StoreKind::Etcd,
    }
}

/// The same for every spelling of a path.
fn whole(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
