//! The dashboard in Chromium, as people see it: every page with scripts and without, in light and dark, wide and narrow; axe
//! (what people with assistive technology meet) and the Nu Html Checker find nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use furt_core::model::Sha256Digest;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::foreign::{Chromium, node, program};
use crate::support::authority::Authority;
use crate::support::{Answer, Gateway, Origin, eventually, ports, public_service, with};

/// The longest a walk takes, with the start of a browser.
const LONGEST: Duration = Duration::from_secs(150);
const TOKEN: &str = "a token of an operator";
/// Pages by the names of their pictures.
const PAGES: [(&str, &str); 9] = [
    ("overview", "/ui/"),
    ("services", "/ui/services"),
    ("service", "/ui/services/shop"),
    ("routes", "/ui/routes"),
    ("events", "/ui/events"),
    ("keys", "/ui/keys"),
    ("nodes", "/ui/nodes"),
    ("certificates", "/ui/certificates"),
    ("explain", "/ui/explain?method=GET&url=/shop/a&client=&key=&origin="),
];

/// What the browser saw of what it was asked to do; it is a fault where a page breaks its own rules or complains.
async fn seen(asked: Value) -> Value {
    let mut command = node::command();
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/programs/dashboard.js"));
    command.env("CHROMIUM", program::path("chromium", "chromium")).env("CHROMIUM_LIBRARIES", Chromium::libraries());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(asked.to_string().as_bytes()).await.unwrap();
    let output = tokio::time::timeout(LONGEST, child.wait_with_output()).await.expect("in time").unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(seen["faults"], json!([]), "{told}");
    seen
}

fn pages() -> Value {
    json!(PAGES.into_iter().collect::<BTreeMap<_, _>>())
}

/// What a hostile service says of itself.
fn hostile() -> Value {
    let name = "a-very-long-name-of-a-field-that-somebody-thought-of";
    json!({ "team": "<img src=x onerror=alert(1)>", name: "x".repeat(200) })
}

/// A gateway with something of each kind to show: a service with two versions, one that drains, one that is DOWN.
async fn furnished(metadata: Value) -> (Gateway, Vec<Origin>) {
    let gateway = Gateway::start("[registration]\nunlisted = 'allow'\n").await;
    let mut origins = Vec::new();
    for _ in 0..5 {
        origins.push(Origin::start().await);
    }
    let shop = with(
        public_service("shop", &origins[0].url(), "/shop/*"),
        json!({
            "instance": "shop-1", "version": "1.4.2", "limits": { "rate": "500/s" }, "metadata": metadata,
            "health_endpoint": "/health", "cors": { "origins": ["https://app.example.org"] },
        }),
    );
    gateway.registered_and_up(&shop).await;
    gateway
        .registered_and_up(&with(
            shop.clone(),
            json!({ "instance": "shop-2", "url": origins[1].url(), "version": "1.4.3" }),
        ))
        .await;
    gateway.registered_and_up(&public_service("orders", &origins[3].url(), "/api/orders/*")).await;
    gateway
        .registered_and_up(&with(
            public_service("search", &origins[2].url(), "/search"),
            json!({ "health_endpoint": "/health" }),
        ))
        .await;
    gateway.registered_and_up(&public_service("mail", &origins[4].url(), "/mail/*")).await;
    origins[2].stop().await;
    gateway.status_becomes("search", "DOWN").await;
    Answer::of(gateway.operate(Method::POST, "/internal/services/orders/drain?until=undo")).await.ok();
    let key = json!({ "name": "website", "permissions": ["orders:read"], "rate": "100/s", "expires": "90d" });
    let made = Answer::of(gateway.operate(Method::POST, "/internal/keys").json(&key)).await;
    assert!(made.status.is_success(), "{made:?}");
    (gateway, origins)
}

async fn is_drawn(gateway: &Gateway) {
    eventually("requests are drawn", Duration::from_secs(20), async || {
        for _ in 0..20 {
            gateway.get("/shop/a").await;
        }
        let overview = Answer::of(gateway.operate(Method::GET, "/ui/")).await.body;
        overview.contains("<a href=\"services/shop\">shop</a></th>").then_some(())
    })
    .await;
}

/// Requests that come and go, for so long that a line of them is worth a look.
async fn asks_for_a_while(gateway: &Gateway) {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(110) {
        let wave = (began.elapsed().as_secs_f64() / 7.0).sin() + (began.elapsed().as_secs_f64() / 2.3).sin() / 2.0;
        gateway.get(if wave > 1.0 { "/shop/none?status=503" } else { "/shop/a" }).await;
        if wave > 0.0 {
            gateway.get("/mail/a").await;
        }
        tokio::time::sleep(Duration::from_secs_f64(0.012 - wave * 0.006)).await;
    }
}

#[tokio::test]
async fn axe_and_the_checker_of_html_find_nothing_in_any_page() {
    let (gateway, _origins) = furnished(hostile()).await;
    is_drawn(&gateway).await;
    let folder = TempDir::new().unwrap();
    let asked = json!({
        "what": "walk", "base": gateway.internal_url(""), "pages": pages(), "folder": folder.path(), "shots": false,
    });
    assert_eq!(seen(asked).await["violations"], json!([]));
    assert_eq!(checked(folder.path()).await, "");
}

/// What the Nu Html Checker says of the pages in a folder.
async fn checked(folder: &Path) -> String {
    let pages = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let pages: Vec<_> = pages.filter(|path| path.extension().is_some_and(|kind| kind == "html")).collect();
    assert!(pages.len() >= PAGES.len());
    let jar = node::room().join("node_modules/vnu-jar/build/dist/vnu.jar");
    let mut java = Command::new(program::path("java", "java"));
    java.args(["-Xss1m", "-jar"]).arg(jar).args(["--format", "gnu", "--also-check-svg"]).args(pages).kill_on_drop(true);
    let output = java.output().await.unwrap();
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn every_page_is_whole_without_scripts() {
    let (gateway, _origins) = furnished(hostile()).await;
    let seen = seen(json!({ "what": "bare", "base": gateway.internal_url(""), "pages": pages() })).await;
    for (name, _) in PAGES {
        let page = &seen[name];
        assert!(!page["title"].as_str().unwrap().is_empty(), "{name}: {page}");
        let is_live = !["explain"].contains(&name);
        assert_eq!(page["state"], if is_live { json!("as of its loading") } else { Value::Null }, "{name}");
    }
    assert_eq!((&seen["services"]["rows"], &seen["filtered"]), (&json!(4), &json!(1)));
    assert_eq!(seen["explained"], "routed");
}

#[tokio::test]
async fn a_page_changes_before_ones_eyes_and_a_hidden_one_is_sent_nothing() {
    let (gateway, origins) = furnished(hostile()).await;
    let newcomer = public_service("newcomer", &origins[0].url(), "/new/*");
    let seen = seen(json!({
        "what": "live", "base": gateway.internal_url(""),
        "register": ["POST", gateway.internal_url("/internal/register-service"), newcomer],
        "deregister": ["DELETE", gateway.internal_url("/internal/services/newcomer"), null],
    }))
    .await;
    assert_eq!(seen["before"], seen["after"], "the focus stays: {seen}");
    for (name, expected) in [
        ("opened", json!(1)),
        ("endedHidden", json!(1)),
        ("reopened", json!(1)),
        ("paused", json!("paused")),
        ("isSame", json!(true)),
    ] {
        assert_eq!(seen[name], expected, "{name}: {seen}");
    }
}

fn operators() -> String {
    format!("[[operators]]\nname = 'ann'\nrole = 'admin'\ntoken_sha256 = '{}'\n", Sha256Digest::of(TOKEN.as_bytes()))
}

#[tokio::test]
async fn an_operator_signs_in_and_out() {
    let gateway = Gateway::start(&operators()).await;
    let asked =
        json!({ "what": "session", "base": gateway.internal_url(""), "token": TOKEN, "target": "/ui/routes?q=a" });
    let seen = seen(asked).await;
    let name = format!("furt-{}", gateway.internal.port());
    let cookie = json!({ "name": name, "httpOnly": true, "sameSite": "Strict", "secure": false, "path": "/ui" });
    assert_eq!(
        seen,
        json!({
            "asked": "/ui/sign-in", "refusedWith": 403, "title": "Routes", "cookie": cookie, "scripted": "",
            "api": [403, 403], "afterwards": "/ui/sign-in", "faults": [],
        })
    );
}

#[tokio::test]
async fn under_tls_the_cookie_is_of_this_very_host() {
    let (authority, folder, port) = (Authority::new(), TempDir::new().unwrap(), ports::free_address().port());
    let (cert, key) = authority.signed_until(&["127.0.0.1"], 2999);
    let path = |file: &str| folder.path().join(file).display().to_string();
    fs::write(path("furt.pem"), cert).unwrap();
    fs::write(path("furt.key"), key).unwrap();
    fs::set_permissions(path("furt.key"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let _gateway = Gateway::start(&format!(
        "[internal]\nlisten = ['{{internal}}', '0.0.0.0:{port}']\ntls_cert = '{}'\ntls_key = '{}'\n{}",
        path("furt.pem"),
        path("furt.key"),
        operators()
    ))
    .await;
    let base = format!("https://127.0.0.1:{port}");
    let seen = seen(json!({ "what": "session", "base": base, "token": TOKEN, "target": "/ui/" })).await;
    let cookie = json!({ "name": format!("__Host-furt-{port}"), "httpOnly": true, "sameSite": "Strict", "secure": true, "path": "/" });
    assert_eq!((&seen["cookie"], &seen["title"], &seen["api"]), (&cookie, &json!("Overview"), &json!([403, 403])));
}

/// Pictures of the pages, for docs/dashboard.md: `UPDATE_DOCS=1` puts them there.
#[tokio::test]
async fn pictures_are_taken() {
    let (gateway, _origins) = furnished(json!({ "team": "storefront", "repository": "git.example.org/shop" })).await;
    is_drawn(&gateway).await;
    let is_kept = std::env::var_os("UPDATE_DOCS").is_some();
    if is_kept {
        // Minutes of requests are more to look at than seconds.
        asks_for_a_while(&gateway).await;
    }
    let folder = TempDir::new().unwrap();
    let asked = json!({
        "what": "walk", "base": gateway.internal_url(""), "pages": pages(), "folder": folder.path(), "shots": true,
    });
    seen(asked).await;
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images");
    for picture in ["overview-light", "overview-dark", "service-light", "services-dark"] {
        let taken = folder.path().join(format!("{picture}.png"));
        let size = fs::metadata(&taken).unwrap().len();
        assert!((10_000..400_000).contains(&size), "{picture}: {size} bytes");
        let kept = images.join(format!("dashboard-{picture}.png"));
        if is_kept {
            fs::create_dir_all(&images).unwrap();
            fs::copy(&taken, &kept).unwrap();
        }
        assert!(kept.exists(), "{}: UPDATE_DOCS=1 puts it there", kept.display());
    }
}

#[tokio::test]
async fn a_thousand_services_are_as_quick_to_look_at_as_a_few() {
    let gateway = Gateway::start("[registration]\nrate = '10000/s'\nunlisted = 'allow'\n").await;
    for number in 0..1_000 {
        let name = format!("service-{number:04}");
        let body = public_service(&name, &format!("http://127.0.1.1:{}", 20_000 + number), &format!("/{name}/*"));
        gateway.registered(&body).await;
    }
    let mut slowest = BTreeMap::new();
    for path in [
        "/ui/",
        "/ui/services",
        "/ui/services?q=099&page=1",
        "/ui/services?page=10",
        "/ui/services/service-0500",
        "/ui/routes",
        "/ui/events",
    ] {
        for _ in 0..5 {
            let began = Instant::now();
            let answer = Answer::of(gateway.operate(Method::GET, path)).await;
            assert!(answer.status.is_success());
            let took = began.elapsed();
            let of_path = slowest.entry(path).or_insert(took);
            *of_path = (*of_path).min(took);
        }
    }
    println!("the quickest of five each: {slowest:?}");
    assert!(slowest.values().all(|took| *took < Duration::from_millis(50)), "{slowest:?}");
    let services = Answer::of(gateway.operate(Method::GET, "/ui/services")).await.body;
    assert!(services.contains("1–100 of 1000 services") && services.matches("<tr data-key").count() == 100);
}
