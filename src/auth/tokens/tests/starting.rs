//! An issuer as a configuration starts it, with real files and the real time.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tokio::runtime::Handle;

use super::super::error::{TokenError, TokenFault};
use super::super::{Issuer, IssuerError};
use super::issuing::{digest, judged};
use super::signing::{Pair, claims, config, document, header, with};
use crate::clock;
use crate::config::{IssuerConfig, JwksSource, TokenAlgorithm};
use crate::telemetry::TokenMetrics;

fn start(config: &IssuerConfig, keep: Option<&Path>) -> Result<std::sync::Arc<Issuer>, IssuerError> {
    let metrics = TokenMetrics::unexposed().unwrap();
    Issuer::start(config, keep.map(Path::to_owned), &metrics, &Handle::current())
}

/// A token of the real time.
fn token(pair: &Pair, kid: &str) -> String {
    let now = clock::unix_ms() / 1000;
    let claims = with(with(claims(), "exp", json!(now + 600)), "iat", json!(now));
    pair.token(&header(TokenAlgorithm::EdDsa, kid), &claims)
}

#[tokio::test]
async fn keys_of_a_file_are_there_soon_after_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (path, pair) = (folder.path().join("keys.json"), Pair::ed25519());
    fs::write(&path, document(&[pair.jwk("k")]).to_string()).unwrap();
    let issuer = start(&IssuerConfig { jwks: JwksSource::File(path), ..config() }, None).unwrap();
    assert_eq!(issuer.config().name.as_str(), "login");
    let good = token(&pair, "k");
    // It waits for them.
    let identity = judged(&issuer, &good).await.unwrap();
    assert_eq!(identity.subject.as_ref().unwrap(), "ann");
    assert_eq!(issuer.known(&digest(&good), clock::unix_ms()), Some(identity));
    assert_eq!(issuer.fault(), None);
    let strange = token(&Pair::ed25519(), "k");
    assert_eq!(judged(&issuer, &strange).await, Err(TokenFault::Refused(TokenError::Signature)));
}

#[tokio::test]
async fn a_file_that_is_not_there_is_a_fault_that_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let issuer = start(&IssuerConfig { jwks: JwksSource::File(path.clone()), ..config() }, None).unwrap();
    assert_eq!(judged(&issuer, &token(&Pair::ed25519(), "k")).await, Err(TokenFault::NoKeys));
    let expected = format!("the keys of the issuer login cannot be fetched: {} is not there", path.display());
    assert_eq!(issuer.fault(), Some(expected));
}

#[tokio::test]
async fn authorities_that_cannot_be_read_are_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("ca.pem");
    let told =
        start(&IssuerConfig { ca: Some(missing.clone()), ..config() }, None).map(|_| ()).unwrap_err().to_string();
    let expected = format!("{} cannot be read", missing.display());
    assert!(told.starts_with(&expected), "{told}");
}

#[tokio::test]
async fn keys_that_are_kept_are_used_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (path, pair) = (folder.path().join("keys.json"), Pair::ed25519());
    // Nobody listens there.
    let url = "http://127.0.0.1:1/keys";
    let kept = json!({"source": url, "fetched_at": clock::unix_ms() / 1000, "jwks": document(&[pair.jwk("k")])});
    fs::write(&path, kept.to_string()).unwrap();
    let config = IssuerConfig { jwks: JwksSource::Url(url.parse().unwrap()), ..config() };
    let issuer = start(&config, Some(&path)).unwrap();
    assert!(judged(&issuer, &token(&pair, "k")).await.is_ok());
    for _ in 0..1_000 {
        if issuer.fault().is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(issuer.fault().is_some(), "the server was asked all the same");
    assert!(judged(&issuer, &token(&pair, "k")).await.is_ok());
}
