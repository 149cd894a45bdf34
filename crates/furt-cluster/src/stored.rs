//! What a node has on disk of its cluster, and how that changes.
//!
//! Secrets and tokens themselves are not here: the seal keeps them by their names. A driver that loads this drops first each
//! secret whose bytes it has not.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::{
    Boot, Claim, ClusterId, Document, Fingerprint, Record, RequestId, Role, Scope, SecretId, SettingsId, TokenId,
    Version,
};
use crate::parts::Updating;

/// To which cluster a node belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    /// The cluster.
    pub cluster: ClusterId,
    /// The key that made it.
    pub founder: Fingerprint,
}

/// A join token as the core knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// How many nodes may join by it still.
    pub uses: u32,
    /// Its end, in ms since the Unix epoch.
    pub until_ms: i64,
    /// What they may.
    pub role: Role,
}

/// A document on its way into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Applying {
    /// Whom it is for.
    pub scope: Scope,
    /// Its name.
    pub id: SettingsId,
    /// The command that it comes from.
    pub request: Option<RequestId>,
}

/// A document with its name.
pub type NamedDocument = (SettingsId, Document);

/// All that a node has on disk of its cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stored {
    /// The last boot.
    pub boot: Option<Boot>,
    /// The cluster; `None`: the node belongs to none.
    pub membership: Option<Membership>,
    /// Keys that may welcome this node into a cluster, as an operator said at this node.
    pub trusted: BTreeSet<Fingerprint>,
    /// The records.
    pub records: BTreeMap<(Claim, Fingerprint), Record>,
    /// The secrets, and until when those are kept that are not needed any more, in ms since the Unix epoch.
    pub secrets: BTreeMap<SecretId, Option<i64>>,
    /// The secret that the node seals by.
    pub active: Option<SecretId>,
    /// A secret that this node made and has not announced.
    pub made: Option<SecretId>,
    /// The tokens that this node made.
    pub tokens: BTreeMap<TokenId, Token>,
    /// The documents that are in force at this node: the cluster's and its own.
    pub applied: BTreeMap<Scope, NamedDocument>,
    /// The documents that this node set and that others may ask it for.
    pub offered: BTreeMap<Scope, NamedDocument>,
    /// The document that was on its way into force.
    pub applying: Option<Applying>,
    /// The update of the program that was under way.
    pub updating: Option<Updating>,
    /// The greatest version that ever ran here.
    pub floor: Option<Version>,
}

/// A change of what is stored.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Another start.
    Boot(Boot),
    /// The node belongs to a cluster.
    Membership(Membership),
    /// A key may welcome this node.
    Trusted(Fingerprint),
    /// A record is new.
    Record(Box<Record>),
    /// A record was superseded.
    RecordDropped(Claim, Fingerprint),
    /// A secret is held; until when, where it is not needed any more.
    Secret(SecretId, Option<i64>),
    /// A secret is held no more.
    SecretDropped(SecretId),
    /// The node seals by this secret.
    Active(SecretId),
    /// This node made a secret that is not announced; `None`: it has none.
    Made(Option<SecretId>),
    /// A token, new or with other uses; `None`: it is gone.
    Token(TokenId, Option<Token>),
    /// A document is in force at this node.
    Applied(Scope, SettingsId, Document),
    /// A document that others may ask this node for; `None`: none any more.
    Offered(Scope, Option<NamedDocument>),
    /// A document is on its way into force; `None`: none any more.
    Applying(Option<Applying>),
    /// An update of the program is under way; `None`: none any more.
    Updating(Option<Updating>),
    /// The greatest version that ever ran here.
    Floor(Version),
}

impl Stored {
    /// Makes the change. A driver with a real store has its own way to do so, to the same effect.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Boot(boot) => self.boot = Some(boot),
            Change::Membership(membership) => self.membership = Some(membership),
            Change::Trusted(key) => {
                self.trusted.insert(key);
            }
            Change::Record(record) => {
                self.records.insert(record.name(), *record);
            }
            Change::RecordDropped(claim, by) => {
                self.records.remove(&(claim, by));
            }
            Change::Secret(id, until_ms) => {
                self.secrets.insert(id, until_ms);
            }
            Change::SecretDropped(id) => {
                self.secrets.remove(&id);
            }
            Change::Active(id) => self.active = Some(id),
            Change::Made(made) => self.made = made,
            Change::Token(token, Some(entry)) => {
                self.tokens.insert(token, entry);
            }
            Change::Token(token, None) => {
                self.tokens.remove(&token);
            }
            Change::Applied(scope, id, document) => {
                self.applied.insert(scope, (id, document));
            }
            Change::Offered(scope, Some(document)) => {
                self.offered.insert(scope, document);
            }
            Change::Offered(scope, None) => {
                self.offered.remove(&scope);
            }
            Change::Applying(applying) => self.applying = applying,
            Change::Updating(updating) => self.updating = updating,
            Change::Floor(floor) => self.floor = Some(floor),
        }
    }
}
