//! What the core's user needs of others: a [`Store`] that keeps changes, and [`Probes`] that look at instances.
//!
//! Traits alone, and the error of a store. Stores and probers implement them, the driver calls them, and the core itself
//! never does: it says by effects what is to be done.

use crate::registry::{Change, Contents, DnsSubject, InstanceRef, NameWatch, ProbePlan};

/// Why a store failed. Displays as a sentence for operators that names the store and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It cannot be opened, read or written now; a later attempt may succeed.
    #[error("{0}")]
    Unavailable(String),
    /// What it holds cannot be read any more, or was never a store.
    #[error("{0}")]
    Damaged(String),
    /// Another process has it.
    #[error("{0}")]
    InUse(String),
    /// A newer furt, or another version of its database, wrote it.
    #[error("{0}")]
    OtherFormat(String),
    /// It is not the store that is meant: of something else, or one that replaced the one that was opened.
    #[error("{0}")]
    OtherStore(String),
    /// There is one already where a new one is to be made.
    #[error("{0}")]
    Exists(String),
    /// What is to be stored obeys no format or breaks a rule.
    #[error("{0}")]
    Invalid(String),
}

/// Where changes are kept. Called from one thread; may block.
pub trait Store: Send {
    /// Keeps all of the changes, in their order, or none.
    ///
    /// # Errors
    /// None of them is kept.
    fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError>;

    /// Everything it holds.
    ///
    /// # Errors
    /// It cannot be read.
    fn load(&mut self) -> Result<Contents, StoreError>;
}

/// Who probes instances and follows names. Called by the driver between ticks; must not block.
pub trait Probes: Send {
    /// Probes by this plan; replaces the instance's plan before. A plan of the same token only changes when.
    fn probe(&mut self, instance: InstanceRef, plan: ProbePlan);
    /// Probes no more.
    fn stop(&mut self, instance: &InstanceRef);
    /// Resolves this name again and again.
    fn watch_name(&mut self, subject: DnsSubject, order: NameWatch);
    /// Resolves it no more.
    fn unwatch_name(&mut self, subject: &DnsSubject);
}
