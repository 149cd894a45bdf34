//! The client against servers of the tests' own, which answer by script.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    dead_code,
    reason = "a test may fail loudly and read clocks, and the examples of the documentation need less of the server"
)]

#[allow(unreachable_pub, reason = "the examples include it too")]
mod server;

mod failover;
mod joining;
mod looking;
mod refreshing;
mod tls;

use std::time::{Duration, Instant};

use furt_client::{Builder, Registry};

use server::Server;

/// A client with short times: a TTL of 2 s, a beat of 1 s, 300 ms of patience.
fn client(hosts: &[&Server], path: &str) -> Registry {
    client_with(hosts, path, "", None)
}

fn client_with(hosts: &[&Server], path: &str, options: &str, token: Option<&str>) -> Registry {
    let hosts: Vec<_> = hosts.iter().map(|host| host.address.to_string()).collect();
    let text = format!("furt://{}/{path}?ttl=2&timeout=0.3{options}", hosts.join(","));
    // An empty token is none, whatever the environment has.
    Builder::new(text).token(token.unwrap_or_default()).connect().unwrap()
}

/// Asks again and again until it is so.
async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
