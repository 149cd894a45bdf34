//! When a certificate is renewed, by the word of an authority that gives one (RFC 9773): acme2certifier.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, rustls};

use crate::foreign::{Acme2certifier, Suggested};
use crate::support::{Gateway, eventually, ports};

/// For an order, on a machine that builds and tests beside it.
const ORDER: Duration = Duration::from_secs(90);
const DAY: i64 = 24 * 3600;
const NAME: &str = "a.example";

/// From when to when a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Life {
    not_before: i64,
    not_after: i64,
}

impl Life {
    /// When it is renewed where the authority says nothing.
    fn two_thirds(self) -> i64 {
        self.not_before + (self.not_after - self.not_before) / 3 * 2
    }
}

/// The certificate that a client is shown.
async fn shown(tls: SocketAddr, client: &Arc<ClientConfig>) -> Option<Life> {
    let socket = TcpStream::connect(tls).await.ok()?;
    let server = ServerName::try_from(NAME).unwrap();
    let stream = TlsConnector::from(Arc::clone(client)).connect(server, socket).await.ok()?;
    let leaf = stream.get_ref().1.peer_certificates()?.first()?;
    let (_, certificate) = x509_parser::parse_x509_certificate(leaf).unwrap();
    let validity = certificate.validity();
    Some(Life { not_before: validity.not_before.timestamp(), not_after: validity.not_after.timestamp() })
}

/// The configuration of a furt that gets a certificate there.
fn tail(authority: &Acme2certifier, tls: SocketAddr) -> String {
    format!(
        "[tls]\nlisten = ['{tls}']\n[acme]\nnames = ['{NAME}']\ncontact = ['a@example.org']\nagree_terms = true\n\
         directory = '{}'\nca = '{}'\n",
        authority.directory(),
        authority.ca().display()
    )
}

/// When it is renewed next, in s.
async fn next_renewal(gateway: &Gateway) -> Option<i64> {
    let seen = gateway.seen("/internal/certificates").await;
    let entry = seen["certificates"].as_array()?.iter().find(|one| one["names"][0] == NAME)?.clone();
    assert_eq!(entry["last_error"], Value::Null, "{entry}");
    Some(furt::clock::parse_rfc3339(entry["next_renewal"].as_str()?).unwrap() / 1000)
}

async fn issued(gateway: &Gateway) -> u64 {
    let metrics = gateway.metrics().await;
    let line = "furt_acme_orders_total{outcome=\"issued\"} ";
    metrics.lines().find_map(|found| found.strip_prefix(line)?.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn a_certificate_is_renewed_when_the_authority_wants_it_long_before_two_thirds_of_its_life() {
    let authority = Acme2certifier::start(Some(Duration::from_secs(240)), Suggested::Now).await;
    let tls = ports::free_address();
    let gateway = Gateway::start(&tail(&authority, tls)).await;
    let client = authority.client();
    let first = eventually("there is a certificate", ORDER, async || shown(tls, &client).await).await;
    let length = first.not_after - first.not_before;
    let second = eventually("there is another one", ORDER, async || {
        let now = shown(tls, &client).await.expect("one that is good is shown throughout");
        (now != first).then_some(now)
    })
    .await;
    // Whatever the authority says, a certificate is kept for a third of its life.
    let age = second.not_before - first.not_before;
    assert!(age >= length / 3 && second.not_before < first.two_thirds(), "after {age} s of {length} s");
    assert_eq!(issued(&gateway).await, 2);
}

#[tokio::test]
async fn what_the_authority_says_of_when_is_shown_and_asked_again_after_a_restart() {
    let mut authority = Acme2certifier::start(None, Suggested::After(85)).await;
    let tls = ports::free_address();
    let mut gateway = Gateway::start(&tail(&authority, tls)).await;
    let client = authority.client();
    let life = eventually("there is a certificate", ORDER, async || shown(tls, &client).await).await;
    assert_eq!(life.not_after - life.not_before, 30 * DAY);
    let later = life.not_before + 30 * DAY / 100 * 85;
    eventually("it is renewed when the authority wants it", ORDER, async || {
        let next = next_renewal(&gateway).await?;
        (later..=later + 3600).contains(&next).then_some(())
    })
    .await;
    assert!(later > life.two_thirds() + DAY, "it would be earlier without its word");

    authority.start_again(Suggested::Now).await;
    gateway.restart().await;
    eventually("the new word counts, and a certificate is kept for six hours whatever it is", ORDER, async || {
        let next = next_renewal(&gateway).await?;
        (life.not_before + 5 * 3600..life.not_before + 7 * 3600).contains(&next).then_some(())
    })
    .await;
    assert_eq!((shown(tls, &client).await, issued(&gateway).await), (Some(life), 0));
    assert!(gateway.cli(&["acme", "renew", NAME]).await.status.success());
    eventually("there is another one", ORDER, async || shown(tls, &client).await.filter(|now| *now != life)).await;
    assert_eq!(issued(&gateway).await, 1);
}
