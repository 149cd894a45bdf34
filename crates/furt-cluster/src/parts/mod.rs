//! The parts of the core. Each owns its state in private fields, in a file of its own; none of them asks another one.

mod documents;
mod in_flight;
mod joins;
mod nodes;
mod rollout;
mod roster;
mod said;
mod secrets;
mod taken;
mod updates;
mod vault;
mod window;

pub(crate) use documents::{Documents, Waiting};
pub(crate) use in_flight::{Asked, CheckFor, InFlight, MAX_IN_FLIGHT, Making, Purpose};
pub(crate) use joins::{Joining, Joins, MAX_TOKENS};
#[cfg(any(test, debug_assertions))]
pub(crate) use nodes::MAX_PENDING;
pub(crate) use nodes::{Ask, Envelope, Node, Nodes};
pub(crate) use rollout::{Part, Phase, Rollout, Rollouts, Target, TargetState};
pub(crate) use roster::{MAX_NODES, Merged, Roster};
pub(crate) use secrets::{OVERLAP, Secrets};
pub(crate) use taken::Taken;
pub use updates::Updating;
pub(crate) use updates::{Commanded, Updates};
#[cfg(test)]
pub(crate) use vault::MAKE_GAP;
pub(crate) use vault::VaultTokens;
