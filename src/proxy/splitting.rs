//! To which side of its service's split a request goes, and what is asked where that side has nobody.
//!
//! Everything else that chooses an instance works within the side. Only where no instance of it is sound the others are asked,
//! unless the split is strict. One that is full has its requests wait as without a split: its share is its share.

use http::HeaderMap;

use super::caller;
use super::context::Context;
use furt_core::model::Side;
use furt_core::routing::{Instance, Lease, NoInstance, SelectionInput, Service, ServiceSplit};

/// The side of a request; `None`: the service has no split.
pub(super) fn side(service: &Service, sent: &HeaderMap, ctx: &Context) -> Option<Side> {
    let spec = &service.split.as_ref()?.split.spec;
    let asked = spec.header.as_ref().and_then(|header| sent.get(header));
    let hash = caller::of(ctx).split_hash(&service.definition.service);
    Some(spec.choose(asked.map(|asked| asked.as_bytes()), hash))
}

/// The instances that a request of that side is for.
pub(super) fn part(service: &Service, side: Option<Side>) -> &Service {
    match (&service.split, side) {
        (Some(split), Some(side)) => split.side(side),
        _ => service,
    }
}

/// Whether the instances of a request's side alone may be asked.
pub(super) fn is_strict(service: &Service) -> bool {
    service.split.as_ref().is_some_and(|split| split.split.spec.strict)
}

/// A slot at a sound instance of the side, leaving out those that were tried; `None`: the others are to be asked.
pub(super) fn pick_of_side(
    split: &ServiceSplit,
    side: Side,
    input: &SelectionInput<'_>,
    tried: impl Fn(&Instance) -> bool,
) -> Option<Result<Lease, NoInstance>> {
    match split.side(side).pick_sound(input, tried) {
        Err(NoInstance::Unavailable | NoInstance::Draining) => None,
        picked => Some(picked),
    }
}
