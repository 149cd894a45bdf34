//! Where a reported change came from, as lines of the log and events say it.

use std::net::IpAddr;

use crate::telemetry::Event;
use furt_core::model::GatewayName;

/// Who did it, for a line of the log.
pub(super) fn origin(from: Option<IpAddr>, by: Option<&GatewayName>) -> String {
    match (from, by) {
        (Some(from), None) => format!("from {from}"),
        (Some(from), Some(gateway)) => format!("from {from} through {gateway}"),
        (None, Some(gateway)) => format!("through {gateway}"),
        (None, None) => "as an audit of the store found".to_owned(),
    }
}

pub(super) fn from_address(event: Event, from: Option<IpAddr>) -> Event {
    match from {
        Some(from) => event.with("from", from.to_string()),
        None => event,
    }
}
