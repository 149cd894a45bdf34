//! The probe over one shared connector: a GET of the health endpoint, for which 2xx is success, or what the service says is;
//! the body is never read. Or a call of gRPC's own health protocol (`grpc`).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{Method, Version, header};
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::http::client::HttpSession;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use pingora_load_balancing::Backend;
use pingora_load_balancing::health_check::HealthCheck;

use super::grpc;
use crate::clock;
use crate::telemetry::VERSION;
use crate::tls::UpstreamTls;
use crate::upstream::{PeerTimeouts, Reuse, peer};
use furt_core::model::{Protocol, StatusRange};
use furt_core::registry::ProbeTarget;
use furt_core::routing::PoolGroup;

/// How long an idle h2c connection of a probe is kept: it is not worth keeping to the next probe.
const IDLE: Duration = Duration::from_secs(1);

/// Interim answers before the answer itself; a server has a use for one or two.
const MAX_INTERIM: usize = 8;

/// Probes by HTTP/1.1, h2c and https alike.
pub struct HttpProbe {
    connector: Connector,
    tls: Arc<UpstreamTls>,
    timeout: Box<dyn Fn() -> Duration + Send + Sync>,
    user_agent: String,
}

impl HttpProbe {
    /// `timeout`, asked for each probe, is over everything: connect, handshake, request, status line and headers.
    pub fn new(
        options: ConnectorOptions,
        tls: Arc<UpstreamTls>,
        timeout: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Self {
        let timeout = Box::new(timeout);
        let user_agent = format!("furt/{VERSION} (health)");
        Self { connector: Connector::new(Some(options)), tls, timeout, user_agent }
    }

    async fn get(&self, target: &ProbeTarget, timeout: Duration) -> Result<()> {
        let (mut session, peer) = self.connect(target, timeout).await?;
        let path = target.spec.health_endpoint.as_deref().unwrap_or("/health");
        let is_h2 = matches!(session, HttpSession::H2(_));
        let mut request = self.request(target, Method::GET, path, is_h2)?;
        if !is_h2 {
            request.insert_header(header::CONNECTION, "close")?;
        }
        session.write_request_header(Box::new(request)).await?;
        session.finish_request_body().await?;
        session.set_read_timeout(Some(beyond(timeout)));
        let status = final_status(&mut session).await?;
        self.leave(session, &peer).await;
        let good = target.definition.health_check.status.unwrap_or(StatusRange::SUCCESS);
        if good.contains(status) {
            return Ok(());
        }
        Error::e_explain(ErrorType::CustomCode("status", status), format!("status {status}"))
    }

    /// Asks for `name` by gRPC.
    async fn call(&self, target: &ProbeTarget, name: &str, timeout: Duration) -> Result<()> {
        if target.spec.protocol != Protocol::H2c {
            return grpc::failed(0, "a probe by gRPC needs an instance of \"protocol\": \"h2c\"".to_owned());
        }
        let (mut session, peer) = self.connect(target, timeout).await?;
        let mut request = self.request(target, Method::POST, grpc::PATH, true)?;
        request.insert_header(header::CONTENT_TYPE, "application/grpc")?;
        request.insert_header(header::TE, "trailers")?;
        request.insert_header("grpc-timeout", format!("{}m", timeout.as_millis()))?;
        session.write_request_header(Box::new(request)).await?;
        session.write_request_body(grpc::request(name), true).await?;
        session.set_read_timeout(Some(beyond(timeout)));
        let outcome = call_outcome(&mut session, name).await;
        self.leave(session, &peer).await;
        outcome
    }

    /// What is still to come is not read: an HTTP/1 connection is closed, an h2c stream reset.
    async fn leave(&self, mut session: HttpSession, peer: &HttpPeer) {
        session.shutdown().await;
        if let session @ HttpSession::H2(_) = session {
            self.connector.release_http_session(session, peer, Some(IDLE)).await;
        }
    }

    /// Connects to the first address that can be reached, as requests do. Each has its share of the time that is left, so
    /// that one that hangs leaves time for the others.
    async fn connect(&self, target: &ProbeTarget, timeout: Duration) -> Result<(HttpSession, HttpPeer)> {
        let ends_at = clock::now() + timeout;
        let mut failure = None;
        for (number, &address) in (0_u32..).zip(target.addresses.iter()) {
            let left = u32::try_from(target.addresses.len()).unwrap_or(u32::MAX).saturating_sub(number);
            let connect = match left {
                0 | 1 => beyond(timeout),
                left => ends_at.saturating_duration_since(clock::now()) / left,
            };
            let timeouts = PeerTimeouts { connect, read: Some(beyond(timeout)), write: beyond(timeout), idle: IDLE };
            let trust = (&*self.tls, Some(&target.definition.service));
            let peer = peer(&target.spec, address, PoolGroup::default(), timeouts, Reuse::Usual, trust)
                .map_err(|why| Error::explain(ErrorType::InternalError, why))?;
            match self.connector.get_http_session(&peer).await {
                Ok((session, _)) => return Ok((session, peer)),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| Error::explain(ErrorType::InternalError, "a probe without an address")))
    }

    fn request(&self, target: &ProbeTarget, method: Method, path: &str, is_h2: bool) -> Result<RequestHeader> {
        let own = target.definition.health_check.host.as_ref();
        let authority = own.map_or_else(|| target.spec.url.authority(), |host| host.as_str().to_owned());
        let mut request = RequestHeader::build(method, path.as_bytes(), Some(3))?;
        if is_h2 {
            request.set_version(Version::HTTP_2);
            let scheme = target.spec.url.scheme.as_str();
            let uri = http::Uri::builder().scheme(scheme).authority(authority.as_str()).path_and_query(path).build();
            request.set_uri(
                uri.map_err(|error| Error::because(ErrorType::InternalError, "building the probe's uri", error))?,
            );
        }
        request.insert_header(header::HOST, &authority)?;
        request.insert_header(header::USER_AGENT, &self.user_agent)?;
        Ok(request)
    }
}

/// Later than the timeout over everything, so that there is one way to be too late.
fn beyond(timeout: Duration) -> Duration {
    timeout * 2
}

/// The status of the answer itself: interim ones (`103 Early Hints`) may come before it.
async fn final_status(session: &mut HttpSession) -> Result<u16> {
    for _ in 0..=MAX_INTERIM {
        session.read_response_header().await?;
        let status = session.response_header().map_or(0, |header| header.status.as_u16());
        // Of h2 the interim ones are never seen, and its header cannot be read twice.
        if !matches!(status, 100 | 102..=199) || matches!(session, HttpSession::H2(_)) {
            return Ok(status);
        }
    }
    Error::e_explain(ErrorType::Custom("interim"), "interim answers without end")
}

/// Reads an answer by gRPC, and judges it.
async fn call_outcome(session: &mut HttpSession, name: &str) -> Result<()> {
    session.read_response_header().await?;
    let Some(response) = session.response_header() else { return grpc::failed(0, "it answers nothing".to_owned()) };
    let status = response.status.as_u16();
    if status != 200 {
        return Error::e_explain(ErrorType::CustomCode("status", status), format!("status {status}, and not gRPC"));
    }
    if response.headers.contains_key("grpc-status") {
        return grpc::judge(name, &response.headers, &[]);
    }
    let mut body = Vec::new();
    while let Some(part) = session.read_response_body().await? {
        body.extend_from_slice(&part);
        if body.len() > grpc::MAX_ANSWER {
            break;
        }
    }
    let trailers = match session {
        HttpSession::H2(session) if body.len() <= grpc::MAX_ANSWER => session.read_trailers().await?,
        _ => None,
    };
    grpc::judge(name, &trailers.unwrap_or_default(), &body)
}

#[async_trait]
impl HealthCheck for HttpProbe {
    async fn check(&self, target: &Backend) -> Result<()> {
        let Some(target) = target.ext.get::<ProbeTarget>() else {
            return Error::e_explain(ErrorType::InternalError, "a probe without a target");
        };
        let check = &target.definition.health_check;
        let timeout = check.timeout.unwrap_or_else(|| (self.timeout)());
        let probing = async {
            match &check.grpc {
                None => self.get(target, timeout).await,
                Some(name) => self.call(target, name, timeout).await,
            }
        };
        match tokio::time::timeout(timeout, probing).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let why = format!("no answer within {} ms", timeout.as_millis());
                Error::e_explain(ErrorType::Custom("timeout"), why)
            }
        }
    }

    /// One outcome is one outcome; how many make a verdict is the registry's to say.
    fn health_threshold(&self, _success: bool) -> usize {
        1
    }
}

#[cfg(test)]
mod tests;
