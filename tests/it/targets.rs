//! Static routes that furt answers itself: another place, or a text of the operator's. Over both protocols, with keys, with pages of
//! other origins, and changed while requests come.

use std::fs;

use bytes::Bytes;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gateway::{client_from, furt, output_of};
use crate::support::grpc::{call, message};
use crate::support::h2_client::{Client, asks, get};
use crate::support::tls::Edge;
use crate::support::wire::{self, Wire};
use crate::support::{ADMIN, Answer, Gateway, Health, Load, Origin, READER, SOON, eventually, public_service, with};

const ROBOTS: &str = "User-agent: *\nDisallow:\n";

/// A static route for every method, with these further lines.
fn route(path: &str, more: &str) -> String {
    format!("[[routes]]\nmethod = '*'\npath = '{path}'\n{more}\n")
}

/// The header of the answer to a `GET` of this target at this host, with more in it.
async fn asked(gateway: &Gateway, target: &str, host: &str, more: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n");
    wire::exchange(gateway.public, request).await
}

/// Status and place of a redirect.
async fn led(gateway: &Gateway, target: &str, host: &str, more: &str) -> (u16, String) {
    let answer = asked(gateway, target, host, more).await;
    (wire::status(&answer), wire::header(&answer, "location").unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_redirect_names_a_whole_url_and_keeps_what_it_does_not_change() {
    let tail = [
        route("/scheme/*", "redirect = { scheme = 'https', status = 301 }"),
        route("/host/*", "redirect = { host = 'example.org', status = 308 }"),
        route("/port/*", "redirect = { port = 8443 }"),
        route("/old", "redirect = { strip = '/old', status = 303 }"),
        route("/old/*", "redirect = { strip = '/old', add = '/new/place', status = 302 }"),
    ]
    .concat();
    let gateway = Gateway::start(&tail).await;
    for (target, host, expected) in [
        ("/scheme/a?b=/c", "a.example:8080", (301, "https://a.example/scheme/a?b=/c")),
        ("/host/a", "www.example.org:8080", (308, "http://example.org/host/a")),
        ("/port/a", "a.example:8080", (307, "http://a.example:8443/port/a")),
        ("/old", "a.example:8080", (303, "http://a.example:8080/")),
        ("/old/%61;v=1/?//evil.example", "a.example", (302, "http://a.example/new/place/%61;v=1/?//evil.example")),
        ("http://a.example/old/a", "a.example", (302, "http://a.example/new/place/a")),
    ] {
        let expected = (expected.0, expected.1.to_owned());
        assert_eq!(led(&gateway, target, host, "").await, expected, "{target}");
    }
    // Nothing that is left of a path begins another authority.
    for refused in ["/old//evil.example", "/old/..//evil.example", "/old/%2fevil.example", "/old/\\evil.example"] {
        assert_eq!(led(&gateway, refused, "a.example", "").await, (400, String::new()), "{refused}");
    }
    let whole = asked(&gateway, "/host/a", "a.example", "").await;
    assert_eq!(wire::header(&whole, "content-length"), Some("0"), "{whole}");
    assert_eq!(wire::header(&whole, "x-gateway"), Some("furt"), "{whole}");
    assert!(wire::header(&whole, "server-timing").unwrap().starts_with("gw;dur="), "{whole}");
    assert!(wire::header(&whole, "x-request-id").is_some(), "{whole}");
    assert_eq!(wire::header(&whole, "cache-control"), None, "{whole}");
    let old = wire::exchange(gateway.public, "GET /scheme/a HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.") && old.contains(" 400 ") && old.contains("needs a Host"), "{old}");

    let client = Client::to(gateway.public).await;
    for (method, path) in [(Method::GET, "/scheme/a?b"), (Method::HEAD, "/scheme/a?b")] {
        let answer = client.ask(asks(method, path)).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (301, 0));
        assert_eq!(answer.headers["location"], "https://gateway/scheme/a?b");
    }
    let sent = client.send(asks(Method::POST, "/host/a"), Bytes::from(vec![b'x'; 100_000])).await;
    assert_eq!((sent.status.as_u16(), &sent.headers["location"]), (308, &"http://example.org/host/a".parse().unwrap()));
}

#[tokio::test]
async fn who_was_sent_there_already_gets_508() {
    let tail = [
        route("/scheme/*", "redirect = { scheme = 'https' }"),
        route("/host/*", "redirect = { host = 'example.org' }"),
        route("/*", "redirect = { add = '/v2' }"),
    ]
    .concat();
    let trusting = format!("[server]\ntrusted_proxies = ['127.0.0.1']\n{tail}");
    let (gateway, origin) = (Gateway::start(&trusting).await, Origin::start().await);
    let https = "X-Forwarded-Proto: https\r\n";
    let loops = |answer: &str| {
        assert_eq!(wire::status(answer), 508, "{answer}");
        assert!(answer.contains("\"code\":\"loop-detected\"") && answer.contains("leads back"), "{answer}");
    };
    assert_eq!(led(&gateway, "/scheme/a", "a.example", "").await.0, 307);
    loops(&asked(&gateway, "/scheme/a", "a.example", https).await);
    loops(&asked(&gateway, "/scheme/a", "a.example:443", https).await);
    loops(&asked(&gateway, "/host/a", "EXAMPLE.org.", "").await);
    loops(&asked(&gateway, "/host/a", "example.org:80", "").await);
    let told = "X-Forwarded-Host: outer.example:8080\r\nX-Forwarded-Proto: https\r\n";
    assert_eq!(led(&gateway, "/a", "inner", told).await, (307, "https://outer.example:8080/v2/a".to_owned()));
    let forged = asked(&gateway, "/a", "inner", "X-Forwarded-Host: evil.example/x?\r\n").await;
    assert_eq!(wire::status(&forged), 400, "{forged}");

    // It stands in for a service that is DOWN, and would lead there again and again.
    gateway
        .registered_and_up(&with(public_service("v2", &origin.url(), "/v2/*"), json!({"health_endpoint": "/health"})))
        .await;
    assert_eq!(wire::status(&asked(&gateway, "/v2/a", "a.example", "").await), 200);
    origin.set_health(Health::Status(500));
    gateway.status_becomes("v2", "DOWN").await;
    loops(&asked(&gateway, "/v2/a", "a.example", "").await);
    assert_eq!(led(&gateway, "/a", "a.example", "").await, (307, "http://a.example/v2/a".to_owned()));
}

#[tokio::test]
async fn under_tls_the_place_has_the_connection_s_scheme_and_port() {
    let edge = Edge::new();
    let tail =
        [route("/host/*", "redirect = { host = 'b.example' }"), route("/path/*", "redirect = { strip = '/path' }")];
    let gateway = Gateway::start(&edge.tail(&["a"], &format!("hsts = '365d'\n{}", tail.concat()))).await;
    let mut wire = edge.wire().await;
    let port = edge.address.port();
    for (target, place) in
        [("/host/a", "https://b.example/host/a".to_owned()), ("/path/a", format!("https://a.example:{port}/a"))]
    {
        wire.send(format!("GET {target} HTTP/1.1\r\nHost: a.example:{port}\r\n\r\n")).await;
        let (head, _) = wire.read_response().await;
        assert_eq!((wire::status(&head), wire::header(&head, "location")), (307, Some(place.as_str())), "{head}");
        assert_eq!(wire::header(&head, "strict-transport-security"), Some("max-age=31536000"), "{head}");
    }
    // What comes plain is sent to https first.
    let plain = asked(&gateway, "/host/a", "a.example", "").await;
    assert_eq!(wire::header(&plain, "location"), Some(format!("https://a.example:{port}/host/a").as_str()), "{plain}");
}

#[tokio::test]
async fn a_text_is_answered_over_both_protocols_and_the_connection_is_kept() {
    let tail = [
        format!("[access_log]\npath = 'access.log'\n{}", route("/robots.txt", &format!("respond.body = {ROBOTS:?}"))),
        route("/gone", "respond = { status = 410, type = 'text/html', body = '<p>gone' }"),
        route("/none", "respond.status = 204"),
        route("/reset", "respond.status = 205"),
        route("/same", "respond.status = 304"),
        route("/empty", "respond.body = ''"),
    ]
    .concat();
    let gateway = Gateway::start(&tail).await;
    let answer = Answer::of(gateway.anonymous(Method::GET, "/robots.txt")).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, ROBOTS));
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!((answer.header("cache-control"), answer.header("x-gateway")), ("", "furt"));
    assert!(!answer.header("x-request-id").is_empty() && answer.header("server-timing").starts_with("gw;dur="));
    let gone = Answer::of(gateway.anonymous(Method::GET, "/gone")).await;
    assert_eq!((gone.status.as_u16(), gone.header("content-type"), gone.body.as_str()), (410, "text/html", "<p>gone"));

    // One connection: bodies of requests are read and dropped.
    let mut wire = Wire::to(gateway.public).await;
    let length = ROBOTS.len().to_string();
    for _ in 0..3 {
        wire.send("POST /robots.txt HTTP/1.1\r\nHost: g\r\nContent-Length: 5\r\n\r\nhello").await;
        assert_eq!(wire.read_response().await.1, ROBOTS);
        wire.send("PUT /gone HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n").await;
        assert_eq!(wire.read_response().await.1, "<p>gone");
        wire.send("HEAD /robots.txt HTTP/1.1\r\nHost: g\r\n\r\n").await;
        let head = wire.read_until("\r\n\r\n").await;
        assert_eq!(
            (wire::status(&head), wire::header(&head, "content-length")),
            (200, Some(length.as_str())),
            "{head}"
        );
        for (path, status, length) in [("/none", 204, None), ("/reset", 205, Some("0")), ("/same", 304, None)] {
            wire.send(format!("GET {path} HTTP/1.1\r\nHost: g\r\n\r\n")).await;
            let head = wire.read_until("\r\n\r\n").await;
            assert_eq!((wire::status(&head), wire::header(&head, "content-length")), (status, length), "{head}");
            assert_eq!(wire::header(&head, "content-type"), None, "{head}");
        }
        wire.send("GET /empty HTTP/1.1\r\nHost: g\r\n\r\n").await;
        assert_eq!(wire.read_response().await.1, "");
    }

    let client = Client::to(gateway.public).await;
    let got = client.ask(get("/robots.txt")).await;
    assert_eq!((got.status.as_u16(), &got.body[..]), (200, ROBOTS.as_bytes()));
    let head = client.ask(asks(Method::HEAD, "/robots.txt")).await;
    assert_eq!((head.body.len(), head.headers["content-length"].to_str().unwrap()), (0, length.as_str()));
    let sent = client.send(asks(Method::POST, "/gone"), Bytes::from(vec![b'x'; 100_000])).await;
    assert_eq!((sent.status.as_u16(), &sent.body[..]), (410, &b"<p>gone"[..]));
    for (path, status) in [("/none", 204), ("/reset", 205), ("/same", 304), ("/empty", 200)] {
        let answer = client.ask(get(path)).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (status, 0), "{path}");
    }

    let flagged = eventually("lines of the log", SOON, async || {
        let log = fs::read_to_string(gateway.dir().join("access.log")).ok()?;
        (log.lines().count() >= 27).then_some(log)
    })
    .await;
    let entry: Value = serde_json::from_str(flagged.lines().next().unwrap()).unwrap();
    assert_eq!((&entry["flag"], &entry["route"]), (&json!("responded"), &json!("/robots.txt")), "{entry}");
    let metrics = gateway.metrics().await;
    assert!(metrics.lines().any(|line| line.contains("route=\"/robots.txt\"")), "{metrics}");
}

#[tokio::test]
async fn keys_rates_and_pages_of_other_origins_are_as_on_any_route() {
    const APP: &str = "https://app.example.org";
    let rule =
        "[[rules]]\npath = '/text'\ncors = { origins = ['https://app.example.org'] }\nrewrite = { add = '/x' }\n";
    let tail = [
        "[limits]\naddress_rate = '1/m'\naddress_burst = 4\n".to_owned(),
        route("/text", "permission = 'text:read'\nrespond.body = 'secret'"),
        route("/away", "permission = 'text:read'\nredirect.host = 'b.example'"),
        rule.to_owned(),
    ]
    .concat();
    let gateway = Gateway::start(&tail).await;
    let ask = |method, path, key: &str| {
        let request = gateway.anonymous(method, path).header("origin", APP);
        Answer::of(if key.is_empty() { request } else { request.header("x-api-key", key) })
    };
    let text = ask(Method::GET, "/text", ADMIN).await;
    assert_eq!((text.status.as_u16(), text.body.as_str()), (200, "secret"));
    assert_eq!((text.header("access-control-allow-origin"), text.header("vary")), (APP, "Origin"));
    assert_eq!(text.header("cache-control"), "no-store", "caches know no API keys");
    ask(Method::GET, "/text", READER).await.problem(403, "permission-missing");
    let away = ask(Method::GET, "/away", ADMIN).await;
    assert_eq!((away.status.as_u16(), away.header("location")), (307, "http://b.example/away"));
    assert_eq!(away.header("cache-control"), "no-store");
    let preflight = gateway.anonymous(Method::OPTIONS, "/text").header("origin", APP);
    let preflight = Answer::of(preflight.header("access-control-request-method", "GET")).await;
    assert_eq!((preflight.status.as_u16(), preflight.header("access-control-allow-origin")), (204, APP));
    let none = ask(Method::GET, "/text", "").await;
    none.problem(401, "key-missing");
    assert_eq!(none.header("access-control-allow-origin"), APP);
    ask(Method::GET, "/away", "").await.problem(401, "key-missing");
    ask(Method::GET, "/away", "").await.problem(401, "key-missing");
    ask(Method::GET, "/away", "").await.problem(429, "address-rate-limited");
}

#[tokio::test]
async fn what_takes_no_such_answer_is_told_so() {
    let tail = [
        route("/s/text", "respond.body = 'x'"),
        route("/s/away", "redirect.host = 'b.example'"),
        route("/s/closed", "respond = { status = 503, body = 'closed' }"),
    ]
    .concat();
    let gateway = Gateway::start(&tail).await;
    let client = Client::to(gateway.public).await;
    for path in ["text", "away"] {
        let answer = client.send(call(path), message(b"x")).await;
        let header = |name: &str| answer.headers[name].to_str().unwrap();
        assert_eq!((header("grpc-status"), header("x-furt-code")), ("12", "route-not-found"), "{answer:?}");
    }
    // Clients make UNAVAILABLE of it by themselves.
    let closed = client.send(call("closed"), message(b"x")).await;
    assert_eq!((closed.status.as_u16(), &closed.body[..]), (503, &b"closed"[..]));
    for path in ["text", "away"] {
        let (head, ..) = client.websocket(&format!("http://gateway/s/{path}"), &[]).await;
        assert_eq!(head.status, 404, "to a client of HTTP/2 a success would be a WebSocket");
    }
}

#[tokio::test]
async fn a_static_answer_stands_in_for_a_service_that_is_down_and_is_shown_to_operators() {
    let tail = [
        route("/shop/*", "exclusive = false\nrespond = { status = 503, body = 'closed' }"),
        route("/old/*", "permission = 'a:b'\nredirect = { host = 'example.org', strip = '/old', status = 308 }"),
    ]
    .concat();
    let (gateway, origin) = (Gateway::start(&tail).await, Origin::start().await);
    let shop = with(public_service("shop", &origin.url(), "/shop/*"), json!({"health_endpoint": "/health"}));
    gateway.register(&shop).await.problem(409, "taken");
    let shop = with(public_service("shop", &origin.url(), "/shop/cart"), json!({"health_endpoint": "/health"}));
    gateway.registered_and_up(&shop).await;
    assert_eq!(gateway.get("/shop/cart").await.status, 200);
    origin.set_health(Health::Status(500));
    gateway.status_becomes("shop", "DOWN").await;
    let closed = gateway.get("/shop/cart").await;
    assert_eq!((closed.status.as_u16(), closed.body.as_str()), (503, "closed"));
    let overlaps = public_service("other", &origin.url(), "/old/x");
    gateway.registered(&overlaps).await;

    let explained = gateway.seen("/internal/explain?method=GET&url=/shop/cart").await;
    assert_eq!(explained["verdict"], "responded", "{explained}");
    let words = "respond 503: 6 bytes of text/plain; charset=utf-8";
    assert_eq!(explained["route"]["answer"], words);
    assert!(explained["reason"].as_str().unwrap().ends_with(words), "{explained}");
    let routes = gateway.seen("/internal/routes").await;
    let shown = routes["routes"].as_array().unwrap().iter().find(|route| route["path"] == "/old/*").unwrap();
    let words = "redirect 308: host example.org, strips /old";
    assert_eq!((&shown["answer"], &shown["status"], &shown["routed"]), (&json!(words), &json!("UP"), &json!(true)));
    let text = gateway.cli(&["routes"]).await;
    assert!(String::from_utf8_lossy(&text.stdout).contains(words), "{text:?}");
    let text = gateway.cli(&["explain", "GET", "/old/y"]).await;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.starts_with("redirected: ") && text.contains(words) && text.contains("that has \"a:b\""), "{text}");
    let explained = gateway.seen("/internal/explain?method=GET&url=https://a.example:8443/old/y").await;
    assert!(explained["reason"].as_str().unwrap().contains("; to https://example.org/y"), "{explained}");
    gateway.reloaded(&route("/host/*", "redirect.host = 'example.org'")).await;
    let explained = gateway.seen("/internal/explain?method=GET&url=http://example.org/host/a").await;
    assert_eq!(explained["verdict"], "loop-detected", "{explained}");
}

#[tokio::test]
async fn a_reload_makes_one_target_of_another_and_no_request_is_lost() {
    let origin = Origin::start().await;
    let targets = [
        format!("url = '{}'", origin.url()),
        "redirect.host = 'b.example'".to_owned(),
        "respond.body = 'text'".to_owned(),
        "service = 's'".to_owned(),
    ];
    let gateway = Gateway::start(&route("/a/*", &targets[0])).await;
    gateway.registered(&public_service("s", &origin.url(), "/s/*")).await;
    let url = gateway.public_url("/a/x");
    let mut load = Load::start(4, move |client, _| {
        let url = url.clone();
        async move {
            let request = client_from(None).request(if client % 2 == 0 { Method::GET } else { Method::POST }, &url);
            let answer = Answer::of(if client % 2 == 0 { request } else { request.body("body") }).await;
            let is_one = match answer.status.as_u16() {
                307 => answer.header("location") == "http://b.example/a/x",
                200 => answer.body == "text" || answer.json()["path"] == "/a/x",
                _ => false,
            };
            assert!(is_one, "{answer:?}");
        }
    });
    for target in targets.iter().cycle().skip(1).take(12) {
        let answer = gateway.reloaded(&route("/a/*", target)).await;
        assert_eq!(answer["changed"], json!(["routes"]));
        let seen = Answer::of(gateway.anonymous(Method::GET, "/a/x")).await;
        let expected = if target.starts_with("redirect") { 307 } else { 200 };
        assert_eq!((seen.status.as_u16(), seen.body == "text"), (expected, target.starts_with("respond")), "{target}");
        load.more(8).await;
    }
    load.stop().await;
}

#[tokio::test]
async fn a_file_is_read_at_the_start_and_at_each_reload_and_told_where_it_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("body.html");
    let tail = route("/page", &format!("respond = {{ type = 'text/html', file = '{}' }}", file.display()));
    fs::write(&file, "one").unwrap();
    let mut gateway = Gateway::start(&tail).await;
    let seen = async |gateway: &Gateway| gateway.get("/page").await.body;
    assert_eq!(seen(&gateway).await, "one");
    fs::write(&file, "two").unwrap();
    assert_eq!(seen(&gateway).await, "one", "until a reload");
    assert_eq!(gateway.reload().await.ok()["changed"], json!(["routes"]));
    assert_eq!(seen(&gateway).await, "two");
    assert_eq!(gateway.reload().await.ok()["changed"], json!([]));

    let place = {
        let text = fs::read_to_string(&gateway.config).unwrap();
        let line = text.lines().position(|line| line.contains("body.html")).unwrap();
        let column = text.lines().nth(line).unwrap().find("= ").unwrap() + 3;
        (line + 1, column)
    };
    type Spoil<'a> = &'a dyn Fn();
    let spoils: [(Spoil<'_>, &str); 3] = [
        (&|| fs::remove_file(&file).unwrap(), "cannot be read"),
        (&|| fs::create_dir(&file).unwrap(), "is no regular file"),
        (
            &|| {
                fs::remove_dir(&file).unwrap();
                fs::write(&file, vec![b'x'; 64 * 1024 + 1]).unwrap();
            },
            "has more than 64 KiB",
        ),
    ];
    for (spoil, why) in spoils {
        spoil();
        let refused = gateway.reload().await.problem(422, "invalid-config");
        let error = &refused["errors"][0];
        assert_eq!((&error["line"], &error["column"]), (&json!(place.0), &json!(place.1)), "{refused}");
        assert_eq!(error["key"], "routes.respond.file");
        assert!(error["detail"].as_str().unwrap().contains(why), "{refused}");
        assert_eq!(seen(&gateway).await, "two", "what was in force stays");
        let checked = output_of(furt(&["check", gateway.config.to_str().unwrap()])).await;
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        let at = format!("furt.toml:{}:{}: routes.respond.file: ", place.0, place.1);
        assert!(checked.status.code() == Some(1) && said.contains(&at) && said.contains(why), "{said}");
    }
    gateway.stop().await;
    let started = output_of(furt(&["run", "--config", gateway.config.to_str().unwrap()])).await;
    let said = String::from_utf8_lossy(&started.stderr).into_owned();
    assert!(started.status.code() == Some(1) && said.contains("routes.respond.file: "), "{said}");
    fs::write(&file, vec![b'x'; 64 * 1024]).unwrap();
    gateway.start_again().await;
    assert_eq!(seen(&gateway).await.len(), 64 * 1024);
}

#[tokio::test]
async fn a_host_is_sent_to_the_one_that_is_meant_and_no_further() {
    let tail = route("/*", "host = 'www.example.org'\nredirect = { host = 'example.org', status = 308 }");
    let gateway = Gateway::start(&tail).await;
    assert_eq!(led(&gateway, "/a?b", "WWW.example.org", "").await, (308, "http://example.org/a?b".to_owned()));
    assert_eq!(led(&gateway, "/a?b", "example.org", "").await.0, 404);
}
