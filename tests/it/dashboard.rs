//! The dashboard: what its pages say, who may look, and what a page that is kept up to date is sent.

use std::time::Duration;

use furt_core::model::Sha256Digest;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::gateway::client_from;
use crate::support::{Answer, Gateway, Origin, SOON, eventually, public_service, with};

const TOKEN: &str = "a token of an operator";
/// Pages that show what is registered, with a word that each of them has.
const PAGES: [(&str, &str); 8] = [
    ("/ui/", "Overview"),
    ("/ui/services", "Services"),
    ("/ui/routes", "Routes"),
    ("/ui/events", "Events"),
    ("/ui/keys", "API keys"),
    ("/ui/nodes", "Nodes"),
    ("/ui/certificates", "Certificates"),
    ("/ui/explain?method=GET&url=%2Fshop%2Fa&client=&key=&origin=", "Explain"),
];

fn operators() -> String {
    let digest = |token: &str| Sha256Digest::of(token.as_bytes());
    format!(
        "[[operators]]\nname = 'ann'\nrole = 'admin'\ntoken_sha256 = '{}'\n\
         [[operators]]\nname = 'bob'\nrole = 'read'\ntoken_sha256 = '{}'\n\
         [[operators]]\nname = 'far'\nrole = 'admin'\ntoken_sha256 = '{}'\nfrom = ['192.0.2.0/24']\n",
        digest(TOKEN),
        digest("bob"),
        digest("far"),
    )
}

async fn page(gateway: &Gateway, path: &str) -> Answer {
    Answer::of(gateway.operate(Method::GET, path)).await
}

fn sign_in(gateway: &Gateway, token: &str) -> reqwest::RequestBuilder {
    let body = url::form_urlencoded::Serializer::new(String::new()).append_pair("token", token).finish();
    let request = gateway.operate(Method::POST, "/ui/sign-in").body(body);
    request.header("content-type", "application/x-www-form-urlencoded")
}

/// The cookie of who signed in.
async fn session(gateway: &Gateway, token: &str) -> String {
    let answer = Answer::of(sign_in(gateway, token)).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "./"), "{answer:?}");
    let set = answer.header("set-cookie");
    let (cookie, rest) = set.split_once(';').unwrap();
    assert_eq!(rest, " HttpOnly; SameSite=Strict", "{set}");
    cookie.to_owned()
}

#[tokio::test]
async fn every_page_is_a_whole_one_that_a_browser_trusts_with_nothing() {
    let origin = Origin::start().await;
    let gateway = Gateway::start("").await;
    gateway.registered_and_up(&public_service("shop", &origin.url(), "/shop/*")).await;
    for (path, word) in PAGES.into_iter().chain([("/ui/services/shop", "Instances")]) {
        let answer = page(&gateway, path).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (StatusCode::OK, "text/html; charset=utf-8"),
            "{path}"
        );
        assert!(answer.body.contains(word) && answer.body.ends_with("</html>"), "{path}: {}", answer.body);
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        for (header, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(header), value, "{path}: {header}");
        }
        for absent in [" style=", "href=\"/", "src=\"/", "action=\"/"] {
            assert!(!answer.body.contains(absent), "{path}: {absent}: {}", answer.body);
        }
    }
    for (path, kind) in [("style.css", "text/css"), ("live.js", "text/javascript"), ("icon.svg", "image/svg+xml")] {
        let answer = page(&gateway, &format!("/ui/{path}")).await;
        assert!(answer.status.is_success() && answer.header("content-type").starts_with(kind), "{answer:?}");
    }
    for (path, location) in [("/", "ui/"), ("/ui", "ui/")] {
        let answer = page(&gateway, path).await;
        assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, location));
    }
}

#[tokio::test]
async fn a_page_says_what_the_registry_knows() {
    let (up, mut down) = (Origin::start().await, Origin::start().await);
    let gateway = Gateway::start("").await;
    gateway.registered_and_up(&public_service("shop", &up.url(), "/shop/*")).await;
    let sick = with(public_service("sick", &down.url(), "/sick/*"), json!({ "health_endpoint": "/health" }));
    gateway.registered_and_up(&sick).await;
    down.stop().await;
    gateway.status_becomes("sick", "DOWN").await;
    gateway.get("/shop/a").await;

    let overview = page(&gateway, "/ui/").await.body;
    assert!(overview.contains("<a href=\"services/sick\">sick</a>: it is DOWN"), "{overview}");
    let services = page(&gateway, "/ui/services?q=&status=down").await.body;
    assert!(services.contains("data-key=\"sick\"") && !services.contains("data-key=\"shop\""), "{services}");
    let service = page(&gateway, "/ui/services/sick").await.body;
    for expected in ["<a href=\"../services\"", "was UP", "service-status", "/sick/*"] {
        assert!(service.contains(expected), "{expected}: {service}");
    }
    let routes = page(&gateway, "/ui/routes?q=shop").await.body;
    assert!(routes.contains("<code>/shop/*</code>") && !routes.contains("/sick/"), "{routes}");
    let events = page(&gateway, "/ui/events?q=registered").await.body;
    assert!(events.contains("registered") && !events.contains("service-status"), "{events}");
    let keys = page(&gateway, "/ui/keys").await.body;
    assert!(keys.contains("reader") && keys.contains("comments:read"), "{keys}");
    let explained = page(&gateway, "/ui/explain?method=GET&url=/shop/a&client=&key=&origin=").await.body;
    assert!(explained.contains(">routed</h2>"), "{explained}");
    let wrong = page(&gateway, "/ui/explain?method=GET&url=/shop/a&client=nowhere").await;
    assert!(wrong.status.is_success() && wrong.body.contains("client: must be an address"), "{wrong:?}");
}

#[tokio::test]
async fn what_is_not_there_or_wrong_is_told_as_a_page() {
    let gateway = Gateway::start("").await;
    for (path, status, expected) in [
        ("/ui/services/nobody", 404, "service &quot;nobody&quot; is not registered"),
        ("/ui/services?page=many", 422, "page: must be a whole number"),
        ("/ui/services?status=well", 422, "status: must be up, unknown or down"),
        ("/ui/routes?qq=a", 422, "qq: is not known here"),
    ] {
        let answer = page(&gateway, path).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (status, "text/html; charset=utf-8"));
        assert!(answer.body.contains(expected), "{path}: {}", answer.body);
        assert!(answer.header("content-security-policy").starts_with("default-src 'none'"), "{answer:?}");
    }
    let beyond = page(&gateway, "/ui/routes?page=999").await;
    assert!(beyond.status.is_success() && beyond.body.contains("no routes"), "{beyond:?}");
}

#[tokio::test]
async fn what_strangers_say_of_themselves_is_text() {
    let hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>";
    let gateway = Gateway::start("[registration]\nunlisted = 'allow'\n").await;
    let body = json!({
        "service": "evil", "url": "http://127.0.0.1:9",
        "routes": [{ "method": "GET", "path": "/<script>alert(1)</script>/*" }],
        "metadata": { hostile: hostile }, "version": "<b>1",
    });
    assert_eq!(gateway.register(&body).await.status, 422, "of a pattern and a version not everything is taken");
    assert_eq!(gateway.register(&json!({ "service": hostile, "url": hostile })).await.status, 422);
    let body = json!({ "service": "evil", "url": "http://127.0.0.1:9", "metadata": { "a": hostile },
        "routes": [{ "method": "GET", "path": "/evil/*" }] });
    gateway.registered(&body).await;
    let quoted = url::form_urlencoded::byte_serialize(hostile.as_bytes()).collect::<String>();
    let questions = ["services", "routes", "events"].map(|page| format!("/ui/{page}?q={quoted}"));
    let more = ["/ui/", "/ui/services/evil", "/ui/events", "/ui/routes"].map(str::to_owned);
    let explain = format!("/ui/explain?method={quoted}&url={quoted}&client={quoted}&key={quoted}&origin={quoted}");
    let service = format!("/ui/services/{}", quoted.replace('+', "%20"));
    for path in questions.into_iter().chain(more).chain([explain, service]) {
        let answer = page(&gateway, &path).await;
        assert!(!answer.body.contains("<script>alert") && !answer.body.contains("<img"), "{path}: {}", answer.body);
    }
    let service = page(&gateway, "/ui/services/evil").await;
    assert!(service.body.contains("&lt;img src=x onerror=alert(1)&gt;"), "{}", service.body);
}

#[tokio::test]
async fn a_token_begins_a_session_that_reads_pages_and_nothing_else() {
    let gateway = Gateway::start(&operators()).await;
    let asked = page(&gateway, "/ui/services?q=a&page=2").await;
    let way = "sign-in?next=services%3Fq%3Da%26page%3D2";
    assert_eq!((asked.status, asked.header("location")), (StatusCode::SEE_OTHER, way));
    assert_eq!(page(&gateway, "/ui/services/a").await.header("location"), "../sign-in?next=services%2Fa");
    let form = page(&gateway, "/ui/sign-in").await;
    assert!(form.status.is_success() && form.body.contains("type=\"password\""), "{form:?}");

    for wrong in ["wrong", "far", ""] {
        let answer = Answer::of(sign_in(&gateway, wrong)).await;
        assert!(answer.status.is_client_error() && answer.header("set-cookie").is_empty(), "{answer:?}");
        assert!(answer.body.contains("role=\"alert\""), "{}", answer.body);
    }
    assert!(gateway.log().contains("refused POST /ui/sign-in from 127.0.0.1: operators-only"), "{}", gateway.log());

    let cookie = session(&gateway, TOKEN).await;
    assert!(cookie.starts_with(&format!("furt-{}=", gateway.internal.port())), "{cookie}");
    assert!(gateway.log().contains("ann (admin) signed in to the dashboard from 127.0.0.1"));
    let with_cookie = |method: Method, path: &str| gateway.operate(method, path).header("cookie", &cookie);
    for (path, _) in PAGES {
        let answer = Answer::of(with_cookie(Method::GET, path)).await;
        assert!(answer.status.is_success() && answer.body.contains("Sign out"), "{path}: {answer:?}");
    }
    for (method, path) in [
        (Method::GET, "/internal/services"),
        (Method::GET, "/internal/keys"),
        (Method::GET, "/metrics"),
        (Method::POST, "/internal/reload"),
        (Method::DELETE, "/internal/services/a/split"),
    ] {
        Answer::of(with_cookie(method, path)).await.problem(403, "operators-only");
    }
    // From another address of this host it is nobody's.
    let elsewhere = client_from(Some("127.0.0.2".parse().unwrap()));
    let answer = Answer::of(elsewhere.get(gateway.internal_url("/ui/")).header("cookie", &cookie)).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);

    let out = Answer::of(with_cookie(Method::POST, "/ui/sign-out")).await;
    assert_eq!((out.status, out.header("location")), (StatusCode::SEE_OTHER, "sign-in"));
    assert!(out.header("set-cookie").ends_with("Max-Age=0"), "{out:?}");
    assert_eq!(Answer::of(with_cookie(Method::GET, "/ui/")).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_session_is_worth_what_its_token_is_worth_now() {
    let gateway = Gateway::start(&operators()).await;
    let cookie = session(&gateway, "bob").await;
    let get = |path: &str| Answer::of(gateway.operate(Method::GET, path).header("cookie", &cookie));
    assert!(get("/ui/services").await.status.is_success());
    let keys = get("/ui/keys").await;
    assert_eq!(keys.status, StatusCode::FORBIDDEN);
    assert!(keys.body.contains("this needs the role keys, and bob has read"), "{}", keys.body);
    let mut stream = follow(&gateway, "/ui/", Some(&cookie)).await;
    stream.next("lists").await;
    let others = operators()
        .replace("name = 'bob'", "name = 'eve'")
        .replace(&Sha256Digest::of(b"bob").to_string(), &Sha256Digest::of(b"eve").to_string());
    gateway.configure(&others);
    Answer::of(gateway.operate(Method::POST, "/internal/reload").bearer_auth(TOKEN)).await.ok();
    assert_eq!(get("/ui/services").await.status, StatusCode::SEE_OTHER, "its operator is gone");
    stream.next("ended").await;
}

#[tokio::test]
async fn who_guesses_tokens_is_slowed_down() {
    let gateway = Gateway::start(&operators()).await;
    for _ in 0..5 {
        assert_eq!(Answer::of(sign_in(&gateway, "guess")).await.status, StatusCode::FORBIDDEN);
    }
    let answer = Answer::of(sign_in(&gateway, TOKEN)).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{answer:?}");
    assert!((1..=60).contains(&answer.retry_after()), "{answer:?}");
    // Who has a session, or sends the token itself, is not kept out by that.
    assert!(Answer::of(gateway.operate(Method::GET, "/ui/").bearer_auth(TOKEN)).await.status.is_success());
}

#[tokio::test]
async fn another_site_may_link_to_a_page_and_do_nothing_else() {
    let gateway = Gateway::start("").await;
    let from = |site: &str, mode: &str, method: Method, path: &str| {
        let request = gateway.operate(method, path);
        Answer::of(request.header("sec-fetch-site", site).header("sec-fetch-mode", mode))
    };
    assert!(from("cross-site", "navigate", Method::GET, "/ui/").await.status.is_success());
    assert!(from("same-origin", "cors", Method::GET, "/ui/").await.status.is_success());
    for mode in ["no-cors", "cors", "websocket"] {
        from("cross-site", mode, Method::GET, "/ui/").await.problem(403, "foreign-origin");
    }
    let foreign = gateway.operate(Method::POST, "/ui/sign-out").header("origin", "http://evil.example");
    Answer::of(foreign).await.problem(403, "foreign-origin");
    let rebound = gateway.operate(Method::GET, "/ui/").header("host", "evil.example");
    Answer::of(rebound).await.problem(403, "foreign-host");
}

#[tokio::test]
async fn without_tokens_an_address_lets_in_and_nobody_signs_in() {
    let gateway = Gateway::start("[internal]\noperators_from = ['127.0.0.1']\n").await;
    assert!(page(&gateway, "/ui/").await.status.is_success());
    let elsewhere = client_from(Some("127.0.0.2".parse().unwrap()));
    let refused = Answer::of(elsewhere.get(gateway.internal_url("/ui/"))).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.body.contains("only operators may"), "{}", refused.body);
    let form = Answer::of(elsewhere.get(gateway.internal_url("/ui/sign-in"))).await;
    assert!(form.body.contains("No token is configured") && !form.body.contains("<input"), "{}", form.body);
    assert_eq!(Answer::of(sign_in(&gateway, "a")).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_dashboard_that_is_switched_off_is_not_there() {
    let gateway = Gateway::start("[internal]\ndashboard = false\n").await;
    for path in ["/", "/ui", "/ui/", "/ui/services", "/ui/style.css", "/ui/sign-in"] {
        page(&gateway, path).await.problem(404, "not-found");
    }
    gateway.reloaded("").await;
    assert!(page(&gateway, "/ui/").await.status.is_success());
}

/// A page that is kept up to date.
struct Following {
    response: Response,
    read: String,
}

async fn follow(gateway: &Gateway, path: &str, cookie: Option<&str>) -> Following {
    let mut request = gateway.operate(Method::GET, path).header("accept", "text/event-stream");
    if let Some(cookie) = cookie {
        request = request.header("cookie", cookie);
    }
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    Following { response, read: String::new() }
}

impl Following {
    /// The data of the next event, which must be of that kind.
    async fn next(&mut self, kind: &str) -> String {
        loop {
            if let Some((event, rest)) = self.read.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.read = rest;
                // Of silence, and of the build.
                if event.starts_with(':') || event.starts_with("event: build") {
                    continue;
                }
                let data = event.strip_prefix(&format!("event: {kind}\ndata:"));
                return data.unwrap_or_else(|| panic!("{event}")).trim().to_owned();
            }
            let chunk = tokio::time::timeout(SOON, self.response.chunk()).await.expect("in time").unwrap();
            self.read.push_str(std::str::from_utf8(&chunk.expect("it goes on")).unwrap());
        }
    }

    /// The keys of a list, as the next change of it says them.
    async fn keys(&mut self, list: &str) -> Vec<String> {
        loop {
            let changes: Value = serde_json::from_str(&self.next("lists").await).unwrap();
            let of_list = changes.as_array().unwrap().iter().find(|change| change["id"] == list);
            if let Some(order) = of_list.and_then(|change| change["order"].as_array()) {
                return order.iter().map(|key| key.as_str().unwrap().to_owned()).collect();
            }
        }
    }
}

#[tokio::test]
async fn a_page_is_sent_what_changes_in_it() {
    let origin = Origin::start().await;
    let gateway = Gateway::start("").await;
    let mut following = follow(&gateway, "/ui/services?q=sho", None).await;
    assert_eq!(following.keys("services").await, [""; 0]);
    gateway.registered_and_up(&public_service("other", &origin.url(), "/other/*")).await;
    gateway.registered_and_up(&public_service("shop", &origin.url(), "/shop/*")).await;
    assert_eq!(following.keys("services").await, ["shop"], "what is not asked for is not sent");
    let gone = Answer::of(gateway.operate(Method::DELETE, "/internal/services/shop")).await;
    assert!(gone.status.is_success(), "{gone:?}");
    assert_eq!(following.keys("services").await, [""; 0]);
}

#[tokio::test]
async fn pages_that_are_kept_up_to_date_are_bounded_and_end_with_their_readers() {
    let gateway = Gateway::start("").await;
    let mut following = Vec::new();
    for _ in 0..64 {
        following.push(follow(&gateway, "/ui/", None).await);
    }
    let one_more = || gateway.operate(Method::GET, "/ui/").header("accept", "text/event-stream");
    Answer::of(one_more()).await.problem(503, "busy");
    assert!(page(&gateway, "/ui/").await.status.is_success(), "the page itself is there");
    following.clear();
    eventually("there is room again", SOON, async || {
        one_more().send().await.ok().filter(|response| response.status().is_success())
    })
    .await;
}

#[tokio::test]
async fn a_page_that_is_kept_up_to_date_holds_up_neither_a_stop_nor_what_else_is_asked() {
    let mut gateway = Gateway::start("[client]\nwrite_timeout = '1s'\n").await;
    let mut following = follow(&gateway, "/ui/events", None).await;
    following.next("lists").await;
    // Longer than any answer may take to be written that does not go on.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    gateway.registered(&public_service("late", "http://127.0.0.1:9", "/late/*")).await;
    assert!(!following.keys("events").await.is_empty());
    let head = Answer::of(gateway.operate(Method::HEAD, "/ui/events").header("accept", "text/event-stream")).await;
    assert_eq!((head.status, head.body.as_str()), (StatusCode::OK, ""));
    assert!(gateway.stop().await.success());
    assert!(following.response.chunk().await.is_ok_and(|chunk| chunk.is_none()), "it ends whole");
}

#[tokio::test]
async fn the_last_minutes_of_requests_are_drawn() {
    let origin = Origin::start().await;
    let gateway = Gateway::start("").await;
    gateway.registered_and_up(&public_service("shop", &origin.url(), "/shop/*")).await;
    eventually("requests are seen in the next interval", Duration::from_secs(15), async || {
        gateway.get("/shop/a").await;
        let overview = page(&gateway, "/ui/").await.body;
        overview.contains("<a href=\"services/shop\">shop</a></th>").then_some(())
    })
    .await;
    let service = page(&gateway, "/ui/services/shop").await.body;
    assert!(service.contains("99th percentile, the last 5 minutes: now "), "{service}");
}
