//! Where callers of a service with a split go, as `furt explain` tells it.

use std::net::IpAddr;
use std::sync::Arc;

use crate::clock;
use furt_core::model::{KeyName, Percentage, Side, Split, SplitSpec};
use furt_core::routing::{CallerId, Instance, Service};

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

/// What becomes of its requests while no instance of its version can be asked.
fn where_none(service: &Service, split: &Split, side: Side) -> &'static str {
    match (has_sound(service, &split.spec, side), split.spec.strict) {
        (true, _) => "",
        (false, true) => ", of which no instance can be asked: 503",
        (false, false) => ", of which no instance can be asked: to the others",
    }
}

/// Which callers find no instance of their version that can be asked.
pub(in crate::api) fn without_instances_today(service: &Service) -> Vec<String> {
    service.split.as_ref().map(|sides| without_instances(service, &sides.split.spec)).unwrap_or_default()
}

/// The same under a split that may not be published yet.
pub(super) fn without_instances(service: &Service, spec: &SplitSpec) -> Vec<String> {
    let versions = spec.versions.iter().enumerate().map(|(at, one)| (Side::Version(at), one.share));
    let sides = versions.chain([(Side::Stable, spec.rest())]);
    let is_sound = |side: Side| has_sound(service, spec, side);
    // These stand in for others.
    let mut others = sides.clone().filter(|(side, share)| *side == Side::Stable || *share > Percentage::NONE);
    let becomes = match spec.strict || !others.any(|(side, _)| is_sound(side)) {
        true => "get 503",
        false => "go to other instances",
    };
    let empty = sides.filter(|(side, share)| *share > Percentage::NONE && !is_sound(*side));
    let told = empty.map(|(side, share)| {
        format!("no instance of {} can be asked: {share} of callers {becomes}", spec.name_of(side))
    });
    told.collect()
}

fn has_sound(service: &Service, spec: &SplitSpec, side: Side) -> bool {
    let now_ms = clock::unix_ms();
    let is_own = |one: &&Arc<Instance>| spec.side_of(one.spec.version.as_ref()) == side;
    service.instances.iter().filter(is_own).any(|one| one.is_sound(now_ms))
}
