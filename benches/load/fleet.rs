//! What the gateways know in the *gateway* workload: services, their routes, API keys, permissions; and how each is named.
//!
//! All by number, so that every peer's configuration says the same. A service belongs to a team, as a key does; a key may
//! call what its team's services have. Every service is at an address of its own, as in life, so that pools of upstream
//! connections are what they are: 127.1.x.y, where one origin answers for all.

use furt_api::registration::{HealthEndpoint, Registration, Route};
use std::net::{Ipv4Addr, SocketAddr};

use furt_core::model::Sha256Digest;

/// Services and keys.
#[derive(Debug, Clone)]
pub(super) struct Fleet {
    /// How many services; each has four routes.
    pub(super) services: u32,
    /// How many keys.
    pub(super) keys: u32,
    /// How many teams.
    pub(super) teams: u32,
    /// The origin's port.
    pub(super) port: u16,
}

/// A route, by its shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `/api/svc7/status`
    Literal,
    /// `/api/svc7/items/*`
    Last,
    /// `/api/svc7/*/detail`
    Middle,
    /// `/api/svc7/*/parts/*`
    Both,
}

impl Shape {
    /// All of them: one route of each a service.
    pub(super) const ALL: [Self; 4] = [Self::Literal, Self::Last, Self::Middle, Self::Both];

    /// Below the service's own path, as furt writes it.
    pub(super) fn pattern(self) -> &'static str {
        match self {
            Self::Literal => "status",
            Self::Last => "items/*",
            Self::Middle => "*/detail",
            Self::Both => "*/parts/*",
        }
    }

    /// A path that it matches.
    fn path(self, number: u32) -> String {
        match self {
            Self::Literal => "status".to_owned(),
            Self::Last => format!("items/{number}"),
            Self::Middle => format!("{number}/detail"),
            Self::Both => format!("{number}/parts/a"),
        }
    }
}

impl Fleet {
    /// A service's name, also the second segment of its paths.
    pub(super) fn service(&self, number: u32) -> String {
        format!("svc{number}")
    }

    /// Where a service is.
    pub(super) fn upstream(&self, service: u32) -> SocketAddr {
        let [_, _, high, low] = (service / 250 * 256 + service % 250 + 1).to_be_bytes();
        (Ipv4Addr::new(127, 1, high, low), self.port).into()
    }

    /// A service's team.
    pub(super) fn team_of_service(&self, service: u32) -> u32 {
        service % self.teams
    }

    /// A key's team.
    pub(super) fn team_of_key(&self, key: u32) -> u32 {
        key % self.teams
    }

    /// What services are told a key is called.
    pub(super) fn key_name(&self, key: u32) -> String {
        format!("client-{key}")
    }

    /// A key as clients send it.
    pub(super) fn key(&self, key: u32) -> String {
        Sha256Digest::of(format!("load bench {key}").as_bytes()).to_string()[..32].to_owned()
    }

    /// A key that may call this service; another one for each `number`.
    pub(super) fn key_for(&self, service: u32, number: u32) -> u32 {
        let team = self.team_of_service(service);
        let members = (self.keys - team).div_ceil(self.teams).max(1);
        team + number % members * self.teams
    }

    /// The target of a request to this route.
    pub(super) fn target(&self, service: u32, shape: Shape, number: u32) -> String {
        format!("/api/{}/{}", self.service(service), shape.path(number))
    }

    /// The service's registration at furt, with its routes and `more` of them.
    pub(super) fn registration(&self, service: u32, more: Option<u32>) -> Registration {
        let name = self.service(service);
        let permission = format!("team{}:read", self.team_of_service(service));
        let mut patterns: Vec<String> = Shape::ALL.iter().map(|shape| shape.pattern().to_owned()).collect();
        patterns.extend(more.map(|number| format!("more/{number}")));
        let route = |pattern: &String| Route::protected("GET", format!("/api/{name}/{pattern}"), permission.as_str());
        Registration {
            health_endpoint: HealthEndpoint::Unprobed,
            routes: Some(patterns.iter().map(route).collect()),
            ..Registration::new(name.as_str(), format!("http://{}", self.upstream(service)))
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_service_has_an_address_of_its_own_and_keys_that_may_call_it() {
        use super::*;
        let fleet = Fleet { services: 1000, keys: 10_000, teams: 100, port: 80 };
        let addresses: std::collections::BTreeSet<_> = (0..fleet.services).map(|one| fleet.upstream(one)).collect();
        assert_eq!(addresses.len(), 1000);
        for service in 0..fleet.services {
            for number in [0, 1, 99, 100, 12_345] {
                let key = fleet.key_for(service, number);
                assert!(key < fleet.keys);
                assert_eq!(fleet.team_of_key(key), fleet.team_of_service(service));
            }
        }
    }
}
