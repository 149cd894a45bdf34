//! The core of a cluster of furt's nodes: who is there, who may what, one secret, settings that arrive everywhere or nowhere.
//!
//! [`Cluster::handle`] takes an [`Event`] and the time and gives [`Effect`]s, in the order in which they are to be carried out;
//! [`Cluster::next_deadline`] says when to come again; [`Cluster::view`] gives what is shown. No IO, clock, lock, await, log,
//! and no cryptography: a *seal* outside signs, verifies, encrypts and decrypts, a *bus* carries, a *driver* joins them. The core
//! does not know which bus it is. Nonces are handed in ([`Nonces`]).
//!
//! # What the seal promises
//!
//! - [`Opened`] is a message whose signature is by the key that it carries, over all fields and the raw body; `from` is that key's
//!   fingerprint. Each [`Record`](model::Record) in it is verified by itself, over the cluster of the message. A document's digest
//!   and a secret's check value are computed from what came, never read from the wire.
//! - A proof of a join ([`Proof`]) is made with a label for the sender's side and checked with the label of the other side.
//! - Secrets and tokens do not leave it but by [`Effect::GiveSecret`] and [`Effect::GiveVaultToken`]; it stores them durably by their names before it says so.
//!
//! # The ways
//!
//! **A message's.** [`Event::Opened`] → own key, cluster, receiver, revoked → boot, number, time (the window) → what the sender's
//! role may say → the body's own way. What is not taken is a [`Refused`], counted and reported, and never tried again.
//!
//! **A node's.** By a token: `JoinAsked` → `JoinChallenge`, in which the maker proves that it knows the token → `JoinProof` of
//! the joiner → the approval is signed → `Welcome`. Both proofs are over both nonces, both keys and both boots, and the joiner
//! takes nothing before. Or each side is told of the other one's key, by its file or an operator. Then the records say that the
//! node belongs, and it asks for the secret at 1, 2, 4 … 30 s and with each beat of a node that has it, for ever.
//!
//! **A record's.** What commanders say (approvals, revocations, secrets, settings) travels as signed [records](model::Record) that
//! merge as a set. A beat carries the checksum of the set; nodes that differ ask each other. So it does not matter who brings a
//! record, and a member can bring none of its own. See [`Claim`](model::Claim).
//!
//! **A setting's.** [`Command::Set`] → all targets check → the arbiter gives the generation → the record is signed and stored with
//! its document → all apply by [`Effect::Apply`], each tells an [`UpdateResult`](model::UpdateResult). Whoever was away sees it in
//! a beat. A rotation goes the same way: made → arbiter → announced → fetched → active once all who are there have it.
//!
//! **A token's.** A node that wants a token of a Vault ([`Condition::vault`]) asks one that makes them, in turn → `VaultTokenAsked` →
//! [`Effect::MakeVaultToken`] → `VaultTokenGiven`, encrypted for the asker → [`Effect::KeepVaultToken`].
//!
//! **A program's.** [`Command::Update`] names a version and a digest. The target takes it where its own file switches updates on
//! and no such version ran there yet → [`Effect::StageProgram`] → [`Effect::TakeOver`] → the successor restores its core, which tells
//! how it went. One node at a time.
//!
//! # A restart
//!
//! [`Effect::Persist`] is durable before later effects are carried out, and [`Cluster::restore`] makes the core again from
//! [`Stored`], wherever it was stopped. Replay windows are lost by a restart; so all that changes something is fenced as well: joins
//! by nonces, records by being a set, settings and secrets by generations.
//!
//! # Bounds
//!
//! 256 approved nodes, 1,024 pending keys, 1,024 approvals and documents and as many revocations, 64 commands in flight, 64 tokens,
//! 64 challenges, 4 secrets, 64 KiB a document, 24 records a message, 16 foreign clusters.
//!
//! # Reading order
//!
//! `event`, `effect`, `message`, `cluster` (the parts, and which way takes an event), `receiving`, `merging` with `parts::roster`,
//! then the ways: `beating`, `joining`, `commanding`, `sharing`, `vaulting`, `rotating`, `setting`, `rolling`, `applying`, `updating`; `viewing`,
//! `restoring`, `invariants`. A part owns its state in private fields and never asks the core.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod applying;
mod beating;
mod cluster;
mod command;
mod commanding;
mod effect;
mod effects;
mod event;
#[cfg(any(test, debug_assertions))]
mod invariants;
mod issue;
mod joining;
mod merging;
mod message;
pub mod model;
mod parts;
mod policy;
mod receiving;
mod refused;
mod report;
mod restoring;
mod rolling;
mod rotating;
mod setting;
mod sharing;
#[cfg(test)]
mod simulation;
mod stored;
#[cfg(test)]
mod tests;
mod updating;
mod vaulting;
mod view;
mod viewing;

pub use cluster::Cluster;
pub use command::{Agreement, Answer, Command, Indispensable, Outcome, Refusal, ReplyId, Setting};
pub use effect::{AskId, Bid, CheckId, DraftId, Effect};
pub use event::{Event, Ruling};
pub use issue::Issue;
pub use message::{
    Body, CheckFailure, CheckFailures, MAX_MESSAGE_BYTES, MAX_RECORDS_A_MESSAGE, Opened, Outgoing, Proof, Protect,
    SettingsCheck, To, Transcript,
};
pub use parts::Updating;
pub use policy::{Condition, Identity, Nonces, Policy, UpdateRule};
pub use refused::{Refused, RefusedCounts};
pub use report::Report;
pub use stored::{Applying, Change, Membership, NamedDocument, Stored, Token};
pub use view::{NodeView, SecretView, View};
