//! Servers that are asked whether requests may come: what they are asked, whom they let in, and what clients get otherwise.

use std::sync::Arc;
use std::time::Instant;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::answers::{Answers, Question, Reply};
use crate::support::asking::service;
use crate::support::gateway::client_from;
use crate::support::h2_client::{self, Client};
use crate::support::wire::Wire;
use crate::support::{Answer, Gateway, Mode, Origin, READER, SOON, eventually, with};

/// A server `sso` that is asked, with more lines of its own.
fn server(answers: &Answers, more: &str) -> String {
    format!(
        "[[forward_auth]]\nname = 'sso'\nurl = '{}/verify?from=furt'\ntimeout = '400ms'\ncopy = ['Remote-Groups', 'Remote-Email']\n\
         user = 'Remote-User'\n{more}\n",
        answers.url()
    )
}

/// Lets in whoever has the cookie `session=good`, as `ann` of two groups.
fn by_cookie(question: &Question) -> Reply {
    match question.header("cookie").contains("session=good") {
        true => allowed("ann", "dev,ops"),
        false => {
            Reply::With(302, vec![("location", "https://login.example/?rd=1".to_owned())], "to the login".to_owned())
        }
    }
}

fn allowed(user: &str, groups: &str) -> Reply {
    Reply::With(200, vec![("remote-user", user.to_owned()), ("remote-groups", groups.to_owned())], "fine".to_owned())
}

fn guarded(origin: &Origin) -> Value {
    service(
        origin,
        json!({"routes": [
            {"method": "*", "path": "/s/*", "auth": ["sso"]},
            {"method": "*", "path": "/s/dev", "permission": "dev:use", "auth": ["key", "sso"]},
            {"method": "*", "path": "/s/mail", "permission": "mail:read", "auth": ["sso"]},
            {"method": "*", "path": "/s/keys", "permission": "comments:read"},
            {"method": "*", "path": "/s/open"},
        ]}),
    )
}

async fn ask(gateway: &Gateway, path: &str) -> Answer {
    Answer::of(gateway.anonymous(Method::GET, path).header("cookie", "session=good")).await
}

#[tokio::test]
async fn a_server_is_asked_of_each_request_and_its_word_is_told_to_the_service() {
    let (answers, origin) = (Answers::start(by_cookie).await, Origin::start().await);
    let config = server(&answers, "claim = 'Remote-Groups'\nmap = { dev = ['dev:*'] }");
    let gateway = Gateway::start(&config).await;
    gateway.registered(&guarded(&origin)).await;
    let request = gateway.anonymous(Method::POST, "/s/%61dmin%2Db?q=%61").header("cookie", "session=good");
    let request = request.header("host", "shop.example").header("x-other", "secret").header("expect", "100-continue");
    let request = request.header("remote-user", "evil").header("x-forwarded-uri", "/else").body("the body");
    let echo = Answer::of(request).await.ok();
    assert_eq!(echo["body"], "the body", "the service gets the whole request: {echo}");
    assert_eq!(echo["headers"]["remote-user"], json!(["ann"]));
    assert_eq!(echo["headers"]["remote-groups"], json!(["dev,ops"]));
    assert_eq!(echo["headers"]["x-auth-subject"], json!(["ann"]));
    assert_eq!(echo["headers"]["x-auth-issuer"], json!(["sso"]));
    assert_eq!(echo["headers"]["x-auth-permissions"], json!(["dev:*"]));
    let asked = answers.asked();
    assert_eq!(asked.len(), 1);
    let question = &asked[0];
    assert_eq!((&*question.method, &*question.target, question.body.len()), ("GET", "/verify?from=furt", 0));
    for (name, value) in [
        ("x-forwarded-method", "POST"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "shop.example"),
        ("x-forwarded-uri", "/s/admin-b?q=%61"),
        ("x-forwarded-for", "127.0.0.1"),
        ("cookie", "session=good"),
        ("host", answers.url().trim_start_matches("http://")),
        ("x-other", ""),
        ("remote-user", ""),
        ("expect", ""),
        ("content-length", ""),
    ] {
        assert_eq!(question.header(name), value, "{name}: {question:?}");
    }
    ask(&gateway, "/s/dev").await.ok();
    ask(&gateway, "/s/mail").await.problem(403, "permission-missing");
    let client = Client::to(gateway.public).await;
    let over_h2 = client.ask(h2_client::get("/s/a").header("cookie", "session=good")).await;
    assert_eq!(over_h2.json()["headers"]["x-auth-subject"], json!(["ann"]), "over HTTP/2");
    // A key where keys are taken as well goes first, and nobody is asked.
    answers.asked();
    Answer::of(gateway.request(Method::GET, "/s/dev", READER)).await.problem(403, "permission-missing");
    Answer::of(gateway.request(Method::GET, "/s/dev", "wrong")).await.problem(401, "key-unknown");
    Answer::of(gateway.anonymous(Method::GET, "/s/open")).await.ok();
    assert_eq!(answers.asked().len(), 0);
}

#[tokio::test]
async fn whom_a_server_does_not_let_in_gets_its_answer() {
    let (answers, origin) = (Answers::start(by_cookie).await, Origin::start().await);
    let gateway = Gateway::start(&format!("{}[access_log]\npath = '-'", server(&answers, ""))).await;
    let cors = json!({"origins": ["https://a.example"], "credentials": true});
    gateway.registered(&with(guarded(&origin), json!({"cors": cors}))).await;
    let page = || gateway.anonymous(Method::GET, "/s/a").header("origin", "https://a.example");
    let sent = Answer::of(page()).await;
    assert_eq!((sent.status.as_u16(), sent.header("location")), (302, "https://login.example/?rd=1"), "{sent:?}");
    assert_eq!((&*sent.body, sent.header("cache-control")), ("to the login", "no-store"));
    assert_eq!(sent.header("access-control-allow-origin"), "https://a.example", "a page may read it");
    answers.set(|_| {
        let headers = ["Basic realm=\"one\"", "Negotiate"].map(|value| ("www-authenticate", value.to_owned()));
        let cookies =
            [("set-cookie", "a=1".to_owned()), ("set-cookie", "b=2".to_owned()), ("x-secret", "1".to_owned())];
        Reply::With(401, headers.into_iter().chain(cookies).collect(), "who are you?".to_owned())
    });
    let refused = Answer::of(page()).await;
    let all = |name: &str| refused.headers.get_all(name).iter().map(|one| one.to_str().unwrap()).collect::<Vec<_>>();
    assert_eq!((refused.status.as_u16(), &*refused.body), (401, "who are you?"));
    assert_eq!(all("www-authenticate"), ["Basic realm=\"one\"", "Negotiate"]);
    assert_eq!((all("set-cookie"), refused.header("x-secret")), (vec!["a=1", "b=2"], ""));
    eventually("it is logged", SOON, async || gateway.log().contains("\"flag\":\"denied\"").then_some(())).await;
    // What is no answer to the question lets nobody in.
    for status in [204, 200] {
        answers.set(move |_| Reply::With(status, Vec::new(), String::new()));
        Answer::of(page()).await.ok();
    }
    for status in [500, 404, 418, 304, 100] {
        answers.set(move |_| Reply::With(status, vec![("x-why", "secret".to_owned())], "its trouble".to_owned()));
        let answer = Answer::of(page()).await;
        let problem = answer.problem(503, "auth-unavailable");
        assert_eq!(problem["detail"], "\"sso\" gives no answer that can be used", "{status}");
        assert_eq!((answer.header("x-why"), answer.retry_after()), ("", 1));
    }
    answers.set(|_| Reply::Never);
    let began = Instant::now();
    Answer::of(page()).await.problem(503, "auth-unavailable");
    assert!((0.4..5.0).contains(&began.elapsed().as_secs_f64()), "{:?}", began.elapsed());
    drop(answers);
    Answer::of(page()).await.problem(503, "auth-unavailable");
    assert_eq!(origin.requests("/s/a"), 2, "its service saw the two that were let in");
}

#[tokio::test]
async fn the_cookies_of_a_server_that_lets_in_reach_the_client_beside_those_of_the_service() {
    let (answers, origin) = (Answers::start(by_cookie).await, Origin::start().await);
    let gateway = Gateway::start(&server(&answers, "")).await;
    gateway.registered(&guarded(&origin)).await;
    answers.set(|_| Reply::With(200, vec![("set-cookie", "session=new".to_owned())], String::new()));
    assert_eq!(ask(&gateway, "/s/a").await.header("set-cookie"), "session=new");
    // A session is not for a cache that others share.
    assert_eq!(ask(&gateway, "/s/a").await.header("cache-control"), "private");
    origin.set_mode(Mode::Status(503));
    assert_eq!(ask(&gateway, "/s/a").await.header("set-cookie"), "session=new");
}

#[tokio::test]
async fn a_server_is_asked_about_the_host_that_was_routed_and_told_nothing_that_strangers_may_not_say() {
    let (answers, origin) = (Answers::start(by_cookie).await, Origin::start().await);
    let more = "request_headers = ['Cookie', 'X-Real-IP', 'X-Client-Cert-Sha256', 'X-Auth-Subject', 'X-API-Key']\n\
                claim = 'X-Groups'\nmap = { dev = ['dev:*'] }\n[server]\ntrusted_proxies = ['127.0.0.3']";
    let gateway = Gateway::start(&server(&answers, more)).await;
    gateway.registered(&guarded(&origin)).await;
    for (source, sent, asked) in [
        ("127.0.0.1", "Wiki.example.", "wiki.example"),
        ("127.0.0.3", "wiki.example:8080", "wiki.example:8080"),
        ("127.0.0.3", "wiki.example:", "wiki.example"),
    ] {
        let client = client_from(Some(source.parse().unwrap()));
        let mut request = client.get(gateway.public_url("/s/a")).header("host", sent).header("cookie", "session=good");
        for name in ["x-forwarded-host", "x-client-cert-sha256", "x-auth-subject", "x-real-ip", "x-groups"] {
            request = request.header(name, "evil.example");
        }
        let echo = Answer::of(request.header("x-api-key", "mine")).await.ok();
        let asked_of = answers.asked().remove(0);
        assert_eq!(asked_of.header("x-forwarded-host"), asked, "{source} {sent}");
        assert_eq!((asked_of.header("x-auth-subject"), asked_of.header("x-api-key")), ("", "mine"));
        assert_eq!(asked_of.header("x-real-ip") == "evil.example", source == "127.0.0.3", "{asked_of:?}");
        assert_eq!(echo["headers"].get("x-groups"), None, "what it decides by comes from it alone: {echo}");
    }
}

#[tokio::test]
async fn addresses_over_their_limit_have_nobody_asked_and_those_who_are_let_in_do_not_count() {
    let (answers, origin) = (Answers::start(by_cookie).await, Origin::start().await);
    let limits = "[limits]\naddress_rate = '4/m'\naddress_burst = 4";
    let gateway = Gateway::start(&format!("{}{limits}", server(&answers, ""))).await;
    gateway.registered(&guarded(&origin)).await;
    for _ in 0..20 {
        ask(&gateway, "/s/a").await.ok();
    }
    let stranger = async || Answer::of(gateway.anonymous(Method::GET, "/s/a")).await.status.as_u16();
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(stranger().await);
    }
    assert_eq!(statuses, [302, 302, 302, 302, 429, 429]);
    assert_eq!(answers.asked().len(), 24);
    ask(&gateway, "/s/a").await.problem(429, "address-rate-limited");
    assert_eq!(answers.asked().len(), 0, "the address's limit comes first");
}

#[tokio::test]
async fn whom_a_server_lets_in_without_a_name_counts_for_its_address() {
    let (answers, origin) =
        (Answers::start(|_| Reply::With(200, Vec::new(), String::new())).await, Origin::start().await);
    let limits = "[limits]\naddress_rate = '4/m'\naddress_burst = 4";
    let gateway = Gateway::start(&format!("{}{limits}", server(&answers, ""))).await;
    gateway.registered(&guarded(&origin)).await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(ask(&gateway, "/s/a").await.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 200, 200, 429, 429]);
}

#[tokio::test]
async fn an_address_has_so_many_questions_at_once_and_others_have_theirs() {
    let told = Arc::new(Notify::new());
    let held = Arc::clone(&told);
    let (answers, origin) = (Answers::start(move |_| Reply::Told(Arc::clone(&held))).await, Origin::start().await);
    let gateway = Gateway::start(&server(&answers, "").replace("400ms", "10s")).await;
    gateway.registered(&guarded(&origin)).await;
    let from = |source: &str| {
        let client = client_from(Some(source.parse().unwrap()));
        let request = client.get(gateway.public_url("/s/a")).header("cookie", "session=good");
        tokio::spawn(async move { request.send().await.map(|answer| answer.status().as_u16()) })
    };
    let waiting: Vec<_> = (0..16).map(|_| from("127.0.0.2")).collect();
    let mut asked = 0;
    eventually("all of them are asked about", SOON, async || {
        asked += answers.asked().len();
        (asked == 16).then_some(())
    })
    .await;
    answers.set(by_cookie);
    let more = from("127.0.0.2");
    assert_eq!(from("127.0.0.3").await.unwrap().unwrap(), 200, "another address has places");
    assert_eq!(answers.asked().len(), 1, "the 17th waits");
    // Those before it are answered, and it has a place.
    told.notify_waiters();
    for one in waiting.into_iter().chain([more]) {
        assert_eq!(one.await.unwrap().unwrap(), 200);
    }
    assert_eq!(from("127.0.0.2").await.unwrap().unwrap(), 200);
}

#[tokio::test]
async fn a_websocket_is_asked_about_as_any_request() {
    let (answers, origin) = (Answers::start(by_cookie).await, Origin::start().await);
    let gateway = Gateway::start(&server(&answers, "")).await;
    gateway.registered(&guarded(&origin)).await;
    let upgrade = |cookie: &str| {
        format!(
            "GET /s/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nCookie: {cookie}\r\n\r\n"
        )
    };
    let mut wire = Wire::to(gateway.public).await;
    wire.send(upgrade("session=bad")).await;
    assert!(wire.read_until("\r\n\r\n").await.starts_with("HTTP/1.1 302"));
    let mut wire = Wire::to(gateway.public).await;
    wire.send(upgrade("session=good")).await;
    assert!(wire.read_until("\r\n\r\n").await.starts_with("HTTP/1.1 101"));
    for question in answers.asked() {
        assert_eq!((question.header("upgrade"), question.header("sec-websocket-key")), ("", ""), "{question:?}");
    }
}

#[tokio::test]
async fn what_a_server_names_comes_from_it_alone_on_every_route() {
    let (answers, origin) = (Answers::start(by_cookie).await, Origin::start().await);
    let gateway = Gateway::start(&server(&answers, "")).await;
    gateway.registered(&guarded(&origin)).await;
    for (path, header, value) in
        [("/s/a", "cookie", "session=good"), ("/s/keys", "x-api-key", READER), ("/s/open", "x-other", "1")]
    {
        let mut request = gateway.anonymous(Method::GET, path).header(header, value);
        for name in ["Remote-User", "remote_user", "REMOTE.USER", "Remote-Groups", "Remote_Email", "X-Auth-Subject"] {
            request = request.header(name, "evil").header(name, "evil too");
        }
        let echo = Answer::of(request.header("connection", "remote-user, remote-email")).await.ok();
        assert!(!echo["headers"].to_string().contains("evil"), "{path}: {echo}");
        assert_eq!(echo["headers"].get("remote-user").is_some(), path == "/s/a", "{path}: {echo}");
        assert_eq!(echo["headers"].get("remote-email"), None, "what the server leaves out stays out");
    }
}
