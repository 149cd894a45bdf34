//! The keys and what is known of each; their state changes in the files beside this one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::caller::Asker;
use super::super::effects::Effects;
use super::super::ids::WriteId;
use super::super::outbox::{Outbox, WriteIds};
use super::super::publisher::Publisher;
use super::super::revision::Revision;
use super::super::settings::Sharing;
use super::super::write::Premise;
use super::command::KeyCommand;
use crate::model::{Actor, KeyName, KeySpec, RuntimeKey, Sha256Digest};
use crate::routing::KeyLive;

/// The most commands that wait for a key's write, commands to revoke it not counted: more than operators have terminals.
pub(super) const MAX_PARKED: usize = 64;

/// All keys, what of them waits for the store, and when something of them is due.
#[derive(Default)]
pub(in crate::registry) struct Keys {
    pub(super) configured: BTreeMap<KeyName, Configured>,
    pub(super) configured_digests: HashMap<Sha256Digest, KeyName>,
    pub(super) runtime: BTreeMap<KeyName, KeyEntry>,
    /// Whose a digest is: of installed runtime keys, current and old.
    pub(super) digests: HashMap<Sha256Digest, KeyName>,
    /// Old digests that have ended, and that a shared store has still: until their key is put anew.
    pub(super) ended_digests: HashMap<Sha256Digest, KeyName>,
    /// The same of new digests on their way to the store.
    pub(super) pending_digests: HashMap<Sha256Digest, KeyName>,
    /// Keys that a write puts which is none of keys alone.
    pub(super) applied: BTreeMap<WriteId, Vec<Arc<RuntimeKey>>>,
    /// Each key is in one write at most.
    pub(super) outbox: Outbox<KeyName, KeyWrite, ParkedKeyCommand>,
    /// When keys change by themselves, in ms since the Unix epoch: each key that stays and has such an end, once.
    pub(super) ends: BTreeSet<(i64, KeyName)>,
    /// Keys out of the table that the store has still, and no write is about yet.
    pub(super) retry: BTreeSet<KeyName>,
    pub(super) retry_at: Option<Instant>,
    /// When any of this is looked at next.
    pub(super) due_at: Option<Instant>,
}

/// What a change of keys goes to beside the keys: the snapshot, the store, callers and the log.
pub(in crate::registry) struct KeyParts<'a> {
    pub(in crate::registry) publisher: &'a mut Publisher,
    pub(in crate::registry) write_ids: &'a mut WriteIds,
    pub(in crate::registry) effects: &'a mut Effects,
    pub(in crate::registry) store: KeyStore<'a>,
}

/// What is known of the store.
#[derive(Clone, Copy)]
pub(in crate::registry) struct KeyStore<'a> {
    pub(in crate::registry) sharing: Sharing,
    pub(in crate::registry) seen: Revision,
    /// Why nothing can be stored now, where that is known.
    pub(in crate::registry) unreachable: Option<&'a Arc<str>>,
}

impl KeyStore<'_> {
    /// What a write relies on, where other gateways may write as well.
    pub(super) fn when_shared(&self, premises: impl FnOnce() -> Vec<Premise>) -> Vec<Premise> {
        if self.sharing.is_shared() { premises() } else { Vec::new() }
    }
}

pub(super) struct Configured {
    pub(super) spec: Arc<KeySpec>,
    pub(super) live: Arc<KeyLive>,
}

/// An installed runtime key.
pub(super) struct KeyEntry {
    pub(super) key: Arc<RuntimeKey>,
    pub(super) live: Arc<KeyLive>,
    /// Why it is kept but not used, where the configuration is against it.
    pub(super) suspended: Option<Arc<str>>,
    pub(super) state: KeyState,
    /// Its digests in the table.
    pub(super) usable: Vec<Sha256Digest>,
    /// Its entry in [`Keys::ends`].
    pub(super) end_ms: Option<i64>,
}

/// Whether a key stays. One that does not is out of the table, and goes as soon as the store lets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeyState {
    Stays,
    /// By whom, and when that was asked for, in ms since the Unix epoch.
    Revoked {
        by: Actor,
        at_ms: i64,
    },
    Expired,
}

/// A write of keys on its way to the store.
pub(super) enum KeyWrite {
    Create {
        key: Arc<RuntimeKey>,
        asker: Asker,
    },
    Rotate {
        key: Arc<RuntimeKey>,
        grace: Duration,
        asker: Asker,
    },
    Remove {
        names: Vec<KeyName>,
        /// Who asked for it, and the key as it was; `None`: time ended them.
        asker: Option<(Asker, Arc<RuntimeKey>)>,
    },
}

impl KeyWrite {
    pub(super) fn names(&self) -> Vec<KeyName> {
        match self {
            Self::Create { key, .. } | Self::Rotate { key, .. } => vec![key.name().clone()],
            Self::Remove { names, .. } => names.clone(),
        }
    }
}

pub(super) struct ParkedKeyCommand {
    pub(super) command: KeyCommand,
    pub(super) asker: Asker,
}

impl Keys {
    /// Installed runtime keys.
    #[cfg(any(test, debug_assertions))]
    pub(in crate::registry) fn len(&self) -> usize {
        self.runtime.len()
    }
}
