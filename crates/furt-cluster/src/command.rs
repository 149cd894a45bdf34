//! What operators ask for, and what they are answered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::message::CheckFailures;
use crate::model::{
    ClusterId, Document, Fingerprint, Program, Restart, Role, Scope, SecretId, SettingsId, TokenId, UpdateResult,
};

/// Names a caller that waits for an answer. Each command is answered once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyId(pub u64);

/// Whether a document may be applied where not all targets agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// All targets that are there must agree; else nobody applies it.
    All,
    /// Those that agree apply it (`--partial`).
    Partial,
}

/// A document for a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Whom it is for.
    pub scope: Scope,
    /// The document, whole.
    pub document: Document,
    /// The generation that the document was made from; 0: there was none. Where another one is in force by now, the command is
    /// refused.
    pub expect: u64,
}

/// What an operator asks for. That the caller is an operator is for the edge to know; that this node may is for the core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Make a cluster: this node becomes its founder, a commander for ever. The id is drawn by the edge.
    Init(ClusterId),
    /// Approve a key. On a node that belongs to no cluster: let this key welcome it.
    Approve(Fingerprint, Role),
    /// Revoke a key, for ever.
    Revoke(Fingerprint),
    /// Forget a key that was heard and not approved, or is not heard any more.
    Forget(Fingerprint),
    /// Let `uses` nodes join by a token that the edge drew and keeps with mode 0600. A refusal means that the edge deletes it.
    MakeToken {
        /// Names the token.
        token: TokenId,
        /// How many nodes may join, 1 to 256.
        uses: u32,
        /// For how long, at most 7 days.
        ttl: Duration,
        /// What they may.
        role: Role,
    },
    /// Let nobody join by a token any more.
    DropToken(TokenId),
    /// Ask all nodes to beat now (lex-node's request of public keys).
    AskBeats,
    /// Join a cluster by a token that the edge keeps with mode 0600.
    Join(ClusterId, TokenId),
    /// Make the next generation of the secret.
    Rotate,
    /// Of two secrets of one generation take this one.
    Adopt(SecretId),
    /// Set settings: one document for the cluster, or one for each of some nodes.
    Set {
        /// The documents, each of another scope.
        settings: Vec<Setting>,
        /// Who must agree.
        agreement: Agreement,
        /// Whether nodes may restart for it.
        restart: Restart,
    },
    /// Have one node run another program.
    Update(Fingerprint, Program),
}

/// How a command fared at a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The node told.
    Told(UpdateResult),
    /// The node's beat shows the document; what it told was lost.
    Seen,
    /// It did not agree, and the others went on without it.
    Disagreed(crate::message::CheckFailure),
    /// It was there and did not answer in time. It may apply the document yet.
    NoAnswer,
    /// It does not restart, since a node before it could not.
    Waiting,
    /// It is not there. It takes the document once it is.
    Away,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is done, and stored.
    Done,
    /// The node looks for the maker of the token, for ever; the view shows how far it is.
    Joining,
    /// The key is revoked. These keys were approved by it and are now by this node; the secret should be rotated.
    Revoked(BTreeSet<Fingerprint>),
    /// The cluster is made, with this secret.
    Founded(ClusterId, SecretId),
    /// The secret is announced. It becomes active as soon as every approved node that is there has it.
    Rotating(SecretId),
    /// How the update fared at its node.
    Updated(Outcome),
    /// The documents are in force; how each target took it.
    Set {
        /// What is in force.
        documents: BTreeMap<Scope, SettingsId>,
        /// The targets.
        outcomes: BTreeMap<Fingerprint, Outcome>,
    },
}

/// Why a command was not carried out; nothing was changed by it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 503: the broker cannot be reached.
    #[error("the cluster's broker cannot be reached")]
    BusDown,
    /// 503: too many commands are in flight.
    #[error("64 commands are in flight; try again")]
    Busy,
    /// 409: this node belongs to no cluster.
    #[error("this node belongs to no cluster; see `furt cluster init` and `furt cluster join`")]
    Unjoined,
    /// 409: it belongs to one.
    #[error("this node belongs to cluster {0}")]
    Joined(ClusterId),
    /// 403: it is no commander.
    #[error("this node is no commander; run the command on one that is")]
    NotCommander,
    /// 409: a key that was revoked stays so.
    #[error("{} was revoked, for ever; the node needs a new key", .0.short())]
    Revoked(Fingerprint),
    /// 404: this node made no such token.
    #[error("this node made no such token")]
    NoSuchToken,
    /// 404: the key is not known here.
    #[error("{} is not known here", .0.short())]
    Unknown(Fingerprint),
    /// 409: it is approved.
    #[error("{} is approved; revoke it instead", .0.short())]
    Approved(Fingerprint),
    /// 409: the founder's key, and the own one, cannot be revoked here.
    #[error("{}", match .0 {
        Indispensable::Founder => "the founder's key cannot be revoked: all approvals lead back to it; make a new cluster",
        Indispensable::Own => "a node does not revoke itself; do it on another commander",
        Indispensable::OwnApproval => "this node was approved by that key alone; revoke it on another commander",
    })]
    Indispensable(Indispensable),
    /// 409: the cluster is full.
    #[error("a cluster has at most 256 nodes; revoke one that is gone")]
    Full,
    /// 422: a number is out of bounds.
    #[error("{0}")]
    Invalid(&'static str),
    /// 409: this node has no secret yet.
    #[error("this node has no cluster secret yet")]
    NoSecret,
    /// 409: another rotation is not through.
    #[error("generation {} is announced and not active yet", .0.generation)]
    RotationRuns(SecretId),
    /// 409: another change of these settings is not through.
    #[error("a change of the settings of {0:?} is under way; look at it and try again")]
    SettingsRun(Scope),
    /// 409: two secrets have one generation.
    #[error("two secrets have generation {0}; see `furt secret adopt`")]
    Split(u64),
    /// 404: there is nothing to choose from, or not this one.
    #[error("no split secret has this check value")]
    NoSuchSecret,
    /// 412: another document is in force.
    #[error("{scope:?}: generation {generation} is in force or taken; look at it and try again")]
    Outdated {
        /// Whom the document was for.
        scope: Scope,
        /// The generation that there is.
        generation: u64,
    },
    /// 412: the arbiter gave this generation of the secret to another node.
    #[error("generation {0} of the secret was given to another node; try again in a minute")]
    SecretTaken(u64),
    /// 422: not all targets agree; nobody applied it.
    #[error("{} of the targets do not agree, nobody applied it", .disagree.len() + .silent.len())]
    Disagreed {
        /// What is wrong at each.
        disagree: CheckFailures,
        /// They did not answer in time.
        silent: BTreeSet<Fingerprint>,
    },
    /// 409: one node is updated at a time.
    #[error("{} is being updated; one node at a time", .0.short())]
    UpdateRuns(Fingerprint),
    /// 503: nobody could say whose the generation is.
    #[error("the arbiter cannot be asked: {0}")]
    NoArbiter(Arc<str>),
}

/// Why a key cannot be revoked here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indispensable {
    /// It is the founder's.
    Founder,
    /// It is this node's.
    Own,
    /// This node's own approval rests on it alone.
    OwnApproval,
}
