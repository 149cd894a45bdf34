//! What is shown of the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::issue::Issue;
use crate::model::{
    Beat, Boot, Fingerprint, NodeName, NodeState, Record, Scope, SecretId, SettingsId, Standing, TokenId,
};
use crate::refused::RefusedCounts;
use crate::stored::{Membership, Token};

/// What is known of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeView {
    /// Its key.
    pub fingerprint: Fingerprint,
    /// Its name, where it was heard.
    pub name: Option<NodeName>,
    /// How its key stands.
    pub standing: Standing,
    /// Whether it is there; `None`: it was not heard within 24 h or since this node's start, and is listed by `--all` alone.
    pub state: Option<NodeState>,
    /// Whether it is this node.
    pub is_self: bool,
    /// Its start.
    pub boot: Option<Boot>,
    /// How long ago it was heard; zero for this node.
    pub age: Option<Duration>,
    /// How far its clock was ahead of this node's, in ms; the time of the message on its way makes it less.
    pub skew_ms: Option<i64>,
    /// Its last beat; of this node what it would say now.
    pub beat: Option<Beat>,
}

/// What is known of the secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretView {
    /// What this node seals by.
    pub active: Option<SecretId>,
    /// What this node can open.
    pub held: BTreeSet<SecretId>,
    /// What is announced and not active yet.
    pub next: Option<SecretId>,
    /// Who does not have that yet.
    pub waits_for: BTreeSet<Fingerprint>,
}

/// All that is shown, of one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// The cluster; `None`: this node belongs to none.
    pub membership: Option<Membership>,
    /// Whether this node looks for the maker of its token.
    pub is_joining: bool,
    /// The nodes by their keys: this one, all that are approved, revoked or pending.
    pub nodes: Vec<NodeView>,
    /// The secret.
    pub secret: SecretView,
    /// The settings in force, by the records.
    pub settings: BTreeMap<Scope, SettingsId>,
    /// The join tokens that this node made, and what is left of them.
    pub tokens: BTreeMap<TokenId, Token>,
    /// Approvals, revocations and all else that was signed.
    pub records: Vec<Record>,
    /// What is wrong.
    pub issues: Vec<Issue>,
    /// Messages that were not taken since the start.
    pub refused: RefusedCounts,
    /// Beats that were taken since the start.
    pub beats: u64,
}
