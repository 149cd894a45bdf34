//! Tokens of the real oidc-provider while its keys change and where it is gone, and tokens that PyJWT, joserfc, jwcrypto and hands
//! have made to get in without a right to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::foreign::{Issuer, Known};
use crate::support::{Answer, Gateway, Load, Origin};

const PATH: &str = "/notes/a";
const DISK: &str = "[store]\nkind = 'disk'\npath = 'furt.redb'\n";
const CLIENTS: usize = 8;
/// furt asks an issuer for a key that it does not know at most once in 10 s.
const BETWEEN_FETCHES: Duration = Duration::from_secs(10);
const ROTATIONS: u64 = 4;
/// Exchanges that show a new key to each client.
const ENOUGH: usize = 100;
const UNKNOWN: usize = 10_000;

/// The entry for an issuer whose keys are at that path of it.
fn issuer(name: &str, issuer: &str, jwks: &str, more: &str) -> String {
    format!(
        "[[issuers]]\nname = '{name}'\nissuer = '{issuer}'\naudience = ['furt']\njwks = '{jwks}'\n\
         permissions = ['notes:*']\n{more}\n"
    )
}

fn of_oidc_provider(provider: &Issuer, more: &str) -> String {
    let url = provider.told("url");
    issuer("provider", url, &format!("{url}/jwks"), more)
}

async fn start(tail: &str, auth: &[&str]) -> (Gateway, Origin) {
    let (gateway, origin) = (Gateway::start(tail).await, Origin::start().await);
    gateway.registered(&notes(&origin, auth)).await;
    (gateway, origin)
}

fn notes(origin: &Origin, auth: &[&str]) -> Value {
    let routes = json!([
        {"method": "GET", "path": "/notes/*", "permission": "notes:read"},
        {"method": "POST", "path": "/notes/*", "permission": "notes:write"}
    ]);
    json!({"service": "notes", "url": origin.url(), "health_endpoint": null, "auth": auth, "routes": routes})
}

fn with(gateway: &Gateway, method: Method, token: impl AsRef<[u8]>) -> reqwest::RequestBuilder {
    gateway.anonymous(method, PATH).header("authorization", [b"Bearer ", token.as_ref()].concat())
}

async fn ask(gateway: &Gateway, token: impl AsRef<[u8]>) -> Answer {
    Answer::of(with(gateway, Method::GET, token)).await
}

/// Whether an answer says what RFC 6750 §3.1 has for a token that is malformed, expired, or not from whom it says.
fn is_refused(answer: &Answer) -> bool {
    let challenges = answer.headers.get_all("www-authenticate").iter().filter_map(|value| value.to_str().ok());
    let mut challenges = challenges.filter(|challenge| challenge.starts_with("Bearer "));
    answer.status == 401 && challenges.any(|challenge| challenge.contains("error=\"invalid_token\""))
}

/// Well-formed, of a key that nobody has.
fn of_unknown_key(issuer: &str, number: usize) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let header = json!({"alg": "RS256", "typ": "at+jwt", "kid": format!("unknown-{number}")});
    let claims = json!({"iss": issuer, "aud": "furt", "sub": "alice", "exp": now + 600, "scope": "notes:read"});
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode([1; 256]))
}

#[tokio::test]
async fn scopes_of_a_token_are_permissions() {
    let provider = Issuer::oidc_provider(1).await;
    let (gateway, origin) = start(&of_oidc_provider(&provider, ""), &["provider"]).await;
    for (scopes, get, post) in
        [("notes:read", 200, 403), ("notes:write", 403, 200), ("notes:read notes:write", 200, 200)]
    {
        let token = provider.token(scopes).await;
        for (method, status) in [(Method::GET, get), (Method::POST, post)] {
            let answer = Answer::of(with(&gateway, method, &token)).await;
            assert_eq!(answer.status, status, "{scopes}: {answer:?}");
            if status == 200 {
                assert_eq!(answer.json()["headers"]["x-auth-subject"], json!(["notes"]), "{answer:?}");
            }
        }
    }
    assert_eq!(origin.requests(PATH), 4);
    assert_eq!(Answer::of(gateway.anonymous(Method::GET, PATH)).await.status, 401);
}

#[tokio::test]
async fn tokens_are_good_while_their_issuer_changes_its_keys_under_load() {
    let provider = Arc::new(Issuer::oidc_provider(1).await);
    let (gateway, _origin) = start(&of_oidc_provider(&provider, ""), &["provider"]).await;
    let (gateway, first) = (Arc::new(gateway), provider.token("notes:read").await);
    assert_eq!(ask(&gateway, &first).await.status, 200);
    let (asking, issuing) = (gateway.clone(), provider.clone());
    let mut load = Load::start(CLIENTS, move |_, _| {
        let (gateway, provider) = (asking.clone(), issuing.clone());
        async move {
            let token = provider.token("notes:read").await;
            let answer = ask(&gateway, token).await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    });
    for _ in 0..ROTATIONS {
        tokio::time::sleep(BETWEEN_FETCHES + Duration::from_millis(1500)).await;
        provider.rotate().await;
        load.more(ENOUGH).await;
    }
    load.stop().await;
    let counts = provider.counts().await;
    println!("{counts}");
    assert_eq!(counts["rotations"], ROTATIONS);
    // One at the start, and one for each key that came.
    assert_eq!(counts["jwks"], 1 + ROTATIONS, "{counts}");
    // Its key has left the set, and what was known of it went too.
    let answer = ask(&gateway, &first).await;
    assert!(is_refused(&answer), "{answer:?}");
}

#[tokio::test]
async fn hostile_tokens_are_refused_and_good_ones_let_in() {
    let (hostile, tokens) = Issuer::hostile().await;
    let url = hostile.told("url");
    // ES384 is there for a key of another curve; PS256 and the longer digests are not.
    let algorithms = "algorithms = ['RS256', 'ES256', 'ES384', 'EdDSA']";
    let issuers = issuer("own", hostile.told("issuer"), &format!("{url}/jwks"), algorithms)
        + &issuer("other", hostile.told("other"), &format!("{url}/other-jwks"), "");
    let (gateway, origin) = start(&issuers, &["own", "other"]).await;
    let (good, bad): (Vec<_>, Vec<_>) = tokens.into_iter().partition(|token| token.is_good);
    assert!(good.len() > 30 && bad.len() > 400, "{} and {}", good.len(), bad.len());
    let mut wrong = Vec::new();
    for Known { name, token, .. } in &good {
        let answer = ask(&gateway, token).await;
        let is_alice = answer.status == 200 && answer.json()["headers"]["x-auth-subject"] == json!(["alice"]);
        wrong.extend((!is_alice).then(|| format!("good, {name}: {answer:?}")));
    }
    for Known { name, token, .. } in &bad {
        let answer = ask(&gateway, token).await;
        wrong.extend((!is_refused(&answer)).then(|| format!("hostile, {name}: {answer:?}")));
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(origin.requests(PATH), good.len());
    let counts = hostile.counts().await;
    let mut asked: Vec<_> = counts.as_object().unwrap().keys().map(String::as_str).collect();
    asked.sort_unstable();
    assert_eq!(asked, ["/jwks", "/other-jwks"], "no header of a token leads anywhere");
}

#[tokio::test]
async fn ten_thousand_unknown_keys_cost_an_issuer_one_fetch_in_ten_seconds() {
    let provider = Arc::new(Issuer::oidc_provider(1).await);
    let (gateway, origin) = start(&of_oidc_provider(&provider, ""), &["provider"]).await;
    let (gateway, good) = (Arc::new(gateway), provider.token("notes:read").await);
    assert_eq!(ask(&gateway, &good).await.status, 200);
    let (before, begin) = (provider.count("jwks").await, Instant::now());
    let (clients, mut all) = (32, tokio::task::JoinSet::new());
    for client in 0..clients {
        let (gateway, url) = (gateway.clone(), provider.told("url").to_owned());
        all.spawn(async move {
            for number in (client..UNKNOWN).step_by(clients) {
                let answer = ask(&gateway, of_unknown_key(&url, number)).await;
                assert!(is_refused(&answer), "{answer:?}");
            }
        });
    }
    let mut served = 0;
    while !all.is_empty() {
        // A token that was not seen before, of a key that is known.
        let token = provider.token("notes:read").await;
        assert_eq!(ask(&gateway, token).await.status, 200);
        served += 1;
        while let Some(ended) = all.try_join_next() {
            ended.unwrap();
        }
    }
    let (fetches, took) = (provider.count("jwks").await - before, begin.elapsed());
    println!("{fetches} fetches in {took:?}, {served} good ones meanwhile");
    assert!(fetches <= 1 + took.as_secs() / BETWEEN_FETCHES.as_secs(), "{fetches} in {took:?}");
    assert_eq!(origin.requests(PATH), 1 + served);
}

/// Where a gateway keeps the keys that it had, they are good without their issuer, over a restart as well.
#[tokio::test]
async fn tokens_are_good_without_their_issuer_where_its_keys_are_kept() {
    let dir = TempDir::new().unwrap();
    let keep = format!("keep = '{}'", dir.path().join("keys.json").display());
    for (store, keep, is_kept) in [(DISK, "", true), ("", keep.as_str(), true), ("", "", false)] {
        let mut provider = Issuer::oidc_provider(1).await;
        let tail = of_oidc_provider(&provider, keep) + store;
        let (mut gateway, origin) = start(&tail, &["provider"]).await;
        let [seen, unseen, later] = [
            provider.token("notes:read").await,
            provider.token("notes:read").await,
            provider.token("notes:read").await,
        ];
        assert_eq!(ask(&gateway, &seen).await.status, 200);
        let url = provider.told("url").to_owned();
        provider.kill().await;
        for token in [&seen, &unseen] {
            assert_eq!(ask(&gateway, token).await.status, 200, "{tail}");
        }
        assert!(is_refused(&ask(&gateway, of_unknown_key(&url, 1)).await), "{tail}");
        gateway.restart().await;
        if store.is_empty() {
            gateway.registered(&notes(&origin, &["provider"])).await;
        }
        let answer = ask(&gateway, &later).await;
        assert_eq!(answer.status == 200, is_kept, "{tail}: {answer:?}");
        assert_eq!(is_refused(&ask(&gateway, of_unknown_key(&url, 2)).await), is_kept, "{tail}");
        assert_eq!(origin.requests(PATH), 3 + usize::from(is_kept));
    }
}
