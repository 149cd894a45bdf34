//! What the core's user needs of others: a [`Store`] that keeps changes, and [`Probes`] that look at instances.
//!
//! Traits alone, and the error of a store. Stores and probers implement them, the driver calls them, and the core itself
//! never does: it says by effects what is to be done.

use crate::registry::{Change, Contents, DnsSubject, InstanceRef, NameWatch, ProbePlan};

/// Why a store failed, in a sentence for operators.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

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
