//! What leaves the core: effects, in the imperative, in the order in which they are to be carried out.
//!
//! [`Effect::Persist`] is durable before a later effect is carried out. A driver that cannot store carries out none of the
//! effects after it, ends this core, and makes another by [`Cluster::restore`](crate::Cluster::restore) once it can: to the
//! core that is a crash, and it is built to be stopped between any two effects.

use crate::command::{Answer, Refusal, ReplyId};
use crate::message::Outgoing;
use crate::model::{
    Claim, ClusterId, Document, Fingerprint, NodeName, Program, PublicKey, Restart, Scope, SecretId, SettingsId,
    TokenId,
};
use crate::report::Report;
use crate::stored::Change;

/// Names claims that the seal is to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DraftId(pub u64);

/// Names a question to the arbiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u64);

/// Names a check of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckId(pub u64);

/// What the arbiter is asked to give to this node alone: a generation, for a certain content. An arbiter gives each generation
/// once, and a generation only where it has given no greater one of the same series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bid {
    /// A generation of the secret.
    Secret(SecretId),
    /// A generation of a scope's settings.
    Settings(Scope, SettingsId),
}

/// What is to be done, by the driver.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Store all of this durably or nothing of it, before anything after it.
    Persist(Vec<Change>),
    /// Sign it, protect it, publish it. Nobody waits; what is lost is said again.
    Send(Box<Outgoing>),
    /// Encrypt the secret by the key of `message.to` and send it as [`Body::SecretGiven`](crate::Body::SecretGiven). The one way
    /// on which a secret leaves a node.
    GiveSecret {
        /// The secret.
        id: SecretId,
        /// The key that it is for: one that is approved.
        to: Fingerprint,
        /// That key itself.
        key: PublicKey,
        /// The message.
        message: Box<Outgoing>,
    },
    /// Draw 32 random bytes, store them durably by their id, and say [`Event::SecretMade`](crate::Event::SecretMade).
    MakeSecret {
        /// The generation.
        generation: u64,
    },
    /// Store the secret that came with the event of this batch durably. A secret that came and is not kept by the effects of its
    /// event is wiped.
    KeepSecret(SecretId),
    /// Wipe a secret.
    DropSecret(SecretId),
    /// Sign each claim by this node's key and say [`Event::Signed`](crate::Event::Signed).
    Sign {
        /// Names the draft.
        draft: DraftId,
        /// The cluster, which is a part of what is signed.
        cluster: ClusterId,
        /// The claims.
        claims: Vec<Claim>,
        /// The time that the records have, in ms since the Unix epoch.
        at_ms: i64,
    },
    /// Ask the arbiter, and say [`Event::ArbiterAnswered`](crate::Event::ArbiterAnswered).
    AskArbiter(AskId, Bid),
    /// Parse the document as `furt check` would, with this node's file and environment, and say
    /// [`Event::Checked`](crate::Event::Checked). Keys that the local file does not let be pushed are errors.
    Check {
        /// Names the check.
        check: CheckId,
        /// Whom the document is for.
        scope: Scope,
        /// Whether keys that need a restart are errors.
        restart: Restart,
        /// The document.
        document: Document,
    },
    /// Put the document in force by the reload that exists, and say [`Event::Applied`](crate::Event::Applied). With
    /// [`Restart::OneByOne`], where a key asks for it, by a seamless restart: once the successor has taken over, the old process says
    /// [`Event::Replaced`](crate::Event::Replaced), which stores [`Change::Applied`], and the successor's core tells the result; where
    /// it cannot take over, the old process says `Event::Applied` with the error. If the old process dies before it has said either,
    /// the next core fetches the document anew.
    Apply {
        /// Whom the document is for.
        scope: Scope,
        /// The document's name.
        id: SettingsId,
        /// Whether the process may restart.
        restart: Restart,
        /// The document.
        document: Document,
    },
    /// Fetch the artefact from where the local file says, check its signature by the local file's key, its size, its digest and its
    /// version, stage it, have it run `check` and `store check`, and say [`Event::ProgramStaged`](crate::Event::ProgramStaged).
    StageProgram(Program),
    /// Let the staged program take over sockets and store. It restores its core from the same store, with its own version in
    /// [`Identity`](crate::Identity); if it is not ready within 60 s, say [`Event::TakeoverFailed`](crate::Event::TakeoverFailed).
    TakeOver(Program),
    /// Have the Vault make a token for this node, wrapped, and say [`Event::VaultTokenMade`](crate::Event::VaultTokenMade) with it.
    MakeVaultToken {
        /// Whom it is for: one that is approved.
        to: Fingerprint,
        /// What the node is called.
        name: NodeName,
    },
    /// Encrypt the token that came with the event of this batch by this key, and send it as
    /// [`Body::VaultTokenGiven`](crate::Body::VaultTokenGiven). The one way on which one leaves a node. A token that came and is neither
    /// given nor kept by the effects of its event is wiped.
    GiveVaultToken {
        /// Whom it is for: one that is approved.
        to: Fingerprint,
        /// That key itself.
        key: PublicKey,
        /// The message.
        message: Box<Outgoing>,
    },
    /// Unwrap the token that came with the event of this batch, and keep what it wraps. [`Condition::vault`](crate::Condition::vault)
    /// says whether the node wants another one.
    KeepVaultToken,
    /// Delete a join token: it is used up or too old.
    DropToken(TokenId),
    /// Answer a waiting caller.
    Answer(ReplyId, Result<Answer, Refusal>),
    /// Log and count this.
    Report(Report),
}
