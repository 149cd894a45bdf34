//! Entries of the arrays of tables: API keys, grants, rules, static routes.

use std::path::PathBuf;
use std::sync::Arc;

use furt_core::model::{
    CidrSet, Grant, Host, KeyName, MethodRule, Pattern, Permission, PermissionSet, Protocol, RateLimit, Redirect,
    Respond, Rule, ServiceName, Sha256Digest, UpstreamUrl,
};

/// `[[api_keys]]`
#[derive(Debug, Clone, PartialEq)]
pub struct ApiKeyConfig {
    /// The name that services see; unique.
    pub name: KeyName,
    /// The key's SHA-256, or what stands for a client certificate's ([`KeySpec::digest_of_certificate`]); unique.
    ///
    /// [`KeySpec::digest_of_certificate`]: furt_core::model::KeySpec::digest_of_certificate
    pub sha256: Sha256Digest,
    /// What the key may do.
    pub permissions: PermissionSet,
    /// From which addresses. Empty: from anywhere.
    pub allow_from: CidrSet,
    /// How many requests. `None`: unlimited.
    pub rate: Option<RateLimit>,
}

/// `[[grants]]`: what a service may register. A key that is left out grants nothing, with two exceptions: without
/// `upstreams` all of `registration.upstreams` is granted, and without `hosts` routes for any host are.
#[derive(Debug, Clone, PartialEq)]
pub struct GrantConfig {
    /// The service; unique.
    pub service: ServiceName,
    /// What it may register.
    pub grant: Arc<Grant>,
    /// A PEM file of the authorities that its https instances must be of, instead of `upstream.ca`.
    pub ca: Option<PathBuf>,
}

/// `[[rules]]`: options of the routes that it matches.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleConfig {
    /// The routes, and their options.
    pub rule: Rule,
    /// Where it begins.
    pub line: Line,
}

/// A line of the configuration, from 1. It says nothing of what stands there: any two are equal, so that a rule that moved is the
/// same.
#[derive(Debug, Clone, Copy, Default)]
pub struct Line(pub usize);

impl PartialEq for Line {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// `[[routes]]`: a static route.
#[derive(Debug, Clone, PartialEq)]
pub struct StaticRouteConfig {
    /// The host of the requests. `None`: any.
    pub host: Option<Host>,
    /// The methods of the requests.
    pub method: MethodRule,
    /// The paths of the requests: not `/health`, not `/internal` or below.
    pub path: Pattern,
    /// Where the route leads, or what furt answers.
    pub target: StaticTarget,
    /// The permission that the API key must have. `None`: the route is public.
    pub permission: Option<Permission>,
    /// Whether no registration may overlap the route.
    pub exclusive: bool,
    /// SNI and name of the certificate for an https url by bare address.
    pub tls_name: Option<Box<str>>,
    /// A PEM file of the authorities for an https url, instead of `upstream.ca`; the same in all routes to it.
    pub ca: Option<PathBuf>,
    /// What is spoken at the url.
    pub protocol: Protocol,
}

/// Where a static route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StaticTarget {
    /// `url = "http://127.0.0.1:7901"`
    Url(UpstreamUrl),
    /// `service = "mail"`: a registered service.
    Service(ServiceName),
    /// `redirect = { host = "example.org" }`: nowhere, clients are sent to another place.
    Redirect(Arc<Redirect>),
    /// `respond = { body = "…" }`: nowhere, furt answers with a text.
    Respond(RespondConfig),
}

/// `routes.respond`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RespondConfig {
    /// The answer; without a body where that is in a file.
    pub answer: Respond,
    /// The file of the body, which nobody has opened yet.
    pub file: Option<PathBuf>,
}

impl RespondConfig {
    /// By what the location is known of the file of the entry with that index.
    pub fn place(index: usize) -> String {
        format!("routes[{index}].respond.file")
    }
}
