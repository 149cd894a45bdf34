//! One request over HTTP/2, as its task, its session and its hooks share it. It lies in the extensions of the request's header.

use std::sync::Arc;

use http::Version;
use pingora_proxy::Session;

use super::guard::Guard;
use crate::listener::ServiceTime;
use crate::proxy::body_watch::BodyWatch;
use crate::proxy::malformed::Malformed;
use crate::tls::Secured;

/// What is known of a request beside its header.
#[derive(Debug)]
pub(in crate::proxy) struct Exchange {
    /// Of its body.
    pub(in crate::proxy) watch: BodyWatch,
    /// How long its service may do nothing.
    pub(in crate::proxy) service: ServiceTime,
    /// Whether its header did not end the request.
    pub(in crate::proxy) has_body: bool,
    /// What is wrong with its header.
    pub(in crate::proxy) malformed: Option<Malformed>,
    /// What the handshake of its connection has settled.
    pub(in crate::proxy) secured: Option<Arc<Secured>>,
    guard: Arc<Guard>,
}

impl Exchange {
    pub(super) fn new(
        has_body: bool,
        malformed: Option<Malformed>,
        secured: Option<Arc<Secured>>,
        guard: Arc<Guard>,
    ) -> Self {
        Self { watch: BodyWatch::new(), service: ServiceTime::default(), has_body, malformed, secured, guard }
    }

    /// Its connection takes no further request: its client has to open another one.
    pub(in crate::proxy) fn retire_connection(&self) {
        self.guard.retire();
    }

    /// The one of a session; `None`: its client speaks HTTP/1.
    pub(in crate::proxy) fn of(session: &Session) -> Option<&Arc<Self>> {
        let request = session.req_header();
        if request.version == Version::HTTP_2 { request.extensions.get() } else { None }
    }
}
