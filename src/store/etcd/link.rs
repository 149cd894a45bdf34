//! The task that follows the store and writes to it, over one connection at a time.
//!
//! The watch alone tells what became of a batch: its place in the log, and by the keys that changed with it which of its
//! writes were stored. The answer to the call says no more than that nothing was stored, or that the connection is of no use.

mod telling;
mod writing;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::batch::{Batch, Of, Waiting};
use super::connection::{Connection, Fault, FaultKind, Renewals, Renewed, Watch, Watched};
use super::departing::{Departing, Voice};
use super::follow::{Followed, Group, follow};
use super::layout::Key;
use super::mirror::{Lease, Mirror};
use super::plan::Own;
use super::session::Session;
use super::settings::Settings;
use crate::audit::MAX_ENTRIES;
use crate::clock;
use crate::nodes::Node;
use furt_core::registry::{
    Change, Event, Incoming, InstanceRef, Origin, Premise, Record, Revision, StoreChanged, Write, WriteId,
};
use furt_core::routing::InstanceLive;

/// The most writes that wait: a fleet's start, and all that a store that is away may hold in memory.
const MAX_WAITING: usize = 10_000;
/// How often what is due is looked at.
const TICK: Duration = Duration::from_millis(250);
/// A write without an outcome for so long is answered as failed.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);
/// A batch whose place in the log is not told for so long: the connection is of no use.
const BATCH_PATIENCE: Duration = Duration::from_secs(3);
/// How often the session's lease is renewed, which shows that the connection lives.
const PULSE: Duration = Duration::from_secs(2);
const PULSE_PATIENCE: Duration = Duration::from_secs(1);
/// A lease is renewed no more often.
const RENEWAL: Duration = Duration::from_secs(1);
/// How often what is there is compared with what was followed; a fifth more or less on each gateway.
const COMPARISON: Duration = Duration::from_secs(300);
/// The session goes so long after the gateway.
pub(super) const SESSION_TTL: u64 = 10;

/// What the driver wants.
pub(super) enum Command {
    Write(WriteId, Write),
    Note(Change),
    Renew(InstanceRef),
    Departs(InstanceRef, Arc<InstanceLive>),
    Leave(oneshot::Sender<()>),
}

/// What a call that went beside the loop came to.
pub(super) enum Answered {
    Granted(Result<Vec<Option<Lease>>, Fault>),
    Txn(u64, Result<bool, Fault>),
}

/// A batch on its way.
struct InFlight {
    batch: Batch,
    leases: Vec<Option<Lease>>,
    number: u64,
    since: Instant,
    /// Those of its writes whose callers were told that they failed.
    given_up: BTreeSet<Of>,
}

enum Way {
    Idle,
    /// Its leases are being granted.
    Preparing(Batch),
    InFlight(InFlight),
}

/// A connection with all that goes over it.
pub(super) struct Open {
    pub(super) connection: Arc<Connection>,
    pub(super) watch: Watch,
    pub(super) renewals: Renewals,
    pub(super) renewed: Renewed,
    pub(super) session_lease: Lease,
    pub(super) answers: mpsc::UnboundedReceiver<Answered>,
    pub(super) answer: mpsc::UnboundedSender<Answered>,
    voice: Voice,
    pulse_sent: Option<Instant>,
    last_pulse: Instant,
}

impl Open {
    pub(super) fn new(
        connection: Arc<Connection>,
        watch: Watch,
        (renewals, renewed): (Renewals, Renewed),
        session_lease: Lease,
    ) -> Self {
        let (answer, answers) = mpsc::unbounded_channel();
        let voice = Voice::over(Arc::clone(&connection), session_lease);
        let last_pulse = clock::now();
        Self {
            connection,
            watch,
            renewals,
            renewed,
            session_lease,
            answers,
            answer,
            voice,
            pulse_sent: None,
            last_pulse,
        }
    }
}

pub(super) struct Link {
    pub(super) settings: Arc<Settings>,
    pub(super) mirror: Mirror,
    own: Own,
    queue: VecDeque<Waiting>,
    way: Way,
    pub(super) session: Session,
    /// The revision at which the session was put last.
    pub(super) session_put_at: u64,
    pub(super) session_lease: Option<Lease>,
    /// Records that went without a gateway's word may go up to this revision: the store was looked at since.
    pub(super) vetted_until: u64,
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
    events: mpsc::UnboundedSender<Vec<Event>>,
    /// The other gateways, by their ids.
    others: BTreeMap<String, Node>,
    /// When each lease was renewed last, and which instances are to be renewed next.
    renewed_at: HashMap<Lease, Instant>,
    to_renew: BTreeSet<InstanceRef>,
    next_comparison: Instant,
    departing: Departing,
    /// etcd refused what it was given last.
    is_refusing: bool,
    /// Who waits for the link to leave the store.
    pub(super) leaving: Option<oneshot::Sender<()>>,
}

/// Why a link ends.
pub(super) enum End {
    /// The connection is of no use.
    Fault(Fault),
    /// The driver is gone, or the gateway leaves.
    Stopped,
}

impl From<Fault> for End {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

pub(super) fn fault(text: impl Into<String>) -> End {
    End::Fault(Fault { kind: FaultKind::Lost, text: text.into() })
}

impl Link {
    pub(super) fn new(
        settings: Arc<Settings>,
        mirror: Mirror,
        session: Session,
        commands: mpsc::UnboundedReceiver<Command>,
        events: mpsc::UnboundedSender<Vec<Event>>,
    ) -> Self {
        let next_comparison = clock::now() + spread_comparison();
        let own = Own::new(settings.name.clone());
        Self {
            settings,
            mirror,
            own,
            queue: VecDeque::new(),
            way: Way::Idle,
            session,
            session_put_at: 0,
            session_lease: None,
            vetted_until: 0,
            commands,
            events,
            others: BTreeMap::new(),
            renewed_at: HashMap::new(),
            to_renew: BTreeSet::new(),
            next_comparison,
            departing: Departing::default(),
            is_refusing: false,
            leaving: None,
        }
    }

    /// Follows until the connection is of no use, or the gateway stops.
    pub(super) async fn follow(&mut self, open: &mut Open) -> End {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.submit(open);
            let turn = tokio::select! {
                watched = open.watch.next() => self.watched(watched),
                renewed = open.renewed.next() => self.was_renewed(renewed, open),
                Some(answered) = open.answers.recv() => self.answered(answered, open),
                command = self.commands.recv() => self.take_commands(command, Some(open)),
                _ = tick.tick() => self.tick(open).await,
            };
            if let Err(end) = turn {
                return end;
            }
        }
    }

    fn watched(&mut self, watched: Result<Watched, Fault>) -> Result<(), End> {
        match watched? {
            Watched::Nothing => Ok(()),
            Watched::Changed(groups) => groups.iter().try_for_each(|group| self.take(group)),
            Watched::Compacted => Err(fault("it has compacted what was not followed yet")),
        }
    }

    /// Takes over what changed at one revision.
    ///
    /// # Errors
    /// The store is to be looked at first.
    pub(super) fn take(&mut self, group: &Group) -> Result<(), End> {
        if group.revision <= self.mirror.revision {
            return Ok(());
        }
        let settings = Arc::clone(&self.settings);
        let is_session = |put: &super::follow::Put| matches!(settings.layout.parse(&put.key), Some(Key::Gateway(_)));
        let is_lapse = !group.puts.iter().any(is_session);
        let leaves_unleased = || {
            let is_unleased = |key: &Key| self.mirror.get(key).is_some_and(|entry| entry.lease.is_none());
            group.deletes.iter().filter_map(|key| settings.layout.parse(key)).any(|key| is_unleased(&key))
        };
        if is_lapse && group.revision > self.vetted_until && leaves_unleased() {
            return Err(fault("records are gone that no gateway removed"));
        }
        let followed = follow(group, &mut self.mirror, &settings.layout, &*settings.vet, is_lapse);
        self.settings.metrics.followed(group.revision);
        self.tell_refused(&followed);
        self.follow_nodes(&followed);
        if followed.changed.iter().any(|key| matches!(key, Key::AuditHead(_))) {
            self.settings.audit_news.tell();
        }
        if followed.changed.iter().any(|key| matches!(key, Key::Busy(..))) {
            self.look_at_departing(None, clock::now());
        }
        let ours = followed.sessions.iter().find(|(id, _)| *id == self.settings.id).map(|(_, session)| session.write);
        let unreadable = unreadable(&followed);
        let number = ours.filter(|number| matches!(&self.way, Way::InFlight(way) if way.number == *number));
        if number.is_some() {
            self.finish(group.revision, &followed.changed);
            if !followed.adopted.is_empty() {
                self.tell(vec![changed(group.revision, followed.adopted, Origin::Comparison)]);
            }
        } else {
            self.tell_followed(group.revision, followed, is_lapse);
        }
        self.tell_unreadable(group.revision, unreadable);
        match self.mirror.get(&Key::Gateway(self.settings.id.clone())) {
            Some(session) => {
                self.session_put_at = session.modified;
                Ok(())
            }
            None if self.session_put_at > 0 && group.revision > self.vetted_until => {
                Err(fault("this gateway's session ended"))
            }
            None => Ok(()),
        }
    }

    /// # Errors
    /// The driver is gone.
    pub(super) fn take_commands(&mut self, first: Option<Command>, open: Option<&Open>) -> Result<(), End> {
        let mut command = first.ok_or(End::Stopped)?;
        loop {
            self.take_command(command, open)?;
            match self.commands.try_recv() {
                Ok(next) => command = next,
                Err(_) => return Ok(()),
            }
        }
    }

    fn take_command(&mut self, command: Command, open: Option<&Open>) -> Result<(), End> {
        let now = clock::now();
        match command {
            Command::Write(id, _) if self.queue.len() >= MAX_WAITING => {
                self.tell(vec![Event::WriteFailed(id, "too many changes wait for it".to_owned())]);
            }
            Command::Write(id, write) => {
                self.queue.push_back(Waiting { of: Of::Core(id), write, rest: VecDeque::new(), since: now });
            }
            Command::Note(change) => self.note(change, now),
            Command::Renew(instance) => {
                if let Some(open) = open {
                    self.renew(instance, now, open);
                }
            }
            Command::Departs(instance, live) => {
                self.departing.add(instance, live, now);
                self.look_at_departing(open, now);
            }
            Command::Leave(left) => {
                self.leaving = Some(left);
                return Err(End::Stopped);
            }
        }
        Ok(())
    }

    fn look_at_departing(&mut self, open: Option<&Open>, now: Instant) {
        if !self.departing.is_empty() {
            let voice = open.map(|open| &open.voice);
            self.departing.look(&self.mirror, &self.settings.layout, &self.settings.id, voice, now);
        }
    }

    fn note(&mut self, change: Change, now: Instant) {
        let Change::NoteTtl { instance, ttl } = &change else { return };
        let known = self.mirror.accepted(&Key::Ttl(instance.clone())).map(|entry| &entry.value);
        let text = ttl.as_millis().to_string();
        let is_noted = matches!(known, Some(super::mirror::Value::Kept(value)) if **value == *text.as_bytes());
        if is_noted || self.queue.len() >= MAX_WAITING {
            return;
        }
        let premises = vec![Premise::Unchanged(Record::Instance(instance.clone()))];
        let write = Write::new(vec![change], Revision(u64::MAX - 1), premises);
        self.queue.push_back(Waiting { of: Of::Nobody, write, rest: VecDeque::new(), since: now });
    }

    fn renew(&mut self, instance: InstanceRef, now: Instant, open: &Open) {
        let entry = self.mirror.accepted(&Key::Instance(instance.clone()));
        let Some(lease) = entry.and_then(|entry| entry.lease) else { return };
        match self.renewed_at.get(&lease) {
            Some(at) if now.saturating_duration_since(*at) < RENEWAL => {
                self.to_renew.insert(instance);
            }
            _ => {
                open.renewals.renew(lease);
                self.renewed_at.insert(lease, now);
                self.to_renew.remove(&instance);
            }
        }
    }

    fn was_renewed(&mut self, renewed: Result<(Lease, bool), Fault>, open: &mut Open) -> Result<(), End> {
        let (lease, lives) = renewed?;
        if lease == open.session_lease {
            open.pulse_sent = None;
            if !lives {
                self.session_lease = None;
                return Err(fault("this gateway's lease ended"));
            }
        }
        if !lives {
            self.renewed_at.remove(&lease);
        }
        Ok(())
    }

    async fn tick(&mut self, open: &mut Open) -> Result<(), End> {
        let now = clock::now();
        let since = |at: Instant| now.saturating_duration_since(at);
        if open.pulse_sent.is_some_and(|at| since(at) > PULSE_PATIENCE) {
            return Err(fault(format!("it does not answer within {} s", PULSE_PATIENCE.as_secs())));
        }
        if since(open.last_pulse) >= PULSE {
            open.renewals.renew(open.session_lease);
            (open.last_pulse, open.pulse_sent) = (now, Some(now));
        }
        if let Way::InFlight(way) = &self.way
            && since(way.since) > BATCH_PATIENCE
        {
            return Err(fault(format!("a batch has no outcome within {} s", BATCH_PATIENCE.as_secs())));
        }
        self.give_up(now);
        self.look_at_departing(Some(open), now);
        for instance in std::mem::take(&mut self.to_renew) {
            self.renew(instance, now, open);
        }
        self.renewed_at.retain(|_, at| since(*at) < RENEWAL);
        if now >= self.next_comparison {
            self.next_comparison = now + spread_comparison();
            self.compare_all(&open.connection).await?;
            open.connection.keep_newest(&self.settings.layout.audit(), MAX_ENTRIES).await?;
        }
        Ok(())
    }
}

pub(super) fn changed(revision: u64, changes: Vec<Incoming>, by: Origin) -> Event {
    Event::StoreChanged(Box::new(StoreChanged { revision: Revision(revision), changes, by }))
}

/// What is installed, and cannot be read any more.
pub(super) fn unreadable(followed: &Followed) -> Vec<Incoming> {
    let installed = followed.refused.iter().filter_map(|refused| refused.installed.clone());
    installed.map(Incoming::from).collect()
}

fn spread_comparison() -> Duration {
    COMPARISON.mul_f64(fastrand::f64().mul_add(0.4, 0.8))
}
