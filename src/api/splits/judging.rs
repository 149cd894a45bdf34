//! Where callers of a service with a split go, as `furt explain` tells it.

use std::net::IpAddr;

use crate::clock;
use furt_core::model::{BasisPoints, KeyName, Side, Split};
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

/// What becomes of its requests while no instance of its version can be asked.
fn where_none(service: &Service, split: &Split, side: Side) -> &'static str {
    let has_none = service.split.as_ref().is_some_and(|split| !split.side(side).has_sound(clock::unix_ms()));
    match (has_none, split.spec.strict) {
        (false, _) => "",
        (true, true) => ", of which no instance can be asked: 503",
        (true, false) => ", of which no instance can be asked: to the others",
    }
}

/// What an operator is to know of the sides that have a share of the callers and nobody who can be asked.
pub(in crate::api) fn without_instances(service: &Service) -> Vec<String> {
    let Some(sides) = &service.split else { return Vec::new() };
    let (spec, now_ms) = (&sides.split.spec, clock::unix_ms());
    let versions = spec.versions.iter().enumerate().map(|(at, one)| (Side::Version(at), one.share));
    let sides_of_split = versions.chain([(Side::Stable, spec.rest())]);
    let has_share = |(_, share): &(Side, BasisPoints)| *share > BasisPoints::default();
    let is_sound = |side: Side| sides.side(side).has_sound(now_ms);
    // These stand in for others.
    let others = || sides_of_split.clone().filter(|one| one.0 == Side::Stable || has_share(one));
    let becomes = match spec.strict || !others().any(|(side, _)| is_sound(side)) {
        true => "get 503",
        false => "go to other instances",
    };
    let empty = sides_of_split.clone().filter(|one| has_share(one) && !is_sound(one.0));
    empty
        .map(|(side, share)| {
            format!("no instance of {} can be asked: {share} of callers {becomes}", spec.name_of(side))
        })
        .collect()
}
