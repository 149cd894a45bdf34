//! The public `/health`, as the seed shows it: furt's own status, and the services' for those who may see them.

use std::net::IpAddr;

use bytes::Bytes;
use http::HeaderMap;
use http::header::FORWARDED;
use pingora_proxy::Session;
use serde_json::{Map, Value, json};

use super::Gateway;
use super::context::Context;
use crate::clock;
use crate::routing::{Instance, Service, Snapshot};
use crate::telemetry::{COMMIT, VERSION};

impl Gateway {
    /// The body. Services are shown to addresses that may register, unless someone untrusted speaks for another.
    pub(super) fn public_health(&self, ctx: &Context, session: &Session, snapshot: &Snapshot) -> Bytes {
        let issues = self.telemetry.issues();
        let status = if issues.is_empty() { "healthy" } else { "degraded" };
        let mut body = json!({ "status": status, "service": "furt", "version": VERSION });
        let headers = &session.req_header().headers;
        if self.sees_details(ctx.client, ctx.is_peer_trusted, headers) {
            body["build"] = json!({ "commit": COMMIT });
            if !issues.is_empty() {
                body["issues"] = json!(issues);
            }
            let services =
                snapshot.registered().map(|service| (service.definition.service.to_string(), describe(service)));
            body["services"] = Value::Object(services.collect());
        }
        body.to_string().into()
    }

    fn sees_details(&self, client: Option<IpAddr>, is_peer_trusted: bool, headers: &HeaderMap) -> bool {
        let speaks_for_another = headers.contains_key(FORWARDED) || headers.contains_key("x-forwarded-for");
        (is_peer_trusted || !speaks_for_another)
            && client.is_some_and(|client| self.settings.health_details_for.contains(client))
    }
}

/// A service by its first instance, and all of them where there are several.
fn describe(service: &Service) -> Value {
    let mut shown = match service.instances.first() {
        Some(first) => describe_instance(first),
        None => Map::new(),
    };
    shown.insert("status".to_owned(), service.status.as_str().into());
    if service.instances.len() > 1 {
        let instances =
            service.instances.iter().map(|one| (one.spec.id.to_string(), Value::Object(describe_instance(one))));
        shown.insert("instances".to_owned(), Value::Object(instances.collect()));
    }
    Value::Object(shown)
}

fn describe_instance(instance: &Instance) -> Map<String, Value> {
    let mut shown = Map::new();
    shown.insert("status".to_owned(), instance.status.as_str().into());
    shown.insert("url".to_owned(), instance.spec.url.to_string().into());
    shown.insert("last_ping".to_owned(), instance.live.last_ping_ms().map(clock::rfc3339).into());
    let took_ms = instance.live.response_time_us().map(|us| us.div_ceil(1000));
    shown.insert("response_time_ms".to_owned(), took_ms.into());
    shown.insert("consecutive_failures".to_owned(), instance.live.consecutive_failures().into());
    shown
}
