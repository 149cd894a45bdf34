//! Deregistering and draining.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::open_enum::open_enum;
use crate::{Generation, InstanceId, Outcome, ServiceName};

/// The answer to a deregistration, to a drain, and to the end of a drain.
///
/// The order is carried out in any case; the answer comes once nothing is in flight any more, or once the time is over
/// that the caller asked to wait for (`?drain=SECONDS` or `?wait=SECONDS`, 0 to 3600; absent: 0).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// What ends the drain, of the instance that is asked again first; absent where none is draining by a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DrainUntil>,
    /// How many of these instances are asked again only once the drain is undone: it holds their ids, or they name no
    /// incarnation by which a restart could be told. Absent: none.
    #[serde(default, skip_serializing_if = "is_none")]
    pub needs_undo: usize,
    /// How many of these instances are asked again, because their drain ended while the caller waited. Absent: none.
    #[serde(default, skip_serializing_if = "is_none")]
    pub ended: usize,
    /// The registry's last change.
    pub generation: Generation,
}

fn is_none(count: &usize) -> bool {
    *count == 0
}

open_enum! {
    /// What ends a drain, beside the command that undoes it.
    DrainUntil {
        /// Any registration of the instance, an identical one too.
        Registration = "registration",
        /// A registration with another `incarnation`.
        Restart = "restart",
        /// Nothing: it holds the id, also while nobody is registered under it.
        Undo = "undo",
    }
}
