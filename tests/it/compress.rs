//! Answers that furt compresses: that their bytes come out as the service sent them, part by part, and which answers stay as they are.

mod parts;
mod saying;

use std::io::{self, Read};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

use crate::support::answers::{Answers, Question, Reply};
use crate::support::h2_client::{self, Client};
use crate::support::wire;
use crate::support::{Gateway, Mode, Origin, SOON, eventually, public_service, with};

const CODINGS: [&str; 3] = ["zstd", "br", "gzip"];
/// What services say of the types of their answers that say nothing themselves.
const PLAIN: &str = "[[rules]]\npath = '/s/*'\nheaders.response.set = { Content-Type = 'text/plain' }\n";

/// A service at `/s/*` whose answers are compressed.
fn compressed(url: &str, more: Value) -> Value {
    with(public_service("s", url, "/s/*"), with(json!({"compress": true}), more))
}

/// What a decoder makes of the bytes, as far as it comes, and whether they are all there.
fn decode(coding: &str, encoded: &[u8]) -> (Vec<u8>, bool) {
    let mut reader: Box<dyn Read + '_> = match coding {
        "zstd" => Box::new(zstd::stream::read::Decoder::new(encoded).unwrap()),
        "br" => Box::new(brotli::Decompressor::new(encoded, 4096)),
        "gzip" => Box::new(flate2::read::MultiGzDecoder::new(encoded)),
        other => panic!("{other}"),
    };
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return (all, true),
            Ok(count) => all.extend_from_slice(&buffer[..count]),
            Err(why) => {
                assert!(coding == "br" || why.kind() == io::ErrorKind::UnexpectedEof, "{coding}: {why}");
                return (all, false);
            }
        }
    }
}

/// What an answer was before it was compressed.
#[track_caller]
fn decoded(coding: &str, encoded: &[u8]) -> Vec<u8> {
    let (plain, is_whole) = decode(coding, encoded);
    assert!(is_whole, "{coding}: {} bytes are not all", encoded.len());
    plain
}

/// A text that compresses as texts do.
fn text(length: usize) -> String {
    let mut random = fastrand::Rng::with_seed(78);
    let words = ["the", "service", "answers", "with", "many", "words", "and", "numbers:"];
    let mut text = String::new();
    while text.len() < length {
        text += random.choice(words).unwrap();
        text += &format!(" {} ", random.u16(..));
    }
    text.truncate(length);
    text
}

/// An answer with its bytes.
#[derive(Debug)]
struct Got {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn all(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }
}

/// The answer to a client of HTTP/1.
async fn ask(gateway: &Gateway, method: Method, path: &str, more: &[(&'static str, &str)]) -> Got {
    let asked = more.iter().fold(gateway.anonymous(method, path), |asked, (name, value)| asked.header(*name, *value));
    let response = asked.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Got { status, headers, body: response.bytes().await.unwrap() }
}

/// The same to a client of HTTP/2.
async fn ask_h2(client: &Client, path: &str, more: &[(&'static str, &str)]) -> Got {
    let asked = more.iter().fold(h2_client::get(path), |asked, (name, value)| asked.header(*name, *value));
    let answer = client.ask(asked).await;
    Got { status: answer.status, headers: answer.headers, body: answer.body }
}

/// 200 with these headers and this body.
fn ok(headers: &[(&'static str, &str)], body: &str) -> Reply {
    Reply::With(200, headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(), body.to_owned())
}

#[tokio::test]
async fn each_encoding_decodes_to_what_the_service_sent() {
    let whole = text(1024 * 1024);
    let sent = whole.clone();
    let headers = [
        ("content-type", "text/html; charset=utf-8"),
        ("etag", "\"x\""),
        ("accept-ranges", "bytes"),
        ("vary", "Cookie"),
        ("repr-digest", "sha-256=:x:"),
    ];
    let service = Answers::start(move |_| ok(&headers, &sent)).await;
    let gateway = Gateway::start("[access_log]\npath = 'access.log'\n").await;
    let client = Client::to(gateway.public).await;
    assert!(!gateway.metrics().await.contains("furt_compressed"));
    let mut written = 0;
    for protocol in ["http1", "h2c"] {
        gateway.registered(&compressed(&service.url(), json!({"protocol": protocol}))).await;
        for coding in CODINGS {
            let accepts = [("accept-encoding", coding)];
            let h1 = ask(&gateway, Method::GET, "/s/a", &accepts).await;
            assert_eq!(h1.header("transfer-encoding"), "chunked", "{protocol} {coding}");
            let h2 = ask_h2(&client, "/s/a", &accepts).await;
            assert_eq!(h2.header("transfer-encoding"), "");
            for got in [h1, h2] {
                assert_eq!((got.status.as_u16(), got.header("content-encoding")), (200, coding), "{protocol}");
                for gone in ["content-length", "accept-ranges", "repr-digest"] {
                    assert_eq!(got.header(gone), "", "{gone}");
                }
                assert_eq!((got.header("etag"), got.all("vary")), ("W/\"x\"", vec!["Cookie", "Accept-Encoding"]));
                assert!(got.body.len() < whole.len() / 2, "{} bytes", got.body.len());
                assert!(decoded(coding, &got.body) == whole.as_bytes(), "{protocol} {coding}");
                written += got.body.len();
            }
        }
    }
    let expected =
        |direction: &str, bytes: usize| format!("furt_compressed_bytes_total{{direction=\"{direction}\"}} {bytes}\n");
    let metrics = eventually("that all answers are counted", SOON, async || {
        let metrics = gateway.metrics().await;
        metrics.contains(&expected("in", 12 * whole.len())).then_some(metrics)
    })
    .await;
    assert!(metrics.contains(&expected("out", written)), "{metrics}");
    for coding in CODINGS {
        assert!(metrics.contains(&format!("furt_compressed_answers_total{{encoding=\"{coding}\"}} 4\n")), "{metrics}");
    }
    let logged = eventually("that all requests are logged", SOON, async || {
        let log = std::fs::read_to_string(gateway.dir().join("access.log")).ok()?;
        let sizes: Vec<_> = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).collect();
        (sizes.len() == 12).then(|| sizes.iter().map(|line| line["bytes_out"].as_u64().unwrap()).sum::<u64>())
    })
    .await;
    assert_eq!(logged, written as u64, "what is sent is logged");
}

/// What the service answers to a path.
fn by_path(question: &Question) -> Reply {
    let body = text(4096);
    let html = ("content-type", "text/html");
    let path = question.target.rsplit('/').next().unwrap();
    let status = path.parse().unwrap_or(200);
    match path {
        "plain" => ok(&[html], &body),
        "error" => Reply::With(500, vec![("content-type", "application/problem+json".to_owned())], body),
        "small" => ok(&[html], &body[..1023]),
        "enough" => ok(&[html], &body[..1024]),
        "typeless" => ok(&[], &body),
        "png" => ok(&[("content-type", "image/png")], &body),
        "cookie" => ok(&[html, ("set-cookie", "a=b")], &body),
        "kept" => ok(&[html, ("cache-control", "max-age=5, no-transform")], &body),
        "encoded" => ok(&[html, ("content-encoding", "br"), ("etag", "\"e\"")], &body),
        "stars" => ok(&[html, ("vary", "*")], &body),
        "varies" => ok(&[html, ("vary", "accept-encoding, Cookie")], &body),
        "range" => Reply::With(
            416,
            vec![("content-type", "text/html".to_owned()), ("content-range", "bytes */9".to_owned())],
            body,
        ),
        "call" => ok(&[("content-type", "application/grpc-web")], &body),
        "events" => ok(&[("content-type", "text/event-stream")], &body),
        _ => Reply::With(
            status,
            vec![("content-type", "text/html".to_owned())],
            if status == 204 { String::new() } else { body },
        ),
    }
}

#[tokio::test]
async fn what_is_no_whole_plain_and_public_text_stays_as_it_is() {
    let service = Answers::start(by_path).await;
    let gateway = Gateway::start("").await;
    gateway.registered(&compressed(&service.url(), json!({}))).await;
    let client = Client::to(gateway.public).await;
    let gzip = &[("accept-encoding", "gzip, deflate")][..];
    let vary = &["Accept-Encoding"][..];
    for (path, more, coding, varies) in [
        ("plain", gzip, "gzip", vary),
        ("error", gzip, "gzip", vary),
        ("201", gzip, "gzip", vary),
        ("404", gzip, "gzip", vary),
        ("enough", gzip, "gzip", vary),
        ("stars", gzip, "gzip", &["*"]),
        ("varies", gzip, "gzip", &["accept-encoding, Cookie"]),
        ("plain", &[], "", vary),
        ("plain", &[("accept-encoding", "identity")], "", vary),
        ("plain", &[("accept-encoding", "deflate")], "", vary),
        ("plain", &[("accept-encoding", "gzip;q=0")], "", vary),
        ("plain", &[("accept-encoding", "gzip"), ("cache-control", "no-transform")], "", vary),
        ("stars", &[], "", &["*"]),
        ("small", gzip, "", &[]),
        ("typeless", gzip, "", &[]),
        ("png", gzip, "", &[]),
        ("png", &[], "", &[]),
        ("cookie", gzip, "", &[]),
        ("kept", gzip, "", &[]),
        ("range", gzip, "", &[]),
        ("events", gzip, "", &[]),
        ("204", gzip, "", &[]),
        ("206", gzip, "", &[]),
    ] {
        for got in [
            ask(&gateway, Method::GET, &format!("/s/{path}"), more).await,
            ask_h2(&client, &format!("/s/{path}"), more).await,
        ] {
            assert_eq!((got.header("content-encoding"), got.all("vary")), (coding, varies.to_vec()), "{path} {more:?}");
            let question = Question {
                method: String::new(),
                target: path.to_owned(),
                headers: Default::default(),
                body: Bytes::new(),
            };
            let Reply::With(status, _, body) = by_path(&question) else { panic!() };
            assert_eq!(got.status.as_u16(), status, "{path}");
            let plain = if coding.is_empty() { got.body.to_vec() } else { decoded(coding, &got.body) };
            assert!(plain == body.as_bytes(), "{path} {more:?}");
            let length = got.header("content-length").parse().unwrap_or(0);
            assert_eq!(length, if coding.is_empty() { body.len() } else { 0 }, "{path} {more:?}");
        }
    }
    // The service has encoded it itself.
    let encoded = ask(&gateway, Method::GET, "/s/encoded", gzip).await;
    assert_eq!((encoded.header("content-encoding"), encoded.header("etag")), ("br", "\"e\""));
    assert!(encoded.body == text(4096).as_bytes() && encoded.all("vary").is_empty());
    assert!(
        service.asked().iter().any(|one| one.header("accept-encoding") == "gzip, deflate"),
        "it is asked as it was sent"
    );

    let head = ask(&gateway, Method::HEAD, "/s/plain", gzip).await;
    assert_eq!((head.header("content-encoding"), head.header("content-length")), ("", "4096"));
    assert_eq!((head.all("vary"), head.body.len()), (vary.to_vec(), 0));
}

#[tokio::test]
async fn a_rule_s_headers_do_not_stand_for_what_the_service_says_of_its_content() {
    let service = Answers::start(by_path).await;
    let sets = |headers: &str| format!("[[rules]]\nheaders.response.set = {{ {headers} }}\n");
    let gateway = Gateway::start(&sets("Cache-Control = 'public', Content-Type = 'text/html'")).await;
    gateway.registered(&compressed(&service.url(), json!({}))).await;
    let gzip = [("accept-encoding", "gzip")];
    for (path, coding) in [("plain", "gzip"), ("png", "gzip"), ("kept", ""), ("call", ""), ("events", "")] {
        let got = ask(&gateway, Method::GET, &format!("/s/{path}"), &gzip).await;
        assert_eq!((got.header("cache-control"), got.header("content-type")), ("public", "text/html"), "{path}");
        assert_eq!(got.header("content-encoding"), coding, "{path}");
    }
    gateway.reloaded(&sets("Cache-Control = 'no-transform'")).await;
    assert_eq!(ask(&gateway, Method::GET, "/s/plain", &gzip).await.header("content-encoding"), "");
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_the_answer_as_it_is() {
    let service = Answers::start(by_path).await;
    let gateway = Gateway::start("").await;
    gateway.registered(&compressed(&service.url(), json!({}))).await;
    let answer =
        wire::exchange(gateway.public, "GET /s/plain HTTP/1.0\r\nHost: g\r\nAccept-Encoding: gzip\r\n\r\n").await;
    assert_eq!(
        (wire::header(&answer, "content-encoding"), wire::header(&answer, "vary")),
        (None, Some("Accept-Encoding"))
    );
    assert!(answer.ends_with(&text(4096)));
}

#[tokio::test]
async fn a_304_has_the_etag_of_what_its_client_would_get() {
    let service = Answers::start(|question| {
        let headers = vec![("etag", "\"x\"".to_owned()), ("content-type", "text/css".to_owned())];
        match question.header("if-none-match") {
            "" => Reply::With(200, headers, text(4096)),
            _ => Reply::With(304, vec![("etag", "\"x\"".to_owned()), ("vary", "Cookie".to_owned())], String::new()),
        }
    })
    .await;
    let gateway = Gateway::start("").await;
    gateway.registered(&compressed(&service.url(), json!({}))).await;
    for accepts in ["gzip", "identity"] {
        let first = ask(&gateway, Method::GET, "/s/a", &[("accept-encoding", accepts)]).await;
        let etag = if accepts == "gzip" { "W/\"x\"" } else { "\"x\"" };
        assert_eq!(first.header("etag"), etag);
        service.asked();
        let again = ask(&gateway, Method::GET, "/s/a", &[("accept-encoding", accepts), ("if-none-match", etag)]).await;
        assert_eq!(service.asked()[0].header("if-none-match"), etag, "it is asked as it was sent");
        assert_eq!((again.status.as_u16(), again.header("etag")), (304, etag));
        assert_eq!((again.header("content-encoding"), again.body.len()), ("", 0));
        assert_eq!(again.all("vary"), ["Cookie", "Accept-Encoding"], "a cache that takes it forgets no encoding");
    }
    let weak = ("if-none-match", "W/\"x\"");
    for (method, accepts, etag) in
        [(Method::GET, "br", "W/\"x\""), (Method::GET, "deflate", "\"x\""), (Method::HEAD, "gzip", "\"x\"")]
    {
        let again = ask(&gateway, method, "/s/a", &[("accept-encoding", accepts), weak]).await;
        assert_eq!((again.status.as_u16(), again.header("etag")), (304, etag), "{accepts}");
    }
}

#[tokio::test]
async fn an_event_stream_passes_as_it_comes() {
    let origin = Origin::start().await;
    let gateway = Gateway::start("[compression]\ntypes = ['text/*', 'text/event-stream']\n").await;
    gateway.registered(&compressed(&origin.url(), json!({}))).await;
    origin.set_mode(Mode::Events);
    let request = gateway.anonymous(Method::GET, "/s/a").header("accept-encoding", "gzip");
    let mut events = request.send().await.unwrap();
    assert!(!events.headers().contains_key("content-encoding") && !events.headers().contains_key("vary"));
    eventually("that the service has the request", SOON, async || origin.emit("one").then_some(())).await;
    assert!(events.chunk().await.unwrap().unwrap().starts_with(b"data: one\n\n"));
}

#[tokio::test]
async fn the_operator_says_how() {
    let service = Answers::start(by_path).await;
    let gateway = Gateway::start("").await;
    gateway.registered(&compressed(&service.url(), json!({}))).await;
    let coding = async |path: &str, accepts: &str| {
        let got = ask(&gateway, Method::GET, path, &[("accept-encoding", accepts)]).await;
        got.header("content-encoding").to_owned()
    };
    let all = "gzip, br, zstd";
    assert_eq!([coding("/s/plain", all).await, coding("/s/small", all).await], ["zstd", ""]);
    let reloaded = gateway.reloaded("[compression]\nencodings = ['gzip', 'br']\nmin_size = '1KiB'\n").await;
    assert_eq!(reloaded["changed"], json!(["compression.encodings"]));
    assert_eq!([coding("/s/plain", all).await, coding("/s/plain", "zstd").await], ["gzip", ""]);
    assert_eq!(coding("/s/plain", "gzip;q=0.5, br;q=0.6").await, "br");
    gateway.reloaded("[compression]\nmin_size = 1\ntypes = ['image/png']\n").await;
    assert_eq!([coding("/s/plain", all).await, coding("/s/png", all).await], ["", "zstd"]);
    gateway.reloaded("[compression]\nmin_size = 1023\n").await;
    assert_eq!(coding("/s/small", all).await, "zstd");
}
