//! Requests over HTTP/2 with a body that go to a service of HTTP/2: both directions at once.
//!
//! Pingora awaits room for each part of such a body, and passes on nothing of the answer meanwhile. A service that answers while it
//! reads may have no room before its answer is taken: then each waits for the other. So these exchanges are furt's own: `body` is
//! what goes to the service, `answer` what comes from it. What is before and after them, and what the hooks do within, is as in
//! any other request. Connections are Pingora's, in a pool beside that of all others.

mod answer;
mod body;

use bytes::Bytes;
use http::{HeaderName, Uri, Version, header};
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::v2::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::ALPN;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::client::HttpSession;
use pingora::protocols::http::v2::client::Http2Session;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::{HttpPeer, Peer as _};
use pingora::{Error, ErrorType, Result};
use pingora_proxy::{ProxyHttp as _, Session};

use super::Gateway;
use super::context::Context;
use super::h2::Exchange;
use answer::Answer;
use body::Body;

/// Headers of a request that are meant for furt (RFC 9110 §7.6.1, §11.7.1); HTTP/2 has no others of them. Whether the client takes
/// trailers is told again by the hooks.
const FOR_ONE_HOP: [HeaderName; 4] =
    [header::TE, header::TRAILER, header::PROXY_AUTHENTICATE, header::PROXY_AUTHORIZATION];

/// Connections for such requests.
pub(super) struct Duplex {
    connector: Connector,
}

impl Duplex {
    /// With pools as those of Pingora's proxy.
    pub(super) fn new(conf: &ServerConf) -> Self {
        Self { connector: Connector::new(Some(ConnectorOptions::from_server_conf(conf))) }
    }

    /// A stream to the service, and whether its connection was used before; `None`: the service does not speak HTTP/2.
    async fn connect(&self, peer: &HttpPeer) -> Result<Option<(Http2Session, bool)>> {
        if let Some(pooled) = self.connector.reused_http_session(peer).await? {
            return Ok(Some((pooled, true)));
        }
        Ok(match self.connector.new_http_session::<_, ()>(peer).await? {
            HttpSession::H2(new) => Some((new, false)),
            HttpSession::H1(_) | HttpSession::Custom(()) => None,
        })
    }
}

/// Whether the request's client speaks HTTP/2 and sends a body; what its service speaks is seen later.
pub(super) fn may_take(session: &Session) -> bool {
    Exchange::of(session).is_some_and(|exchange| exchange.has_body)
}

/// How an attempt went, where it did not fail.
enum Attempt {
    Answered,
    /// The service does not speak HTTP/2.
    IsOlder,
}

impl Gateway {
    /// Sends the request to an instance, and another one if need be, and passes the answer on. Whether it is left to Pingora
    /// instead, which has the instance from the attempts.
    ///
    /// # Errors
    /// It was not answered, or not whole.
    pub(super) async fn pass_both_ways(&self, session: &mut Session, ctx: &mut Box<Context>) -> Result<bool> {
        loop {
            let peer = self.next_peer(session, ctx).await?;
            if peer.options.alpn != ALPN::H2 {
                ctx.attempts.chosen = Some(peer);
                return Ok(true);
            }
            match self.attempt(session, ctx, &peer).await {
                Ok(Attempt::Answered) => return Ok(false),
                Ok(Attempt::IsOlder) => {
                    ctx.attempts.chosen = Some(peer);
                    return Ok(true);
                }
                Err(error) if error.retry() => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn attempt(&self, session: &mut Session, ctx: &mut Box<Context>, peer: &HttpPeer) -> Result<Attempt> {
        let (mut service, is_reused) = match self.duplex.connect(peer).await {
            Ok(Some(connected)) => connected,
            Ok(None) => return Ok(Attempt::IsOlder),
            Err(error) => return Err(self.judge_connect_failure(ctx, error.into_up())),
        };
        let passed = self.pass(session, ctx, peer, &mut service).await;
        self.duplex.connector.release_http_session(service, peer, peer.idle_timeout());
        match passed {
            Ok(()) => Ok(Attempt::Answered),
            Err(error) => Err(self.judge_broken_exchange(peer, session, ctx, error, is_reused)),
        }
    }

    /// What is left open when it ends is reset.
    async fn pass(
        &self,
        session: &mut Session,
        ctx: &mut Box<Context>,
        peer: &HttpPeer,
        service: &mut Http2Session,
    ) -> Result<()> {
        let mut body = self.begin(session, ctx, peer, service).await?;
        let mut answer = Answer::default();
        while !(answer.is_done() && body.is_done()) {
            tokio::select! {
                read = session.downstream_session.read_body_or_idle(!body.takes_more()) => {
                    let part = match read {
                        Ok(part) => part,
                        // The client has all it asked for.
                        Err(_) if answer.is_done() => break,
                        Err(error) => return Err(error.into_down()),
                    };
                    self.give(session, ctx, &mut body, part).await?;
                }
                sent = body.send(), if body.is_waiting() => sent?,
                task = answer.next(service), if !answer.is_done() => {
                    body.note_answer();
                    self.take(session, ctx, task?).await?;
                }
            }
        }
        session.as_downstream_mut().finish_body().await.map_err(Error::into_down)
    }

    /// Sends the header, and what an attempt before has read of the body.
    async fn begin(
        &self,
        session: &mut Session,
        ctx: &mut Box<Context>,
        peer: &HttpPeer,
        service: &mut Http2Session,
    ) -> Result<Body> {
        let mut request = session.req_header().clone();
        for name in &FOR_ONE_HOP {
            request.remove_header(name);
        }
        self.upstream_request_filter(session, &mut request, ctx).await?;
        address(&mut request, peer.is_tls())?;
        let is_whole = session.as_downstream_mut().is_body_empty();
        service.write_request_header(Box::new(request), is_whole).map_err(Error::into_up)?;
        let Some(stream) = service.take_request_body_writer() else {
            return Error::e_explain(ErrorType::InternalError, "a request that was begun has a body to write");
        };
        let mut body = Body::new(stream, is_whole, peer.options.write_timeout);
        session.as_downstream_mut().enable_retry_buffering();
        if let Some(read_before) = session.as_downstream_mut().get_retry_buffer() {
            self.give(session, ctx, &mut body, Some(read_before)).await?;
        }
        Ok(body)
    }

    /// A part of the body is there; `None`: it has ended.
    async fn give(
        &self,
        session: &mut Session,
        ctx: &mut Box<Context>,
        body: &mut Body,
        mut part: Option<Bytes>,
    ) -> Result<()> {
        let is_last = part.is_none() || session.as_downstream_mut().is_body_done();
        self.request_body_filter(session, &mut part, is_last, ctx).await?;
        body.give(part.unwrap_or_default(), is_last);
        Ok(())
    }

    /// Something of the answer is there.
    async fn take(&self, session: &mut Session, ctx: &mut Box<Context>, mut task: HttpTask) -> Result<()> {
        match &mut task {
            HttpTask::Header(header, _) => {
                self.response_filter(session, header, ctx).await?;
                // What is written is Pingora's to say.
                header.set_version(Version::HTTP_11);
            }
            HttpTask::Body(part, is_last) => {
                self.response_body_filter(session, part, *is_last, ctx)?;
            }
            HttpTask::Trailer(Some(trailers)) => {
                self.upstream_response_trailer_filter(session, trailers, ctx)?;
                if let Some(end) = self.response_trailer_filter(session, trailers, ctx).await? {
                    task = HttpTask::Body(Some(end), true);
                }
            }
            _ => {}
        }
        session.write_response_tasks(vec![task]).await?;
        Ok(())
    }
}

/// Makes of `Host` what HTTP/2 has in its place.
///
/// # Errors
/// There is none, or it is no host of a url.
pub(super) fn address(request: &mut RequestHeader, is_tls: bool) -> Result<()> {
    let invalid = |why| Error::explain(ErrorType::InvalidHTTPHeader, why).into_down();
    let host = request.remove_header(&header::HOST).ok_or_else(|| invalid("no host"))?;
    if host.as_bytes().contains(&b'@') {
        return Err(invalid("a host with a user"));
    }
    let path = request.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
    let uri =
        Uri::builder().scheme(if is_tls { "https" } else { "http" }).authority(host.as_bytes()).path_and_query(path);
    request.set_uri(uri.build().map_err(|_| invalid("no url can be made of it"))?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use pingora::ErrorSource;

    use super::*;

    #[test]
    fn the_host_is_the_authority() {
        for (host, target, is_tls, expected) in [
            ("shop.example", "/a?b=c", false, Ok("http://shop.example/a?b=c")),
            ("shop.example:8443", "/", true, Ok("https://shop.example:8443/")),
            ("[::1]:80", "/%2F?", true, Ok("https://[::1]:80/%2F?")),
            ("a b", "/", false, Err(())),
            ("a@b", "/", false, Err(())),
        ] {
            let mut request = RequestHeader::build("POST", target.as_bytes(), None).unwrap();
            request.insert_header(header::HOST, host).unwrap();
            let addressed = address(&mut request, is_tls).map(|()| request.uri.to_string()).map_err(|error| {
                assert_eq!(error.esource(), &ErrorSource::Downstream);
            });
            assert_eq!(addressed.as_deref(), expected.as_ref().map(|uri| *uri), "{host} {target}");
            assert!(!request.headers.contains_key(header::HOST));
        }
    }
}
