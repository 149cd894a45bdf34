//! How far the instances of a service are from a client: the part of `explain` that is asked for with `client=ADDRESS`.
//!
//! What a proxy's header would say is not known here; the database's word is.

use std::net::IpAddr;

use axum::http::HeaderMap;
use furt_api::routes::{ClientDistances, InstanceDistance};

use crate::geo::Geo;
use furt_core::routing::{SelectionInput, Service};

/// Where the client is, and the instances from the nearest on.
pub(super) fn of(client: IpAddr, service: Option<&Service>, geo: &Geo) -> ClientDistances {
    let here = geo.locate(Some(client), &HeaderMap::new(), false);
    let input = SelectionInput {
        country: here.country,
        region: here.region,
        gateway_region: geo.region(),
        ..SelectionInput::default()
    };
    let mut instances: Vec<_> = service.map(|service| service.distances(&input).collect()).unwrap_or_default();
    instances.sort_by_key(|(_, distance)| *distance);
    let shown = instances.into_iter().map(|(instance, distance)| InstanceDistance {
        instance: instance.spec.id.as_str().into(),
        country: instance.spec.country.as_ref().map(|country| country.as_str().to_owned()),
        region: instance.spec.region.as_ref().map(|region| region.as_str().to_owned()),
        distance,
    });
    ClientDistances {
        address: client.to_string(),
        country: here.country.as_ref().map(|country| country.as_str().to_owned()),
        region: here.region.map(|region| region.as_str().to_owned()),
        gateway_region: geo.region().map(|region| region.as_str().to_owned()),
        chosen_by_place: service.is_some_and(Service::has_localities),
        instances: shown.collect(),
    }
}
