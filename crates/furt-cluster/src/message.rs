//! What travels between nodes, as the seal opened it and as it is given to the seal.
//!
//! Bodies are the core's words. How they are written on a wire, and what lex-node would read of them, is the seal's matter.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{
    Beat, Boot, CheckValue, ClusterId, Document, Fingerprint, Nonce, Program, PublicKey, Record, RequestId, Restart,
    Scope, SecretId, SettingsId, TokenId, UpdateResult,
};

/// The most records in one message: of about 900 bytes each (two keys' worth of RSA-2048 and a signature), in base64 and sealed,
/// they fit into 64 KiB.
pub const MAX_RECORDS_A_MESSAGE: usize = 24;

/// The longest message that a bus is to carry, sealed, in bytes: a document of 64 KiB in base64 twice, and its envelope.
/// A driver refuses what is longer as [`Refused::TooLarge`](crate::Refused::TooLarge) before it is parsed.
pub const MAX_MESSAGE_BYTES: usize = 128 * 1024;

/// Whom a message is for. It is a part of what is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum To {
    /// Every node.
    All,
    /// One node.
    Node(Fingerprint),
}

/// How the seal protects a message beside signing it, which it always does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protect {
    /// Everyone on the bus may read it.
    Signed,
    /// It is encrypted by this secret.
    Cluster(SecretId),
}

/// What both sides of a join prove that they know the token over. Each proof is
/// `HMAC(token, label || all fields)`, with a label of its own for each side, so that one cannot be sent back as the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Transcript {
    /// The cluster.
    pub cluster: ClusterId,
    /// Names the token.
    pub token: TokenId,
    /// The key that wants to join.
    pub joiner: Fingerprint,
    /// The joiner's boot.
    pub joiner_boot: Boot,
    /// Drawn by the joiner, for this attempt.
    pub joiner_nonce: Nonce,
    /// The node that made the token.
    pub maker: Fingerprint,
    /// The maker's boot.
    pub maker_boot: Boot,
    /// Drawn by the maker, for this attempt.
    pub maker_nonce: Nonce,
}

/// A proof over a [`Transcript`]. The seal makes and checks it; no bytes of it reach the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Of a message that is sent: the seal is to make it, by the label of the sender's side.
    Make,
    /// Of a message that came: it is the other side's, by the token of that name.
    Right,
    /// Of a message that came: it is not.
    Wrong,
    /// Of a message that came: the seal has no token of that name.
    NoToken,
}

/// How a check of settings ended at a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckFailure {
    /// The document is wrong there: each error with its place.
    Wrong(Vec<Arc<str>>),
    /// The node has this generation already, or a later one.
    Outdated(u64),
    /// The node checks too many documents.
    Busy,
}

/// A document that a commander wants to know about whether it would be taken.
#[derive(Debug, Clone, PartialEq)]
pub struct SettingsCheck {
    /// Names the command.
    pub request: RequestId,
    /// Whom the document is for.
    pub scope: Scope,
    /// The generation that it would have, and its digest.
    pub id: SettingsId,
    /// Whether keys that need a restart may be in it.
    pub restart: Restart,
    /// The document.
    pub document: Document,
}

/// The content of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// A node says how it is. To all; signed alone.
    Beat(Box<Beat>),
    /// Beats are wanted now (lex-node's request of public keys).
    BeatsAsked,
    /// A node with a token looks for the one that made it. To all.
    JoinAsked {
        /// Names the token.
        token: TokenId,
        /// Drawn by the joiner.
        nonce: Nonce,
    },
    /// The maker proves that it knows the token, before the joiner takes anything of it.
    JoinChallenge {
        /// What the proof is over.
        transcript: Transcript,
        /// The maker's proof.
        proof: Proof,
    },
    /// The joiner proves that it knows the token.
    JoinProof {
        /// What the proof is over.
        transcript: Transcript,
        /// The joiner's proof.
        proof: Proof,
    },
    /// The receiver belongs to the cluster from now on.
    Welcome {
        /// The join that this ends; `None`: the receiver was approved in another way.
        transcript: Option<Transcript>,
        /// The key that made the cluster: all approvals lead back to it.
        founder: Fingerprint,
        /// The approvals of sender and receiver, up to the founder.
        records: Vec<Record>,
    },
    /// The records of the sender and of the receiver differ: give them.
    RecordsAsked,
    /// Records, at most [`MAX_RECORDS_A_MESSAGE`].
    RecordsGiven(Vec<Record>),
    /// A secret is wanted. The seal of the receiver needs nothing but the asker's key.
    SecretAsked(SecretId),
    /// A secret, encrypted by the receiver's key. The bytes stay in the seal.
    SecretGiven {
        /// The secret that was asked for.
        id: SecretId,
        /// The check value that the seal computed from what it decrypted.
        check: CheckValue,
    },
    /// A token of a Vault is wanted. Nobody hands out its own: one is made for the sender.
    VaultTokenAsked,
    /// A token that unwraps the receiver's own, once; encrypted by the receiver's key. The bytes stay outside.
    VaultTokenGiven,
    /// Would this document be taken?
    SettingsCheck(Box<SettingsCheck>),
    /// The answer to it.
    SettingsChecked {
        /// The command.
        request: RequestId,
        /// Whom the document is for.
        scope: Scope,
        /// Whether it would be taken.
        outcome: Result<(), CheckFailure>,
    },
    /// A document that another node has is wanted.
    DocumentAsked {
        /// Whom it is for.
        scope: Scope,
        /// The document.
        id: SettingsId,
        /// A secret that the asker has, to seal it by.
        secret: SecretId,
    },
    /// A document that is in force, with the record that says so.
    DocumentGiven {
        /// Says that the document is in force.
        record: Box<Record>,
        /// The document.
        document: Document,
        /// The command that it comes from; `None`: it was asked for.
        request: Option<RequestId>,
    },
    /// The receiver is to run another program.
    ProgramAsked {
        /// Names the command.
        request: RequestId,
        /// The program.
        program: Program,
    },
    /// A node carried out a command, or did not. To all, so that everyone can see it.
    UpdateResult(Box<UpdateResult>),
}

/// A message that the seal verified: its signature is by `key`, over everything here and the raw body, and `from` is the
/// fingerprint that the seal computed from `key`.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    /// The sender.
    pub from: Fingerprint,
    /// Its public key.
    pub key: PublicKey,
    /// The sender's boot.
    pub boot: Boot,
    /// The number of the message within the boot, from 1 on.
    pub seq: u64,
    /// The sender's clock, in ms since the Unix epoch.
    pub at_ms: i64,
    /// Whom it is for.
    pub to: To,
    /// The sender's cluster; `None`: it belongs to none yet.
    pub cluster: Option<ClusterId>,
    /// The content.
    pub body: Body,
}

/// A message that the seal is to sign and the bus to carry. Boot and cluster are those of [`Cluster::boot`] and
/// [`Outgoing::cluster`].
///
/// [`Cluster::boot`]: crate::Cluster::boot
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// The boot.
    pub boot: Boot,
    /// The number of the message.
    pub seq: u64,
    /// The time, in ms since the Unix epoch.
    pub at_ms: i64,
    /// Whom it is for.
    pub to: To,
    /// The cluster; `None`: this node belongs to none yet.
    pub cluster: Option<ClusterId>,
    /// How it is protected.
    pub protect: Protect,
    /// The content.
    pub body: Body,
}

/// What each target of a check said.
pub type CheckFailures = BTreeMap<Fingerprint, CheckFailure>;
