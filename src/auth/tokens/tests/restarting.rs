//! Keys on disk: what a furt that starts takes over of the one before.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use super::super::error::TokenFault;
use super::issuing::{Server, judged, pass, start_as, start_at, token};
use super::signing::{NOW, Pair, config, document};
use crate::config::{IssuerConfig, JwksSource};

/// What the file says, once it is there and says so.
async fn kept(path: &Path, is_meant: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..1_000 {
        let text = fs::read(path).unwrap_or_default();
        if let Ok(kept) = serde_json::from_slice::<Value>(&text)
            && is_meant(&kept)
        {
            return kept;
        }
        pass(1).await;
    }
    panic!("{} does not say it: {:?}", path.display(), fs::read_to_string(path));
}

#[tokio::test(start_paused = true)]
async fn a_furt_that_starts_has_the_last_good_keys_while_the_server_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let (path, pair) = (folder.path().join("deep/keys.json"), Pair::ed25519());
    let first = start_as(&config(), &Server::with(&[(&pair, "k")]), Some(&path));
    let written = kept(&path, |_| true).await;
    let expected = json!({
        "source": "https://login.example.org/keys", "fetched_at": NOW as i64, "jwks": document(&[pair.jwk("k")]),
    });
    assert_eq!(written, expected);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    drop(first);
    let second = start_as(&config(), &Server::default(), Some(&path));
    assert!(judged(&second, &token(&pair, "k")).await.is_ok());
    pass(10).await;
    assert!(second.fault().is_some_and(|why| why.contains("it is away")));
}

#[tokio::test(start_paused = true)]
async fn what_is_damaged_or_of_another_url_is_not_used_and_is_written_anew() {
    let (old, new) = (Pair::ed25519(), Pair::ed25519());
    let good = json!({"source": "https://login.example.org/keys", "fetched_at": 1, "jwks": document(&[old.jwk("k")])});
    let with = |name: &str, value: Value| super::signing::with(good.clone(), name, value).to_string();
    for text in [
        with("source", json!("https://login.example.org/others")),
        with("source", json!(null)),
        with("jwks", json!({"keys": []})),
        with("jwks", json!("x")),
        with("fetched_at", json!("now")),
        good.to_string().replace('}', ""),
        String::new(),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        fs::write(&path, &text).unwrap();
        let issuer = start_as(&config(), &Server::default(), Some(&path));
        assert_eq!(judged(&issuer, &token(&old, "k")).await, Err(TokenFault::NoKeys), "{text}");
        let _issuer = start_as(&config(), &Server::with(&[(&new, "k")]), Some(&path));
        kept(&path, |kept| kept["jwks"] == document(&[new.jwk("k")])).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    fs::write(&path, good.to_string()).unwrap();
    let issuer = start_as(&config(), &Server::default(), Some(&path));
    assert!(judged(&issuer, &token(&old, "k")).await.is_ok(), "what is changed above is what is refused");
}

#[tokio::test(start_paused = true)]
async fn the_file_is_written_when_the_keys_change_or_it_is_a_day_old() {
    let folder = tempfile::tempdir().unwrap();
    let (path, old, new) = (folder.path().join("keys.json"), Pair::ed25519(), Pair::ed25519());
    let server = Server::with(&[(&old, "k")]);
    let at = |kept: &Value| kept["fetched_at"].as_i64().unwrap() - NOW as i64;
    let first = start_as(&config(), &server, Some(&path));
    kept(&path, |_| true).await;
    pass(23 * 3_600_000).await;
    assert_eq!(at(&kept(&path, |_| true).await), 0, "{} fetches of the same keys", server.fetches());
    assert!(server.fetches() > 100);
    pass(3_600_000).await;
    let day = kept(&path, |kept| at(kept) > 0).await;
    assert!((86_400..87_000).contains(&at(&day)), "{day}");
    server.has(&[(&new, "k")]);
    pass(600_000).await;
    kept(&path, |kept| kept["jwks"] == document(&[new.jwk("k")])).await;
    drop(first);
    // A furt that starts again knows how old it is.
    let before = fs::read(&path).unwrap();
    let server = Server::with(&[(&new, "k")]);
    let _second = start_at(NOW + 2.0 * 86_400.0 - 3_600.0, &config(), &server, Some(&path));
    pass(600).await;
    assert_eq!((server.fetches(), fs::read(&path).unwrap()), (1, before));
}

#[tokio::test(start_paused = true)]
async fn keys_of_a_file_are_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let config = IssuerConfig { jwks: JwksSource::File("/keys.json".into()), ..config() };
    let pair = Pair::ed25519();
    let issuer = start_as(&config, &Server::with(&[(&pair, "k")]), Some(&path));
    assert!(judged(&issuer, &token(&pair, "k")).await.is_ok());
    pass(100).await;
    assert!(!path.exists());
}

#[tokio::test(start_paused = true)]
async fn keys_that_cannot_be_written_are_used_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("file");
    fs::write(&blocked, "").unwrap();
    let pair = Pair::ed25519();
    let server = Server::with(&[(&pair, "k")]);
    let issuer = start_as(&config(), &server, Some(&blocked.join("keys.json")));
    assert!(judged(&issuer, &token(&pair, "k")).await.is_ok());
    pass(1_300_000).await;
    assert_eq!((server.fetches(), issuer.fault()), (3, None));
}
