//! Where callers of a service with a split go, as `furt explain` tells it.

use std::net::IpAddr;

use furt_core::model::{KeyName, Side, Split};
use furt_core::routing::{CallerId, Service};

/// `None`: the service has no split. `key`: by which a request is let in.
pub(in crate::api) fn judge(service: &Service, key: Option<&KeyName>, client: Option<IpAddr>) -> Option<String> {
    let split = &service.split.as_ref()?.split;
    let caller = match (key, client) {
        (Some(key), _) => Some((CallerId::Key(key), format!("API key \"{key}\""))),
        (None, Some(client)) => Some((CallerId::of_address(Some(client)), format!("client {client}"))),
        (None, None) => None,
    };
    let goes = caller.map(|(caller, called)| {
        let side = split.spec.choose(None, caller.split_hash(&service.definition.service));
        format!("; {called} goes to {}{}", split.spec.name_of(side), where_none(service, split, side))
    });
    Some(format!("{}{}", sentence(service, split), goes.unwrap_or_default()))
}

fn sentence(service: &Service, split: &Split) -> String {
    let spec = &split.spec;
    let named = spec.versions.iter().map(|one| format!("{} to {}", one.share, one.version));
    let all: Vec<_> = named.chain([format!("{} to stable", spec.rest())]).collect();
    let header = spec.header.as_ref().map(|header| format!(", unless the header {header} names one of them"));
    let name = &service.definition.service;
    format!("callers of service \"{name}\" are split: {}{}", all.join(", "), header.unwrap_or_default())
}

/// What becomes of its requests while no instance of its version is there.
fn where_none(service: &Service, split: &Split, side: Side) -> &'static str {
    let is_empty = service.split.as_ref().is_some_and(|split| split.side(side).instances.is_empty());
    match (is_empty, split.spec.strict) {
        (false, _) => "",
        (true, true) => ", of which there is no instance: 503",
        (true, false) => ", of which there is no instance: to the others",
    }
}
