//! Asks whoever has to be asked who sends a request: verifies a token, or has a server judge the request.
//!
//! Both cost more than other requests do, so an address that is over its limit is told before. Who turns out to be known is not
//! counted against its address.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use pingora::http::RequestHeader;
use pingora_proxy::Session;

use super::Gateway;
use super::answer::GatewayAnswer;
use super::context::Context;
use super::credentials::{self, API_KEY};
use super::identifying::{Voucher, accept};
use super::unauthorized::Challenges;
use super::{fixed, framing, headers};
use crate::auth::{Denied, ForwardAuth, Issuer, Question, TokenFault, forwarded_uri};
use crate::published::Published;
use crate::wire::GatewayProblem;
use furt_core::model::{RateLimit, Sha256Digest};

/// By then one of the questions may be answered.
const BUSY_FOR: Duration = Duration::from_secs(1);

impl Gateway {
    /// Finds out who sends a request.
    ///
    /// # Errors
    /// It may not come, or nobody can tell.
    pub(super) async fn vouch(
        &self,
        session: &Session,
        ctx: &mut Context,
        snapshot: &Published,
        voucher: Voucher,
    ) -> Result<(), GatewayAnswer> {
        let counted = self.count_before(session, ctx, snapshot)?;
        let vouched = match voucher {
            Voucher::Issuer(issuer, challenges) => verify(&issuer, challenges, session, ctx).await,
            Voucher::Server(server) => ask(&server, session, ctx, snapshot).await,
        };
        if ctx.credentials.has_good_key == Some(true)
            && let Some((address, limit)) = counted
        {
            self.address_rates.give_back(address, limit);
        }
        vouched
    }

    /// Counts a request against its address before anybody is asked; where it was counted, for giving it back.
    fn count_before(
        &self,
        session: &Session,
        ctx: &Context,
        snapshot: &Published,
    ) -> Result<Option<(IpAddr, RateLimit)>, GatewayAnswer> {
        let (Some(limit), Some(address)) = (snapshot.address_limit, ctx.client.address) else { return Ok(None) };
        if credentials::has_good_key(&session.req_header().headers, ctx, snapshot) {
            return Ok(None);
        }
        let checked = self.address_rates.take(address, limit);
        checked.map_err(|wait| GatewayAnswer::to_come_again(GatewayProblem::AddressRateLimited, wait))?;
        Ok(Some((address, limit)))
    }
}

async fn verify(
    issuer: &Issuer,
    challenges: Challenges,
    session: &Session,
    ctx: &mut Context,
) -> Result<(), GatewayAnswer> {
    let token = credentials::bearer(&session.req_header().headers).unwrap_or_default();
    match issuer.verify(token, Sha256Digest::of(token.as_bytes())).await {
        Ok(identity) => {
            ctx.credentials.is_in_authorization = true;
            let Some(route) = ctx.target.route.clone() else { return Err(GatewayProblem::RouteNotFound.into()) };
            accept(identity, &route, ctx)
        }
        Err(TokenFault::Refused(why)) => Err(GatewayAnswer::from(GatewayProblem::TokenRefused)
            .with_detail(why.to_string())
            .with_challenges(challenges)),
        Err(TokenFault::NoKeys) => {
            Err(unavailable(format!("the keys of \"{}\" are not known yet", issuer.config().name)))
        }
    }
}

async fn ask(
    server: &Arc<ForwardAuth>,
    session: &Session,
    ctx: &mut Context,
    snapshot: &Published,
) -> Result<(), GatewayAnswer> {
    let name = &server.config().name;
    let Some(asking) = snapshot.providers.as_ref().and_then(|providers| providers.asking.as_ref()) else {
        return Err(unavailable(format!("\"{name}\" is not configured any more")));
    };
    let forwarded_for = ctx
        .client
        .peer
        .map(|peer| headers::forwarded_for(&session.req_header().headers, peer, ctx.client.is_peer_trusted));
    let request = session.req_header();
    let sent = headers_for(request, ctx, snapshot);
    let host = routed_host(request);
    if let Some(traced) = &mut ctx.traced {
        traced.begin_question(&server.config().url);
    }
    let question = Question {
        method: &request.method,
        scheme: fixed::asked_scheme(request, &ctx.client),
        host: &host,
        uri: forwarded_uri(std::str::from_utf8(request.raw_path()).unwrap_or("/")),
        forwarded_for: forwarded_for.as_deref().unwrap_or_default(),
        headers: &sent,
        traceparent: ctx.traced.as_ref().map(|traced| traced.traceparent()),
        address: ctx.client.address,
    };
    let asked = server.ask(asking, question).await;
    if let Some(traced) = &mut ctx.traced {
        let (status, error) = match &asked {
            // It says 2xx, and which one is nobody's business.
            Ok(_) => (None, None),
            Err(Denied::Answer(answer)) => (Some(answer.status.as_u16()), None),
            Err(_) => (None, Some(GatewayProblem::AuthUnavailable.code())),
        };
        traced.end_question(status, error);
    }
    match asked {
        Ok(allowed) => {
            ctx.credentials.set_cookies = allowed.set_cookies;
            let Some(route) = ctx.target.route.clone() else { return Err(GatewayProblem::RouteNotFound.into()) };
            accept(allowed.identity, &route, ctx)
        }
        Err(Denied::Answer(answer)) if ctx.received.is_call => Err(refused_call(answer.status, name.as_str())),
        Err(Denied::Answer(answer)) => Err(GatewayAnswer::passed_on(answer)),
        Err(Denied::TooMany) => Err(GatewayAnswer::to_come_again(GatewayProblem::ConcurrencyLimited, BUSY_FOR)
            .with_detail(format!("too many requests of this address wait for \"{name}\""))),
        Err(Denied::Busy) => Err(unavailable(format!("too many requests wait for \"{name}\""))),
        Err(Denied::Unavailable(_)) => Err(unavailable(format!("\"{name}\" gives no answer that can be used"))),
    }
}

/// The host by which the route was found, with the port that the client names: not one that somebody says beside it, which would have
/// the server judge another site.
fn routed_host(request: &RequestHeader) -> String {
    let sent = request.headers.get(header::HOST);
    let host = framing::authority(request.uri.authority(), sent);
    let named = match request.uri.authority() {
        Some(authority) => authority.as_str(),
        None => sent.and_then(|value| value.to_str().ok()).unwrap_or_default(),
    };
    match named.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.is_empty()) {
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => format!("{host}:{port}"),
        _ => host.into_owned(),
    }
}

/// The client's headers as a service would get them: nothing of what furt alone may say. A key in `Authorization` is for furt alone.
fn headers_for(request: &RequestHeader, ctx: &Context, snapshot: &Published) -> HeaderMap {
    let mut sent = request.clone();
    headers::remove_forged(&mut sent, &ctx.client, snapshot);
    if ctx.credentials.is_in_authorization {
        sent.remove_header(&header::AUTHORIZATION);
    }
    // Of furt's own it is the one that an entry may name.
    for key in request.headers.get_all(API_KEY) {
        _ = sent.append_header(API_KEY, key.clone());
    }
    Parts::from(sent).headers
}

fn unavailable(why: String) -> GatewayAnswer {
    GatewayAnswer::to_come_again(GatewayProblem::AuthUnavailable, BUSY_FOR).with_detail(why)
}

/// A call's client takes no answer of a server that speaks to browsers.
fn refused_call(status: StatusCode, name: &str) -> GatewayAnswer {
    let problem = match status {
        StatusCode::FORBIDDEN => GatewayProblem::PermissionMissing,
        _ => GatewayProblem::TokenMissing,
    };
    GatewayAnswer::from(problem).with_detail(format!("\"{name}\" does not let it in"))
}
