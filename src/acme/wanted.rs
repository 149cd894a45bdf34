//! Which names are to have a certificate: those of the configuration, and hosts that registered services bind their routes to.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::Wanted;
use crate::published::Published;
use crate::tls::Tls;
use furt_core::model::Definition;

/// Hosts that are shown as refused.
const MOST_REFUSED: usize = 100;

/// Since when routes stand, and whose hosts get nothing.
#[derive(Debug, Default)]
pub(super) struct Routes {
    standing: BTreeMap<String, i64>,
}

/// A host within `acme.from_routes` that gets no certificate.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) host: String,
    pub(super) service: String,
    pub(super) why: String,
}

impl Routes {
    /// What is wanted at `now`.
    pub(super) fn wanted(
        &mut self,
        published: &Published,
        tls: &Tls,
        now: i64,
    ) -> (BTreeMap<String, Wanted>, Vec<Refused>) {
        let config = &published.config;
        let (mut wanted, mut refused, mut stands) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
        let services = if config.acme.from_routes.is_empty() { None } else { Some(published.registered()) };
        for service in services.into_iter().flatten() {
            let Some(host) = &service.definition.host else { continue };
            // One that a file covers needs none.
            if !config.acme.from_routes.iter().any(|range| range.contains(host)) || tls.has_file_for(host.as_str()) {
                continue;
            }
            let (host, service_name) = (host.as_str().to_owned(), service.definition.service.as_str().to_owned());
            if !is_granted(published, &service.definition) {
                if refused.len() < MOST_REFUSED {
                    let why = format!("no grant of the service {service_name} names {host} in its hosts");
                    refused.push(Refused { host, service: service_name, why });
                }
                continue;
            }
            let standing_since = service.is_routable().then(|| {
                stands.insert(host.clone());
                // A clock that was set back must not hold it up.
                let since = self.standing.entry(host.clone()).or_insert(now);
                *since = (*since).min(now);
                *since
            });
            // Several services may have routes on one host: the one that stands longest stands for it.
            let one = Wanted { service: Some(service_name), standing_since };
            let entry = wanted.entry(host).or_insert_with(|| one.clone());
            if entry.standing_since.is_none() {
                *entry = one;
            }
        }
        self.standing.retain(|host, _| stands.contains(host));
        for name in &config.acme.names {
            wanted.insert(name.as_str().to_owned(), Wanted { service: None, standing_since: None });
        }
        (wanted, refused)
    }
}

/// Whether a grant of the service names the host: an unlisted service, which may bind any, never causes an order.
fn is_granted(published: &Published, definition: &Definition) -> bool {
    let granted = published.grants.get(&definition.service).map(|grant| &grant.hosts);
    definition.host.as_ref().is_some_and(|host| granted.is_some_and(|hosts| hosts.contains(host)))
}
