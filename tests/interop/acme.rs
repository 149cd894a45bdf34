//! Certificates by ACME, from pebble: by both challenges, renewed, with nonces that are refused, accounts that were made elsewhere, an
//! authority that dies and forgets, and for hosts of registered services.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use furt_core::model::Sha256Digest;
use reqwest::Method;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, rustls};

use crate::foreign::Pebble;
use crate::foreign::pebble::Options;
use crate::support::{Answer, Gateway, Origin, eventually, throughout, with};

/// For an order: pebble waits between some of its steps.
const ORDER: Duration = Duration::from_secs(60);

/// Whether a client that trusts the authority gets a handshake for `name`, and the end of the certificate that it is shown.
async fn connects(pebble: &Pebble, client: &Arc<ClientConfig>, name: &str) -> Option<Vec<u8>> {
    let socket = TcpStream::connect(pebble.tls).await.ok()?;
    let server = ServerName::try_from(name.to_owned()).unwrap();
    let stream = TlsConnector::from(Arc::clone(client)).connect(server, socket).await.ok()?;
    Some(stream.get_ref().1.peer_certificates()?.first()?.to_vec())
}

async fn gets(pebble: &Pebble, name: &str) -> Vec<u8> {
    let client = pebble.client().await;
    eventually(&format!("there is a certificate for {name}"), ORDER, async || connects(pebble, &client, name).await)
        .await
}

/// How a name is listed.
async fn listed(gateway: &Gateway, name: &str) -> Option<Value> {
    let seen = gateway.seen("/internal/certificates").await;
    seen["certificates"].as_array().and_then(|list| list.iter().find(|one| one["names"][0] == name).cloned())
}

async fn orders(gateway: &Gateway, outcome: &str) -> u64 {
    let metrics = gateway.metrics().await;
    let line = format!("furt_acme_orders_total{{outcome=\"{outcome}\"}} ");
    metrics.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok()).unwrap_or(0)
}

async fn health(gateway: &Gateway) -> String {
    gateway.seen("/health").await.to_string()
}

#[tokio::test]
async fn a_name_gets_a_certificate_and_furt_answers_until_then_and_after_a_restart_without_another() {
    let pebble = Pebble::start(Options::default()).await;
    let mut gateway =
        Gateway::start(&pebble.tail("names = ['a.example', 'b.example']\ncontact = ['a@example.org']")).await;
    let first = gets(&pebble, "a.example").await;
    gets(&pebble, "b.example").await;
    let entry = listed(&gateway, "a.example").await.unwrap();
    assert!(entry["issuer"].as_str().unwrap().contains("Pebble Intermediate"), "{entry}");
    assert_eq!(
        (&entry["source"], &entry["service"], &entry["last_error"]),
        (&json!("acme"), &Value::Null, &Value::Null)
    );
    assert!(entry["next_renewal"].as_str().unwrap() < entry["not_after"].as_str().unwrap(), "{entry}");
    assert_eq!(orders(&gateway, "issued").await, 2);
    eventually("all is well", ORDER, async || (!health(&gateway).await.contains("degraded")).then_some(())).await;
    let metrics = eventually("it is counted", ORDER, async || {
        let line = "furt_certificate_current{name=\"a.example\"} 1";
        Some(gateway.metrics().await).filter(|metrics| metrics.contains(line))
    })
    .await;
    assert!(!metrics.contains("outcome=\"challenge\""), "by http-01, since no tls.listen has port 443: {metrics}");

    let table = String::from_utf8(gateway.cli(&["certificates"]).await.stdout).unwrap();
    assert!(table.contains("a.example") && table.contains("NEXT RENEWAL"), "{table}");
    let state = gateway.dir().join("tls/acme");
    all_private(&state);
    let (shown, log) = (gateway.seen("/internal/certificates").await.to_string(), gateway.log());
    for text in [shown, log] {
        assert!(!text.contains("PRIVATE KEY"), "{text}");
    }

    gateway.restart().await;
    let client = pebble.client().await;
    assert_eq!(connects(&pebble, &client, "a.example").await.as_ref(), Some(&first), "at once");
    assert_eq!(orders(&gateway, "issued").await, 0);
    let answer = gateway.cli(&["acme", "renew", "A.Example."]).await;
    assert!(answer.status.success(), "{answer:?}");
    eventually("another one is shown", ORDER, async || {
        connects(&pebble, &client, "a.example").await.filter(|shown| *shown != first)
    })
    .await;
    let answer = gateway.cli(&["acme", "renew", "c.example"]).await;
    let told = String::from_utf8(answer.stderr).unwrap();
    assert!(
        !answer.status.success() && told.contains("\"c.example\" is no name that furt gets certificates for"),
        "{told}"
    );
}

fn all_private(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let mode = entry.metadata().unwrap().mode() & 0o777;
        assert_eq!(mode, if entry.is_dir() { 0o700 } else { 0o600 }, "{}", entry.display());
        if entry.is_dir() {
            all_private(&entry);
        }
    }
}

#[tokio::test]
async fn the_other_challenge_is_taken_where_the_first_one_fails() {
    let mut pebble = Pebble::start(Options::default()).await;
    pebble.kill();
    pebble.start_again(false).await;
    let gateway = Gateway::start(&pebble.tail("names = ['a.example']")).await;
    gets(&pebble, "a.example").await;
    eventually("both are counted", ORDER, async || {
        let metrics = gateway.metrics().await;
        let line = "furt_tls_handshakes_total{outcome=\"challenge\",resumed=\"false\",version=\"none\"} ";
        metrics.contains(line).then_some(())
    })
    .await;
    assert_eq!((orders(&gateway, "challenge-failed").await, orders(&gateway, "issued").await), (1, 1));
    // Nobody is answered for a challenge that nobody waits for.
    let mut client = ClientConfig::clone(&*pebble.client().await);
    client.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    assert!(connects(&pebble, &Arc::new(client), "a.example").await.is_none());
}

#[tokio::test]
async fn a_certificate_of_seconds_is_renewed_before_its_end_and_no_handshake_fails() {
    let pebble = Pebble::start(Options { validity: 24, ..Options::default() }).await;
    let gateway = Gateway::start(&pebble.tail("names = ['a.example']")).await;
    let first = gets(&pebble, "a.example").await;
    let client = pebble.client().await;
    let mut seen = vec![first];
    throughout("a certificate that is good is shown", Duration::from_secs(50), async || {
        let shown = connects(&pebble, &client, "a.example").await;
        if let Some(shown) = shown.clone().filter(|shown| seen.last() != Some(shown)) {
            seen.push(shown);
        }
        shown.is_some()
    })
    .await;
    assert!((3..=5).contains(&seen.len()), "{} certificates", seen.len());
    assert_eq!(orders(&gateway, "failed").await, 0, "{}", gateway.log());
}

#[tokio::test]
async fn nonces_that_are_refused_are_got_over() {
    let mut pebble = Pebble::start(Options { bad_nonces: 100, ..Options::default() }).await;
    let gateway = Gateway::start(&pebble.tail("names = ['a.example', 'b.example']")).await;
    eventually("the operator is told", ORDER, async || {
        let entry = listed(&gateway, "a.example").await?;
        entry["last_error"].as_str()?.contains("(badNonce)").then_some(())
    })
    .await;
    pebble.options.bad_nonces = 25;
    pebble.kill();
    pebble.start_again(true).await;
    let client = pebble.client().await;
    for name in ["a.example", "b.example"] {
        // Three in a row end an order, which would wait for minutes.
        eventually("there is one", 2 * ORDER, async || {
            if listed(&gateway, name).await?["last_error"].is_string() {
                gateway.cli(&["acme", "renew", name]).await;
            }
            connects(&pebble, &client, name).await
        })
        .await;
    }
}

#[tokio::test]
async fn an_account_that_was_made_elsewhere_is_bound_by_its_key() {
    const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let pebble = Pebble::start(Options { external: Some(("kid-1", KEY)), ..Options::default() }).await;
    let gateway = Gateway::start(&pebble.tail("names = ['a.example']")).await;
    let why = eventually("it is refused", ORDER, async || {
        let entry = listed(&gateway, "a.example").await?;
        Some(entry["last_error"].as_str()?.to_owned()).filter(|why| why.contains("the authority refused"))
    })
    .await;
    assert!(why.contains("externalAccountRequired"), "{why}");
    eventually("it is an issue", ORDER, async || {
        let health = health(&gateway).await;
        (health.contains("a.example has no certificate yet: ") && health.contains("degraded")).then_some(())
    })
    .await;
    let key = pebble.dir().join("eab");
    crate::support::tls::put(&key, KEY, 0o644);
    let tail = pebble.tail(&format!("names = ['a.example']\neab_kid = 'kid-1'\neab_key_file = '{}'", key.display()));
    gateway.configure(&tail);
    let refused = gateway.reload().await;
    assert!(refused.body.contains("can be read or written by everybody"), "{refused:?}");
    crate::support::tls::put(&key, KEY, 0o600);
    gateway.reloaded(&tail).await;
    assert!(gateway.cli(&["acme", "renew", "a.example"]).await.status.success());
    gets(&pebble, "a.example").await;
    assert!(!gateway.log().contains(KEY));
    assert!(!gateway.seen("/internal/certificates").await.to_string().contains(KEY));
}

#[tokio::test]
async fn an_authority_that_dies_leaves_what_was_good_in_force_and_one_that_forgot_furt_is_told_again() {
    let mut pebble = Pebble::start(Options { validity: 15, ..Options::default() }).await;
    let gateway = Gateway::start(&pebble.tail("names = ['a.example']")).await;
    let first = gets(&pebble, "a.example").await;
    let client = pebble.client().await;
    pebble.kill();
    // An order may have been under way.
    let renewing = || async { gateway.cli(&["acme", "renew", "a.example"]).await };
    renewing().await;
    eventually("furt says so", ORDER, async || {
        let health = health(&gateway).await;
        (health.contains("degraded") && health.contains("a.example is not renewed: the authority cannot be asked")
            || health.contains("a.example ended at"))
        .then_some(())
    })
    .await;
    assert!(orders(&gateway, "unreachable").await >= 1);
    let shown = connects(&pebble, &client, "a.example").await;
    assert!(shown.is_none_or(|shown| shown == first), "once it has ended clients refuse it, and furt shows it on");
    pebble.start_again(true).await;
    eventually("all is well again", ORDER, async || {
        if orders(&gateway, "issued").await < 2 {
            renewing().await;
        }
        (!health(&gateway).await.contains("degraded")).then_some(())
    })
    .await;
    gets(&pebble, "a.example").await;
    assert!(gateway.log().contains("does not know furt's account any more"), "{}", gateway.log());
}

#[tokio::test]
async fn a_host_of_a_service_gets_one_where_a_grant_names_it_and_it_leads_here() {
    let pebble = Pebble::start(Options::default()).await;
    let origin = Origin::start().await;
    let tail = pebble.tail(&format!(
        "from_routes = ['*.example', 'apex.test']\ncheck_at = '{}'\n[registration]\nunlisted = 'allow'\n\
         [[grants]]\nservice = 'granted'\nhosts = ['s.example', 'far.away.example']\npaths = ['/s/*']\npublic = true\n",
        pebble.plain
    ));
    let gateway = Gateway::start(&tail).await;
    let service = |name: &str, host: &str| {
        let body = crate::support::public_service(name, &origin.url(), "/s/*");
        with(body, json!({ "host": host }))
    };
    gateway.registered(&service("granted", "s.example")).await;
    gateway.registered(&service("unlisted", "u.example")).await;
    assert!(!health(&gateway).await.contains("degraded"), "{}", health(&gateway).await);
    let refused = eventually("it is shown why", ORDER, async || {
        Some(listed(&gateway, "u.example").await?["last_error"].as_str()?.to_owned())
    })
    .await;
    assert_eq!(refused, "no grant of the service unlisted names u.example in its hosts");
    let answer = gateway.cli(&["acme", "renew", "u.example"]).await;
    assert!(!answer.status.success(), "{answer:?}");
    throughout("a route must stand for a minute", Duration::from_secs(40), async || {
        orders(&gateway, "issued").await == 0
    })
    .await;
    gets(&pebble, "s.example").await;
    let entry = listed(&gateway, "s.example").await.unwrap();
    assert_eq!((&entry["service"], &entry["last_error"]), (&json!("granted"), &Value::Null));
    assert_eq!(orders(&gateway, "issued").await, 1);
    let answer = Answer::of(gateway.operate(Method::DELETE, "/internal/services/granted")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let client = pebble.client().await;
    eventually("it is not renewed", ORDER, async || {
        listed(&gateway, "s.example").await?["next_renewal"].is_null().then_some(())
    })
    .await;
    assert!(connects(&pebble, &client, "s.example").await.is_some(), "but it is shown until it ends");
}

#[tokio::test]
async fn a_process_that_takes_over_shows_the_certificates_and_renews_them() {
    const TOKEN: &str = "operators-9a1f";
    // Where the group may write what was built here, furt would not start it.
    let program = Path::new(env!("CARGO_BIN_EXE_furt"));
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    let pebble = Pebble::start(Options { validity: 24, ..Options::default() }).await;
    let tail = pebble.tail(&format!(
        "names = ['a.example']\n[store]\nkind = 'disk'\npath = 'furt.redb'\n[internal]\noperator_token_sha256 = '{}'\n",
        Sha256Digest::of(TOKEN.as_bytes())
    ));
    let mut gateway = Gateway::start(&tail).await;
    let mut seen = vec![gets(&pebble, "a.example").await];
    let client = pebble.client().await;
    for _ in 0..3 {
        let asked = gateway.operate(Method::POST, "/internal/upgrade").bearer_auth(TOKEN).timeout(ORDER);
        gateway.replaced_by(Answer::of(asked).await.ok()["pid"].as_u64().unwrap().try_into().unwrap());
        // Some seconds from each renewal, which comes after 14 to 16 s: an order that an upgrade cuts is one that failed, and the wait
        // after it is longer than the rest of such a certificate's time.
        throughout("a certificate that is good is shown", Duration::from_secs(10), async || {
            let shown = connects(&pebble, &client, "a.example").await;
            if let Some(shown) = shown.clone().filter(|shown| seen.last() != Some(shown)) {
                seen.push(shown);
            }
            shown.is_some()
        })
        .await;
    }
    assert!((2..=4).contains(&seen.len()), "{} certificates", seen.len());
    assert!(!gateway.log().contains("another furt has the folder"), "{}", gateway.log());
}
