//! Every endpoint of the internal listener in one table: the router, its guard, its check of queries and the table in
//! `docs/operating.md` are made of it.
//!
//! Rows of one path stand in the order in which `Allow` tells their methods.

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::{MethodFilter, MethodRouter, on};
use furt_api::backends::{
    Backend, BackendDeregistered, BackendHeartbeat, BackendRegistered, BackendRegistration, Backends,
};
use furt_api::certificates::{Certificates, RenewalAsked};
use furt_api::cluster::{
    Adopt, AdoptedSecret, Approve, ApprovedNode, BeatsAsked, DroppedToken, ForgottenNode, Founded, IssuedToken, Join,
    Joining, NewToken, RevokedNode, Rotating, UpdateProgram, UpdatedProgram,
};
use furt_api::deregistration::Drained;
use furt_api::events::Events;
use furt_api::health::Health;
use furt_api::keys::{IssuedKey, Key, Keys, NewKey, RevokedKey, RotateKey};
use furt_api::lookup::FoundInstances;
use furt_api::maintenance::{BeginMaintenance, BegunMaintenance, EndedMaintenance, Maintenances};
use furt_api::nodes::Nodes;
use furt_api::registration::{Heartbeat, Probing, Registered, Registration};
use furt_api::reload::Reloaded;
use furt_api::routes::{Explanation, Routes};
use furt_api::services::{Service, Services};
use furt_api::settings::{ChangeSettings, SetSettings, Settings};
use furt_api::splits::{NewSplit, RemovedSplit, SetSplit, Split, Splits};
use furt_api::stats::Stats;
use furt_api::upgrade::Upgraded;

use super::query::{self, Parameter, Query};
use super::right::Right;
use super::{
    Api, backends, certificates, cluster, commands, deregistration, etcd_v2, events, explain, exporting, guard, keys,
    lookup, maintenance, metrics, queries, reloading, splits, upgrading,
};

/// Whether an endpoint is behind the checks of the caller: its Host, its Origin, its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    Identified,
    /// For supervisors that send any Host.
    Unknown,
}

/// An endpoint as data: tests hold the documentation to it.
#[cfg(test)]
struct Endpoint {
    method: axum::http::Method,
    path: &'static str,
    query: Query,
    right: Right,
    /// The type in `furt_api`; `()`: none.
    body: &'static str,
    /// The type in `furt_api`; `Text`: no JSON; `Json`: of no such type.
    response: &'static str,
    text: &'static str,
}

/// An answer that is plain text.
type Text = &'static str;
/// An answer that is JSON of no type of `furt_api`.
type Json = serde_json::Value;

macro_rules! endpoints {
    ($($method:ident $path:literal $query:ident $caller:ident $right:ident ($body:ty) -> $response:ty = $handler:path, $text:literal;)*) => {
        #[cfg(test)]
        const ENDPOINTS: &[Endpoint] = &[$(Endpoint {
            method: axum::http::Method::$method,
            path: $path,
            query: $query,
            right: Right::$right,
            body: stringify!($body),
            response: stringify!($response),
            text: $text,
        },)*];

        // The names in the table are those of types.
        $(const _: Option<(std::marker::PhantomData<$body>, std::marker::PhantomData<$response>)> = None;)*

        fn add_all(routers: &mut Routers, api: &Arc<Api>) {
            $(routers.add(api, $path, $query, Caller::$caller, Right::$right, on(MethodFilter::$method, $handler));)*
        }
    };
}

/// Probes of supervisors and load balancers, each of which writes its url as it likes: a refusal would take a furt that is well
/// out of service. And etcd's v2 API, which overlooks what it does not know.
const ANY: Query = Query::Any;
const NONE: Query = Query::Only(&[]);
const DRAIN: Query = Query::Only(&[Parameter::optional("drain", "S")]);
const DRAIN_ONE: Query = Query::Only(&[Parameter::optional("drain", "S"), INCARNATION]);
const WAIT: Query = Query::Only(&[Parameter::optional("wait", "S"), Parameter::optional("until", "U")]);
const WAIT_ONE: Query =
    Query::Only(&[Parameter::optional("wait", "S"), Parameter::optional("until", "U"), INCARNATION]);
const OF_INCARNATION: Query = Query::Only(&[INCARNATION]);
const INCARNATION: Parameter = Parameter::optional("incarnation", "I");
const EVENTS: Query = Query::Only(&[Parameter::optional("after", "N"), Parameter::optional("wait", "S")]);
const EXPLAIN: Query = Query::Only(&[
    Parameter::required("method", "GET"),
    Parameter::required("url", "/api/comments/a"),
    Parameter::optional("client", "ADDRESS"),
    Parameter::optional("key", "NAME"),
    Parameter::optional("origin", "ORIGIN"),
]);
const INSTANCES: Query = Query::Only(&[
    Parameter::optional("service", "NAME"),
    Parameter::optional("namespace", "NS"),
    Parameter::optional("after", "NEXT"),
    Parameter::optional("wait", "S"),
]);
const BACKENDS: Query = Query::Only(&[Parameter::optional("app", "A"), Parameter::optional("region", "R")]);

endpoints! {
    POST "/internal/register-service" NONE Identified Registrant (Registration) -> Registered = commands::register,
        "registers a service and an instance";
    POST "/internal/services/{service}/instances/{id}/heartbeat" OF_INCARNATION Identified RegistrantOrOperate (()) -> Heartbeat
        = commands::heartbeat, "keeps an instance registered";
    GET "/internal/services" NONE Identified Read (()) -> Services = queries::services, "lists services";
    GET "/internal/services/{service}" NONE Identified Read (()) -> Service = queries::service, "shows a service";
    DELETE "/internal/services/{service}" DRAIN Identified RegistrantOrOperate (()) -> Drained
        = deregistration::deregister_service, "deregisters a service";
    DELETE "/internal/services/{service}/instances/{id}" DRAIN_ONE Identified RegistrantOrOperate (()) -> Drained
        = deregistration::deregister_instance, "deregisters an instance";
    GET "/internal/instances" INSTANCES Identified RegistrantOrOperate (()) -> FoundInstances
        = lookup::instances, "[looks up](registering.md#looking-up) instances, and waits for changes";
    GET "/internal/nodes" NONE Identified RegistrantOrOperate (()) -> Nodes = lookup::nodes,
        "lists the [gateways](#nodes) that share the registry, and for operators the nodes of the cluster";
    POST "/internal/cluster/init" NONE Identified AdminByToken (()) -> Founded = cluster::init,
        "makes a [cluster](#nodes), of which this node is the first commander; takes no body";
    POST "/internal/cluster/join" NONE Identified AdminByToken (Join) -> Joining = cluster::join,
        "joins a cluster by a token of it; answers 202 while the node looks for the token's maker";
    POST "/internal/cluster/tokens" NONE Identified AdminByToken (NewToken) -> IssuedToken = cluster::make_token,
        "makes a token by which nodes join; answers 201";
    DELETE "/internal/cluster/tokens/{token}" NONE Identified AdminByToken (()) -> DroppedToken = cluster::drop_token,
        "ends a token, by its id";
    POST "/internal/cluster/nodes/{key}/approve" NONE Identified AdminByToken (Approve) -> ApprovedNode
        = cluster::approve, "approves a node's key";
    POST "/internal/cluster/nodes/{key}/update" NONE Identified AdminByToken (UpdateProgram) -> UpdatedProgram
        = cluster::update, "has a node run [another version](cluster.md#updates) of furt, and waits for what it tells";
    POST "/internal/cluster/nodes/{key}/revoke" NONE Identified AdminByToken (()) -> RevokedNode = cluster::revoke,
        "revokes a node's key, for ever; takes no body";
    DELETE "/internal/cluster/nodes/{key}" NONE Identified AdminByToken (()) -> ForgottenNode = cluster::forget,
        "forgets a node that is not approved, until it is heard again";
    POST "/internal/cluster/beats" NONE Identified AdminByToken (()) -> BeatsAsked = cluster::ask_beats,
        "asks all nodes of the cluster to say how they are; takes no body";
    POST "/internal/cluster/secret/rotate" NONE Identified AdminByToken (()) -> Rotating = cluster::rotate,
        "makes another secret of the cluster; takes no body";
    POST "/internal/cluster/secret/adopt" NONE Identified AdminByToken (Adopt) -> AdoptedSecret = cluster::adopt,
        "chooses one of two secrets of one generation, by its check value";
    GET "/internal/cluster/settings" NONE Identified Read (()) -> Settings = cluster::settings,
        "lists the [settings](cluster.md#settings) of the cluster and its nodes, and those that were in force before";
    POST "/internal/cluster/settings" NONE Identified AdminByToken (ChangeSettings) -> SetSettings
        = cluster::set_settings, "changes settings of the cluster, or of some nodes; answers within 60 s, and a minute more for each node that may restart";
    POST "/internal/services/{service}/drain" WAIT Identified RegistrantOrOperate (()) -> Drained
        = deregistration::drain_service, "drains all its instances";
    DELETE "/internal/services/{service}/drain" NONE Identified RegistrantOrOperate (()) -> Drained
        = deregistration::undo_drain_of_service, "gives all its instances requests again";
    POST "/internal/services/{service}/instances/{id}/drain" WAIT_ONE Identified RegistrantOrOperate (()) -> Drained
        = deregistration::drain_instance, "drains an instance";
    DELETE "/internal/services/{service}/instances/{id}/drain" OF_INCARNATION Identified RegistrantOrOperate (()) -> Drained
        = deregistration::undo_drain_of_instance, "gives an instance requests again";
    POST "/internal/services/{service}/instances/{id}/probe" NONE Identified Operate (()) -> Probing = commands::probe,
        "probes at once";
    PUT "/internal/services/{service}/maintenance" NONE Identified Operate (BeginMaintenance) -> BegunMaintenance
        = maintenance::begin, "begins [maintenance](#maintenance) of a service, registered or not";
    DELETE "/internal/services/{service}/maintenance" NONE Identified Operate (()) -> EndedMaintenance = maintenance::end,
        "ends it";
    GET "/internal/maintenance" NONE Identified Read (()) -> Maintenances = maintenance::list,
        "lists what is in maintenance";
    PUT "/internal/maintenance" NONE Identified Operate (BeginMaintenance) -> BegunMaintenance = maintenance::begin_all,
        "begins maintenance of all services and static routes";
    DELETE "/internal/maintenance" NONE Identified Operate (()) -> EndedMaintenance = maintenance::end_all, "ends it";
    GET "/internal/services/{service}/split" NONE Identified Read (()) -> Split = splits::one,
        "shows the [split](#canaries) of a service, registered or not";
    PUT "/internal/services/{service}/split" NONE Identified Operate (NewSplit) -> SetSplit = splits::set,
        "splits its callers by versions";
    DELETE "/internal/services/{service}/split" NONE Identified Operate (()) -> RemovedSplit = splits::remove,
        "ends that";
    GET "/internal/splits" NONE Identified Read (()) -> Splits = splits::list, "lists splits";
    GET "/internal/routes" NONE Identified Read (()) -> Routes = queries::routes, "lists routes";
    GET "/internal/explain" EXPLAIN Identified Read (()) -> Explanation
        = explain::explain, "says which route a request takes";
    GET "/internal/events" EVENTS Identified Read (()) -> Events = events::events, "lists events";
    GET "/internal/stats" NONE Identified Read (()) -> Stats = metrics::stats, "counts of every service, for `furt top`";
    GET "/internal/keys" NONE Identified Keys (()) -> Keys = keys::list, "lists API keys";
    POST "/internal/keys" NONE Identified Keys (NewKey) -> IssuedKey = keys::create, "makes an API key";
    GET "/internal/keys/{name}" NONE Identified Keys (()) -> Key = keys::one, "shows an API key, without its secret";
    DELETE "/internal/keys/{name}" NONE Identified Keys (()) -> RevokedKey = keys::revoke, "revokes an API key";
    POST "/internal/keys/{name}/rotate" NONE Identified Keys (RotateKey) -> IssuedKey = keys::rotate,
        "makes another secret for an API key";
    GET "/internal/certificates" NONE Identified Read (()) -> Certificates = certificates::list,
        "lists [certificates](edge.md#acme) with their ends";
    POST "/internal/certificates/{name}/renew" NONE Identified Admin (()) -> RenewalAsked = certificates::renew,
        "gets another certificate for a name by ACME; takes no body";
    POST "/internal/reload" NONE Identified Admin (()) -> Reloaded = reloading::reload,
        "reloads the configuration; takes no body";
    POST "/internal/upgrade" NONE Identified AdminByToken (()) -> Upgraded = upgrading::upgrade,
        "[replaces](upgrading.md) the running furt by the program in its place; takes no body";
    GET "/internal/store/export" NONE Identified Admin (()) -> Json = exporting::export,
        "exports the store, as `furt store export` does";
    GET "/metrics" NONE Identified Read (()) -> Text = metrics::metrics, "[metrics](metrics.md)";
    GET "/health" ANY Identified Everyone (()) -> Health = queries::health, "health";
    GET "/livez" ANY Unknown Everyone (()) -> Text = queries::livez, "liveness";
    GET "/readyz" ANY Unknown Everyone (()) -> Text = queries::readyz, "readiness";
    POST "/api/v1/register" NONE Identified Registrant (BackendRegistration) -> BackendRegistered = backends::register,
        "registers a backend as an instance of its app; answers 201";
    POST "/api/v1/heartbeat/{id}" NONE Identified RegistrantOrOperate (()) -> BackendHeartbeat = backends::heartbeat,
        "keeps it registered";
    GET "/api/v1/backends" BACKENDS Identified RegistrantOrOperate (()) -> Backends = backends::list,
        "lists backends";
    GET "/api/v1/backends/{id}" NONE Identified RegistrantOrOperate (()) -> Backend = backends::one, "shows a backend";
    DELETE "/api/v1/backends/{id}" NONE Identified RegistrantOrOperate (()) -> BackendDeregistered = backends::deregister,
        "deregisters a backend";
    GET "/v2/keys/{*key}" ANY Identified RegistrantOrOperate (()) -> Json = etcd_v2::get,
        "shows instances as keys of etcd";
    PUT "/v2/keys/{*key}" ANY Identified Registrant (()) -> Json = etcd_v2::put,
        "registers an instance, or keeps it registered; the body is a form";
    DELETE "/v2/keys/{*key}" ANY Identified RegistrantOrOperate (()) -> Json = etcd_v2::delete, "deregisters an instance";
    GET "/v2/machines" ANY Identified RegistrantOrOperate (()) -> Text = etcd_v2::machines, "lists the gateways";
}

/// Routers of the whole table.
#[derive(Default)]
pub(super) struct Routers {
    /// Of endpoints behind the checks of the caller.
    pub(super) identified: Router<Arc<Api>>,
    /// Of the others.
    pub(super) unknown: Router<Arc<Api>>,
}

impl Routers {
    pub(super) fn new(api: &Arc<Api>) -> Self {
        let mut routers = Self::default();
        add_all(&mut routers, api);
        routers
    }

    fn add(
        &mut self,
        api: &Arc<Api>,
        path: &str,
        query: Query,
        caller: Caller,
        right: Right,
        handler: MethodRouter<Arc<Api>>,
    ) {
        // Asked last: a stranger is told that it is one.
        let mut handler = handler.layer(middleware::from_fn_with_state(query, query::check));
        if right != Right::Everyone {
            let guard = middleware::from_fn_with_state((Arc::clone(api), right), guard::check_right);
            handler = handler.layer(guard);
        }
        if path.starts_with("/api/v1/") {
            handler = handler.layer(middleware::from_fn_with_state(Arc::clone(api), backends::where_switched_on));
        }
        if path.starts_with("/v2/") {
            handler = handler.layer(middleware::from_fn_with_state(Arc::clone(api), etcd_v2::where_switched_on));
        }
        let router = match caller {
            Caller::Identified => &mut self.identified,
            Caller::Unknown => &mut self.unknown,
        };
        *router = std::mem::take(router).route(path, handler);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::query::Presence;
    use super::*;

    fn read(path: &str) -> String {
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
    }

    /// A query as the documentation has it: what may be left out in brackets, of which those at the end stand in one pair.
    fn shown(query: Query) -> String {
        let Query::Only(parameters) = query else { return String::new() };
        let required = parameters.iter().take_while(|parameter| parameter.presence == Presence::Required).count();
        let mut text = String::new();
        for (position, Parameter { name, example, .. }) in parameters.iter().enumerate() {
            let opening = if position == required { "[" } else { "" };
            let separator = if position == 0 { "?" } else { "&" };
            text += &format!("{opening}{separator}{name}={example}");
        }
        text + if required < parameters.len() { "]" } else { "" }
    }

    /// The table as the documentation has it.
    fn table() -> String {
        let row = |endpoint: &Endpoint| {
            let path = match endpoint.path.strip_prefix("/internal") {
                Some(_) => endpoint.path.replace("{id}", "{instance}"),
                None => endpoint.path.to_owned(),
            };
            let who = match endpoint.right {
                Right::Everyone if ["/livez", "/readyz"].contains(&&*path) => "everyone, with any `Host`",
                Right::Everyone => "everyone",
                Right::Registrant => "service",
                Right::RegistrantOrOperate => "service, operate",
                Right::Read => "read",
                Right::Keys => "keys",
                Right::Operate => "operate",
                Right::Admin => "admin",
                Right::AdminByToken => "admin, with the token",
            };
            let of_type = |name: &str| match name {
                "()" => String::new(),
                "Text" => "text".to_owned(),
                "Json" => "JSON".to_owned(),
                name => format!("`{name}`"),
            };
            let Endpoint { method, text, .. } = endpoint;
            let query = shown(endpoint.query);
            let (body, response) = (of_type(endpoint.body), of_type(endpoint.response));
            format!("| `{method} {path}{query}` | {who} | {body} | {response} | {text} |\n")
        };
        let head = "| request | for | body | answer | what it does |\n|---|---|---|---|---|\n";
        head.to_owned() + &ENDPOINTS.iter().map(row).collect::<String>()
    }

    #[test]
    fn the_documentation_has_this_very_table() {
        let table = table();
        assert!(read("docs/operating.md").contains(&table), "docs/operating.md should have:\n{table}");
    }

    /// What is not in the table cannot be asked for: routes are added here alone, and each by its row.
    #[test]
    fn every_endpoint_has_a_row() {
        let sources = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api")).unwrap();
        for path in sources.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
            let calls = fs::read_to_string(&path).unwrap().matches(concat!(".rou", "te(")).count();
            let expected = if path.ends_with("endpoints.rs") { 1 } else { 0 };
            assert_eq!(calls, expected, "{}", path.display());
        }
        for (at, one) in ENDPOINTS.iter().enumerate() {
            let is_same = |other: &Endpoint| (&one.method, one.path) == (&other.method, other.path);
            assert!(!ENDPOINTS[..at].iter().any(is_same), "{} {} is there twice", one.method, one.path);
        }
    }
}
