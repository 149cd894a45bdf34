//! etcd with TLS, users and rights, and what becomes of a gateway when they change.

use std::fs;
use std::time::Duration;

use crate::foreign::Etcd;
use crate::foreign::etcd::Options;
use crate::gateways::{
    agree, health, is_routed, reach_becomes, refusal_to_start, registered_at_last, shared_service, status, stored_at,
    stored_with,
};
use crate::support::{Gateway, Origin, SOON};

/// Within this time a gateway knows that its store is away, and that it is back.
const KNOWN: Duration = Duration::from_secs(15);

/// The keys of `[store]` for a user whose password is in a file of etcd's folder.
fn as_user(etcd: &Etcd, password: &str) -> String {
    fs::write(etcd.file("password"), format!("{password}\n")).unwrap();
    format!("user = 'furt'\npassword_file = '{}'", etcd.file("password"))
}

#[tokio::test]
async fn tls_with_a_client_certificate_and_a_user_with_rights_on_one_prefix_suffices() {
    let mut etcd = Etcd::start(1, Options { with_tls: true, ..Options::default() }).await;
    etcd.switch_rights_on("secret").await;
    let files = ["ca.pem", "cert.pem", "key.pem"].map(|name| etcd.file(name));
    let tls = format!("ca = '{}'\ncert = '{}'\nkey = '{}'\n", files[0], files[1], files[2]);
    let tail = stored_with(&etcd.endpoints(), &format!("{tls}{}", as_user(&etcd, "secret")));
    let (a, b, origin) = (Gateway::start(&tail).await, Gateway::start(&tail).await, Origin::start().await);
    a.registered(&shared_service("one", &origin.url())).await;
    is_routed(&b, "/one", SOON).await;

    let without_ca = stored_with(&etcd.endpoints(), &as_user(&etcd, "secret"));
    let said = refusal_to_start(&without_ca).await;
    assert!(said.to_lowercase().contains("certificate") || said.contains("ca"), "{said}");
    let no_certificate = stored_with(&etcd.endpoints(), &format!("ca = '{}'\n{}", files[0], as_user(&etcd, "secret")));
    refusal_to_start(&no_certificate).await;
    let other_ca = format!("ca = '{}'\n", etcd.file("cert.pem"));
    refusal_to_start(&stored_with(&etcd.endpoints(), &other_ca)).await;
    let missing = refusal_to_start(&stored_with(&etcd.endpoints(), "ca = '/nonexistent/ca.pem'")).await;
    assert!(missing.contains("/nonexistent/ca.pem"), "the file is named: {missing}");
    let as_http = etcd.endpoints().iter().map(|url| url.replace("https", "http")).collect::<Vec<_>>();
    refusal_to_start(&stored_at(&as_http)).await;
}

#[tokio::test]
async fn a_wrong_user_password_or_role_ends_the_start_with_etcds_words() {
    let mut etcd = Etcd::one().await;
    etcd.switch_rights_on("secret").await;
    let said = refusal_to_start(&stored_at(&etcd.endpoints())).await;
    assert!(said.contains("user"), "etcd's words: {said}");
    let said = refusal_to_start(&stored_with(&etcd.endpoints(), &as_user(&etcd, "wrong"))).await;
    assert!(
        said.contains("authentication failed") && !said.contains("wrong"),
        "etcd's words, not the password: {said}"
    );
    let beside = format!("namespace = 'default'\n{}", as_user(&etcd, "secret"));
    let root = etcd.ctl();
    root.ok(&["role", "revoke-permission", "furt", "--prefix=true", "/furt/"]).await;
    let said = refusal_to_start(&stored_with(&etcd.endpoints(), &beside)).await;
    assert!(said.contains("permission denied"), "etcd's words: {said}");
    let nowhere = stored_with(&etcd.endpoints(), "user = 'furt'\npassword_file = '/nonexistent/password'");
    let said = refusal_to_start(&nowhere).await;
    assert!(said.contains("/nonexistent/password"), "the file is named: {said}");
}

/// A gateway serves on; it is degraded with etcd's words, and recovers by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_that_go_and_come_back_cost_no_request() {
    let mut etcd = Etcd::one().await;
    etcd.switch_rights_on("secret").await;
    let tail = stored_with(&etcd.endpoints(), &as_user(&etcd, "secret"));
    let (a, b, origin) = (Gateway::start(&tail).await, Gateway::start(&tail).await, Origin::start().await);
    a.registered(&shared_service("one", &origin.url())).await;
    is_routed(&b, "/one", SOON).await;
    let root = etcd.ctl();

    root.ok(&["role", "revoke-permission", "furt", "--prefix=true", "/furt/"]).await;
    let answer = a.register(&shared_service("two", &origin.url())).await;
    let problem = answer.problem(503, "store-unavailable");
    assert!(answer.retry_after() > 0);
    let said = format!("{problem} {} {}", health(&a).await, a.log());
    assert!(said.contains("permission denied"), "etcd's words: {said}");
    assert_eq!((status(&a, "/one").await, status(&b, "/one").await), (200, 200));
    a.registered(&shared_service("one", &origin.url())).await;
    root.ok(&["role", "grant-permission", "furt", "--prefix=true", "readwrite", "/furt/"]).await;
    registered_at_last(&a, &shared_service("two", &origin.url()), KNOWN).await;
    is_routed(&b, "/two", SOON).await;

    // Another password, told to etcd first and to furt's file later.
    root.change_password("furt", "another").await;
    etcd.ctl().as_user("furt:another").get("/furt/x").await;
    assert_eq!((status(&a, "/one").await, status(&b, "/one").await), (200, 200));
    a.registered(&shared_service("one", &origin.url())).await;
    as_user(&etcd, "another");
    registered_at_last(&a, &shared_service("three", &origin.url()), KNOWN).await;
    is_routed(&b, "/three", KNOWN).await;
    for gateway in [&a, &b] {
        reach_becomes(gateway, true, KNOWN).await;
    }
    let log = a.log();
    // A refused registration is told as well, and this test tries without a pause.
    let lines = log.lines().filter(|line| line.contains("furt::store::etcd")).count();
    assert!(lines < 20, "no storm: {lines} lines\n{log}");
    assert!(!log.contains("secret") && !log.contains("another'"), "{log}");
}

/// Rights that are switched on while gateways without a user run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_that_are_switched_on_later_degrade_and_cost_no_request() {
    let (mut etcd, origin) = (Etcd::one().await, Origin::start().await);
    let a = Gateway::start(&stored_at(&etcd.endpoints())).await;
    a.registered(&shared_service("one", &origin.url())).await;
    etcd.switch_rights_on("secret").await;
    a.register(&shared_service("two", &origin.url())).await.problem(503, "store-unavailable");
    reach_becomes(&a, false, KNOWN).await;
    assert_eq!(status(&a, "/one").await, 200);
    etcd.ctl().ok(&["auth", "disable"]).await;
    registered_at_last(&a, &shared_service("two", &origin.url()), KNOWN).await;
    reach_becomes(&a, true, KNOWN).await;
}

/// A token of two seconds: calls go on when it is over, and when it is outdated since rights changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_expires_or_is_outdated_costs_nothing() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::write(secret.path(), "a secret of the test").unwrap();
    let token = format!("jwt,priv-key={},sign-method=HS256,ttl=2s", secret.path().display());
    let flags = vec!["--auth-token".to_owned(), token];
    let mut etcd = Etcd::start(1, Options { flags, ..Options::default() }).await;
    etcd.switch_rights_on("secret").await;
    let tail = stored_with(&etcd.endpoints(), &as_user(&etcd, "secret"));
    let (a, b, origin) = (Gateway::start(&tail).await, Gateway::start(&tail).await, Origin::start().await);
    let mut refused = 0;
    for number in 0..20 {
        // Over ten seconds: five tokens.
        tokio::time::sleep(Duration::from_millis(500)).await;
        if number % 5 == 4 {
            etcd.ctl().ok(&["role", "add", &format!("role{number}")]).await;
        }
        let service = shared_service(&format!("s{number}"), &origin.url());
        refused += registered_at_last(if number % 2 == 0 { &a } else { &b }, &service, SOON).await;
    }
    println!("told 503: {refused} times");
    assert!(refused <= 40, "{refused}");
    agree(&[a, b], &etcd).await;
}

/// A full etcd refuses what is to be stored, in its words; what is there goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_without_space_refuses_registrations_in_its_words_and_takes_them_later() {
    let flags = vec!["--quota-backend-bytes".to_owned(), (8 << 20).to_string()];
    let etcd = Etcd::start(1, Options { flags, ..Options::default() }).await;
    let (a, origin) = (Gateway::start(&stored_at(&etcd.endpoints())).await, Origin::start().await);
    a.registered(&shared_service("one", &origin.url())).await;
    let filling = "x".repeat(1_000_000);
    while etcd.ctl().call_with(&["put", "/filling"], &filling).await.status.success() {}
    assert!(etcd.ctl().ok(&["alarm", "list"]).await.contains("NOSPACE"));
    let answer = a.register(&shared_service("two", &origin.url())).await;
    let problem = answer.problem(503, "store-unavailable");
    assert!(answer.retry_after() > 0);
    let said = format!("{problem} {} {}", health(&a).await, a.log());
    assert!(said.contains("database space exceeded"), "etcd's words: {said}");
    assert_eq!(status(&a, "/one").await, 200);
    a.registered(&shared_service("one", &origin.url())).await;
    etcd.ctl().delete("/filling").await;
    etcd.ctl().compact(etcd.ctl().revision().await).await;
    etcd.ctl().ok(&["defrag"]).await;
    etcd.ctl().ok(&["alarm", "disarm"]).await;
    registered_at_last(&a, &shared_service("two", &origin.url()), KNOWN).await;
    assert_eq!(status(&a, "/two").await, 200);
}
