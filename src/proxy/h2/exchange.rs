//! One request over HTTP/2, as its task, its session and its hooks share it. It lies in the extensions of the request's header.

use std::sync::{Arc, OnceLock};

use http::{HeaderMap, Version};
use pingora::http::RequestHeader;
use pingora_proxy::Session;

use super::guard::Guard;
use super::websocket::WebSocketKey;
use crate::clock;
use crate::listener::ServiceTime;
use crate::proxy::body_watch::BodyWatch;
use crate::proxy::grpc::Deadline;
use crate::proxy::malformed::Malformed;
use crate::proxy::streams::{self, Grpc};
use crate::tls::Secured;

/// What is known of a request beside its header.
#[derive(Debug)]
pub(in crate::proxy) struct Exchange {
    /// Of its body.
    pub(in crate::proxy) watch: BodyWatch,
    /// How long its service may do nothing.
    pub(in crate::proxy) service: ServiceTime,
    /// Whether its header did not end the request; what follows one for a WebSocket is no body.
    pub(in crate::proxy) has_body: bool,
    /// What is wrong with its header.
    pub(in crate::proxy) malformed: Option<Malformed>,
    /// What it has to do with gRPC.
    pub(in crate::proxy) grpc: Option<Grpc>,
    /// Of a gRPC call that has one.
    pub(in crate::proxy) deadline: Option<Deadline>,
    /// Of a request for a WebSocket.
    pub(in crate::proxy) websocket: Option<WebSocketKey>,
    /// What the handshake of its connection has settled.
    pub(in crate::proxy) secured: Option<Arc<Secured>>,
    /// Trailers of the answer that go after the last of its content.
    held_trailers: OnceLock<HeaderMap>,
    guard: Arc<Guard>,
}

impl Exchange {
    /// Of a request whose header is made one of HTTP/1.
    pub(super) fn new(
        request: &RequestHeader,
        has_body: bool,
        malformed: Option<Malformed>,
        websocket: Option<WebSocketKey>,
        secured: Option<Arc<Secured>>,
        guard: Arc<Guard>,
    ) -> Self {
        let grpc = streams::grpc(&request.headers);
        let is_call = grpc == Some(Grpc::Call);
        let deadline = is_call.then(|| Deadline::of(&request.headers, clock::now())).flatten();
        let (watch, service) = (BodyWatch::new(), ServiceTime::default());
        Self {
            watch,
            service,
            has_body,
            malformed,
            grpc,
            deadline,
            websocket,
            secured,
            held_trailers: OnceLock::new(),
            guard,
        }
    }

    /// Its connection takes no further request: its client has to open another one.
    pub(in crate::proxy) fn retire_connection(&self) {
        self.guard.retire();
    }

    /// Has these trailers sent after the part that ends the answer's content.
    pub(in crate::proxy) fn hold_trailers(&self, trailers: HeaderMap) {
        // An answer has trailers once.
        _ = self.held_trailers.set(trailers);
    }

    /// Those trailers.
    pub(super) fn held_trailers(&self) -> Option<HeaderMap> {
        self.held_trailers.get().cloned()
    }

    /// The one of a session; `None`: its client speaks HTTP/1.
    pub(in crate::proxy) fn of(session: &Session) -> Option<&Arc<Self>> {
        let request = session.req_header();
        if request.version == Version::HTTP_2 { request.extensions.get() } else { None }
    }
}
