//! Who a caller of the internal listener is, and what it may do.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use furt_api::Code;

use super::Api;
use super::listener::{Peer, ShownCertificate};
use super::operators;
use super::problem::Problem;
use super::right::Right;
use crate::config::Config;
use crate::driver::DriverGone;
use furt_core::model::{Actor, Operator, OperatorName, Role, host};
use furt_core::registry::Source;

/// Finds out who calls, and turns away what a browser was tricked into (DNS rebinding, cross-site writes).
pub(super) async fn identify(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    if let Err(problem) = check_browser(&api, &request) {
        return problem.into_response();
    }
    let Some(Peer(address)) = request.extensions().get::<Peer>().copied() else {
        return Problem::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, "the peer's address is unknown")
            .into_response();
    };
    let certificate = request.extensions().get::<ShownCertificate>().map(|shown| shown.0);
    let source = operators::source(&api.config(), &api.values, address, certificate, request.headers());
    let actor = source.actor();
    request.extensions_mut().insert(source);
    let mut response = next.run(request).await;
    // The log tells of refusals alone who it was.
    if response.status().is_client_error() {
        response.extensions_mut().insert(actor);
    }
    response
}

/// Logs and counts what is refused before the registry sees it, of requests that would have changed something. What the
/// registry refuses the driver reports.
pub(super) async fn report_refusals(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    // The pattern and not the path: a caller's own text has no place in the log.
    let path = request.extensions().get::<MatchedPath>().cloned().filter(|_| is_writing(request.method()));
    let method = request.method().clone();
    let peer = request.extensions().get::<Peer>().copied();
    let response = next.run(request).await;
    // Somewhere else, or by another method, nothing was asked.
    let is_refused = response.status().is_client_error() && response.status() != StatusCode::METHOD_NOT_ALLOWED;
    let actor = response.extensions().get().cloned().or_else(|| peer.map(|Peer(address)| Actor::from(address)));
    if let (Some(path), Some(actor), true) = (path, actor, is_refused) {
        let problem = response.extensions().get::<Problem>();
        if problem.is_none_or(|problem| !problem.is_reported()) {
            api.telemetry.registry.refused();
            let why = problem.map_or_else(|| response.status().to_string(), Problem::line);
            log::warn!("refused {method} {} from {actor}: {why}", path.as_str());
        }
    }
    response
}

fn is_writing(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Lets those pass who have a right.
pub(super) async fn check_right(
    State((api, right)): State<(Arc<Api>, Right)>,
    request: Request,
    next: Next,
) -> Response {
    match right {
        Right::Everyone => next.run(request).await,
        Right::Registrant => registrants_only(&api, request, next).await,
        Right::RegistrantOrOperate => registrants_or(&api, |source| source.may(Role::Operate), request, next).await,
        Right::Read => operators_only(&api, Role::Read, request, next).await,
        Right::Keys => operators_only(&api, Role::Keys, request, next).await,
        Right::Operate => operators_only(&api, Role::Operate, request, next).await,
        Right::Admin => operators_only(&api, Role::Admin, request, next).await,
        Right::AdminByToken if !have_credentials(&api.config()) => {
            let detail = "this needs an operator's token or certificate, and none is configured \
                          (internal.operator_token_sha256, [[operators]])";
            Problem::new(StatusCode::FORBIDDEN, Code::OperatorsOnly, detail).into_response()
        }
        Right::AdminByToken => operators_only(&api, Role::Admin, request, next).await,
    }
}

async fn operators_only(api: &Api, least: Role, request: Request, next: Next) -> Response {
    let source = request.extensions().get::<Source>();
    if source.is_some_and(|source| source.may(least)) {
        return next.run(request).await;
    }
    let detail = match source.and_then(|source| source.operator.as_ref()) {
        Some(Operator { name, role }) => {
            let name = name.as_ref().map_or("this address", OperatorName::as_str);
            format!("this needs the role {}, and {name} has {}", least.as_str(), role.as_str())
        }
        None => match awaited(api) {
            Some(key) => format!("only operators may, and Vault has not given {key} yet"),
            None => {
                "only operators may: from internal.operators_from, with a token or certificate of theirs where one is \
                     configured"
                    .to_owned()
            }
        },
    };
    Problem::new(StatusCode::FORBIDDEN, Code::OperatorsOnly, detail).into_response()
}

/// Whether operators need a token or a certificate: then nobody is one by an address alone.
fn have_credentials(config: &Config) -> bool {
    config.internal.operator_token_sha256.is_some() || !config.operators.is_empty()
}

/// The key of the configuration with a token that somebody may have and that a Vault is still to give.
fn awaited(api: &Api) -> Option<&'static str> {
    let config = api.config();
    let is_missing = |wanted| api.values.digest(wanted).is_none();
    let of_one = config.operators.iter().filter_map(|operator| operator.token_sha256.as_ref());
    if config.internal.operator_token_sha256.as_ref().is_some_and(is_missing) {
        return Some("internal.operator_token_sha256");
    }
    of_one.into_iter().any(is_missing).then_some("operators.token_sha256")
}

/// Lets those pass who may register, until furt stops: what a process that ends takes is lost with it.
async fn registrants_only(api: &Api, request: Request, next: Next) -> Response {
    if api.readiness.is_stopping() {
        return Problem::from(DriverGone).into_response();
    }
    registrants_or(api, |_| false, request, next).await
}

async fn registrants_or(api: &Api, may: impl Fn(&Source) -> bool, request: Request, next: Next) -> Response {
    let config = api.config();
    if !config.gateway.enabled {
        return Problem::new(StatusCode::FORBIDDEN, Code::RegistrationOff, "gateway.enabled is false").into_response();
    }
    match request.extensions().get::<Source>() {
        Some(source) if may(source) || config.gateway.allow_registration_from.contains(source.address) => {
            next.run(request).await
        }
        _ => {
            let detail = "this address is not in gateway.allow_registration_from";
            Problem::new(StatusCode::FORBIDDEN, Code::AddressNotAllowed, detail).into_response()
        }
    }
}

fn check_browser(api: &Api, request: &Request) -> Result<(), Problem> {
    let host = match request.uri().authority() {
        Some(authority) => Some(authority.as_str()),
        // What is no text is no host of ours either.
        None => request.headers().get(header::HOST).map(|value| value.to_str().unwrap_or_default()),
    };
    if let Some(host) = host
        && !is_own_host(api, host)
    {
        let detail = "the Host is neither an address, nor localhost, nor in internal.hosts";
        return Err(Problem::new(StatusCode::FORBIDDEN, Code::ForeignHost, detail));
    }
    let is_own = |origin: &axum::http::HeaderValue| {
        let origin = origin.to_str().ok().and_then(|origin| Some(origin.split_once("://")?.1));
        origin.zip(host).is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(host))
    };
    if is_writing(request.method()) && !request.headers().get_all(header::ORIGIN).iter().all(is_own) {
        let detail = "a browser sent this from another site";
        return Err(Problem::new(StatusCode::FORBIDDEN, Code::ForeignOrigin, detail));
    }
    Ok(())
}

fn is_own_host(api: &Api, authority: &str) -> bool {
    let host = host::normalize(authority);
    let address = host.trim_start_matches('[').trim_end_matches(']');
    address.parse::<IpAddr>().is_ok()
        || host == "localhost"
        || api.config().internal.hosts.iter().any(|own| own.as_str() == host)
}
