//! To which side of its service's split a request goes, and what is asked where that side has nobody.
//!
//! Everything else that chooses an instance works within the side. Only where no instance of it is sound the others are asked,
//! unless the split is strict: `stable` first, then versions that have a share. A version without one is for whoever asks for it.
//! A side that is full has its requests wait as without a split: its share is its share.

use http::HeaderMap;

use super::attempts::Attempts;
use super::caller;
use super::context::Context;
use furt_core::live::Outcome;
use furt_core::model::{Percentage, Side};
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

/// Counts a request at its end for its side, where the service has a split.
pub(super) fn count(service: &Service, attempts: &Attempts, outcome: Outcome) {
    let Some(split) = &service.split else { return };
    match (attempts.instance(), attempts.side) {
        (Some(instance), _) => split.count(instance, outcome),
        (None, Some(side)) => split.count_unasked(side, outcome),
        // It was refused before it had one.
        (None, None) => {}
    }
}

/// The sides that are asked in the place of one that has nobody, in their order.
pub(super) fn others(split: &ServiceSplit, side: Side) -> impl Iterator<Item = Side> {
    let versions = split.split.spec.versions.iter().enumerate();
    let with_share = versions.filter(|(_, one)| one.share > Percentage::NONE).map(|(at, _)| Side::Version(at));
    std::iter::once(Side::Stable).chain(with_share).filter(move |other| *other != side)
}

/// Whether there are instances that a request of that side may go to, and all of them are so.
pub(super) fn all_are(service: &Service, side: Option<Side>, is_so: impl Fn(&Instance) -> bool) -> bool {
    let all = |part: &Service| part.instances.iter().all(|one| is_so(one));
    let Some((split, side)) = service.split.as_deref().zip(side) else {
        return !service.instances.is_empty() && all(service);
    };
    let others = others(split, side).filter(|_| !split.split.spec.strict);
    let sides = std::iter::once(side).chain(others).map(|one| split.side(one));
    let mut there = sides.filter(|part| !part.instances.is_empty()).peekable();
    there.peek().is_some() && there.all(all)
}

/// The first slot that can be had; where there is none, why: some are full, all that could be asked drain, or there are none.
/// `None`: nobody was asked.
pub(super) fn first(picked: impl Iterator<Item = Result<Lease, NoInstance>>) -> Option<Result<Lease, NoInstance>> {
    let mut none = None;
    for one in picked {
        match (one, none) {
            (Ok(lease), _) => return Some(Ok(lease)),
            (Err(NoInstance::Full), _) | (_, Some(NoInstance::Full)) => none = Some(NoInstance::Full),
            (Err(NoInstance::Draining), _) | (_, Some(NoInstance::Draining)) => none = Some(NoInstance::Draining),
            (Err(NoInstance::Unavailable), _) => none = Some(NoInstance::Unavailable),
        }
    }
    none.map(Err)
}
