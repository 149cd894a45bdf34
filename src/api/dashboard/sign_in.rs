//! Signing in with an operator's token, and out again.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use furt_api::Code;
use url::form_urlencoded;

use super::cookie::Seen;
use super::sessions::SessionId;
use super::viewer::Viewer;
use super::{document, html, see_other};
use crate::api::listener::{BodyTooLarge, Peer, UnderTls};
use crate::api::problem::Problem;
use crate::api::query::Parameters;
use crate::api::{Api, operators};
use crate::clock;
use crate::config::Config;
use crate::dashboard::{self, SignIn};
use crate::secret;
use furt_core::model::{Operator, OperatorName, Rate, Role, Sha256Digest};

/// Attempts of one address, over time and at once.
const ATTEMPTS: u32 = 5;
const ATTEMPTS_RATE: &str = "5/m";
/// The longest token that is looked at.
const MAX_TOKEN: usize = 4096;
const NO_TOKENS: &str = "No token is configured (internal.operator_token_sha256, [[operators]]): operators are known by \
                         their address (internal.operators_from) or their certificate.";
const NOT_PLAIN: &str = "A token is not sent from another machine without TLS: set internal.tls_cert, or connect from \
                         the gateway's own machine.";

/// Whether there is a token by which somebody could sign in.
pub(super) fn has_tokens(config: &Config) -> bool {
    config.internal.operator_token_sha256.is_some() || config.operators.iter().any(|one| one.token_sha256.is_some())
}

/// The link to the page where one signs in, from a page whose way to the first one is `root`; `target` is gone to afterwards.
pub(super) fn way(root: &str, target: &str) -> String {
    if target.is_empty() || !is_own(target) {
        return format!("{root}sign-in");
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("next", target);
    format!("{root}sign-in?{}", query.finish())
}

/// Whether a link leads to a page of the dashboard: it has no scheme, begins with no slash, and goes up nowhere.
fn is_own(target: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/?=&%._~+-".contains(&byte);
    target.len() <= 1024
        && target.bytes().all(is_plain)
        && !target.starts_with('/')
        && !target.contains("//")
        && !target.contains("..")
}

/// Why nobody can sign in by this connection; `None`: whoever has a token can.
fn obstacle(config: &Config, peer: IpAddr, is_under_tls: bool) -> Option<&'static str> {
    match (has_tokens(config), is_under_tls || peer.is_loopback()) {
        (false, _) => Some(NO_TOKENS),
        (true, false) => Some(NOT_PLAIN),
        (true, true) => None,
    }
}

/// `GET /ui/sign-in`
pub(in crate::api) async fn form(
    State(api): State<Arc<Api>>,
    viewer: Option<Extension<Viewer>>,
    peer: Option<Extension<Peer>>,
    under_tls: Option<Extension<UnderTls>>,
    mut parameters: Parameters,
) -> Result<Response, Problem> {
    let next = parameters.text("next");
    parameters.finish()?;
    if viewer.is_some() {
        return Ok(see_other(&after(next.as_deref())));
    }
    let obstacle = peer.and_then(|Extension(Peer(peer))| obstacle(&api.config(), peer, under_tls.is_some()));
    let content = dashboard::sign_in(&SignIn { refused: obstacle, is_open: obstacle.is_none() });
    Ok(html(StatusCode::OK, document(&api, &content, "", None)))
}

/// Where one goes after signing in.
fn after(next: Option<&str>) -> String {
    format!("./{}", next.filter(|next| is_own(next)).unwrap_or_default())
}

/// `POST /ui/sign-in`: a token in a form; answers with a session.
pub(in crate::api) async fn sign_in(
    State(api): State<Arc<Api>>,
    mut parameters: Parameters,
    too_large: Option<Extension<BodyTooLarge>>,
    request: Request,
) -> Result<Response, Problem> {
    let next = parameters.text("next");
    parameters.finish()?;
    let Some(Peer(peer)) = request.extensions().get::<Peer>().copied() else {
        return Err(refusal(&api, StatusCode::FORBIDDEN, Code::OperatorsOnly, NOT_PLAIN));
    };
    let is_under_tls = request.extensions().get::<UnderTls>().is_some();
    if let Some(why) = obstacle(&api.config(), peer, is_under_tls) {
        return Err(refusal(&api, StatusCode::FORBIDDEN, Code::OperatorsOnly, why));
    }
    let host = Seen::of(&request).host.to_owned();
    let rate = Rate::try_new(ATTEMPTS_RATE).ok();
    let attempt = rate.map(|rate| api.dashboard.attempts.take(peer, rate, ATTEMPTS, clock::now()));
    if let Some(Err(wait)) = attempt {
        return Err(Problem::rate_limited(wait).with(|body| {
            body.detail = Some("too many attempts to sign in from this address".to_owned());
        }));
    }
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, crate::api::listener::MAX_BODY).await.unwrap_or_default();
    let token = if too_large.is_some() { None } else { token(&parts.headers, &body) };
    let Some(token) = token else {
        let why = "The form has no token.";
        return Err(refusal(&api, StatusCode::UNPROCESSABLE_ENTITY, Code::InvalidFields, why));
    };
    let operator = operators::operator(&api.config(), &api.values, peer, Some(token), None);
    let Some(operator) = operator.filter(|operator| operator.role.includes(Role::Read)) else {
        let why = "This is no operator's token, or its operator may not come from this address.";
        return Err(refusal(&api, StatusCode::FORBIDDEN, Code::OperatorsOnly, why));
    };
    if let Some(Ok(attempt)) = attempt {
        api.dashboard.attempts.give_back(attempt);
    }
    let seen = Seen { is_under_tls, host: &host };
    let cookie = secret::random_hex().ok().and_then(|value| {
        let cookie = seen.set(&value)?;
        api.dashboard.sessions.begin(SessionId::of(&value), peer, token, clock::now());
        Some(cookie)
    });
    let Some(cookie) = cookie else {
        let detail = "the system has no random numbers";
        return Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, detail));
    };
    let Operator { name, role } = &operator;
    let name = name.as_ref().map_or("an operator", OperatorName::as_str);
    log::info!("{name} ({}) signed in to the dashboard from {peer}", role.as_str());
    let mut response = see_other(&after(next.as_deref()));
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

/// The digest of the form's token.
fn token(headers: &HeaderMap, body: &Bytes) -> Option<Sha256Digest> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?.split(';').next()?.trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return None;
    }
    let mut tokens = form_urlencoded::parse(body).filter(|(name, _)| name == "token").map(|(_, value)| value);
    let token = tokens.next().filter(|token| token.len() <= MAX_TOKEN)?;
    let token = token.trim();
    (tokens.next().is_none() && !token.is_empty()).then(|| Sha256Digest::of(token.as_bytes()))
}

/// The form again, with what was wrong.
fn refusal(api: &Api, status: StatusCode, code: Code, why: &str) -> Problem {
    let is_open = why != NO_TOKENS && why != NOT_PLAIN;
    let content = dashboard::sign_in(&SignIn { refused: Some(why), is_open });
    Problem::new(status, code, why).into_page(document(api, &content, "", None))
}

/// `POST /ui/sign-out`: ends the session.
pub(in crate::api) async fn sign_out(State(api): State<Arc<Api>>, request: Request) -> Response {
    let seen = Seen::of(&request);
    let mut response = see_other("sign-in");
    if let (Some(value), Some(Peer(peer))) = (seen.sent(request.headers()), request.extensions().get::<Peer>()) {
        api.dashboard.sessions.end(SessionId::of(value), *peer);
    }
    if let Some(cookie) = seen.removed() {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_signing_in_one_goes_to_a_page_of_the_dashboard_and_nowhere_else() {
        for (next, expected) in [
            (None, "./"),
            (Some(""), "./"),
            (Some("services/shop"), "./services/shop"),
            (Some("services?q=a%20b&page=2"), "./services?q=a%20b&page=2"),
            (Some("//evil.example"), "./"),
            (Some("/internal/keys"), "./"),
            (Some("https://evil.example"), "./"),
            (Some("javascript:alert(1)"), "./"),
            (Some("../internal/keys"), "./"),
            (Some("a\r\nSet-Cookie: b"), "./"),
            (Some("a\\b"), "./"),
        ] {
            assert_eq!(after(next), expected, "{next:?}");
        }
        assert_eq!(way("../", "services/a?q=b"), "../sign-in?next=services%2Fa%3Fq%3Db");
        assert_eq!(way("", ""), "sign-in");
    }

    #[test]
    fn a_form_has_one_token() {
        let token = |kind: &'static str, body: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
            token(&headers, &Bytes::from_static(body.as_bytes()))
        };
        let form = "application/x-www-form-urlencoded";
        assert_eq!(token(form, "token=a%20b"), Some(Sha256Digest::of(b"a b")));
        assert_eq!(token(form, "token=+a+"), Some(Sha256Digest::of(b"a")), "as a pasted one is");
        for (kind, body) in [(form, ""), (form, "token="), (form, "token=a&token=b"), ("text/plain", "token=a")] {
            assert_eq!(token(kind, body), None, "{kind} {body}");
        }
    }
}
