//! Whether a gateway does what it is measured for: asked before each workload, and failing loudly.
//!
//! The origin shows what arrives (`?echo`), so header edits are seen from both sides. What a gateway is known to lack
//! ([`Peer::lacks`]) must be lacking: a peer that learnt it has to be configured for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustls::pki_types::CertificateDer;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::fleet::{Fleet, Shape};
use super::origin::{LARGE, SMALL};
use super::peers::{Peer, Running, Site};
use super::tls;
use super::workload::HOST;

/// How long a gateway that listens may take to know its route; under valgrind it takes fifty times as long as usual.
const ROUTE: Duration = Duration::from_secs(60);

/// Something that all gateways should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ability {
    /// `X-Forwarded-For` is the client's address, whatever the client said.
    ForwardedFor,
    /// `X-Forwarded-Proto` is `http`, under TLS `https`.
    ForwardedProto,
    /// `X-Forwarded-Host` is the client's `Host`.
    ForwardedHost,
    /// `X-Request-Id` is there, and the same in the answer.
    RequestId,
    /// `X-API-Key` does not reach the service.
    KeyHidden,
    /// `X-API-Key-Name` is the key's name, and nobody else's word.
    KeyName,
    /// What no route leads to: 404, not another error or the service's own answer.
    NotFound,
    /// The answer has `X-Gateway`.
    Gateway,
    /// The answer has `Server-Timing`.
    ServerTiming,
    /// Without a good key: 401.
    Keys,
    /// Without the permission: 403.
    Permissions,
}

impl Ability {
    /// As a footnote calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ForwardedFor => "X-Forwarded-For",
            Self::ForwardedProto => "X-Forwarded-Proto",
            Self::ForwardedHost => "X-Forwarded-Host",
            Self::RequestId => "X-Request-Id",
            Self::KeyHidden => "removal of X-API-Key",
            Self::KeyName => "X-API-Key-Name",
            Self::NotFound => "404",
            Self::Gateway => "X-Gateway",
            Self::ServerTiming => "Server-Timing",
            Self::Keys => "keys",
            Self::Permissions => "permissions",
        }
    }
}

/// Checks it.
///
/// # Errors
/// The first thing that is not as it must be, with what came instead.
pub(super) fn check(running: &mut Running, site: Site, fleet: &Fleet) -> Result<()> {
    running.process.check()?;
    let asking = Asking::new(running);
    let peer = running.peer;
    let checked = match site {
        Site::Public => asking.public(),
        Site::Fleet => asking.fleet(fleet),
    };
    checked.with_context(|| format!("{} does not do what it is to be measured for", peer.name()))
}

/// Waits until a gateway of the public site serves its route.
///
/// # Errors
/// It does not, or has ended.
pub(super) fn wait_for_route(running: &mut Running) -> Result<()> {
    let asking = Asking::new(running);
    let deadline = Instant::now() + ROUTE;
    loop {
        running.process.check()?;
        match asking.expect("/pass/small", &[], 200, Some(&SMALL)) {
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
            result => return result,
        }
    }
}

struct Asking {
    peer: Peer,
    site: Site,
    agent: ureq::Agent,
    scheme: &'static str,
    base: String,
}

/// An answer.
struct Answer {
    status: u16,
    headers: http::HeaderMap,
    body: Vec<u8>,
}

/// With the driver's ciphers.
fn trusting(trusted: &CertificateDer<'static>) -> TlsConfig {
    let roots = RootCerts::new_with_certs(&[Certificate::from_der(trusted).to_owned()]);
    let provider = Arc::new(tls::provider());
    TlsConfig::builder().root_certs(roots).unversioned_rustls_crypto_provider(provider).build()
}

impl Asking {
    fn new(running: &Running) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(30)))
            .http_status_as_error(false)
            .proxy(None);
        let (config, scheme) = match &running.certificate {
            Some(trusted) => (config.tls_config(trusting(trusted)), "https"),
            None => (config, "http"),
        };
        let base = format!("{scheme}://{}", running.address);
        Self { peer: running.peer, site: Site::Public, agent: config.build().new_agent(), scheme, base }
    }

    fn ask(&self, target: &str, headers: &[(&str, &str)], body: Option<Vec<u8>>) -> Result<Answer> {
        let method = if body.is_some() { "POST" } else { "GET" };
        let request =
            http::Request::builder().method(method).uri(format!("{}{target}", self.base)).header("host", HOST);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = match body {
            Some(body) => self.agent.run(request.body(body)?),
            None => self.agent.run(request.body(())?),
        };
        let mut answer = answer.with_context(|| format!("{method} {target}: no answer"))?;
        let body = answer.body_mut().with_config().limit(2 * LARGE as u64).read_to_vec()?;
        Ok(Answer { status: answer.status().as_u16(), headers: answer.headers().clone(), body })
    }

    fn expect(&self, target: &str, headers: &[(&str, &str)], status: u16, body: Option<&[u8]>) -> Result<()> {
        let answer = self.ask(target, headers, None)?;
        let text = String::from_utf8_lossy(&answer.body[..answer.body.len().min(200)]).into_owned();
        ensure!(answer.status == status, "GET {target}: {} instead of {status}: {text}", answer.status);
        ensure!(body.is_none_or(|body| body == answer.body), "GET {target}: another body: {text}");
        Ok(())
    }

    fn public(&self) -> Result<()> {
        self.expect("/pass/small", &[], 200, Some(&SMALL))?;
        self.application()?;
        self.expect("/pass/down", &[], 200, Some(&vec![b'.'; LARGE]))?;
        let nowhere = self.ask("/elsewhere", &[], None)?.status;
        let is_lacking = self.peer.lacks(self.site).contains(&Ability::NotFound);
        ensure!((nowhere == 404) != is_lacking, "GET /elsewhere: {nowhere}");
        let answer = self.ask("/pass/up", &[], Some(vec![b'.'; LARGE]))?;
        let told = String::from_utf8_lossy(&answer.body).trim().to_owned();
        ensure!(answer.status == 200 && told == LARGE.to_string(), "POST /pass/up: {} {told}", answer.status);
        self.edits("/pass/small", None, None)
    }

    /// An application's answer keeps its headers.
    fn application(&self) -> Result<()> {
        let answer = self.ask("/pass/app", &[], None)?;
        let has = |name: &str| answer.headers.contains_key(name);
        let all = ["etag", "last-modified", "set-cookie", "vary", "content-security-policy", "referrer-policy"];
        let missing: Vec<&str> = all.into_iter().filter(|name| !has(name)).collect();
        ensure!(answer.status == 200 && answer.body == SMALL, "GET /pass/app: {}", answer.status);
        ensure!(missing.is_empty(), "GET /pass/app: the answer lost {}", missing.join(", "));
        Ok(())
    }

    fn fleet(mut self, fleet: &Fleet) -> Result<()> {
        self.site = Site::Fleet;
        for service in [0, fleet.services / 2, fleet.services - 1] {
            let number = fleet.key_for(service, 3);
            let (key, stranger) = (fleet.key(number), fleet.key(fleet.key_for((service + 1) % fleet.services, 0)));
            for shape in Shape::ALL {
                let target = fleet.target(service, shape, 5);
                self.expect(&target, &[("x-api-key", &key)], 200, Some(&SMALL))?;
                for (ability, headers, status) in [
                    (Ability::Keys, &[][..], 401),
                    (Ability::Keys, &[("x-api-key", "unknown")], 401),
                    (Ability::Permissions, &[("x-api-key", &stranger)], 403),
                ] {
                    let status = if self.peer.lacks(self.site).contains(&ability) { 200 } else { status };
                    self.expect(&target, headers, status, None)?;
                }
            }
            self.expect(&format!("/api/{}/elsewhere", fleet.service(service)), &[("x-api-key", &key)], 404, None)?;
            let target = fleet.target(service, Shape::Both, 5);
            self.edits(&target, Some(&key), Some(&fleet.key_name(number)))?;
        }
        let key = fleet.key(0);
        self.expect("/api/nobody/status", &[("x-api-key", &key)], 404, None)
    }

    /// What the service sees of a request that claims too much, and what the client sees of the answer.
    fn edits(&self, target: &str, key: Option<&str>, name: Option<&str>) -> Result<()> {
        let mut headers =
            vec![("x-forwarded-for", "192.0.2.1"), ("x-forwarded-host", "forged"), ("x-api-key-name", "forged")];
        headers.push(("x-forwarded-proto", "forged"));
        headers.push(("x-api-key", key.unwrap_or("unknown")));
        let answer = self.ask(&format!("{target}?echo"), &headers, None)?;
        ensure!(answer.status == 200, "GET {target}?echo: {}", answer.status);
        let seen = String::from_utf8_lossy(&answer.body).into_owned();
        let arrived = |name: &str| -> Vec<&str> {
            let lines = seen.lines().filter_map(|line| line.split_once(':'));
            lines.filter(|(one, _)| one.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
        };
        let told = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
        let id = arrived("x-request-id");
        for (ability, holds) in [
            (Ability::ForwardedFor, arrived("x-forwarded-for") == ["127.0.0.1"]),
            (Ability::ForwardedProto, arrived("x-forwarded-proto") == [self.scheme]),
            (Ability::ForwardedHost, arrived("x-forwarded-host") == [HOST]),
            (Ability::RequestId, id.len() == 1 && told("x-request-id") == id.first().copied()),
            (Ability::KeyHidden, arrived("x-api-key").is_empty()),
            (Ability::KeyName, arrived("x-api-key-name") == name.into_iter().collect::<Vec<_>>()),
            (Ability::Gateway, told("x-gateway").is_some()),
            (Ability::ServerTiming, told("server-timing").is_some_and(|timing| timing.contains("dur="))),
        ] {
            if holds == self.peer.lacks(self.site).contains(&ability) {
                let what = if holds { "can do after all" } else { "does not do" };
                bail!("it {what}: {}; the service saw\n{seen}and the client {:?}", ability.name(), answer.headers);
            }
        }
        Ok(())
    }
}
