//! Whether a request is let in, and where to: client address, path, TLS, route, key, permission, rate.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, header};
use pingora_proxy::Session;

use super::answer::GatewayAnswer;
use super::context::Context;
use super::identifying::{self, Identified, Voucher};
use super::restricting::{self, RoutedRequest};
use super::traced::Traced;
use super::{Gateway, challenges, cors, credentials, fixed, framing, hops, limits, maintenance, upload, websockets};
use crate::published::Published;
use crate::status;
use crate::telemetry::request_id;
use crate::wire::GatewayProblem;
use furt_core::model::path::Reserved;
use furt_core::model::{Scheme, path};
use furt_core::routing::Found;

/// By then others are answered.
const OVERLOADED_FOR: Duration = Duration::from_secs(1);

/// Where a request that is let in goes.
pub(super) enum Admitted {
    /// To a service.
    Forward,
    /// Nowhere: it asks for furt's own health.
    Health,
    /// Nowhere: an authority looks for the answer to a challenge.
    Challenge(Bytes),
    /// Nowhere: a browser asks what a page may send.
    Preflight(GatewayAnswer),
    /// Nowhere: its route says what furt answers.
    Fixed(GatewayAnswer),
    /// Nowhere: it says that furt is the last that it reaches.
    LastHop(GatewayAnswer),
    /// Nobody knows yet: somebody has to be asked who sends it.
    Ask(Voucher, Usability),
}

/// Whether the service behind the route can be asked, as it was when the route was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usability(bool);

impl Gateway {
    /// Decides; what it finds out on the way goes into the context.
    pub(super) fn admit(
        &self,
        session: &mut Session,
        ctx: &mut Context,
        snapshot: &Published,
    ) -> Result<Admitted, GatewayAnswer> {
        let decision = self.decide(session, ctx, snapshot);
        // Whatever else is wrong with it: guesses at keys, at paths, and plain floods are counted alike. Not furt's own
        // health, which whoever balances before furt asks for.
        if ctx.credentials.has_good_key != Some(true)
            && let (Some(limit), Some(client)) = (snapshot.address_limit, ctx.client.address)
            && !matches!(decision, Ok(Admitted::Health | Admitted::Challenge(_) | Admitted::Ask(..)))
            && !credentials::has_good_key(&session.req_header().headers, ctx, snapshot)
        {
            let checked = self.address_rates.take(client, limit);
            checked.map_err(|wait| GatewayAnswer::to_come_again(GatewayProblem::AddressRateLimited, wait))?;
        }
        decision
    }

    /// Asks who sends a request, then decides as of any other whether it is let in.
    pub(super) async fn ask_and_admit(
        &self,
        session: &mut Session,
        ctx: &mut Context,
        snapshot: &Published,
        (voucher, usability): (Voucher, Usability),
    ) -> Result<Admitted, GatewayAnswer> {
        self.vouch(session, ctx, snapshot, voucher).await?;
        let request = session.req_header();
        let host = framing::authority(request.uri.authority(), request.headers.get(header::HOST));
        // It was read once already.
        let path = path::normalize(request.uri.path()).map_err(|_| GatewayAnswer::from(GatewayProblem::BadPath))?;
        let asked = RoutedRequest { host: &host, path: &path, method: &request.method };
        self.admit_identified(session, (asked, usability), ctx, snapshot)
    }

    fn decide(
        &self,
        session: &mut Session,
        ctx: &mut Context,
        snapshot: &Published,
    ) -> Result<Admitted, GatewayAnswer> {
        let is_url = session.req_header().raw_path().first() != Some(&b'/');
        let target = framing::use_origin_form(session.req_header_mut());
        let request = session.req_header();
        let peer =
            session.client_addr().and_then(|address| address.as_inet()).map(|address| address.ip().to_canonical());
        let config = &snapshot.config;
        let trusted = &config.server.trusted_proxies;
        ctx.client.identify(peer, &request.headers, trusted);
        ctx.received.request_id = request_id::of(&request.headers);
        if config.tracing.endpoint.is_some() {
            ctx.traced = Some(Traced::begin(&config.tracing, &request.headers, &ctx.client));
        }
        let sent_host = request.headers.get(header::HOST);
        let host = framing::authority(request.uri.authority(), sent_host);

        let host_fault = || framing::host_fault(sent_host, request.version, is_url);
        if let Some(malformed) = ctx.received.malformed {
            return Err(malformed.answer());
        }
        let fault = target.err().or_else(host_fault);
        if let Some(fault) = fault {
            return Err(GatewayAnswer::from(GatewayProblem::BadRequest).with_detail(fault.to_owned()));
        }
        // Only a request with a body has a transfer coding.
        if upload::may_have_body(session) {
            framing::check_transfer_coding(&request.headers)?;
        }
        let path = path::normalize(request.uri.path())
            .map_err(|error| GatewayAnswer::from(GatewayProblem::BadPath).with_detail(error.to_string()))?;
        match path::reserved(&path) {
            Some(Reserved::Health) if matches!(request.method, Method::GET | Method::HEAD) => {
                return Ok(Admitted::Health);
            }
            Some(Reserved::Health) => {
                return Err(
                    GatewayAnswer::from(GatewayProblem::MethodNotAllowed).with_header(header::ALLOW, "GET, HEAD")
                );
            }
            Some(Reserved::Internal) => return Err(GatewayProblem::RouteNotFound.into()),
            None => {}
        }
        let token = self.secure.token(&path);
        if let Some(text) = token.and_then(|token| self.secure.answer(token, &request.method)) {
            return Ok(Admitted::Challenge(text));
        }
        // This one is counted already.
        if self.metrics.in_flight() > config.server.max_requests {
            if let Found::Route(route) | Found::Unusable(route) = snapshot.find(&host, &path, &request.method) {
                ctx.target.refused = Some(Arc::clone(route));
            }
            return Err(GatewayAnswer::to_come_again(GatewayProblem::Overloaded, OVERLOADED_FOR));
        }
        let name_of_key = || credentials::name_of_key(&request.headers, &ctx.client, snapshot);
        let is_call = ctx.received.is_call;
        let must_be_secure = |answer: GatewayAnswer| if is_call { answer.for_call() } else { answer };
        self.secure
            .check(request, (&host, &path), &ctx.client, &config.tls, (config.keys.accept, name_of_key))
            .map_err(must_be_secure)?;
        if ctx.client.scheme == Scheme::Https {
            self.secure.check_host(session, &host, &mut ctx.client)?;
        }
        // A browser sends no key with it, so it is answered by the route that it asks about.
        if let Some(method) = cors::asked_method(request)
            && let Found::Route(route) | Found::Unusable(route) = snapshot.find(&host, &path, &method)
        {
            if let Some(policy) = cors::policy(route) {
                ctx.target.take(route, snapshot.service(route.owner.index()));
                return cors::preflight(request, policy).map(Admitted::Preflight);
            }
            ctx.target.is_preflight_of_service = true;
        }
        let (route, is_usable) = match challenges::find(snapshot, (&host, &path), &request.method, token.is_some()) {
            // What is kept for maintenance may be DOWN.
            Found::Route(route) => (route, snapshot.maintenance.is_none() || snapshot.is_usable(route)),
            // It would answer challenges for names that it was not given.
            Found::Unusable(route) if token.is_some() && !challenges::may_answer(snapshot, route) => {
                return Err(GatewayProblem::RouteNotFound.into());
            }
            Found::Unusable(route) => (route, false),
            Found::WrongMethod(allow) => {
                let answer = GatewayAnswer::from(GatewayProblem::MethodNotAllowed);
                return Err(answer.with_header(header::ALLOW, allow.to_string()));
            }
            Found::Nothing => return Err(GatewayProblem::RouteNotFound.into()),
        };
        ctx.target.take(route, snapshot.service(route.owner.index()));
        if let Some(table) = &snapshot.maintenance
            && !challenges::is_question(&path, &request.method)
        {
            maintenance::check(table, route, ctx, snapshot)?;
        }
        let restrictions = route.rules.as_ref().map_or(&[][..], |rules| &rules.restrictions);
        let asked = RoutedRequest { host: &host, path: &path, method: &request.method };
        if !restrictions.is_empty() {
            restricting::check_address(restrictions, asked, &ctx.client)?;
        }
        if let Some(policy) = cors::policy(route)
            && websockets::is_asked_for(session)
        {
            cors::check_websocket(request, policy, &ctx.client)?;
        }
        let rules = route.rules.as_deref().filter(|rules| !rules.restrictions.is_empty());
        match rules.and_then(|rules| rules.auth(&host, &path, &request.method)) {
            None => credentials::authenticate(&request.headers, route, ctx, snapshot)?,
            Some(methods) => {
                if let Identified::Asks(voucher) = identifying::identify(methods, request, route, ctx, snapshot)? {
                    return Ok(Admitted::Ask(voucher, Usability(is_usable)));
                }
            }
        }
        self.admit_identified(session, (asked, Usability(is_usable)), ctx, snapshot)
    }

    /// Decides of a request of which it is known who sends it.
    fn admit_identified(
        &self,
        session: &Session,
        (asked, Usability(is_usable)): (RoutedRequest<'_>, Usability),
        ctx: &mut Context,
        snapshot: &Published,
    ) -> Result<Admitted, GatewayAnswer> {
        let (request, config) = (session.req_header(), &snapshot.config);
        if let Some(key) = &ctx.credentials.key
            && let Err(wait) = limits::check(key)
        {
            return Err(GatewayAnswer::to_come_again(GatewayProblem::RateLimited, wait));
        }
        let rules = ctx.target.route.as_ref().and_then(|route| route.rules.clone());
        if let Some(rules) = rules.filter(|rules| !rules.restrictions.is_empty()) {
            self.route_limits.restrict(&rules.restrictions, (asked, request), ctx, snapshot.share)?;
        }
        if !is_usable {
            // By then it was probed again.
            return Err(GatewayAnswer::to_come_again(
                GatewayProblem::ServiceDown,
                config.gateway.health_check_interval,
            ));
        }
        restricting::check_length(request, ctx)?;
        if let Some(own) = &config.server.via {
            hops::check_loop(&request.headers, own)?;
        }
        if hops::is_limited(&request.method) && hops::max_forwards(&request.headers)? == Some(0) {
            let matching = snapshot.table.matches(asked.host, asked.path);
            return Ok(Admitted::LastHop(hops::last_hop(request, matching.into_iter().map(|route| &**route))));
        }
        match ctx.target.fixed() {
            Some(fixed) => fixed::answer(fixed, session, ctx).map(Admitted::Fixed),
            None => Ok(Admitted::Forward),
        }
    }

    /// The body of `/health`. Services are shown to addresses that may register, unless someone untrusted speaks for
    /// another.
    pub(super) fn health(&self, ctx: &Context, session: &Session, snapshot: &Published) -> Bytes {
        let headers = &session.req_header().headers;
        let speaks_for_another = headers.contains_key(header::FORWARDED) || headers.contains_key("x-forwarded-for");
        let may_register = |client| snapshot.config.gateway.allow_registration_from.contains(client);
        let sees_services =
            (ctx.client.is_peer_trusted || !speaks_for_another) && ctx.client.address.is_some_and(may_register);
        let faults = snapshot.provider_faults();
        let body = match sees_services {
            true => status::detailed(&self.issues, &faults, snapshot),
            false => status::brief(&self.issues, &faults),
        };
        // Texts and numbers always can be written.
        serde_json::to_vec(&body).unwrap_or_default().into()
    }
}
