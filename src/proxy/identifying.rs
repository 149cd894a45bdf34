//! Who sends a request to a route whose `auth` says who may vouch for callers: an API key, an issuer of tokens, or a server that is
//! asked.
//!
//! One credential counts: `X-API-Key` where keys are taken, then a token of an issuer that is listed, then a key elsewhere, and only
//! for a request without any of them the server. What is known already is decided at once; the rest (`vouching`) may have to wait.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, header};
use pingora::http::RequestHeader;

use super::answer::GatewayAnswer;
use super::context::Context;
use super::credentials::{self, API_KEY, Sent};
use super::unauthorized::{Challenges, insufficient_scope};
use crate::auth::{ForwardAuth, Identity, Issuer, claimed_issuer};
use crate::clock;
use crate::published::Published;
use crate::wire::GatewayProblem;
use furt_core::model::{AuthMethods, Sha256Digest};
use furt_core::routing::{Route, Snapshot};

/// By then the operator may have put right what the configuration lacks.
const UNKNOWN_FOR: Duration = Duration::from_secs(60);

/// How it is found out who sends a request.
pub(super) enum Identified {
    /// It is known, and in the context.
    Known,
    /// Somebody has to be asked first.
    Asks(Voucher),
}

/// Whoever has to be asked.
pub(super) enum Voucher {
    /// The issuer of its token, which is verified.
    Issuer(Arc<Issuer>, Challenges),
    /// The server that judges the request.
    Server(Arc<ForwardAuth>),
}

/// Finds out who sends a request, as far as that is known.
///
/// # Errors
/// It may not come.
pub(super) fn identify(
    methods: &AuthMethods,
    request: &RequestHeader,
    route: &Route,
    ctx: &mut Context,
    snapshot: &Published,
) -> Result<Identified, GatewayAnswer> {
    let headers = &request.headers;
    if !methods.take_keys() {
        // A key that counts for nothing here lets nobody guess without a limit.
        ctx.credentials.has_good_key = Some(false);
    }
    let Sent { key, is_in_authorization } = credentials::find(headers, &ctx.client, snapshot);
    ctx.credentials.is_in_authorization = is_in_authorization;
    let providers = snapshot.providers.as_deref();
    let issuers: Vec<_> = providers.into_iter().flat_map(|providers| providers.issuers_of(methods)).collect();
    let server = providers.and_then(|providers| providers.server_of(methods));
    let challenges = Challenges::of(methods, snapshot.config.keys.accept, !issuers.is_empty());
    if methods.take_keys() && headers.contains_key(API_KEY) {
        ctx.credentials.has_good_key = Some(key.is_ok());
        return credentials::take(key, route, ctx, challenges).map(|()| Identified::Known);
    }
    if let Some(token) = credentials::bearer(headers).filter(|_| !issuers.is_empty()) {
        let digest = Sha256Digest::of(token.as_bytes());
        let now_ms = clock::unix_ms();
        if let Some(identity) = issuers.iter().find_map(|issuer| issuer.known(&digest, now_ms)) {
            ctx.credentials.is_in_authorization = true;
            return accept(identity, route, ctx).map(|()| Identified::Known);
        }
        let claimed = claimed_issuer(token);
        let issuer = claimed.and_then(|claimed| issuers.iter().find(|issuer| issuer.config().issuer == claimed));
        if let Some(issuer) = issuer {
            return Ok(Identified::Asks(Voucher::Issuer(Arc::clone(issuer), challenges)));
        }
    }
    // A certificate may stand for a key.
    if methods.take_keys() && (key.is_ok() || server.is_none()) {
        ctx.credentials.has_good_key = Some(key.is_ok());
        let key = key.map_err(|problem| of_strange_token(problem, headers, challenges));
        let taken = credentials::take(key, route, ctx, challenges).map(|()| Identified::Known);
        return taken.map_err(with_reason);
    }
    if let Some(server) = server {
        return Ok(Identified::Asks(Voucher::Server(Arc::clone(server))));
    }
    if issuers.is_empty() {
        let detail = format!("the configuration has none of what the route's auth names: {methods}");
        return Err(GatewayAnswer::to_come_again(GatewayProblem::AuthUnavailable, UNKNOWN_FOR).with_detail(detail));
    }
    let problem = of_strange_token(GatewayProblem::TokenMissing, headers, challenges);
    Err(with_reason(GatewayAnswer::from(problem).with_challenges(challenges)))
}

/// Says why a token is refused that was not verified.
fn with_reason(answer: GatewayAnswer) -> GatewayAnswer {
    match answer.problem() {
        Some(GatewayProblem::TokenRefused) => answer.with_detail(
            "no issuer of the route has issued the token: its iss is another one, or it is no JWT".to_owned(),
        ),
        _ => answer,
    }
}

/// What is wrong with a request whose token is of none of those who may vouch for callers.
fn of_strange_token(otherwise: GatewayProblem, headers: &HeaderMap, challenges: Challenges) -> GatewayProblem {
    let has_token = challenges.takes_tokens() && credentials::bearer(headers).is_some();
    if has_token && otherwise != GatewayProblem::AddressNotAllowed { GatewayProblem::TokenRefused } else { otherwise }
}

/// Takes a caller that a provider vouches for.
///
/// # Errors
/// It may not do what the route asks for.
pub(super) fn accept(identity: Arc<Identity>, route: &Route, ctx: &mut Context) -> Result<(), GatewayAnswer> {
    // Of whom nobody says who it is may be anybody.
    ctx.credentials.has_good_key = Some(identity.subject.is_some());
    ctx.credentials.is_asked_for = true;
    let lacks = route.permission.as_ref().filter(|permission| !identity.allows(permission));
    ctx.credentials.identity = Some(identity);
    match lacks {
        None => Ok(()),
        Some(permission) => {
            let answer = GatewayAnswer::from(GatewayProblem::PermissionMissing);
            let answer = answer.with_detail(format!("needs \"{permission}\""));
            // Another token would do; a session has no scope.
            Err(match ctx.credentials.is_in_authorization {
                true => answer.with_header(header::WWW_AUTHENTICATE, insufficient_scope(permission.as_str())),
                false => answer,
            })
        }
    }
}

/// What the service behind the route may be told of what the caller may do, as a list with spaces; `None`: nothing.
pub(super) fn told_permissions(identity: &Identity, ctx: &Context, snapshot: &Snapshot) -> Option<String> {
    let own = identity.permissions.as_ref()?;
    let service = ctx.target.registered().map(|service| &service.definition.service);
    let granted = service.and_then(|service| snapshot.grants.get(service));
    let told = match granted {
        Some(granted) => own.within(&granted.permissions),
        None => own.clone(),
    };
    Some(told.rules().iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
}
