//! What a configuration may say and an operator hardly means: an internal listener that strangers on the way can read, a public static
//! route that passes a permission by.
//!
//! The routes are for `check` alone: with many of them it looks up many paths.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::errors::ConfigError;
use super::location::{KeyLocations, SourceLocation};
use super::types::{Config, IssuerConfig, RespondConfig, StaticRouteConfig, StaticTarget};
use furt_core::model::{RouteOptions, Subject};
use furt_core::routing::{Merged, Owner, Route, RouteCounter, ServiceIndex, unguarded};

impl Config {
    /// Where services and operators are spoken to beyond this host and without TLS, in a sentence.
    pub fn plain_internal_listeners(&self) -> Option<String> {
        if self.internal.tls_cert.is_some() {
            return None;
        }
        let is_beyond = |address: &&SocketAddr| !address.ip().to_canonical().is_loopback();
        let beyond: Vec<_> = self.internal.listen.iter().filter(is_beyond).map(ToString::to_string).collect();
        (!beyond.is_empty()).then(|| {
            format!(
                "internal.listen {} is beyond loopback and without TLS: who is on the way reads tokens and new API keys; \
                 set internal.tls_cert and internal.tls_key",
                beyond.join(", ")
            )
        })
    }

    /// That, as `check` says it.
    fn plain_internal_warning(&self, locations: &KeyLocations) -> Option<ConfigError> {
        let location = locations.get("internal.listen").cloned().unwrap_or_else(nowhere);
        let message = self.plain_internal_listeners()?;
        Some(ConfigError { location, key: "internal.listen".to_owned(), message })
    }

    /// That the internal listener is plain beyond loopback, and each public static route beside one with a permission that leads to the same place, where a path that reads alike takes
    /// the public one, and each rule that is skipped for a static route.
    pub fn warnings(&self, locations: &KeyLocations) -> Vec<ConfigError> {
        let mut by_target: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, route) in self.routes.iter().enumerate() {
            by_target.entry(target(route)).or_default().push(index);
        }
        let mut found = Vec::new();
        for indexes in by_target.values() {
            let routes: Vec<_> = indexes.iter().map(|&index| as_route(&self.routes[index], index)).collect();
            found.extend(unguarded(&routes).into_iter().map(|one| (one.public.owner.index(), one.to_string())));
        }
        found.extend(self.skipped_rules());
        found.sort_unstable();
        let warning = |(ServiceIndex(index), message): (ServiceIndex, String)| ConfigError {
            location: locations.get(&format!("routes[{index}].path")).cloned().unwrap_or_else(nowhere),
            key: "routes.path".to_owned(),
            message,
        };
        let of_issuers = self.powerless_issuers(locations);
        self.plain_internal_warning(locations)
            .into_iter()
            .chain(of_issuers)
            .chain(found.into_iter().map(warning))
            .collect()
    }

    /// Issuers whose tokens let nobody do anything.
    fn powerless_issuers(&self, locations: &KeyLocations) -> Vec<ConfigError> {
        let gives_nothing =
            |issuer: &IssuerConfig| issuer.grants.permissions.rules().is_empty() && issuer.grants.map.is_empty();
        let powerless = self.issuers.iter().enumerate().filter(|(_, issuer)| gives_nothing(issuer));
        let warning = |(index, issuer): (usize, &IssuerConfig)| ConfigError {
            location: locations.get(&format!("issuers[{index}].jwks")).cloned().unwrap_or_else(nowhere),
            key: "issuers.permissions".to_owned(),
            message: format!(
                "no token of \"{}\" gives a permission, since it has neither permissions nor map",
                issuer.name
            ),
        };
        powerless.map(warning).collect()
    }

    /// The rules that are skipped for static routes, each with the place of its route.
    fn skipped_rules(&self) -> impl Iterator<Item = (ServiceIndex, String)> {
        let rules: Vec<_> = self.rules.iter().map(|one| one.rule.clone()).collect();
        self.routes.iter().enumerate().flat_map(move |(index, route)| {
            let subject = Subject {
                service: match &route.target {
                    StaticTarget::Url(_) | StaticTarget::Redirect(_) | StaticTarget::Respond(_) => None,
                    StaticTarget::Service(name) => Some(name),
                },
                host: route.host.as_ref(),
                method: &route.method,
                pattern: &route.path,
                is_public: route.permission.is_none(),
            };
            let nothing = RouteOptions::default();
            let skipped = Merged::new(subject, &nothing, &nothing, &rules).skipped_rules;
            skipped.into_iter().filter_map(move |(number, why)| {
                let line = self.rules.get(number)?.line.0;
                let message = format!("the rule in line {line} is skipped for {subject}: {why}");
                Some((ServiceIndex(index.try_into().unwrap_or(u32::MAX)), message))
            })
        })
    }
}

/// Each route that was read has a place.
fn nowhere() -> SourceLocation {
    SourceLocation::File { file: String::new() }
}

fn target(route: &StaticRouteConfig) -> String {
    match &route.target {
        StaticTarget::Url(url) => url.to_string(),
        StaticTarget::Service(name) => name.to_string(),
        StaticTarget::Redirect(redirect) => format!("redirect {redirect}"),
        // One text is another than any other, unless it is of the same file.
        StaticTarget::Respond(RespondConfig { answer, file: None }) => format!("body {:?}", answer.body),
        StaticTarget::Respond(RespondConfig { file: Some(file), .. }) => format!("file {}", file.display()),
    }
}

/// With its place among the static routes as its owner, by which it is found again.
fn as_route(route: &StaticRouteConfig, index: usize) -> Arc<Route> {
    Arc::new(Route {
        host: route.host.clone(),
        method: route.method.clone(),
        pattern: route.path.clone(),
        permission: route.permission.clone(),
        owner: Owner::Static(ServiceIndex(index.try_into().unwrap_or(u32::MAX))),
        rules: None,
        counter: RouteCounter::default(),
    })
}
