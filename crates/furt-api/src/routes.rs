//! The table of routes, and why a request takes the route that it takes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::nullable::null_or;
use crate::open_enum::open_enum;
use crate::{InstanceId, ServiceName, Status};

/// The answer to `GET /internal/routes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Routes {
    /// How many there are.
    pub total: usize,
    /// Every route of the table, static and registered.
    pub routes: Vec<Route>,
}

/// A route of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TableRoute")]
pub struct Route {
    /// A method, or `*` for every one.
    pub method: String,
    /// The pattern.
    pub path: String,
    /// The host that it is bound to; `null`: any host.
    pub host: Option<String>,
    /// What an API key must be allowed to do; `null`: the route is public.
    pub permission: Option<String>,
    /// Who may authenticate its callers: `key`, and names of issuers and auth servers. Absent: API keys where it has a permission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Vec<String>>,
    /// Whether a rule says otherwise of a part of it; `explain` tells which one. Absent: no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_other_auth: bool,
    /// The service that registered it; `null`: it is of the configuration.
    pub service: Option<ServiceName>,
    /// Whether it is of the configuration.
    #[serde(rename = "static")]
    pub is_static: bool,
    /// Where a route of the configuration leads, where that is a url; `null` otherwise.
    pub url: Option<String>,
    /// What furt itself answers to requests of a route of the configuration, in words; absent where they are sent on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// The health of what it leads to.
    pub status: Status,
    /// Whether requests are sent there.
    pub routed: bool,
}

/// The answer to `GET /internal/explain?method=METHOD&url=PATH_OR_URL[&client=ADDRESS][&key=NAME][&origin=ORIGIN]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// The method that was asked about.
    pub method: String,
    /// The host as it is matched; empty where the question has none.
    pub host: String,
    /// The path as it is matched; absent where it is one that furt refuses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What becomes of the request.
    pub verdict: Verdict,
    /// Why, as a sentence.
    pub reason: String,
    /// What is odd about the service and its routes, and rules that are skipped. Absent: nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The route that the request finds; `null`: it finds none. Absent: the path is refused.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "null_or")]
    #[schemars(with = "Option<Route>", extend("nullable" = true))]
    pub route: Option<Option<Route>>,
    /// The routes that match the path, the most specific first, then those of services that are kept but not routed.
    pub candidates: Vec<Candidate>,
    /// The patterns that nearly match, where none does: at most three. Absent: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub near: Vec<Near>,
    /// Where the client is; absent where none was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientDistances>,
    /// The options in force for the route. Absent: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<RouteOption>,
    /// Whether pages of the named origin may read the answer; absent where none was named, or no route was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<OriginJudged>,
}

/// An option in force for a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteOption {
    /// Its name, such as `cors`.
    pub name: String,
    /// Its value, in words.
    pub value: String,
    /// Who says it.
    pub said_by: SaidBy,
    /// The line of the configuration where the rule begins; absent where no rule says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
}

open_enum! {
    /// Who says an option.
    SaidBy {
        /// The definition of the service.
        Service = "service",
        /// The route itself.
        Route = "route",
        /// One of `[[rules]]`.
        Rule = "rule",
    }
}

/// Whether pages of an origin may read the answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OriginJudged {
    /// The origin, in the form that browsers send.
    pub origin: String,
    /// Whether they may. Where no `cors` is in force the service decides, and this is `null`.
    pub may_read: Option<bool>,
    /// Why, as a sentence.
    pub reason: String,
}

open_enum! {
    /// What becomes of a request.
    Verdict {
        /// It is sent to the route's service.
        Routed = "routed",
        /// furt refuses the path: 400.
        BadPath = "bad-path",
        /// furt answers it itself.
        Health = "health",
        /// furt sends its client to another place.
        Redirected = "redirected",
        /// The route would send its client to where it is: 508.
        LoopDetected = "loop-detected",
        /// furt answers it with the text of the route.
        Responded = "responded",
        /// The route has a permission, and the named key is not in force: 401.
        KeyUnknown = "key-unknown",
        /// The route takes no API key: its callers come with tokens (401), or an auth server lets them in (as that says).
        TokenMissing = "token-missing",
        /// The named key may not be used from the client's address: 403.
        AddressNotAllowed = "address-not-allowed",
        /// The named key lacks the route's permission: 403.
        PermissionMissing = "permission-missing",
        /// The configuration has none of what the route's `auth` names: 503.
        AuthUnavailable = "auth-unavailable",
        /// No route matches: 404.
        RouteNotFound = "route-not-found",
        /// Routes match, and none takes the method: 405.
        MethodNotAllowed = "method-not-allowed",
        /// The service is in maintenance, or all of them are: 503.
        Maintenance = "maintenance",
        /// The service is DOWN: 503.
        ServiceDown = "service-down",
        /// Every instance is draining: 503.
        Draining = "draining",
        /// Every instance is at its hard limit: 503.
        InstancesFull = "instances-full",
        /// No instance can be asked: 503.
        NoInstance = "no-instance",
    }
}

/// A route that matches the path of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Candidate {
    /// The route.
    #[serde(flatten)]
    pub route: Route,
    /// Whether the request takes it.
    pub won: bool,
    /// Why, or why not, as a sentence.
    pub reason: String,
}

/// A route that nearly matches the path of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Near {
    /// The route.
    #[serde(flatten)]
    pub route: Route,
    /// What differs, as a sentence.
    pub difference: String,
}

/// Where a client is, and how far the instances behind the found route are from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClientDistances {
    /// The client's address.
    pub address: String,
    /// Its country as two letters; `null` where it is not known.
    pub country: Option<String>,
    /// Its region; `null` where it is not known.
    pub region: Option<String>,
    /// The gateway's own region; `null` where none is configured.
    pub gateway_region: Option<String>,
    /// Whether the service's instances are chosen by where they are.
    pub chosen_by_place: bool,
    /// The instances, the nearest first; empty where no service is found.
    pub instances: Vec<InstanceDistance>,
}

/// How far an instance is from a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceDistance {
    /// The instance's id.
    pub instance: InstanceId,
    /// Its country as two letters; `null` where it did not say so.
    pub country: Option<String>,
    /// Its region; `null` where it did not say so.
    pub region: Option<String>,
    /// 0: in the client's country; 1: in the client's region; 2: in the gateway's region; 3: elsewhere.
    pub distance: u8,
}
