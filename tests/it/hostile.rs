//! Clients and services that mean harm: messages that two readers could understand differently, forged identities,
//! answers out of turn, listeners held busy.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::support::scripted::{Scripted, Then};
use crate::support::wire::{self, Wire, exchange};
use crate::support::{Answer, Gateway, Mode, Origin, READER, SOON, eventually, public_service, sagjan, with};

async fn before(tail: &str, url: &str) -> Gateway {
    let gateway = Gateway::start(tail).await;
    gateway.registered(&public_service("service", url, "/s/*")).await;
    gateway
}

/// The answer to `GET /s/a` where the service sends `bytes`.
async fn answer_to(bytes: &'static str, then: Then) -> String {
    let scripted = Scripted::start(bytes, then).await;
    let gateway = before("[upstream]\nread_timeout = '400ms'", &scripted.url()).await;
    exchange(gateway.public, "GET /s/a HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n").await
}

// Clients.

#[tokio::test]
async fn a_target_that_is_no_path_is_not_taken_for_the_root() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered(&public_service("service", &origin.url(), "/")).await;
    for target in ["admin", "?a", "@gateway/a", "gateway:80", "ftp://gateway/", "*", "*/../a", "**", "*?a", "*/..%2f"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n");
        let answer = exchange(gateway.public, request).await;
        assert_eq!(wire::status(&answer), 400, "{target}: {answer}");
    }
    assert_eq!(origin.serving_connections(), 0);
}

#[tokio::test]
async fn a_request_line_that_the_parser_would_repair_is_refused_however_it_comes() {
    let origin = Origin::start().await;
    let gateway = before("", &origin.url()).await;
    for target in [
        "/s/a b",
        "/s/a ",
        "/s/ /",
        "/s/a?\x01",
        "/s/a?\x1b[m",
        "/s/a?\x7f",
        "/s/a#b",
        "/s/#/../a",
        "/s/a?b#c",
        "/s/a?\u{e9}",
    ] {
        let (line, rest) = (format!("GET {target}"), " HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n");
        let answer = exchange(gateway.public, format!("{line}{rest}")).await;
        assert_eq!(wire::status(&answer), 400, "{target:?}: {answer}");
        let mut wire = Wire::to(gateway.public).await;
        wire.send(&line).await;
        // The pieces must be read apart.
        tokio::time::sleep(Duration::from_millis(20)).await;
        wire.send(rest).await;
        assert_eq!(wire::status(&wire.read_to_end(SOON).await), 400, "{target:?} in two pieces");
    }
    assert_eq!(origin.serving_connections(), 0);
}

/// Whatever a request line is made of: what reaches a service is a path below the route that let it in.
#[tokio::test]
async fn no_request_line_reaches_what_its_route_does_not_lead_to() {
    let origin = Origin::start().await;
    let gateway = Gateway::start("").await;
    let mut body = public_service("service", &origin.url(), "/open/*");
    body["routes"].as_array_mut().unwrap().push(json!({"method": "GET", "path": "/closed/*", "permission": "closed"}));
    gateway.registered(&body).await;
    let words = [
        "/",
        "open",
        "closed",
        "/open/",
        "/closed/",
        "..",
        ".",
        "%2e",
        "%2f",
        "*",
        "?",
        "#",
        ";",
        "\\",
        "//",
        " ",
        "\t",
        "http://gateway",
        "http:",
        "@",
        "\u{e9}",
        "%",
        "%00",
        "\u{1}",
    ];
    let mut random = fastrand::Rng::with_seed(13);
    let mut taken = 0;
    for _ in 0..1_500 {
        let start = ["/open/", "/closed/", "http://gateway/open/", "*", ""][random.usize(..5)];
        let target: String = (0..random.usize(..5)).map(|_| words[random.usize(..words.len())]).collect();
        let target = format!("{start}{target}");
        let request = format!("GET {target} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n");
        let answer = exchange(gateway.public, request).await;
        if wire::status(&answer) == 200 {
            let (_, body) = answer.split_once("\r\n\r\n").unwrap();
            let seen: serde_json::Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{target:?}: {answer}"));
            let path = seen["path"].as_str().unwrap();
            let below = path.strip_prefix("/open/").unwrap_or_else(|| panic!("{target:?}: {path}"));
            let is_plain = |segment: &str| !["", ".", "..", "%2e", "%2E"].contains(&segment.split(';').next().unwrap());
            assert!(below.trim_end_matches('/').split('/').all(is_plain), "{target:?}: {path}");
            taken += 1;
        }
    }
    assert!(taken > 20, "{taken}");
}

#[tokio::test]
async fn a_service_is_sent_a_path_where_the_client_sent_a_url() {
    let scripted = Origin::start().await;
    let gateway = before("", &scripted.url()).await;
    let request = "GET http://gateway/s/a?b=1 HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n";
    let answer = exchange(gateway.public, request).await;
    assert!(answer.contains("\"path\":\"/s/a\"") && answer.contains("\"query\":\"b=1\""), "{answer}");
    let other = "GET http://other/s/a HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n";
    assert_eq!(wire::status(&exchange(gateway.public, other).await), 400);
}

#[tokio::test]
async fn a_request_names_one_plain_host_or_gets_400() {
    let origin = Origin::start().await;
    let gateway = before("", &origin.url()).await;
    let none = ["admin.example:x", ":80:80", "a:b:c", "[::1", "[::1]x", "a..b", "a%2e", "a:99999"];
    let none = none.map(|host| format!("Host: {host}\r\n"));
    for host in none.iter().map(String::as_str).chain([
        "",
        "Host: a b\r\n",
        "Host: a,b\r\n",
        "Host: a/../b\r\n",
        "Host: u@a\r\n",
        "Host: a\r\nHost: a\r\n",
    ]) {
        let answer = exchange(gateway.public, format!("GET /s/a HTTP/1.1\r\n{host}Connection: close\r\n\r\n")).await;
        assert_eq!(wire::status(&answer), 400, "{host}: {answer}");
    }
    let answer = exchange(gateway.public, "GET /s/a HTTP/1.0\r\n\r\n").await;
    assert_eq!(wire::status(&answer), 200, "HTTP/1.0 knows no Host: {answer}");
    assert!(answer.contains(&origin.url()["http://".len()..]), "the service needs one all the same: {answer}");
}

#[tokio::test]
async fn chunks_that_are_none_are_refused_however_they_come() {
    let origin = Origin::start().await;
    let gateway = before("", &origin.url()).await;
    let head = "POST /s/a HTTP/1.1\r\nHost: gateway\r\nTransfer-Encoding: chunked\r\n\r\n";
    let hidden = "GET /s/hidden HTTP/1.1\r\nHost: gateway\r\n\r\n";
    for chunks in [
        "\r\n\r\n",
        "5\r\nAAAAA\r\n\r\n\r\n",
        "5\r\nAAAAA\r\n;x\r\n",
        "5\r\nAAAAA\r\n \r\n\r\n",
        "2;\nxx\r\n46\r\n0\r\n\r\n",
        "5;a\0b\r\nAAAAA\r\n0\r\n\r\n",
        "5\r\nAAAAA\r\n0\r\na\r\n\r\n",
    ] {
        for pieces in [vec![format!("{head}{chunks}{hidden}")], vec![head.to_owned(), format!("{chunks}{hidden}")]] {
            let mut wire = Wire::to(gateway.public).await;
            for piece in pieces {
                wire.try_send(piece).await;
                // The pieces must be read apart.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let answer = wire.read_to_end(SOON).await;
            assert_eq!(wire::status(&answer), 400, "{chunks:?}: {answer}");
            assert_eq!(wire::header(&answer, "connection"), Some("close"), "{chunks:?}: {answer}");
        }
    }
    assert_eq!(origin.requests("/s/hidden"), 0);
    let good = format!("{head}5;a=b\r\nAAAAA\r\n0\r\nX-Sum: 1\r\n\r\n").replace("Host", "Connection: close\r\nHost");
    assert!(exchange(gateway.public, good).await.contains("\"body\":\"AAAAA\""));
}

#[tokio::test]
async fn a_connection_is_used_again_after_a_body_however_it_is_framed() {
    let origin = Origin::start().await;
    let gateway = before("", &origin.url()).await;
    let mut wire = Wire::to(gateway.public).await;
    for framing in ["Content-Length: 5\r\n\r\nAAAAA", "Transfer-Encoding: chunked\r\n\r\n5\r\nAAAAA\r\n0\r\n\r\n"] {
        for _ in 0..3 {
            wire.send(format!("POST /s/a HTTP/1.1\r\nHost: gateway\r\n{framing}")).await;
            let (head, body) = wire.read_response().await;
            assert!(wire::status(&head) == 200 && body.contains("\"body\":\"AAAAA\""), "{head}{body}");
        }
    }
}

#[tokio::test]
async fn a_body_has_no_transfer_coding_but_chunks_said_once() {
    let origin = Origin::start().await;
    let gateway = before("", &origin.url()).await;
    for (codings, status, code) in [
        ("gzip, chunked", 501, "transfer-coding"),
        ("gzip\r\nTransfer-Encoding: chunked", 501, "transfer-coding"),
        ("identity, chunked", 501, "transfer-coding"),
        ("chunked, chunked", 400, "bad-request"),
        ("chunked\r\nTransfer-Encoding: chunked", 400, "bad-request"),
    ] {
        let head = format!("POST /s/a HTTP/1.1\r\nHost: gateway\r\nTransfer-Encoding: {codings}\r\n\r\n");
        let answer = exchange(gateway.public, format!("{head}3\r\nabc\r\n0\r\n\r\n")).await;
        assert_eq!(wire::status(&answer), status, "{codings}: {answer}");
        assert!(answer.contains(code), "{codings}: {answer}");
    }
    assert_eq!(origin.serving_connections(), 0);
}

#[tokio::test]
async fn a_header_longer_than_any_gets_431() {
    let gateway = Gateway::start("").await;
    let mut wire = Wire::to(gateway.public).await;
    // One byte more than is read, and no other: an answer is lost where more lies unread.
    let begins = "GET / HTTP/1.1\r\nHost: gateway\r\nX-Long: ";
    wire.send(format!("{begins}{}", "a".repeat(1024 * 1024 - begins.len()))).await;
    assert_eq!(wire::status(&wire.read_to_end(SOON).await), 431);
}

#[tokio::test]
async fn a_length_that_is_said_twice_is_forwarded_once() {
    let origin = Origin::start().await;
    let gateway = before("", &origin.url()).await;
    for lengths in ["Content-Length: 3, 3\r\n", "Content-Length: 3\r\nContent-Length: 3\r\n"] {
        let request = format!("POST /s/a HTTP/1.1\r\nHost: gateway\r\n{lengths}Connection: close\r\n\r\nabc");
        let answer = exchange(gateway.public, request).await;
        assert!(answer.contains("\"content-length\":[\"3\"]"), "{lengths}: {answer}");
    }
}

#[tokio::test]
async fn the_body_of_a_refused_request_is_never_read_as_a_request() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    let hidden = format!("GET /api/comments/hidden HTTP/1.1\r\nHost: gateway\r\nX-API-Key: {READER}\r\n\r\n");
    let head = "POST /api/comments/a HTTP/1.1\r\nHost: gateway\r\n";
    for (framing, body) in [
        (format!("Content-Length: {}\r\n", hidden.len()), hidden.clone()),
        ("Transfer-Encoding: chunked\r\n".to_owned(), format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len())),
        (format!("Expect: 100-continue\r\nContent-Length: {}\r\n", hidden.len()), hidden.clone()),
        ("Content-Length: 4000000\r\n".to_owned(), hidden.repeat(40)),
        ("Transfer-Encoding: chunked\r\n".to_owned(), format!("ZZ\r\n{hidden}")),
        (format!("Connection: upgrade\r\nUpgrade: x\r\nContent-Length: {}\r\n", hidden.len()), hidden.clone()),
    ] {
        for is_late in [false, true] {
            let mut wire = Wire::to(gateway.public).await;
            wire.send(format!("{head}{framing}\r\n")).await;
            if is_late {
                wire.read_until("key-missing").await;
            }
            wire.try_send(&body).await;
            // Where the connection is kept, this is the next request.
            wire.try_send("GET /internal HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n").await;
            let answers = wire.read_to_end(SOON).await;
            assert!(!answers.contains("HTTP/1.1 200"), "{framing}: {answers}");
        }
    }
    assert_eq!(origin.requests("/api/comments/hidden"), 0);
}

#[tokio::test]
async fn hops_that_a_stranger_names_do_not_reach_the_service() {
    let origin = Origin::start().await;
    let headers = "X-Forwarded-Port: forged\r\nX-Forwarded-Prefix: forged\r\nX.API.Key.Name: forged\r\n\
                   X_Forwarded_Ssl: forged\r\nForwarded: for=forged\r\n";
    let request = format!("GET /s/a HTTP/1.1\r\nHost: gateway\r\n{headers}Connection: close\r\n\r\n");
    let gateway = before("", &origin.url()).await;
    let answer = exchange(gateway.public, &request).await;
    assert_eq!(wire::status(&answer), 200);
    assert!(!answer.contains("forged"), "{answer}");
    let trusting = before("[server]\ntrusted_proxies = ['127.0.0.1']", &origin.url()).await;
    let answer = exchange(trusting.public, &request).await;
    assert!(answer.contains("x-forwarded-prefix") && !answer.contains("x.api.key.name"), "{answer}");
}

#[tokio::test]
async fn a_websocket_whose_client_is_silent_outlives_the_body_timeout() {
    let origin = Origin::start().await;
    let gateway = before("[client]\nbody_timeout = '300ms'", &origin.url()).await;
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{}/s/live", gateway.public)).await.unwrap();
    let silence = tokio::time::timeout(Duration::from_millis(1000), socket.next()).await;
    assert!(silence.is_err(), "{silence:?}");
    socket.send(Message::text("still here")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("still here"));
}

// Services.

#[tokio::test]
async fn an_upgrade_that_nobody_asked_for_is_a_broken_answer() {
    let bytes = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
    let answer = answer_to(bytes, Then::Close).await;
    assert_eq!(wire::status(&answer), 502, "{answer}");
}

#[tokio::test]
async fn an_answer_whose_end_nobody_can_tell_is_a_broken_answer() {
    let answer = answer_to("HTTP/1.1 200 OK\r\nTransfer-Encoding: other\r\n\r\nabc", Then::Close).await;
    assert_eq!(wire::status(&answer), 502, "{answer}");
}

#[tokio::test]
async fn framing_that_clients_could_read_differently_is_made_plain() {
    let answer = answer_to("HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nbody", Then::Close).await;
    assert_eq!((wire::status(&answer), wire::header(&answer, "content-length")), (204, None), "{answer}");
    let answer = answer_to("HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc", Then::Close).await;
    assert_eq!(wire::header(&answer, "content-length"), Some("3"), "{answer}");
}

#[tokio::test]
async fn after_an_interim_answer_a_failure_is_still_told() {
    let answer = answer_to("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n", Then::Hang).await;
    assert_eq!(wire::status(&answer), 103);
    assert!(answer.contains("HTTP/1.1 504"), "{answer}");
}

#[tokio::test]
async fn headers_for_one_hop_end_here_in_interim_answers_too() {
    let answer = answer_to(
        "HTTP/1.1 103 Early Hints\r\nConnection: close, X-Internal\r\nX-Internal: 10.0.0.7\r\nKeep-Alive: timeout=5\r\n\
         Upgrade: h2c\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\nTrailer: x\r\nLink: </a.css>; rel=preload\r\n\
         \r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        Then::Close,
    )
    .await;
    let (interim, rest) = answer.split_once("\r\n\r\n").unwrap();
    let lines: Vec<_> = interim.lines().map(str::to_ascii_lowercase).collect();
    assert_eq!(lines, ["http/1.1 103 early hints", "link: </a.css>; rel=preload"]);
    assert!(rest.starts_with("HTTP/1.1 200") && rest.ends_with("ok"), "{answer}");
}

#[tokio::test]
async fn a_426_says_to_what_the_client_should_upgrade_and_no_other_answer_does() {
    for (status, upgrade) in [("426 Upgrade Required", Some("websocket")), ("200 OK", None)] {
        let bytes = format!(
            "HTTP/1.1 {status}\r\nUpgrade: websocket\r\nConnection: Upgrade, X-Secret\r\nX-Secret: 1\r\n\
             Content-Length: 2\r\n\r\nno"
        );
        let answer = answer_to(Box::leak(bytes.into_boxed_str()), Then::Close).await;
        assert_eq!((wire::header(&answer, "upgrade"), wire::header(&answer, "x-secret")), (upgrade, None), "{answer}");
    }
}

#[tokio::test]
async fn interim_answers_without_end_are_a_broken_answer() {
    let flood: &'static str = Box::leak("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000).into_boxed_str());
    let answer = answer_to(flood, Then::Hang).await;
    assert!(answer.contains("HTTP/1.1 502"), "{answer}");
    assert!(answer.matches(" 103 ").count() < 200);
}

#[tokio::test]
async fn an_http_1_0_client_gets_the_answer_alone_and_unchunked() {
    for bytes in [
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\nabc",
    ] {
        let scripted = Scripted::start(bytes, Then::Close).await;
        let gateway = before("", &scripted.url()).await;
        let request = "GET /s/a HTTP/1.0\r\nHost: gateway\r\nConnection: keep-alive\r\n\r\n";
        let answer = exchange(gateway.public, request).await;
        assert_eq!(wire::status(&answer), 200, "{answer}");
        assert_eq!(wire::header(&answer, "connection"), Some("close"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nabc"), "{answer}");
    }
}

#[tokio::test]
async fn an_http_1_0_client_gets_no_chunks_from_a_service_of_http_2() {
    let (gateway, origin) = (Gateway::start("").await, Origin::h2c().await);
    let body = with(public_service("service", &origin.url(), "/s/*"), json!({"protocol": "h2c"}));
    gateway.registered(&body).await;
    let request = "GET /s/a HTTP/1.0\r\nHost: gateway\r\n\r\n";
    let answer = exchange(gateway.public, request).await;
    assert_eq!(wire::status(&answer), 200, "{answer}");
    assert_eq!(wire::header(&answer, "transfer-encoding"), None, "{answer}");
    origin.set_mode(Mode::Events);
    let answer = exchange(gateway.public, request).await;
    assert_eq!(wire::status(&answer), 502, "{answer}");
    origin.set_mode(Mode::Echo);
    let answer = exchange(gateway.public, "GET /s/a HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n").await;
    assert_eq!(wire::status(&answer), 200, "an empty Host is allowed, and h2 needs one: {answer}");
}

#[tokio::test]
async fn a_failure_says_that_the_connection_ends() {
    let mut origin = Origin::start().await;
    let gateway = before("", &origin.url()).await;
    origin.stop().await;
    let mut wire = Wire::to(gateway.public).await;
    wire.send("GET /s/a HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
    let answer = wire.read_to_end(SOON).await;
    assert_eq!(wire::status(&answer), 502);
    assert_eq!(wire::header(&answer, "connection"), Some("close"), "{answer}");
}

#[tokio::test]
async fn what_a_service_sends_beyond_its_answer_is_nobodys_answer() {
    let bytes = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhidden";
    let scripted = Scripted::start(bytes, Then::Hang).await;
    let gateway = before("", &scripted.url()).await;
    for _ in 0..3 {
        assert_eq!(Answer::of(gateway.anonymous(Method::GET, "/s/a")).await.body, "ok");
    }
}

// The internal listener.

#[tokio::test]
async fn the_internal_listener_tells_what_is_wrong_with_a_request_it_cannot_read() {
    let gateway = Gateway::start("[client]\nbody_timeout = '300ms'").await;
    let post = "POST /internal/register-service HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    for (request, status, says) in [
        ("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n".to_owned(), 400, "bad-request"),
        ("nonsense\r\n\r\n".to_owned(), 400, "bad-request"),
        ("GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(), 400, "host-missing"),
        ("GET /livez HTTP/1.0\r\n\r\n".to_owned(), 200, ""),
        (format!("{post}Transfer-Encoding: chunked\r\n\r\nzz\r\n"), 400, "bad-body"),
        (format!("{post}Content-Length: 9\r\n\r\n{{"), 408, "body-timeout"),
        ("GET /internal/services/%ff HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".into(), 400, "problem"),
    ] {
        let answer = exchange(gateway.internal, &request).await;
        assert_eq!(wire::status(&answer), status, "{request}: {answer}");
        assert!(answer.contains(says), "{request}: {answer}");
    }
}

#[tokio::test]
async fn a_host_or_origin_that_cannot_be_read_is_a_foreign_one() {
    let gateway = Gateway::start("").await;
    let own = gateway.internal;
    for (headers, status) in [
        (format!("Host: {own}\r\nOrigin: HTTP://{own}\r\n"), 404),
        (format!("Host: LOCALHOST:{0}\r\nOrigin: http://localhost:{0}\r\n", own.port()), 404),
        (format!("Host: {own}\r\nOrigin: http://{own}\r\nOrigin: http://other\r\n"), 403),
        (format!("Host: {own}\r\nOrigin: null\r\n"), 403),
        ("Host: évil\r\n".to_owned(), 403),
        ("Host: 127.1\r\n".to_owned(), 403),
    ] {
        let request = format!("DELETE /internal/services/none HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
        assert_eq!(wire::status(&exchange(own, request).await), status, "{headers}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_gives_its_place_back() {
    let origin = Origin::start().await;
    let gateway = Gateway::start("").await;
    let body = with(public_service("service", &origin.url(), "/s/*"), json!({"hard_limit": 1}));
    gateway.registered(&body).await;
    origin.set_mode(Mode::Hangs);
    let mut wire = Wire::to(gateway.public).await;
    wire.send("GET /s/a HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
    let in_flight = async |count: u64| {
        let what = format!("{count} in flight");
        eventually(&what, SOON, async || (gateway.instance("service").await["in_flight"] == count).then_some(())).await;
    };
    in_flight(1).await;
    drop(wire);
    in_flight(0).await;
}
