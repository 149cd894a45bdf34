//! Header edits: what services receive, what clients receive. What tells who a client is comes from furt alone.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, FORWARDED, HOST, PROXY_AUTHENTICATE, SET_COOKIE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::{Error, ErrorType, Result};
use pingora_proxy::Session;

use super::client::{Client, FORWARDED_HOST, FORWARDED_PROTO};
use super::context::Context;
use super::credentials::API_KEY;
use super::identifying::told_permissions;
use super::{cors, framing, hops, http2, message_headers, reuse, rewriting, secure, upload};
use crate::auth::Identity;
use crate::config::ServerConfig;
use crate::header_name::{Folding, HeaderNames, begins_as, reads_as};
use crate::published::Published;
use furt_core::model::{Scheme, address_text};
use furt_core::routing::Lease;

const API_KEY_NAME: HeaderName = HeaderName::from_static("x-api-key-name");
pub(super) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Marks copies of requests for another service, as furt sends them. No client's is believed: proxies pass on what clients send.
const MIRRORED: HeaderName = HeaderName::from_static("x-furt-mirror");
const CERTIFICATE_SHA256: HeaderName = HeaderName::from_static("x-client-cert-sha256");

/// The headers that are set, as they are written. As texts: of a `HeaderName` Pingora makes a copy for each message.
mod set {
    pub(super) const API_KEY_NAME: &str = "X-API-Key-Name";
    pub(super) const AUTH_ISSUER: &str = "X-Auth-Issuer";
    pub(super) const AUTH_SUBJECT: &str = "X-Auth-Subject";
    pub(super) const AUTH_PERMISSIONS: &str = "X-Auth-Permissions";
    pub(super) const FORWARDED_FOR: &str = "X-Forwarded-For";
    pub(super) const FORWARDED_PROTO: &str = "X-Forwarded-Proto";
    pub(super) const FORWARDED_HOST: &str = "X-Forwarded-Host";
    pub(super) const CLIENT_CERT: &str = "Client-Cert";
    pub(super) const CLIENT_CERT_SHA256: &str = "X-Client-Cert-Sha256";
    pub(super) const MAX_FORWARDS: &str = "Max-Forwards";
    pub(super) const VIA: &str = "Via";
    pub(super) const REQUEST_ID: &str = "X-Request-Id";
    pub(super) const GATEWAY: &str = crate::wire::GATEWAY;
    pub(super) const SERVER_TIMING: &str = "Server-Timing";
}

/// Headers of an answer that were meant for the hop to furt (RFC 9110 §7.6.1), beside those that it names itself.
const FOR_ONE_HOP: [HeaderName; 5] =
    [CONNECTION, KEEP_ALIVE, HeaderName::from_static("proxy-connection"), PROXY_AUTHENTICATE, UPGRADE];

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// What frames a body: an interim answer, and the one before a tunnel, has none (RFC 9112 §6.1, RFC 9110 §8.6).
const OF_A_BODY: [HeaderName; 3] = [CONTENT_LENGTH, TRANSFER_ENCODING, TRAILER];

/// Headers that services believe because furt sets them. `x_api_key_name` is the same header to many a service.
const OWN: [&str; 11] = [
    "x-api-key",
    "x-api-key-name",
    "x-auth-subject",
    "x-auth-issuer",
    "x-auth-permissions",
    "x-client-cert-sha256",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-request-id",
    "x-furt-mirror",
];

/// What headers about the client's certificate begin with (RFC 9440).
const CLIENT_CERT_ANY: &str = "client-cert";

/// What headers about the caller begin with.
const AUTH_ANY: &str = "x-auth-";

/// What headers about hops before us begin with.
const FORWARDED_ANY: &str = "x-forwarded";

/// Edits the request that goes to the service.
///
/// # Errors
/// A header that cannot be made; none of ours.
pub(super) fn for_service(session: &Session, request: &mut RequestHeader, ctx: &Context) -> Result<()> {
    let sent = &session.req_header().headers;
    let instance = ctx.attempts.lease.as_ref().map(Lease::instance);
    let host = sent.get(HOST);
    framing::plain_host(request, host, || instance.map(|instance| instance.spec.url.authority()))?;
    if upload::may_have_body(session) {
        framing::plain_length(request)?;
    }
    let Some(snapshot) = &ctx.snapshot else { return Error::e_explain(ErrorType::InternalError, "no configuration") };
    remove_forged(request, &ctx.client, snapshot);
    if let Some((certificate, sha256)) = ctx.client.secured.as_ref().and_then(|secured| secured.certificate()) {
        // A byte sequence, as RFC 8941 writes it.
        request.insert_header(set::CLIENT_CERT, format!(":{}:", STANDARD.encode(certificate)))?;
        request.insert_header(set::CLIENT_CERT_SHA256, sha256.to_string())?;
    }
    count_hop(session.req_header(), request, &snapshot.config.server)?;
    if let Some(key) = &ctx.credentials.key {
        request.insert_header(set::API_KEY_NAME, key.name_header.clone())?;
    }
    if let Some(identity) = &ctx.credentials.identity {
        tell_identity(request, identity, ctx, snapshot)?;
    }
    if ctx.credentials.is_in_authorization {
        request.remove_header(&AUTHORIZATION);
    }
    if let Some(peer) = ctx.client.peer {
        request.insert_header(set::FORWARDED_FOR, forwarded_for(sent, peer, ctx.client.is_peer_trusted))?;
    }
    if !(ctx.client.is_peer_trusted && sent.contains_key(&FORWARDED_PROTO)) {
        request.insert_header(set::FORWARDED_PROTO, forwarded_proto(ctx.client.scheme))?;
    }
    if !(ctx.client.is_peer_trusted && sent.contains_key(&FORWARDED_HOST)) {
        match host {
            Some(host) => request.insert_header(set::FORWARDED_HOST, host.clone())?,
            None => drop(request.remove_header(&FORWARDED_HOST)),
        }
    }
    request.insert_header(set::REQUEST_ID, ctx.received.request_id.clone())
}

/// Removes what only furt may say to services, and what only trusted proxies may.
pub(super) fn remove_forged(request: &mut RequestHeader, client: &Client, snapshot: &Published) {
    let of_identity = snapshot.providers.as_deref().map(|providers| &providers.headers);
    remove_unwanted(request, client, &snapshot.config.server.proxy_headers, of_identity);
}

/// Removes the key and its name, what reads like one of our headers to a service, and what a stranger says of hops before us.
///
/// CGI and its heirs read `_`, and some every other sign, as `-`. `X-Forwarded-Port`, `-Prefix` and the like are believed
/// by services that believe our own.
///
/// `of_proxies`: further headers that a stranger may not send.
///
/// `of_identity`: those by which services are told who a caller is. Nobody but furt sends them, whoever is trusted with what else.
fn remove_unwanted(
    request: &mut RequestHeader,
    client: &Client,
    of_proxies: &HeaderNames,
    of_identity: Option<&HeaderNames>,
) {
    let is_peer_trusted = client.is_peer_trusted;
    // Where furt has asked for a certificate itself, nobody else says which one it was.
    let tells_certificate = is_peer_trusted && client.secured.is_none();
    let is_unwanted = |name: &str| {
        if !is_peer_trusted && of_proxies.have(name) || of_identity.is_some_and(|own| own.have(name)) {
            return true;
        }
        // What all of them begin with; most headers begin otherwise.
        match name.as_bytes() {
            [b'x' | b'f', ..] => {}
            [b'c', b'l', ..] => return !tells_certificate && begins_as(name, CLIENT_CERT_ANY, Folding::EverySign),
            _ => return false,
        }
        if name == CERTIFICATE_SHA256 && !tells_certificate {
            return true;
        }
        if name.starts_with(AUTH_ANY) && OWN.contains(&name) {
            return true;
        }
        if name == API_KEY || name == API_KEY_NAME || name == MIRRORED || name == FORWARDED && !is_peer_trusted {
            return true;
        }
        let has_signs = name.bytes().any(|byte| !byte.is_ascii_alphanumeric() && byte != b'-');
        has_signs
            && OWN.iter().chain(&["forwarded", "x-forwarded-prefix"]).any(|own| reads_as(own, name, Folding::EverySign))
            || !is_peer_trusted && begins_as(name, FORWARDED_ANY, Folding::EverySign) && !OWN.contains(&name)
    };
    let unwanted: Vec<HeaderName> = request.headers.keys().filter(|name| is_unwanted(name.as_str())).cloned().collect();
    for name in unwanted {
        request.remove_header(&name);
    }
}

/// Tells the service who the caller is.
fn tell_identity(request: &mut RequestHeader, identity: &Identity, ctx: &Context, snapshot: &Published) -> Result<()> {
    request.insert_header(set::AUTH_ISSUER, identity.provider.as_str())?;
    if let Some(subject) = &identity.subject {
        request.insert_header(set::AUTH_SUBJECT, subject.clone())?;
    }
    if let Some(permissions) = told_permissions(identity, ctx, snapshot) {
        request.insert_header(set::AUTH_PERMISSIONS, permissions)?;
    }
    for (name, value) in &identity.headers {
        request.append_header(name.clone(), value.clone())?;
    }
    Ok(())
}

/// Says that the request passed here, and takes one from how far it may go. `received`: what the client sent.
fn count_hop(received: &RequestHeader, request: &mut RequestHeader, server: &ServerConfig) -> Result<()> {
    if let Some(own) = &server.via {
        request.append_header(set::VIA, own.field(received.version))?;
    }
    if hops::is_limited(&received.method)
        && let Ok(Some(left)) = hops::max_forwards(&received.headers)
    {
        request.insert_header(set::MAX_FORWARDS, left.saturating_sub(1))?;
    }
    Ok(())
}

fn forwarded_proto(scheme: Scheme) -> HeaderValue {
    match scheme {
        Scheme::Http => HeaderValue::from_static("http"),
        Scheme::Https => HeaderValue::from_static("https"),
    }
}

/// The peer, behind what it was told where it is a trusted proxy.
pub(super) fn forwarded_for(sent: &HeaderMap, peer: IpAddr, is_peer_trusted: bool) -> String {
    let peer = address_text(peer);
    if !is_peer_trusted {
        return peer;
    }
    let told = sent.get_all(FORWARDED_FOR).iter();
    let hops: Vec<&str> = told.filter_map(|value| value.to_str().ok()).collect();
    if hops.is_empty() { peer } else { format!("{}, {peer}", hops.join(", ")) }
}

/// Edits the answer that goes to the client.
///
/// # Errors
/// A header that cannot be made; none of ours.
pub(super) fn for_client(session: &mut Session, response: &mut ResponseHeader, ctx: &Context) -> Result<()> {
    if ctx.answer.kept_alive.is_some() {
        session.set_keepalive(ctx.answer.kept_alive);
    }
    if response.status == StatusCode::SWITCHING_PROTOCOLS {
        for_interim(response);
        response.insert_header(CONNECTION, HeaderValue::from_static("Upgrade"))?;
    } else {
        if let Some(keep_alive) = remove_hop_by_hop(response) {
            reuse::note_said(ctx, &keep_alive);
        }
        if response.version == Version::HTTP_2 {
            http2::plain_trailers(session, response);
        }
        framing::plain_response(response)?;
        // The version is each hop's own: an HTTP/1.0 service must not make the client's connection one.
        response.set_version(Version::HTTP_11);
        // An HTTP/1.0 client knows no chunks: its answer ends with the connection.
        if session.req_header().version == Version::HTTP_10 {
            response.remove_header(&TRANSFER_ENCODING);
            session.set_keepalive(None);
        }
    }
    if ctx.target.cors().is_some() {
        cors::remove(response);
    }
    rewriting::for_client(session, response, ctx)?;
    message_headers::for_client(response, ctx)?;
    add_own(session, response, ctx)
}

/// Edits an answer (1xx) that another one, or a tunnel, follows.
pub(super) fn for_interim(response: &mut ResponseHeader) {
    remove_hop_by_hop(response);
    for name in &OF_A_BODY {
        response.remove_header(name);
    }
}

/// What every answer carries, the service's and furt's own alike.
///
/// # Errors
/// A header that cannot be made; none of ours.
pub(super) fn add_own(session: &mut Session, response: &mut ResponseHeader, ctx: &Context) -> Result<()> {
    // Once furt stops, no connection has a next request (RFC 9112 §9.6).
    if session.is_process_shutting_down() {
        session.set_keepalive(None);
    }
    if let Some((name, value)) = secure::hsts(ctx.answer.hsts_seconds, &response.headers) {
        response.insert_header(name, value)?;
    }
    if let Some(policy) = ctx.target.cors() {
        cors::tell(session.req_header(), response, policy)?;
    }
    for cookie in &ctx.credentials.set_cookies {
        response.append_header(SET_COOKIE, cookie.clone())?;
    }
    if !ctx.credentials.set_cookies.is_empty() {
        keep_from_shared_caches(response)?;
    }
    response.insert_header(set::GATEWAY, HeaderValue::from_static("furt"))?;
    response.append_header(set::SERVER_TIMING, ctx.server_timing())?;
    response.insert_header(set::REQUEST_ID, ctx.received.request_id.clone())
}

/// A session of one client is not for others (RFC 9111 §5.2.2.7). What the service says stays: of directives that
/// contradict each other the narrower one counts (§4.2.1).
fn keep_from_shared_caches(response: &mut ResponseHeader) -> Result<()> {
    let said = response.headers.get_all(CACHE_CONTROL).iter();
    let mut directives = said.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let is_kept = directives.any(|one| ["private", "no-store"].iter().any(|own| one.trim().eq_ignore_ascii_case(own)));
    if !is_kept {
        response.append_header(CACHE_CONTROL, HeaderValue::from_static("private"))?;
    }
    Ok(())
}

/// Removes what was meant for this hop (RFC 9110 §7.6.1); framing is Pingora's, so `Transfer-Encoding` stays. So does the
/// `Upgrade` of an answer that is nothing without it (§15.2.2, §15.5.22). Gives the `Keep-Alive`.
fn remove_hop_by_hop(response: &mut ResponseHeader) -> Option<HeaderValue> {
    let keeps_upgrade = matches!(response.status, StatusCode::SWITCHING_PROTOCOLS | StatusCode::UPGRADE_REQUIRED);
    let nominated: Vec<HeaderName> = response
        .headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name| !is_framing(name) && *name != KEEP_ALIVE && !(keeps_upgrade && *name == UPGRADE))
        .collect();
    for name in nominated {
        response.remove_header(&name);
    }
    // Mostly there is none, and looking at each name that there is costs less than looking for each of these.
    if !response.headers.keys().any(|name| FOR_ONE_HOP.contains(name)) {
        return None;
    }
    let keep_alive = response.remove_header(&KEEP_ALIVE);
    for name in FOR_ONE_HOP.iter().filter(|name| !(keeps_upgrade && **name == UPGRADE)) {
        response.remove_header(name);
    }
    keep_alive
}

/// Framing cannot be nominated away.
fn is_framing(name: &HeaderName) -> bool {
    *name == TRANSFER_ENCODING || *name == CONTENT_LENGTH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_read_like_ours_are_removed() {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        for name in [
            "X_API_Key_Name",
            "x-api_key-name",
            "X.API.Key.Name",
            "X_Forwarded_For",
            "x_request_id",
            "X-Custom_Name",
            "X-Request-Id",
            "X-Forwarded-Port",
            "X_Forwarded_Prefix",
            "X-Forwarded",
            "X-Real-IP",
            "Client_IP",
            "Client-Cert",
            "Client_Cert_Chain",
            "X-Client-Cert-Sha256",
            "X_Client_Cert_Sha256",
            "Client-Name",
            "X-Furt-Mirror",
            "X_Furt_Mirror",
        ] {
            request.insert_header(name.to_owned(), "x").unwrap();
        }
        let of_proxies = HeaderNames::new([HeaderName::from_static("x-real-ip"), HeaderName::from_static("client-ip")]);
        let left = |mut request: RequestHeader, is_peer_trusted| {
            let client = Client { is_peer_trusted, ..Client::default() };
            remove_unwanted(&mut request, &client, &of_proxies, None);
            let mut left: Vec<_> = request.headers.keys().map(|name| name.as_str().to_owned()).collect();
            left.sort_unstable();
            left
        };
        assert_eq!(left(request.clone(), false), ["client-name", "x-custom_name", "x-request-id"]);
        let kept = [
            "client-cert",
            "client-name",
            "client_cert_chain",
            "client_ip",
            "x-client-cert-sha256",
            "x-custom_name",
            "x-forwarded",
            "x-forwarded-port",
            "x-real-ip",
            "x-request-id",
        ];
        assert_eq!(left(request, true), kept);
    }

    #[test]
    fn a_session_is_kept_from_shared_caches_and_what_the_service_says_stays() {
        let cases: [(&[&str], &[&str]); 5] = [
            (&[], &["private"]),
            (&["no-cache, must-revalidate"], &["no-cache, must-revalidate", "private"]),
            (&["public, max-age=60"], &["public, max-age=60", "private"]),
            (&["max-age=60", "Private"], &["max-age=60", "Private"]),
            (&["no-store"], &["no-store"]),
        ];
        for (said, expected) in cases {
            let mut response = ResponseHeader::build(200, None).unwrap();
            for value in said {
                response.append_header(CACHE_CONTROL, *value).unwrap();
            }
            keep_from_shared_caches(&mut response).unwrap();
            assert!(response.headers.get_all(CACHE_CONTROL).iter().eq(expected), "{said:?}: {response:?}");
        }
    }

    #[test]
    fn what_tells_who_a_caller_is_is_removed_whoever_sends_it() {
        let of_identity = HeaderNames::new(["remote-user", "x-auth-subject"].map(HeaderName::from_static));
        for is_peer_trusted in [false, true] {
            let mut request = RequestHeader::build("GET", b"/", None).unwrap();
            for name in ["Remote-User", "remote_user", "Remote.User", "X-Auth_Subject", "Remote-Users", "X-Auth-Other"]
            {
                request.append_header(name.to_owned(), "x").unwrap();
                request.append_header(name.to_owned(), "y").unwrap();
            }
            let client = Client { is_peer_trusted, ..Client::default() };
            remove_unwanted(&mut request, &client, &HeaderNames::new([]), Some(&of_identity));
            let mut left: Vec<_> = request.headers.keys().map(HeaderName::as_str).collect();
            left.sort_unstable();
            assert_eq!(left, ["remote-users", "x-auth-other"]);
        }
    }

    #[test]
    fn headers_for_one_hop_end_here() {
        let mut response = ResponseHeader::build(200, None).unwrap();
        for (name, value) in [
            ("connection", "keep-alive, x-secret, transfer-encoding"),
            ("x-secret", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("transfer-encoding", "chunked"),
            ("x-kept", "1"),
        ] {
            response.insert_header(name, value).unwrap();
        }
        let keep_alive = remove_hop_by_hop(&mut response);
        assert_eq!(keep_alive, Some(HeaderValue::from_static("timeout=5")));
        let mut left: Vec<_> = response.headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["transfer-encoding", "x-kept"]);
    }
}
