//! Where the client of a request is, for services whose instances are chosen by locality; and that only trusted proxies may
//! say so.
//!
//! Found out once a request, and not at all for services whose choice does not depend on it. Called by `forward` and by
//! the hook that edits what services receive.

use http::HeaderName;
use pingora::http::RequestHeader;
use pingora_proxy::Session;

use super::client::Client;
use super::{Gateway, affinity};
use crate::clock;
use crate::header_name::{Folding, reads_as};
use furt_core::routing::{SelectionInput, Service};

impl Gateway {
    /// What choosing knows of the request.
    pub(super) fn input(&self, session: &Session, service: &Service, client: &mut Client) -> SelectionInput<'_> {
        let random = fastrand::u64(..);
        let key =
            affinity::hashed(&service.definition, &session.req_header().headers, client.address).unwrap_or(random);
        let anywhere = SelectionInput { now_ms: clock::unix_ms(), random, key, ..SelectionInput::default() };
        if !service.has_localities() {
            return anywhere;
        }
        let (address, is_peer_trusted) = (client.address, client.is_peer_trusted);
        let locate = || self.geo.locate(address, &session.req_header().headers, is_peer_trusted);
        let here = client.location.get_or_insert_with(locate);
        SelectionInput { country: here.country, region: here.region, gateway_region: self.geo.region(), ..anywhere }
    }

    /// Removes what a stranger says of its country: a service that stands behind the same proxies would believe it.
    pub(super) fn remove_forged_country(&self, request: &mut RequestHeader, client: &Client) {
        let Some(country) = self.geo.header().filter(|_| !client.is_peer_trusted) else { return };
        let is_country = |name: &HeaderName| reads_as(country.as_str(), name.as_str(), Folding::EverySign);
        let forged: Vec<HeaderName> = request.headers.keys().filter(|name| is_country(name)).cloned().collect();
        for name in forged {
            request.remove_header(&name);
        }
    }
}
