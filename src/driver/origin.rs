//! Where a reported change came from, as lines of the log and events say it.

use crate::telemetry::Event;
use furt_core::model::{Actor, GatewayName};

/// Who did it, for a line of the log, and the other gateway that took the command.
pub(super) fn origin(by: Option<&Actor>, gateway: Option<&GatewayName>) -> String {
    match (by, gateway) {
        (Some(by), None) => format!("from {by}"),
        (Some(by), Some(gateway)) => format!("from {by} through {gateway}"),
        (None, Some(gateway)) => format!("through {gateway}"),
        (None, None) => "as a comparison of the store found".to_owned(),
    }
}

/// Adds the address that a command came from, and the operator's name where it is known.
pub(super) fn with_actor(event: Event, by: Option<&Actor>) -> Event {
    let Some(Actor { address, operator }) = by else { return event };
    let event = event.with("from", address.to_string());
    match operator {
        Some(name) => event.with("by", name.as_str()),
        None => event,
    }
}
