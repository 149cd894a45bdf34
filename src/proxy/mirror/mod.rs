//! Copies of requests for another service, where `mirror` is in force for the route.
//!
//! The request itself never waits for its copy: here it is decided whether there is one, and begun; `header` makes the copy's
//! header, `body` takes the parts of the body as they pass, `coming` bounds how many do, `sending` sends the whole in a task of its
//! own. What comes of that is counted, and changes nothing at the instance.

pub(super) mod body;
mod coming;
mod header;
mod sending;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method};
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::server::configuration::ServerConf;
use pingora_proxy::Session;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Gateway;
use super::context::Context;
use super::{framing, streams, tracing, upload, websockets};
use crate::clock;
use crate::published::Published;
use crate::telemetry::{MirrorOutcome, ProxyMetrics};
use crate::tls::UpstreamTls;
use body::{Awaited, Mirroring};
use coming::Coming;
use furt_core::model::{Mirror, Percentage, ServiceName};
use furt_core::routing::Instance;

/// The most copies that are being sent, in the whole process.
const MOST: usize = 64;
/// The most copies that wait for the rest of their bodies: as many as can be sent, so that both together bound the memory.
const MOST_COMING: usize = 64;
/// How long a copy may take, from the time that the request goes to its own service to the end of the copy's answer.
const TIME: Duration = Duration::from_secs(5);

/// What all copies share.
pub(super) struct Mirrors {
    connector: Connector,
    tls: Arc<UpstreamTls>,
    metrics: Arc<ProxyMetrics>,
    sending: Arc<Semaphore>,
    coming: Arc<Coming>,
}

impl Mirrors {
    /// With connections of their own.
    pub(super) fn new(conf: &ServerConf, tls: Arc<UpstreamTls>, metrics: Arc<ProxyMetrics>) -> Arc<Self> {
        let options = ConnectorOptions { keepalive_pool_size: MOST, ..ConnectorOptions::from_server_conf(conf) };
        let (sending, coming) = (Arc::new(Semaphore::new(MOST)), Coming::new(MOST_COMING));
        Arc::new(Self { connector: Connector::new(Some(options)), tls, metrics, sending, coming })
    }

    /// A place among the copies that are being sent.
    fn place(&self) -> Result<OwnedSemaphorePermit, MirrorOutcome> {
        Arc::clone(&self.sending).try_acquire_owned().map_err(|_| MirrorOutcome::TooMany)
    }

    /// Sends the copy in a task of its own, once its body is there.
    fn begin(self: &Arc<Self>, copy: Copy, body: CopyBody) {
        let mirrors = Arc::clone(self);
        let ends_at = clock::now() + TIME;
        tokio::spawn(async move {
            let service = copy.service.clone();
            let sent = tokio::time::timeout_at(ends_at.into(), mirrors.finish(copy, body, ends_at)).await;
            let outcome = sent.unwrap_or(Err(MirrorOutcome::TimedOut)).err().unwrap_or(MirrorOutcome::Answered);
            mirrors.metrics.mirrored(&service, outcome);
        });
    }

    async fn finish(&self, copy: Copy, body: CopyBody, ends_at: Instant) -> Result<(), MirrorOutcome> {
        let (body, _place) = match body {
            CopyBody::None(place) => (None, place),
            CopyBody::Coming(mut awaited, mut coming) => {
                let body = tokio::select! {
                    biased;
                    body = awaited.whole() => body?,
                    () = coming.lost() => return Err(MirrorOutcome::TooMany),
                };
                (Some(body), self.place()?)
            }
        };
        self.send(copy, body, ends_at).await.map_err(|why| {
            log::debug!("the copy of a request failed: {why}");
            MirrorOutcome::Failed
        })
    }
}

/// What of a copy is sent after its header.
enum CopyBody {
    /// Nothing: it is sent at once.
    None(OwnedSemaphorePermit),
    /// What the client sends.
    Coming(Awaited, coming::Place),
}

/// A copy of a request, but for its body.
struct Copy {
    service: ServiceName,
    instance: Arc<Instance>,
    request: RequestHeader,
}

impl Gateway {
    /// The request goes to its own service, as `request`. The first time that decides whether there is a copy, and begins it;
    /// afterwards only the body is taken anew, since it is sent anew as well.
    pub(super) fn begin_mirror(
        &self,
        session: &mut Session,
        request: &RequestHeader,
        ctx: &mut Context,
        mirror: &Mirror,
    ) {
        if !matches!(ctx.mirroring, Mirroring::Undecided) {
            return ctx.mirroring.restart();
        }
        let is_drawn = mirror.share.has(fastrand::u16(0..Percentage::POINTS));
        ctx.mirroring = if is_drawn && may_copy(session, ctx, mirror) {
            self.copy(session, (request, ctx.traced.is_some()), ctx.snapshot.as_deref(), mirror).unwrap_or_else(
                |outcome| {
                    self.mirrors.metrics.mirrored(&mirror.service, outcome);
                    Mirroring::Over
                },
            )
        } else {
            Mirroring::Over
        };
    }

    fn copy(
        &self,
        session: &mut Session,
        (request, is_traced): (&RequestHeader, bool),
        snapshot: Option<&Published>,
        mirror: &Mirror,
    ) -> Result<Mirroring, MirrorOutcome> {
        let instance = snapshot.and_then(|snapshot| instance(snapshot, &mirror.service));
        let instance = instance.ok_or(MirrorOutcome::NoInstance)?;
        let has_body = upload::may_have_body(session) && !session.as_downstream_mut().is_body_empty();
        let length = framing::body_length(session.req_header()).filter(|_| has_body);
        if length.is_some_and(|length| length > u64::from(mirror.max_body)) {
            return Err(MirrorOutcome::TooLarge);
        }
        let place = if has_body { None } else { Some(self.mirrors.place()?) };
        let mut request = header::copy_of(request).map_err(|_| MirrorOutcome::Failed)?;
        if is_traced {
            tracing::forget(&mut request);
        }
        let copy = Copy { service: mirror.service.clone(), instance, request };
        if let Some(place) = place {
            self.mirrors.begin(copy, CopyBody::None(place));
            return Ok(Mirroring::Over);
        }
        let (body, awaited) = body::pair(mirror.max_body);
        self.mirrors.begin(copy, CopyBody::Coming(awaited, self.mirrors.coming.enter()));
        Ok(Mirroring::Body(body))
    }
}

/// A part of the request's body goes to its own service.
pub(super) fn take_body(ctx: &mut Context, part: Option<&Bytes>, is_last: bool) {
    if let Mirroring::Body(_) = ctx.mirroring {
        ctx.mirroring.take(part.map_or(&[], |part| part), is_last);
    }
}

/// Whether a request is one that can be copied, and that the rule asks for.
fn may_copy(session: &Session, ctx: &Context, mirror: &Mirror) -> bool {
    let received = session.req_header();
    mirror.methods.contains(&received.method)
        && received.method != Method::CONNECT
        && !ctx.received.is_call
        && !is_exchange(&received.headers)
        && !websockets::is_asked_for(session)
}

/// Whether the request is a part of a longer talk, which a copy without its client cannot have.
fn is_exchange(headers: &HeaderMap) -> bool {
    headers.contains_key(http::header::EXPECT) || streams::is_grpc_message(headers)
}

/// An instance that gets a copy; `None`: there is none that is UP, or the service is in maintenance.
fn instance(snapshot: &Published, name: &ServiceName) -> Option<Arc<Instance>> {
    let is_closed =
        |now_ms| snapshot.maintenance.as_ref().is_some_and(|table| table.of_service(name, now_ms).next().is_some());
    let service = snapshot.service_named(name.as_str())?;
    let instance = service.up_instance(fastrand::usize(..))?;
    (!is_closed(clock::unix_ms())).then(|| Arc::clone(instance))
}
