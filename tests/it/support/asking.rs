//! A service that everyone may ask, and asking it: of routes and what restricts them.

use std::net::IpAddr;

use reqwest::Method;
use serde_json::{Value, json};

use super::gateway::client_from;
use super::{Answer, Gateway, Origin, public_service, with};

/// A public service at `/s` and below.
pub(crate) fn service(origin: &Origin, more: Value) -> Value {
    let routes = json!([{"method": "*", "path": "/s"}, {"method": "*", "path": "/s/*"}]);
    with(public_service("s", &origin.url(), "/s"), with(json!({"routes": routes}), more))
}

pub(crate) async fn ask(gateway: &Gateway, path: &str) -> Answer {
    Answer::of(gateway.anonymous(Method::GET, path)).await
}

/// The statuses of so many requests.
pub(crate) async fn statuses(gateway: &Gateway, path: &str, count: usize) -> Vec<u16> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(ask(gateway, path).await.status.as_u16());
    }
    all
}

/// A request from another address of this machine.
pub(crate) async fn ask_from(gateway: &Gateway, source: &str, path: &str) -> Answer {
    let source: IpAddr = source.parse().unwrap();
    Answer::of(client_from(Some(source)).get(gateway.public_url(path))).await
}
