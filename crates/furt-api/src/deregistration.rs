//! Deregistering and draining.

use serde::{Deserialize, Serialize};

use crate::{Generation, InstanceId, Outcome, ServiceName};

/// The answer to a deregistration, to a drain, and to the end of a drain.
///
/// The order is carried out in any case; the answer comes once nothing is in flight any more, or once the time is over
/// that the caller asked to wait for (`?drain=SECONDS` or `?wait=SECONDS`, 0 to 3600; absent: 0).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drained {
    /// [`Outcome::Deregistered`], [`Outcome::Draining`] or [`Outcome::DrainEnded`].
    pub status: Outcome,
    /// The service's name.
    pub service: ServiceName,
    /// The instance's id; `null` where the whole service was named.
    pub instance: Option<InstanceId>,
    /// How many instances it concerned. 0 after the end of a drain: none was draining.
    pub instances: usize,
    /// Requests that these instances have in flight now.
    pub in_flight: u64,
    /// The registry's last change.
    pub generation: Generation,
}
