//! The running process's side of an upgrade: starts the new one, hands over what it has, and takes it back where that fails.

use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;

use super::channel::{self, Answered, Channel, HandedValue, PROTOCOL, StoreKind, Told};
use super::handover::{Handover, Kept, Predecessor, check_replaceable, store_kind};
use super::launcher::{Launch, RUNNING};
use super::program::Program;
use crate::api::{UpgradeError, UpgradeWaiting, Upgraded};
use crate::app::settings::HandedSettings;
use crate::cluster::{ApplyReply, TakeoverReply};
use crate::config::StoreConfig;
use crate::listener::GivenListener;
use crate::store::Custody;
use crate::update::Candidate;
use crate::vault::Values;
use furt_cluster::model::Version;

/// Processes that were replaced and still have clients: each keeps its table of routes and its connections in memory.
const MOST_PREDECESSORS: usize = 4;

/// What upgrades need.
pub(in crate::app) struct Upgrading {
    program: Result<PathBuf, &'static str>,
    predecessors: Vec<Predecessor>,
    possessions: Possessions,
    asked: mpsc::Receiver<UpgradeWaiting>,
    takeovers: mpsc::Receiver<Takeover>,
    signals: Signal,
    successor: Option<Successor>,
    done: Option<(Upgraded, Option<UpgradeWaiting>)>,
}

/// What a new process takes over of this one.
pub(in crate::app) struct Possessions {
    listeners: Vec<GivenListener>,
    store: StoreKind,
    custody: Option<Custody>,
    values: Values,
}

impl Possessions {
    pub(in crate::app) fn new(
        listeners: Vec<GivenListener>,
        store: &StoreConfig,
        custody: Option<Custody>,
        values: Values,
    ) -> Self {
        Self { listeners, store: store_kind(store), custody, values }
    }
}

/// Another program that is to get the place of this one.
#[derive(Debug)]
pub(in crate::app) struct Update {
    /// It, beside this one.
    pub(in crate::app) candidate: Candidate,
    /// What it must be.
    pub(in crate::app) version: Version,
    /// Who has it take over.
    pub(in crate::app) reply: TakeoverReply,
}

/// The same program once more, with settings that need a restart.
#[derive(Debug)]
pub(in crate::app) struct Restart {
    /// The settings.
    pub(in crate::app) settings: HandedSettings,
    /// Who has them put in force.
    pub(in crate::app) reply: ApplyReply,
}

/// What the cluster has a process take over for.
#[derive(Debug)]
pub(in crate::app) enum Takeover {
    Update(Update),
    Restart(Restart),
}

/// Who asks for an upgrade.
enum Asking {
    Caller(UpgradeWaiting),
    Signal,
    Cluster(Takeover),
}

impl Upgrading {
    pub(in crate::app) fn new(
        handover: &mut Handover,
        possessions: Possessions,
        asked: mpsc::Receiver<UpgradeWaiting>,
        takeovers: mpsc::Receiver<Takeover>,
        signals: Signal,
    ) -> Self {
        let Kept { program, predecessors } = handover.keep();
        Self { program, predecessors, possessions, asked, takeovers, signals, successor: None, done: None }
    }

    /// Waits for somebody to ask and has another process take over. A failure is told; success is to be told with
    /// [`Self::tell_success`]. If this is dropped meanwhile, everything is as it was. Returns whether this process is replaced.
    pub(in crate::app) async fn serve_next(&mut self) -> bool {
        let mut asking = self.asked().await;
        let takeover = match &mut asking {
            Asking::Cluster(takeover) => Some(takeover),
            Asking::Caller(_) | Asking::Signal => None,
        };
        match self.upgrade(takeover).await {
            Ok(upgraded) => {
                self.done = Some((upgraded, asking.taken()));
                true
            }
            Err(error) => {
                log::error!("there is no upgrade: {error}");
                asking.failed(error);
                false
            }
        }
    }

    /// Tells who has asked, once a new connection goes to the new process.
    pub(in crate::app) fn tell_success(&mut self) {
        let Some((upgraded, waiting)) = self.done.take() else { return };
        log::info!("process {} (furt {}) has taken over", upgraded.pid, upgraded.version);
        _ = waiting.map(|waiting| waiting.send(Ok(upgraded)));
    }

    /// The process that has taken over.
    pub(in crate::app) fn successor(&self) -> Option<u32> {
        self.successor.as_ref().map(|successor| successor.pid)
    }

    /// Closes the listening sockets: nobody is handed them any more.
    pub(in crate::app) fn close_listeners(&mut self) {
        self.possessions.listeners.clear();
    }

    /// Waits until a caller asks for an upgrade, or a signal or a command of the cluster does.
    async fn asked(&mut self) -> Asking {
        tokio::select! {
            Some(waiting) = self.asked.recv() => Asking::Caller(waiting),
            Some(takeover) = self.takeovers.recv() => Asking::Cluster(takeover),
            Some(()) = self.signals.recv() => Asking::Signal,
            else => std::future::pending().await,
        }
    }

    async fn upgrade(&mut self, takeover: Option<&mut Takeover>) -> Result<Upgraded, UpgradeError> {
        let program = self.program(takeover.as_deref()).map_err(UpgradeError::Refused)?;
        let started = Successor::start(&program, self.possessions.custody.clone()).await;
        let mut successor =
            started.map_err(|error| UpgradeError::Failed(format!("the new process cannot be started: {error}")))?;
        match self.hand_over(&mut successor, takeover).await {
            Ok(version) => {
                successor.has_taken_over = true;
                successor.launch.let_go();
                let pid = successor.pid;
                self.successor = Some(successor);
                Ok(Upgraded { pid, version })
            }
            Err(stop) => Err(UpgradeError::Failed(successor.why(stop).await)),
        }
    }

    /// The program to be started, if there can be an upgrade.
    fn program(&mut self, takeover: Option<&Takeover>) -> Result<Program, String> {
        check_replaceable(&self.possessions.store)?;
        self.predecessors.retain(is_alive);
        if self.predecessors.len() >= MOST_PREDECESSORS {
            let pids: Vec<_> = self.predecessors.iter().map(|one| one.pid.to_string()).collect();
            return Err(format!(
                "{} earlier processes still have clients ({}): wait for them, or end them",
                pids.len(),
                pids.join(", ")
            ));
        }
        let installed = self.program.as_deref().map_err(|why| (*why).to_owned())?;
        match takeover {
            None => Program::open(installed),
            Some(Takeover::Update(update)) => Program::open(update.candidate.path()),
            // Whatever is installed meanwhile.
            Some(Takeover::Restart(_)) => Program::open(Path::new(RUNNING)),
        }
    }

    async fn hand_over(&self, successor: &mut Successor, mut takeover: Option<&mut Takeover>) -> Result<String, Stop> {
        for GivenListener { kind, configured, listener } in &self.possessions.listeners {
            let sockets: Vec<_> = listener.sockets().iter().map(|socket| socket.as_fd()).collect();
            let Some(kind) = *kind else { continue };
            successor.channel.tell(&Told::Listener { kind, configured: *configured }, &sockets)?;
        }
        for Predecessor { pid, socket } in &self.predecessors {
            successor.channel.tell(&Told::Predecessor { pid: *pid }, &[socket.as_fd()])?;
        }
        if let Some(Takeover::Restart(Restart { settings, .. })) = &takeover {
            successor.channel.tell(&Told::Settings(settings.clone()), &[])?;
        }
        for (place, text) in self.possessions.values.all() {
            let value = HandedValue { place: place.to_string(), text: text.as_ref().to_owned() };
            successor.channel.tell(&Told::Value(value), &[])?;
        }
        let program = self.program.clone().map_err(|why| Stop::Told(why.to_owned()))?;
        let store = self.possessions.store.clone();
        successor.channel.tell(&Told::Begin { protocol: PROTOCOL, program, store }, &[])?;
        let mut ready = None;
        loop {
            match successor.channel.answer().await? {
                Answered::WantsStore => {
                    successor.lend()?;
                    successor.channel.tell(&Told::StoreIsFree, &[])?;
                }
                Answered::Ready { version } => {
                    if let Some(Takeover::Update(update)) = &mut takeover {
                        update.install(&version).map_err(Stop::Told)?;
                    }
                    ready = Some(version);
                    successor.channel.tell(&Told::TakeOver, &[])?;
                }
                Answered::HasTakenOver => {
                    return ready.ok_or_else(|| Stop::Told("the new process takes over unasked".to_owned()));
                }
                Answered::Failed { why } => return Err(Stop::Told(why)),
            }
        }
    }
}

impl Update {
    /// The new process serves, and is not the one that runs yet: a restart of either starts the same program as the other.
    fn install(&mut self, version: &str) -> Result<(), String> {
        if version != self.version.to_string() {
            return Err(format!("the new process says that it is furt {version}, and not {}", self.version));
        }
        self.candidate.install()
    }
}

impl Asking {
    /// The new process has taken over. Returns who is told later.
    fn taken(self) -> Option<UpgradeWaiting> {
        match self {
            Self::Caller(waiting) => Some(waiting),
            Self::Signal => None,
            Self::Cluster(Takeover::Update(Update { mut candidate, reply, .. })) => {
                candidate.confirm();
                reply.taken();
                None
            }
            Self::Cluster(Takeover::Restart(Restart { reply, .. })) => {
                reply.replaced();
                None
            }
        }
    }

    fn failed(self, error: UpgradeError) {
        match self {
            // The caller may have stopped waiting.
            Self::Caller(waiting) => _ = waiting.send(Err(error)),
            Self::Signal => {}
            Self::Cluster(Takeover::Update(Update { reply, .. })) => reply.failed(&error.to_string()),
            Self::Cluster(Takeover::Restart(Restart { reply, .. })) => reply.tell(Err(error.to_string().into())),
        }
    }
}

/// Why a new process does not take over.
enum Stop {
    /// It says so, or it is not to go on.
    Told(String),
    /// It says nothing.
    Silent(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Silent(error)
    }
}

/// A new process. Where it is dropped before it has taken over, it is ended, and the store is this process's again.
struct Successor {
    launch: Launch,
    pid: u32,
    /// Closed when this process ends: so the new one knows.
    channel: Channel,
    custody: Option<Custody>,
    is_lent: bool,
    has_taken_over: bool,
}

impl Successor {
    async fn start(program: &Program, custody: Option<Custody>) -> io::Result<Self> {
        let (channel, other) = channel::pair()?;
        let (launch, pid) = Launch::start(program, other).await?;
        Ok(Self { launch, pid, channel, custody, is_lent: false, has_taken_over: false })
    }

    fn lend(&mut self) -> Result<(), Stop> {
        let Some(custody) = &self.custody else { return Ok(()) };
        custody.lend().map_err(|why| Stop::Told(format!("the store is not well: {why}")))?;
        self.is_lent = true;
        Ok(())
    }

    /// What stopped it, as a sentence.
    async fn why(&self, stop: Stop) -> String {
        match stop {
            Stop::Told(why) => why,
            Stop::Silent(error) if error.kind() == io::ErrorKind::TimedOut => {
                format!("the new process has said nothing for {} s", channel::SILENCE.as_secs())
            }
            // Its socket is closed a moment before it ends.
            Stop::Silent(error) => match self.launch.ended().await {
                Some(how) => format!("the new process has ended ({how}); what it logged is why"),
                None => format!("the new process cannot be heard: {error}"),
            },
        }
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if self.has_taken_over {
            return;
        }
        self.launch.end();
        if let (true, Some(custody)) = (self.is_lent, &self.custody) {
            custody.take_back();
        }
    }
}

fn is_alive(predecessor: &Predecessor) -> bool {
    // It says nothing any more, so there is something to be read when it has ended.
    let read = recv(&predecessor.socket, &mut [0_u8; 1][..], RecvFlags::DONTWAIT | RecvFlags::PEEK);
    matches!(read, Err(Errno::WOULDBLOCK))
}
