//! What enters the core: events, in the past tense.

use std::sync::Arc;

use crate::command::{Command, ReplyId};
use crate::effect::{AskId, CheckId, DraftId};
use crate::message::Opened;
use crate::model::{Fingerprint, Program, Record, Scope, SecretId, SettingsId};
use crate::policy::{Condition, Policy};
use crate::refused::Refused;

/// What an arbiter says to a [`Bid`](crate::Bid).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// The generation is this node's, for what it named. Asked again for the same, an arbiter says so again.
    Granted,
    /// It is another's. The greatest generation that was given.
    Taken(u64),
    /// Nobody could be asked, or it is not known how it went; in words.
    Unreachable(Arc<str>),
}

/// What happened; [`Cluster::handle`](crate::Cluster::handle) takes it.
#[derive(Debug, Clone)]
pub enum Event {
    /// The seal opened a message: its signature, records, digests, check values and proofs are checked.
    Opened(Box<Opened>),
    /// The seal, or the driver before it, refused a message.
    Refused(Refused),
    /// An operator asks for something.
    Commanded(Command, ReplyId),
    /// The seal made a secret and has stored it durably; answers [`Effect::MakeSecret`](crate::Effect::MakeSecret).
    SecretMade(SecretId),
    /// The seal signed claims; answers [`Effect::Sign`](crate::Effect::Sign). In the order of the claims.
    Signed(DraftId, Vec<Record>),
    /// The arbiter answered; within any time, and once.
    ArbiterAnswered(AskId, Ruling),
    /// The driver checked a document; `Err`: each error with its place. Answers [`Effect::Check`](crate::Effect::Check).
    Checked(CheckId, Result<(), Vec<Arc<str>>>),
    /// The document is in force at this node; `Err`: it is not, the one before is, and why. Answers
    /// [`Effect::Apply`](crate::Effect::Apply).
    Applied(Scope, SettingsId, Result<(), Arc<str>>),
    /// A token was made for this node, and came wrapped with the event; `Err`: it was not, and why. Answers
    /// [`Effect::MakeVaultToken`](crate::Effect::MakeVaultToken).
    VaultTokenMade(Fingerprint, Result<(), Arc<str>>),
    /// The artefact was fetched, and is what it says, or is not; in words. Answers
    /// [`Effect::StageProgram`](crate::Effect::StageProgram).
    ProgramStaged(Program, Result<(), Arc<str>>),
    /// A successor has taken over with the document that was on its way, and this process ends. It answers
    /// [`Effect::Apply`](crate::Effect::Apply) with [`Restart::OneByOne`](crate::model::Restart), in place of `Applied`.
    Replaced,
    /// The successor was not ready within 60 s; this process goes on. A successor that is ready restores a core instead.
    TakeoverFailed(Arc<str>),
    /// How the node is changed; what the next beats say.
    ConditionChanged(Condition),
    /// Another configuration is in force.
    PolicyChanged(Policy),
    /// The bus carries messages; after the start, and each time that it does again.
    BusUp,
    /// The bus carries none.
    BusDown,
    /// The node ends: it says so, once.
    Leaving,
    /// Time passed; deadlines may have come.
    DeadlineReached,
}
