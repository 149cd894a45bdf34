//! The nodes that were heard: their starts, their windows, their last beats.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::window::Window;
use crate::model::{
    Beat, Boot, ClusterId, Fingerprint, NodeState, Now, PublicKey, Scope, SecretId, SettingsId, Status,
};
use crate::refused::Refused;

/// The most keys that are heard and not approved. A stranger can make as many keys as it likes; the one that was heard longest
/// ago gives way.
pub(crate) const MAX_PENDING: usize = 1_024;
/// How far a message's time may be from this node's clock, either way.
const MAX_SKEW_MS: u64 = 60_000;
/// How long a node is remembered that is not heard.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);
/// How many other clusters are remembered; more are only counted.
const MAX_FOREIGN: usize = 16;
/// How long another cluster, or a copy of the own key, is told of after its last message.
const TOLD: Duration = Duration::from_secs(60);
/// Between two requests of one kind to one node.
const ASK_GAP: Duration = Duration::from_secs(1);

/// What stands on a message beside its content.
#[derive(Debug, Clone)]
pub(crate) struct Envelope {
    pub(crate) from: Fingerprint,
    pub(crate) key: PublicKey,
    pub(crate) boot: Boot,
    pub(crate) seq: u64,
    pub(crate) at_ms: i64,
    pub(crate) cluster: Option<ClusterId>,
}

/// What may be asked of a node, and what it may ask of this one, at most once a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ask {
    Records,
    Document(Scope, SettingsId),
    Secret(SecretId),
    /// It asks this node for a secret; that costs an encryption.
    Give(SecretId),
    /// It asks this node for records; they are many signatures.
    GiveRecords,
    /// It asks this node for the document of a scope; that costs an encryption.
    GiveDocument(Scope),
    /// It is approved and does not know that.
    Welcome,
    /// It asks this node for a challenge; that costs a proof and a signature.
    Challenge,
}

/// A node that was heard.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) key: PublicKey,
    pub(crate) boot: Boot,
    window: Window,
    /// Any message, and one whose time was right.
    seen: Instant,
    heard: Option<Instant>,
    pub(crate) heard_ms: i64,
    pub(crate) skew_ms: i64,
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) beat: Option<Beat>,
    /// The state that was reported last.
    pub(crate) told: Option<NodeState>,
    asked: BTreeMap<Ask, Instant>,
    /// A revision that another node had, and since when.
    goal: Option<(u64, Instant)>,
}

impl Node {
    pub(crate) fn age(&self, now: Now) -> Option<Duration> {
        self.heard.map(|heard| now.at.saturating_duration_since(heard))
    }

    pub(crate) fn state(&self, now: Now) -> Option<NodeState> {
        let beat = self.beat.as_ref()?;
        Some(NodeState::of(self.age(now)?, beat.interval, beat.status == Status::Leaving))
    }

    pub(crate) fn is_live(&self, now: Now) -> bool {
        self.state(now).is_some_and(NodeState::is_live)
    }

    /// Whether this may be asked now; it is asked then.
    pub(crate) fn may_ask(&mut self, what: Ask, now: Now) -> bool {
        self.asked.retain(|_, at| now.at.saturating_duration_since(*at) < ASK_GAP);
        let is_due = !self.asked.contains_key(&what);
        if is_due {
            self.asked.insert(what, now.at);
        }
        is_due
    }

    /// The revision that the node has not seen, and for how long it has not.
    pub(crate) fn registry_lag(&self, now: Now) -> Option<(u64, Duration)> {
        let (goal, since) = self.goal?;
        let has = self.beat.as_ref()?.registry?.revision;
        (has < goal).then(|| (goal, now.at.saturating_duration_since(since)))
    }
}

/// All nodes that were heard but this one.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    all: BTreeMap<Fingerprint, Node>,
    foreign: BTreeMap<ClusterId, Instant>,
    own_key: Option<Instant>,
    pub(crate) beats: u64,
}

impl Nodes {
    /// Takes a verified message's boot, number and time. `is_approved` tells for each key whether it is.
    pub(crate) fn admit(
        &mut self,
        envelope: &Envelope,
        now: Now,
        is_approved: impl Fn(&Fingerprint) -> bool,
    ) -> Result<(), Refused> {
        if !self.all.contains_key(&envelope.from) && !is_approved(&envelope.from) {
            self.make_room(is_approved);
        }
        let node = self.all.entry(envelope.from).or_insert_with(|| Node::new(envelope, now));
        if envelope.boot < node.boot {
            return Err(Refused::OldBoot);
        }
        if envelope.boot > node.boot {
            // What the older start was asked is asked anew.
            let told = node.told;
            *node = Node { told, ..Node::new(envelope, now) };
        }
        if !node.window.accept(envelope.seq) {
            return Err(Refused::Replayed);
        }
        node.seen = now.at;
        node.skew_ms = envelope.at_ms.saturating_sub(now.unix_ms);
        if node.skew_ms.unsigned_abs() > MAX_SKEW_MS {
            return Err(Refused::Skewed);
        }
        node.heard = Some(now.at);
        node.heard_ms = now.unix_ms;
        node.cluster = envelope.cluster;
        Ok(())
    }

    fn make_room(&mut self, is_approved: impl Fn(&Fingerprint) -> bool) {
        let pending = self.all.iter().filter(|(key, _)| !is_approved(key)).map(|(key, node)| (node.seen, *key));
        let (mut count, mut oldest) = (0, None);
        for one in pending {
            count += 1;
            oldest = Some(oldest.map_or(one, |oldest| one.min(oldest)));
        }
        if let Some((_, key)) = oldest.filter(|_| count >= MAX_PENDING) {
            self.all.remove(&key);
        }
    }

    pub(crate) fn get(&self, key: &Fingerprint) -> Option<&Node> {
        self.all.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &Fingerprint) -> Option<&mut Node> {
        self.all.get_mut(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Fingerprint, &Node)> {
        self.all.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&Fingerprint, &mut Node)> {
        self.all.iter_mut()
    }

    pub(crate) fn remove(&mut self, key: &Fingerprint) -> bool {
        self.all.remove(key).is_some()
    }

    /// Takes a beat of a node that was admitted.
    pub(crate) fn take_beat(&mut self, from: &Fingerprint, beat: Beat, now: Now) {
        self.beats += 1;
        if let Some(node) = self.all.get_mut(from) {
            node.beat = Some(beat);
        }
        let Some(registry) = self.all.get(from).and_then(|node| node.beat.as_ref()?.registry) else { return };
        let same = self.all.values().filter_map(|node| node.beat.as_ref()?.registry);
        let greatest = same.filter(|one| one.epoch == registry.epoch).map(|one| one.revision).max();
        if let (Some(node), Some(greatest)) = (self.all.get_mut(from), greatest)
            && node.goal.is_none_or(|(goal, _)| registry.revision >= goal)
        {
            node.goal = Some((greatest, now.at));
        }
    }

    /// Another cluster was heard.
    pub(crate) fn note_foreign(&mut self, cluster: ClusterId, now: Now) {
        if self.foreign.len() < MAX_FOREIGN || self.foreign.contains_key(&cluster) {
            self.foreign.insert(cluster, now.at);
        }
    }

    pub(crate) fn note_own_key(&mut self, now: Now) {
        self.own_key = Some(now.at);
    }

    pub(crate) fn foreign(&self) -> impl Iterator<Item = ClusterId> {
        self.foreign.keys().copied()
    }

    pub(crate) fn hears_own_key(&self) -> bool {
        self.own_key.is_some()
    }

    /// Forgets what was not heard for long.
    pub(crate) fn forget_old(&mut self, now: Now) {
        let age = |at: Instant| now.at.saturating_duration_since(at);
        self.all.retain(|_, node| age(node.seen) < REMEMBERED);
        self.foreign.retain(|_, at| age(*at) < TOLD);
        self.own_key = self.own_key.filter(|at| age(*at) < TOLD);
    }
}

impl Node {
    fn new(envelope: &Envelope, now: Now) -> Self {
        Self {
            key: envelope.key.clone(),
            boot: envelope.boot,
            window: Window::default(),
            seen: now.at,
            heard: None,
            heard_ms: now.unix_ms,
            skew_ms: 0,
            cluster: None,
            beat: None,
            told: None,
            asked: BTreeMap::new(),
            goal: None,
        }
    }
}
