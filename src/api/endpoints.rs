//! Every endpoint of the internal listener in one table: the router, its guard, its check of queries, `docs/openapi.json` and
//! `docs/api.md` are made of it.
//!
//! Rows of one path stand in the order in which `Allow` tells their methods.

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::{MethodFilter, MethodRouter, on};
use furt_api::audit::Audit;
use furt_api::backends::{
    Backend, BackendDeregistered, BackendHeartbeat, BackendRegistered, BackendRegistration, Backends,
};
use furt_api::certificates::{Certificates, RenewalAsked};
use furt_api::cluster::{
    Adopt, AdoptedSecret, Approve, ApprovedNode, BeatsAsked, DroppedToken, ForgottenNode, Founded, IssuedToken, Join,
    Joining, NewToken, RevokedNode, Rotating, UpdateProgram, UpdatedProgram,
};
use furt_api::deregistration::Drained;
use furt_api::desired::{Applied, DesiredState, Exported};
use furt_api::events::Events;
use furt_api::grants::{Grant, GrantRules, Grants, RemovedGrant, SetGrant};
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

use super::events::MAX_NUMBER;
use super::query::{self, Form, Parameter, Query};
use super::right::Right;
use super::waiting::{MAX_DRAIN_SECONDS, MAX_SECONDS};
use super::{
    Api, applying, audit, backends, certificates, cluster, commands, dashboard, deregistration, etcd_v2, events,
    explain, exporting, grants, guard, keys, lookup, maintenance, metrics, openapi, probe, queries, reloading, splits,
    upgrading,
};

/// Whether an endpoint is behind the checks of the caller: its Host, its Origin, its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    Identified,
    /// For supervisors that send any Host.
    Unknown,
}

/// An endpoint as data: the documentation is made of it.
#[cfg(test)]
pub(super) struct Endpoint {
    pub(super) method: axum::http::Method,
    pub(super) path: &'static str,
    pub(super) query: Query,
    pub(super) right: Right,
    /// The type in `furt_api`; `()`: none; `Option<…>`: it may be left out.
    pub(super) body: &'static str,
    pub(super) body_schema: fn(&mut schemars::SchemaGenerator) -> schemars::Schema,
    /// The statuses of its good answers.
    pub(super) statuses: &'static [u16],
    /// The type in `furt_api`; `Text`: no JSON; `Json`: of no such type.
    pub(super) response: &'static str,
    pub(super) response_schema: fn(&mut schemars::SchemaGenerator) -> schemars::Schema,
    pub(super) text: &'static str,
}

/// An answer that is plain text.
type Text = &'static str;
/// An answer that is JSON of no type of `furt_api`.
type Json = serde_json::Value;

macro_rules! endpoints {
    ($($method:ident $path:literal $query:ident $caller:ident $right:ident ($body:ty) -> $($status:literal)* $response:ty
        = $handler:path, $text:literal;)*) => {
        #[cfg(test)]
        pub(super) const ENDPOINTS: &[Endpoint] = &[$(Endpoint {
            method: axum::http::Method::$method,
            path: $path,
            query: $query,
            right: Right::$right,
            body: stringify!($body),
            body_schema: |generator| generator.subschema_for::<$body>(),
            statuses: &[$($status),*],
            response: stringify!($response),
            response_schema: |generator| generator.subschema_for::<$response>(),
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
const DRAIN: Query = Query::Only(&[DRAIN_SECONDS]);
const DRAIN_ONE: Query = Query::Only(&[DRAIN_SECONDS, INCARNATION]);
const WAIT: Query = Query::Only(&[WAIT_SECONDS, UNTIL]);
const WAIT_ONE: Query = Query::Only(&[WAIT_SECONDS, UNTIL, INCARNATION]);
const OF_INCARNATION: Query = Query::Only(&[INCARNATION]);
const EVENTS: Query = Query::Only(&[
    Parameter::optional("after", "N", Form::Whole { most: MAX_NUMBER }, "the number after which events are listed"),
    Parameter::optional("wait", "S", Form::Seconds { most: MAX_SECONDS }, "how long to wait for one, in seconds"),
]);
const AUDIT: Query = Query::Only(&[
    Parameter::optional(
        "after",
        "N",
        Form::Whole { most: MAX_NUMBER },
        "the number after which entries are listed; without it the last ones are",
    ),
    Parameter::optional(
        "limit",
        "N",
        Form::Whole { most: audit::MAX_LIMIT },
        "how many entries are listed at most; 100 where it is absent",
    ),
    Parameter::optional("wait", "S", Form::Seconds { most: MAX_SECONDS }, "how long to wait for one, in seconds"),
]);
const APPLY: Query = Query::Only(&[
    Parameter::optional(
        "dry_run",
        "true",
        Form::OneOf(&["true", "false"]),
        "whether it is only looked at what differs",
    ),
    Parameter::optional(
        "in_parts",
        "true",
        Form::OneOf(&["true", "false"]),
        "whether the first part will do where a shared store takes no more at once; `left` says whether to ask again",
    ),
    Parameter::optional("revision", "R", Form::Text, "`revision` of an earlier answer: another state gets 412"),
]);
const EXPLAIN: Query = Query::Only(explain::PARAMETERS);
const INSTANCES: Query = Query::Only(&[
    Parameter::optional("service", "NAME", Form::Text, "the service whose instances are listed"),
    Parameter::optional("namespace", "NS", Form::Text, "what the names of the services begin with, before a dot"),
    Parameter::optional("after", "NEXT", Form::Text, "`next` of an earlier answer: only another state is answered"),
    Parameter::optional("wait", "S", Form::Seconds { most: MAX_SECONDS }, "how long to wait for a change, in seconds"),
]);
const BACKENDS: Query = Query::Only(&[
    Parameter::optional("app", "A", Form::Text, "the app whose backends are listed"),
    Parameter::optional("region", "R", Form::Text, "the region whose backends are listed"),
]);
const DRAIN_SECONDS: Parameter = Parameter::optional(
    "drain",
    "S",
    Form::Seconds { most: MAX_DRAIN_SECONDS },
    "how long to wait until nothing is in flight, in seconds",
);
const WAIT_SECONDS: Parameter = Parameter { name: "wait", ..DRAIN_SECONDS };
const UNTIL: Parameter =
    Parameter::optional("until", "U", Form::OneOf(&["registration", "restart", "undo"]), "what ends the drain");
const INCARNATION: Parameter =
    Parameter::optional("incarnation", "I", Form::Text, "the incarnation that is meant: another one gets 412");

endpoints! {
    POST "/internal/register-service" NONE Identified Registrant (Registration) -> 200 Registered = commands::register,
        "registers a service and an instance";
    POST "/internal/services/{service}/instances/{id}/heartbeat" OF_INCARNATION Identified RegistrantOrOperate (()) -> 200 Heartbeat
        = commands::heartbeat, "keeps an instance registered";
    GET "/internal/services" NONE Identified Read (()) -> 200 Services = queries::services, "lists services";
    GET "/internal/services/{service}" NONE Identified Read (()) -> 200 Service = queries::service, "shows a service";
    DELETE "/internal/services/{service}" DRAIN Identified RegistrantOrOperate (()) -> 200 Drained
        = deregistration::deregister_service, "deregisters a service";
    DELETE "/internal/services/{service}/instances/{id}" DRAIN_ONE Identified RegistrantOrOperate (()) -> 200 Drained
        = deregistration::deregister_instance, "deregisters an instance";
    GET "/internal/instances" INSTANCES Identified RegistrantOrOperate (()) -> 200 FoundInstances
        = lookup::instances, "[looks up](registering.md#looking-up) instances, and waits for changes";
    GET "/internal/nodes" NONE Identified RegistrantOrOperate (()) -> 200 Nodes = lookup::nodes,
        "lists the [gateways](operating.md#nodes) that share the registry, and for operators the nodes of the cluster";
    POST "/internal/cluster/init" NONE Identified AdminByToken (()) -> 200 Founded = cluster::init,
        "makes a [cluster](operating.md#nodes), of which this node is the first commander";
    POST "/internal/cluster/join" NONE Identified AdminByToken (Join) -> 200 202 Joining = cluster::join,
        "joins a cluster by a token of it; answers 202 while the node looks for the token's maker";
    POST "/internal/cluster/tokens" NONE Identified AdminByToken (Option<NewToken>) -> 201 IssuedToken = cluster::make_token,
        "makes a token by which nodes join";
    DELETE "/internal/cluster/tokens/{token}" NONE Identified AdminByToken (()) -> 200 DroppedToken = cluster::drop_token,
        "ends a token, by its id";
    POST "/internal/cluster/nodes/{key}/approve" NONE Identified AdminByToken (Option<Approve>) -> 200 ApprovedNode
        = cluster::approve, "approves a node's key";
    POST "/internal/cluster/nodes/{key}/update" NONE Identified AdminByToken (UpdateProgram) -> 200 UpdatedProgram
        = cluster::update, "has a node run [another version](cluster.md#updates) of furt, and waits for what it tells";
    POST "/internal/cluster/nodes/{key}/revoke" NONE Identified AdminByToken (()) -> 200 RevokedNode = cluster::revoke,
        "revokes a node's key, for ever";
    DELETE "/internal/cluster/nodes/{key}" NONE Identified AdminByToken (()) -> 200 ForgottenNode = cluster::forget,
        "forgets a node that is not approved, until it is heard again";
    POST "/internal/cluster/beats" NONE Identified AdminByToken (()) -> 200 BeatsAsked = cluster::ask_beats,
        "asks all nodes of the cluster to say how they are";
    POST "/internal/cluster/secret/rotate" NONE Identified AdminByToken (()) -> 200 Rotating = cluster::rotate,
        "makes another secret of the cluster";
    POST "/internal/cluster/secret/adopt" NONE Identified AdminByToken (Adopt) -> 200 AdoptedSecret = cluster::adopt,
        "chooses one of two secrets of one generation, by its check value";
    GET "/internal/cluster/settings" NONE Identified Read (()) -> 200 Settings = cluster::settings,
        "lists the [settings](cluster.md#settings) of the cluster and its nodes, and those that were in force before";
    POST "/internal/cluster/settings" NONE Identified AdminByToken (ChangeSettings) -> 200 SetSettings
        = cluster::set_settings, "changes settings of the cluster, or of some nodes; answers within 60 s, and a minute more for each node that may restart";
    POST "/internal/services/{service}/drain" WAIT Identified RegistrantOrOperate (()) -> 200 Drained
        = deregistration::drain_service, "drains all its instances";
    DELETE "/internal/services/{service}/drain" NONE Identified RegistrantOrOperate (()) -> 200 Drained
        = deregistration::undo_drain_of_service, "gives all its instances requests again";
    POST "/internal/services/{service}/instances/{id}/drain" WAIT_ONE Identified RegistrantOrOperate (()) -> 200 Drained
        = deregistration::drain_instance, "drains an instance";
    DELETE "/internal/services/{service}/instances/{id}/drain" OF_INCARNATION Identified RegistrantOrOperate (()) -> 200 Drained
        = deregistration::undo_drain_of_instance, "gives an instance requests again";
    POST "/internal/services/{service}/instances/{id}/probe" NONE Identified Operate (()) -> 202 Probing = probe::probe,
        "probes at once";
    PUT "/internal/services/{service}/maintenance" NONE Identified Operate (Option<BeginMaintenance>) -> 200 BegunMaintenance
        = maintenance::begin, "begins [maintenance](operating.md#maintenance) of a service, registered or not";
    DELETE "/internal/services/{service}/maintenance" NONE Identified Operate (()) -> 200 EndedMaintenance = maintenance::end,
        "ends it";
    GET "/internal/maintenance" NONE Identified Read (()) -> 200 Maintenances = maintenance::list,
        "lists what is in maintenance";
    PUT "/internal/maintenance" NONE Identified Operate (Option<BeginMaintenance>) -> 200 BegunMaintenance = maintenance::begin_all,
        "begins maintenance of all services and static routes";
    DELETE "/internal/maintenance" NONE Identified Operate (()) -> 200 EndedMaintenance = maintenance::end_all, "ends it";
    GET "/internal/services/{service}/split" NONE Identified Read (()) -> 200 Split = splits::one,
        "shows the [split](operating.md#canaries) of a service, registered or not";
    PUT "/internal/services/{service}/split" NONE Identified Operate (NewSplit) -> 200 SetSplit = splits::set,
        "splits its callers by versions";
    DELETE "/internal/services/{service}/split" NONE Identified Operate (()) -> 200 RemovedSplit = splits::remove,
        "ends that";
    GET "/internal/splits" NONE Identified Read (()) -> 200 Splits = splits::list, "lists splits";
    GET "/internal/services/{service}/grant" NONE Identified Read (()) -> 200 Grant = grants::one,
        "shows the [grant](operating.md#grants) of a service, registered or not";
    PUT "/internal/services/{service}/grant" NONE Identified Admin (GrantRules) -> 200 SetGrant = grants::set,
        "says what it may register";
    DELETE "/internal/services/{service}/grant" NONE Identified Admin (()) -> 200 RemovedGrant = grants::remove,
        "ends that";
    GET "/internal/grants" NONE Identified Read (()) -> 200 Grants = grants::list, "lists grants";
    GET "/internal/routes" NONE Identified Read (()) -> 200 Routes = queries::routes, "lists routes";
    GET "/internal/explain" EXPLAIN Identified Read (()) -> 200 Explanation
        = explain::explain, "says which route a request takes";
    GET "/internal/events" EVENTS Identified Read (()) -> 200 Events = events::events, "lists events";
    GET "/internal/audit" AUDIT Identified Admin (()) -> 200 Audit = audit::list, "lists what [operators](operating.md#audit) did";
    GET "/internal/stats" NONE Identified Read (()) -> 200 Stats = metrics::stats, "counts of every service, for `furt top`";
    GET "/internal/keys" NONE Identified Keys (()) -> 200 Keys = keys::list, "lists API keys";
    POST "/internal/keys" NONE Identified Keys (NewKey) -> 201 IssuedKey = keys::create, "makes an API key";
    GET "/internal/keys/{name}" NONE Identified Keys (()) -> 200 Key = keys::one, "shows an API key, without its secret";
    DELETE "/internal/keys/{name}" NONE Identified Keys (()) -> 200 RevokedKey = keys::revoke, "revokes an API key";
    POST "/internal/keys/{name}/rotate" NONE Identified Keys (Option<RotateKey>) -> 200 IssuedKey = keys::rotate,
        "makes another secret for an API key";
    GET "/internal/export" NONE Identified Admin (()) -> 200 Exported = applying::export,
        "shows what [operators make](operating.md#as-a-file) at run time, as a file";
    POST "/internal/apply" APPLY Identified Admin (DesiredState) -> 200 Applied = applying::apply,
        "makes what is there what a file says, all of it at once";
    GET "/internal/certificates" NONE Identified Read (()) -> 200 Certificates = certificates::list,
        "lists [certificates](edge.md#acme) with their ends";
    POST "/internal/certificates/{name}/renew" NONE Identified Admin (()) -> 200 RenewalAsked = certificates::renew,
        "gets another certificate for a name by ACME";
    POST "/internal/reload" NONE Identified Admin (()) -> 200 Reloaded = reloading::reload,
        "reloads the configuration";
    POST "/internal/upgrade" NONE Identified AdminByToken (()) -> 200 Upgraded = upgrading::upgrade,
        "[replaces](upgrading.md) the running furt by the program in its place";
    GET "/internal/store/export" NONE Identified Admin (()) -> 200 Json = exporting::export,
        "exports the store, as `furt store export` does";
    GET "/internal/openapi.json" NONE Identified Everyone (()) -> 200 Json = openapi::openapi,
        "describes these endpoints, as OpenAPI 3.1";
    GET "/metrics" NONE Identified Read (()) -> 200 Text = metrics::metrics, "[metrics](metrics.md)";
    GET "/health" ANY Identified Everyone (()) -> 200 Health = queries::health, "health";
    GET "/livez" ANY Unknown Everyone (()) -> 200 Text = queries::livez, "liveness";
    GET "/readyz" ANY Unknown Everyone (()) -> 200 Text = queries::readyz, "readiness";
    POST "/api/v1/register" NONE Identified Registrant (BackendRegistration) -> 201 BackendRegistered = backends::register,
        "registers a backend as an instance of its app";
    POST "/api/v1/heartbeat/{id}" NONE Identified RegistrantOrOperate (()) -> 200 BackendHeartbeat = backends::heartbeat,
        "keeps it registered";
    GET "/api/v1/backends" BACKENDS Identified RegistrantOrOperate (()) -> 200 Backends = backends::list,
        "lists backends";
    GET "/api/v1/backends/{id}" NONE Identified RegistrantOrOperate (()) -> 200 Backend = backends::one, "shows a backend";
    DELETE "/api/v1/backends/{id}" NONE Identified RegistrantOrOperate (()) -> 200 BackendDeregistered = backends::deregister,
        "deregisters a backend";
    GET "/v2/keys/{*key}" ANY Identified RegistrantOrOperate (()) -> 200 Json = etcd_v2::get,
        "shows instances as keys of etcd";
    PUT "/v2/keys/{*key}" ANY Identified Registrant (()) -> 200 201 Json = etcd_v2::put,
        "registers an instance, or keeps it registered; the body is a form";
    DELETE "/v2/keys/{*key}" ANY Identified RegistrantOrOperate (()) -> 200 Json = etcd_v2::delete, "deregisters an instance";
    GET "/v2/machines" ANY Identified RegistrantOrOperate (()) -> 200 Text = etcd_v2::machines, "lists the gateways";
}

macro_rules! pages {
    ($($method:ident $path:literal $query:ident $right:ident = $handler:path;)*) => {
        fn add_pages(routers: &mut Routers, api: &Arc<Api>) {
            $(routers.add(api, $path, $query, Caller::Identified, Right::$right, on(MethodFilter::$method, $handler));)*
        }
    };
}

const PAGE_OF_SERVICES: Query = Query::Only(dashboard::SERVICES);
const PAGE_OF_ROUTES: Query = Query::Only(dashboard::ROUTES);
const PAGE_OF_EVENTS: Query = Query::Only(dashboard::EVENTS);
const SIGN_IN: Query = Query::Only(dashboard::SIGN_IN);

// The dashboard: no part of the API, and of no description of it. What is asked of a file is the build that it is of.
pages! {
    GET "/" ANY Everyone = dashboard::front;
    GET "/ui" ANY Everyone = dashboard::front;
    GET "/ui/" ANY Read = dashboard::overview;
    GET "/ui/services" PAGE_OF_SERVICES Read = dashboard::services;
    GET "/ui/services/{service}" ANY Read = dashboard::service;
    GET "/ui/routes" PAGE_OF_ROUTES Read = dashboard::routes;
    GET "/ui/events" PAGE_OF_EVENTS Read = dashboard::events;
    GET "/ui/keys" ANY Keys = dashboard::keys;
    GET "/ui/nodes" ANY Read = dashboard::nodes;
    GET "/ui/certificates" ANY Read = dashboard::certificates;
    GET "/ui/explain" ANY Read = dashboard::explain;
    GET "/ui/sign-in" SIGN_IN Everyone = dashboard::form;
    POST "/ui/sign-in" SIGN_IN Everyone = dashboard::sign_in;
    POST "/ui/sign-out" ANY Everyone = dashboard::sign_out;
    GET "/ui/style.css" ANY Everyone = dashboard::style;
    GET "/ui/live.js" ANY Everyone = dashboard::script;
    GET "/ui/icon.svg" ANY Everyone = dashboard::icon;
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
        add_pages(&mut routers, api);
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
        if path == "/" || path.starts_with("/ui") {
            handler = handler.layer(middleware::from_fn_with_state(Arc::clone(api), dashboard::guarded));
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

    use super::*;

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
