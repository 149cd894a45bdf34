//! Every endpoint of the internal listener in one table: the router, its guard and the table in `docs/operating.md` are
//! made of it.
//!
//! Rows of one path stand in the order in which `Allow` tells their methods.

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::{MethodFilter, MethodRouter, on};
use furt_api::backends::{
    Backend, BackendDeregistered, BackendHeartbeat, BackendRegistered, BackendRegistration, Backends,
};
use furt_api::deregistration::Drained;
use furt_api::events::Events;
use furt_api::health::Health;
use furt_api::keys::{IssuedKey, Key, Keys, NewKey, RevokedKey, RotateKey};
use furt_api::registration::{Heartbeat, Probing, Registered, Registration};
use furt_api::reload::Reloaded;
use furt_api::routes::{Explanation, Routes};
use furt_api::services::{Service, Services};
use furt_api::stats::Stats;

use super::{Api, backends, commands, deregistration, events, explain, guard, keys, metrics, queries, reloading};

/// The least that a caller must be, or must be allowed to do. An operator has the last four today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    /// Nothing is asked of the caller.
    Everyone,
    /// To be at an address that may register; being an operator does not help.
    Registrant,
    /// To be at an address that may register, or to have `Operate`.
    RegistrantOrOperate,
    /// To look at what is registered, routed and counted.
    Read,
    /// To look at API keys, to make and to revoke them.
    Keys,
    /// To act on services and instances of others.
    Operate,
    /// To act on furt itself.
    Admin,
}

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
    /// Its parameters, as the documentation shows them.
    query: &'static str,
    right: Right,
    /// The type in `furt_api`; `()`: none.
    body: &'static str,
    /// The type in `furt_api`; `Text`: no JSON.
    answer: &'static str,
    text: &'static str,
}

/// An answer that is plain text.
type Text = &'static str;

macro_rules! endpoints {
    ($($method:ident $path:literal $query:literal $caller:ident $right:ident ($body:ty) -> $answer:ty = $handler:path, $text:literal;)*) => {
        #[cfg(test)]
        const ENDPOINTS: &[Endpoint] = &[$(Endpoint {
            method: axum::http::Method::$method,
            path: $path,
            query: $query,
            right: Right::$right,
            body: stringify!($body),
            answer: stringify!($answer),
            text: $text,
        },)*];

        // The names in the table are those of types.
        $(const _: Option<(std::marker::PhantomData<$body>, std::marker::PhantomData<$answer>)> = None;)*

        fn add_all(routers: &mut Routers, api: &Arc<Api>) {
            $(routers.add(api, $path, Caller::$caller, Right::$right, on(MethodFilter::$method, $handler));)*
        }
    };
}

endpoints! {
    POST "/internal/register-service" "" Identified Registrant (Registration) -> Registered = commands::register,
        "registers a service and an instance";
    POST "/internal/services/{service}/instances/{id}/heartbeat" "[?incarnation=I]" Identified RegistrantOrOperate (()) -> Heartbeat
        = commands::heartbeat, "keeps an instance registered";
    GET "/internal/services" "" Identified Read (()) -> Services = queries::services, "lists services";
    GET "/internal/services/{service}" "" Identified Read (()) -> Service = queries::service, "shows a service";
    DELETE "/internal/services/{service}" "[?drain=S]" Identified RegistrantOrOperate (()) -> Drained
        = deregistration::deregister_service, "deregisters a service";
    DELETE "/internal/services/{service}/instances/{id}" "[?drain=S&incarnation=I]" Identified RegistrantOrOperate (()) -> Drained
        = deregistration::deregister_instance, "deregisters an instance";
    POST "/internal/services/{service}/drain" "[?wait=S&until=U]" Identified RegistrantOrOperate (()) -> Drained
        = deregistration::drain_service, "drains all its instances";
    DELETE "/internal/services/{service}/drain" "" Identified RegistrantOrOperate (()) -> Drained
        = deregistration::undo_drain_of_service, "gives all its instances requests again";
    POST "/internal/services/{service}/instances/{id}/drain" "[?wait=S&until=U&incarnation=I]" Identified RegistrantOrOperate (()) -> Drained
        = deregistration::drain_instance, "drains an instance";
    DELETE "/internal/services/{service}/instances/{id}/drain" "[?incarnation=I]" Identified RegistrantOrOperate (()) -> Drained
        = deregistration::undo_drain_of_instance, "gives an instance requests again";
    POST "/internal/services/{service}/instances/{id}/probe" "" Identified Operate (()) -> Probing = commands::probe,
        "probes at once";
    GET "/internal/routes" "" Identified Read (()) -> Routes = queries::routes, "lists routes";
    GET "/internal/explain" "?method=GET&url=/api/comments/a[&client=ADDRESS]" Identified Read (()) -> Explanation
        = explain::explain, "says which route a request takes";
    GET "/internal/events" "[?after=N&wait=S]" Identified Read (()) -> Events = events::events, "lists events";
    GET "/internal/stats" "" Identified Read (()) -> Stats = metrics::stats, "counts of every service, for `furt top`";
    GET "/internal/keys" "" Identified Keys (()) -> Keys = keys::list, "lists API keys";
    POST "/internal/keys" "" Identified Keys (NewKey) -> IssuedKey = keys::create, "makes an API key";
    GET "/internal/keys/{name}" "" Identified Keys (()) -> Key = keys::one, "shows an API key, without its secret";
    DELETE "/internal/keys/{name}" "" Identified Keys (()) -> RevokedKey = keys::revoke, "revokes an API key";
    POST "/internal/keys/{name}/rotate" "" Identified Keys (RotateKey) -> IssuedKey = keys::rotate,
        "makes another secret for an API key";
    POST "/internal/reload" "" Identified Admin (()) -> Reloaded = reloading::reload,
        "reloads the configuration; takes no body";
    GET "/metrics" "" Identified Read (()) -> Text = metrics::metrics, "[metrics](metrics.md)";
    GET "/health" "" Identified Everyone (()) -> Health = queries::health, "health";
    GET "/livez" "" Unknown Everyone (()) -> Text = queries::livez, "liveness";
    GET "/readyz" "" Unknown Everyone (()) -> Text = queries::readyz, "readiness";
    POST "/api/v1/register" "" Identified Registrant (BackendRegistration) -> BackendRegistered = backends::register,
        "registers a backend as an instance of its app; answers 201";
    POST "/api/v1/heartbeat/{id}" "" Identified RegistrantOrOperate (()) -> BackendHeartbeat = backends::heartbeat,
        "keeps it registered";
    GET "/api/v1/backends" "[?app=A&region=R]" Identified RegistrantOrOperate (()) -> Backends = backends::list,
        "lists backends";
    GET "/api/v1/backends/{id}" "" Identified RegistrantOrOperate (()) -> Backend = backends::one, "shows a backend";
    DELETE "/api/v1/backends/{id}" "" Identified RegistrantOrOperate (()) -> BackendDeregistered = backends::deregister,
        "deregisters a backend";
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

    fn add(&mut self, api: &Arc<Api>, path: &str, caller: Caller, right: Right, handler: MethodRouter<Arc<Api>>) {
        let mut handler = handler;
        if right != Right::Everyone {
            let guard = middleware::from_fn_with_state((Arc::clone(api), right), guard::check_right);
            handler = handler.layer(guard);
        }
        if path.starts_with("/api/v1/") {
            handler = handler.layer(middleware::from_fn_with_state(Arc::clone(api), backends::where_switched_on));
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

    fn read(path: &str) -> String {
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
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
            };
            let of_type = |name: &str| match name {
                "()" => String::new(),
                "Text" => "text".to_owned(),
                name => format!("`{name}`"),
            };
            let Endpoint { method, query, text, .. } = endpoint;
            let (body, answer) = (of_type(endpoint.body), of_type(endpoint.answer));
            format!("| `{method} {path}{query}` | {who} | {body} | {answer} | {text} |\n")
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
