//! API keys: those of the configuration, and those that operators make, rotate and revoke while furt runs.
//!
//! A runtime key takes two events, as everything durable: its write, then its place in the table. Revoked or expired, it
//! leaves the table first and the store after; where the store fails it stays out and its removal is tried again. The key
//! itself never comes here, only its digest. One write of a key is on its way at a time; further commands wait for it.
//!
//! `commands` has what operators ask for, `ending` what time does, `standing` what the configuration and a restart mean.

mod commands;
mod eligibility;
mod ending;
#[cfg(any(test, debug_assertions))]
mod invariants;
#[cfg(test)]
mod simulation;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::outbox::Outbox;
use super::{Refusal, ReplyId};
use crate::model::{Generation, KeyName, KeySpec, RuntimeKey, Sha256Digest};
use crate::routing::KeyLive;

/// The most runtime keys: one each for 100,000 clients, some 130 MiB; operators that make more have lost their script.
pub(super) const MAX_KEYS: usize = 100_000;
/// The most commands that wait for a key's write, commands to revoke it not counted: more than operators have terminals.
pub(super) const MAX_PARKED: usize = 64;

/// What an operator asks for.
#[derive(Debug, Clone)]
pub enum KeyCommand {
    /// A new key.
    Create(Box<RuntimeKey>),
    /// An end of a key, at once.
    Revoke(KeyName),
    /// Another digest in the place of a key's.
    Rotate {
        /// Which key.
        name: KeyName,
        /// Its new digest.
        sha256: Sha256Digest,
        /// How long the one before stays good; zero: not at all, nor any before it.
        grace: Duration,
    },
}

impl KeyCommand {
    fn name(&self) -> &KeyName {
        match self {
            Self::Create(key) => key.name(),
            Self::Revoke(name) | Self::Rotate { name, .. } => name,
        }
    }
}

/// The good answer to a [`KeyCommand`].
#[derive(Debug, Clone, PartialEq)]
pub struct KeyAnswer {
    /// The key as it is now; of a revoked one, as it was.
    pub key: Arc<RuntimeKey>,
    /// Whether the configuration has a key of that name, too, which is in force.
    pub is_configured: bool,
    /// The registry's last change.
    pub generation: Generation,
}

/// Why a [`KeyCommand`] was not granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    /// 404: there is none.
    #[error("there is no API key \"{0}\"")]
    Unknown(KeyName),
    /// 409: it is the configuration's.
    #[error("the API key \"{0}\" is in the configuration: change it there, and let furt read it again")]
    Configured(KeyName),
    /// 409: the name or the digest is another key's.
    #[error("the {what} is taken: {holder} has it")]
    Taken {
        /// The name or the digest.
        what: String,
        /// The key that has it, and where that is.
        holder: String,
    },
    /// 409: too many digests before are good still.
    #[error(
        "the API key \"{name}\" has {count} earlier keys that are good still, and no more are kept; the first ends in {seconds} s; with a grace of 0 all end at once"
    )]
    TooManyOld {
        /// Which key.
        name: KeyName,
        /// How many.
        count: usize,
        /// When there is a place again.
        seconds: u64,
    },
    /// 409: there are too many keys.
    #[error("there are {MAX_KEYS} runtime keys, and no more are kept: revoke some")]
    TooMany,
    /// 503: it is revoked, and the store has it still.
    #[error(
        "the API key \"{name}\" is refused from now on, but the store could not be told, and after a restart it would be good again; furt goes on trying: {why}"
    )]
    NotForgotten {
        /// Which key.
        name: KeyName,
        /// What the store said.
        why: String,
    },
}

/// What is logged and counted of keys; names only.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyReport {
    /// A key was made.
    Created {
        /// Which.
        name: KeyName,
        /// From where.
        from: IpAddr,
    },
    /// A key has another digest.
    Rotated {
        /// Which.
        name: KeyName,
        /// From where.
        from: IpAddr,
    },
    /// A key was revoked.
    Revoked {
        /// Which.
        name: KeyName,
        /// From where.
        from: IpAddr,
    },
    /// A key came to its end.
    Expired(KeyName),
    /// A command was refused.
    Refused {
        /// Of which key.
        name: KeyName,
        /// From where.
        from: IpAddr,
        /// Why.
        refusal: Refusal,
    },
    /// A key is kept but not used: the configuration stands against it.
    Blocked {
        /// Which.
        name: KeyName,
        /// Why.
        why: Arc<str>,
    },
    /// The end of keys could not be stored and will be tried again.
    RemovalFailed {
        /// Of which.
        names: Vec<KeyName>,
        /// Why.
        why: String,
    },
}

/// All keys, and what waits for the store.
#[derive(Default)]
pub(super) struct Keys {
    configured: BTreeMap<KeyName, Configured>,
    configured_digests: HashMap<Sha256Digest, KeyName>,
    runtime: BTreeMap<KeyName, Entry>,
    /// Whose a digest is: of installed runtime keys, current and old, and of pending ones.
    digests: HashMap<Sha256Digest, KeyName>,
    /// Each key is in one write at most.
    outbox: Outbox<KeyName, KeyWrite, ParkedKeyCommand>,
    /// When keys change by themselves, in ms since the Unix epoch: each key that stays and has such an end, once.
    ends: BTreeSet<(i64, KeyName)>,
    /// Keys out of the table that the store has still, and no write is about yet.
    retry: BTreeSet<KeyName>,
    retry_at: Option<Instant>,
}

struct Configured {
    spec: Arc<KeySpec>,
    live: Arc<KeyLive>,
}

/// An installed runtime key.
struct Entry {
    key: Arc<RuntimeKey>,
    live: Arc<KeyLive>,
    /// Why it is kept but not used, where the configuration stands against it.
    blocked: Option<Arc<str>>,
    state: KeyState,
    /// Its digests in the table.
    shown: Vec<Sha256Digest>,
    /// Its place in [`Keys::ends`].
    end_ms: Option<i64>,
}

/// Whether a key stays. One that does not is out of the table, and goes as soon as the store lets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyState {
    Stays,
    Revoked { from: IpAddr },
    Expired,
}

/// A write of keys on its way to the store.
enum KeyWrite {
    Create { key: Arc<RuntimeKey>, asker: Asker },
    Rotate { key: Arc<RuntimeKey>, asker: Asker },
    Remove { names: Vec<KeyName>, asker: Option<Asker> },
}

impl KeyWrite {
    fn names(&self) -> Vec<KeyName> {
        match self {
            Self::Create { key, .. } | Self::Rotate { key, .. } => vec![key.name().clone()],
            Self::Remove { names, .. } => names.clone(),
        }
    }
}

/// Who waits for an answer, and from where.
#[derive(Debug, Clone, Copy)]
struct Asker {
    from: IpAddr,
    reply: ReplyId,
}

struct ParkedKeyCommand {
    command: KeyCommand,
    asker: Asker,
}

impl Keys {
    /// Installed runtime keys.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn len(&self) -> usize {
        self.runtime.len()
    }
}
