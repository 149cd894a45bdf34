//! Traces: what services are told of the trace that a request is part of, and the spans that a collector is sent.

use std::collections::BTreeMap;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::answers::{Answers, Reply};
use crate::support::h2_client::{self, Client};
use crate::support::recorder::Recorder;
use crate::support::{Answer, Gateway, Mode, Origin, READER, SOON, eventually, public_service, with};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const ERROR: i32 = 2;

/// A collector, and what it was sent.
struct Collector {
    answers: Answers,
    spans: Vec<Span>,
}

impl Collector {
    async fn start() -> Self {
        let answers = Answers::start(|_| Reply::With(200, Vec::new(), String::new())).await;
        Self { answers, spans: Vec::new() }
    }

    fn tail(&self, more: &str) -> String {
        format!("[tracing]\nendpoint = '{}'\n{more}", self.answers.url())
    }

    fn read(&mut self) {
        for question in self.answers.asked() {
            assert_eq!((question.method.as_str(), question.target.as_str()), ("POST", "/v1/traces"));
            assert_eq!(question.header("content-type"), "application/x-protobuf");
            let request = ExportTraceServiceRequest::decode(question.body).unwrap();
            for resource in request.resource_spans {
                let told = resource.resource.unwrap().attributes;
                let named: Vec<_> = told.iter().map(|one| one.key.as_str()).collect();
                assert!(named.contains(&"service.name") && named.contains(&"service.instance.id"), "{named:?}");
                self.spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
            }
        }
    }

    /// The spans of the next request: furt's own, and those below it in order.
    async fn next(&mut self) -> (Span, Vec<Span>) {
        let server = eventually("a span of a request", SOON * 2, async || {
            self.read();
            let at = self.spans.iter().position(|span| span.kind == SERVER)?;
            Some(self.spans.remove(at))
        })
        .await;
        let (own, others) = std::mem::take(&mut self.spans)
            .into_iter()
            .partition::<Vec<_>, _>(|span| span.kind == CLIENT && span.parent_span_id == server.span_id);
        self.spans = others;
        assert!(own.iter().all(|span| span.trace_id == server.trace_id));
        (server, own)
    }
}

fn attributes(span: &Span) -> BTreeMap<&str, Value> {
    let value = |value: &Attribute| match value {
        Attribute::StringValue(text) => json!(text),
        Attribute::IntValue(number) => json!(number),
        other => panic!("{other:?}"),
    };
    let pairs = span.attributes.iter();
    pairs.map(|one| (one.key.as_str(), value(one.value.as_ref().unwrap().value.as_ref().unwrap()))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}

/// What the service saw of the trace: `traceparent` in its parts, and `tracestate`.
fn seen(answer: &Answer) -> (Vec<String>, Value) {
    let headers = &answer.json()["headers"];
    let parent = headers["traceparent"][0].as_str().unwrap_or_default();
    (parent.split('-').map(str::to_owned).collect(), headers["tracestate"].clone())
}

#[tokio::test]
async fn a_request_is_one_span_and_each_attempt_another() {
    let (mut collector, origin, cut) = (Collector::start().await, Origin::start().await, Origin::start().await);
    cut.set_mode(Mode::Cut);
    let gateway = Gateway::start(&collector.tail("share = '100%'")).await;
    let shop = with(public_service("shop", &cut.url(), "/shop/*"), json!({ "instance": "cut", "weight": 255 }));
    gateway.registered_and_up(&shop).await;
    // One after the other, so that the first attempt is known.
    let request = gateway.anonymous(Method::GET, "/shop/a?secret=1").header("user-agent", "tester");
    Answer::of(request).await.problem(502, "upstream-broken");
    let (server, asked) = collector.next().await;
    assert_eq!((server.name.as_str(), server.parent_span_id.as_slice()), ("GET /shop/*", &[][..]));
    let told = attributes(&server);
    for (name, value) in [
        ("http.request.method", json!("GET")),
        ("url.scheme", json!("http")),
        ("url.path", json!("/shop/a")),
        ("http.route", json!("/shop/*")),
        ("http.response.status_code", json!(502)),
        ("network.protocol.version", json!("1.1")),
        ("client.address", json!("127.0.0.1")),
        ("server.address", json!("127.0.0.1")),
        ("user_agent.original", json!("tester")),
        ("error.type", json!("upstream-broken")),
        ("furt.service", json!("shop")),
        ("furt.instance", json!("cut")),
    ] {
        assert_eq!(told[name], value, "{name}");
    }
    assert_eq!(server.status.as_ref().unwrap().code, ERROR);
    assert!(!format!("{server:?}{asked:?}").contains("secret"), "no query is recorded");
    assert_eq!(asked.len(), 1);
    let told = attributes(&asked[0]);
    assert_eq!(told["url.full"], format!("{}/shop/a", cut.url()));
    assert_eq!(
        (&told["error.type"], &told["network.peer.port"]),
        (&json!("upstream-broken"), &json!(cut.address().port()))
    );

    // With another instance it is tried again, and that is a span as well.
    let other = with(shop, json!({ "instance": "good", "url": origin.url(), "weight": 1 }));
    gateway.registered_and_up(&other).await;
    let mut was_resent = false;
    for _ in 0..40 {
        assert_eq!(gateway.get("/shop/a").await.status, 200);
        let (server, mut asked) = collector.next().await;
        asked.sort_by_key(|span| span.start_time_unix_nano);
        let last = asked.last().unwrap();
        assert_eq!(server.status.unwrap_or_default().code, 0);
        assert_eq!(attributes(last)["http.response.status_code"], 200);
        assert!(asked.iter().all(|span| span.start_time_unix_nano >= server.start_time_unix_nano));
        assert!(asked.iter().all(|span| span.end_time_unix_nano <= server.end_time_unix_nano));
        if asked.len() == 2 {
            assert_eq!(attributes(last)["http.request.resend_count"], 1);
            assert!(attributes(&asked[0]).contains_key("error.type"));
            was_resent = true;
            break;
        }
    }
    assert!(was_resent, "the instance that breaks off is never asked first");
}

#[tokio::test]
async fn a_strangers_trace_begins_anew_and_a_trusted_proxys_goes_on() {
    let (mut collector, origin) = (Collector::start().await, Origin::start().await);
    let gateway = Gateway::start(&collector.tail("share = '100%'")).await;
    gateway.registered_and_up(&public_service("shop", &origin.url(), "/shop/*")).await;
    let ask = |flags: &str| {
        let request = gateway.anonymous(Method::GET, "/shop/a").header("traceparent", traceparent(flags));
        Answer::of(request.header("tracestate", "a=1").header("tracestate", "b=2"))
    };
    let answer = ask("01").await;
    let (parent, state) = seen(&answer);
    let (server, asked) = collector.next().await;
    assert_ne!(parent[1], TRACE);
    assert_eq!((hex(&server.trace_id), hex(&asked[0].span_id)), (parent[1].clone(), parent[2].clone()));
    assert_eq!((parent[3].as_str(), &state), ("01", &Value::Null), "what a stranger says is dropped");

    for more in ["share = '0%'\nincoming = 'continue'", "share = '0%'\n[server]\ntrusted_proxies = ['127.0.0.1']"] {
        gateway.reloaded(&collector.tail(more)).await;
        let (parent, state) = seen(&ask("01").await);
        let (server, asked) = collector.next().await;
        assert_eq!((hex(&server.trace_id).as_str(), hex(&server.parent_span_id).as_str()), (TRACE, PARENT), "{more}");
        assert_eq!((parent[1].as_str(), parent[2].as_str()), (TRACE, hex(&asked[0].span_id).as_str()));
        assert_eq!((parent[3].as_str(), &state), ("01", &json!(["a=1,b=2"])));
        assert_eq!(server.trace_state, "a=1,b=2");
        // Who sent it does not record it, so nor does furt, and whoever comes next is told so.
        let (parent, _) = seen(&ask("00").await);
        assert_eq!((parent[1].as_str(), parent[3].as_str()), (TRACE, "00"));
        assert_ne!(parent[2], PARENT);
    }
    // Spans are sent in their order: of those before this one there is none.
    ask("01").await;
    let (server, _) = collector.next().await;
    assert_eq!(hex(&server.trace_id), TRACE);
    assert!(collector.spans.is_empty(), "of none of the others: {:?}", collector.spans);
}

#[tokio::test]
async fn what_cannot_be_read_begins_a_new_trace() {
    let (collector, origin) = (Collector::start().await, Origin::start().await);
    let gateway = Gateway::start(&collector.tail("share = '0%'\nincoming = 'continue'")).await;
    gateway.registered_and_up(&public_service("shop", &origin.url(), "/shop/*")).await;
    for bad in [
        "",
        "x",
        "00-0-0-0",
        &traceparent("0"),
        &traceparent("01").to_uppercase(),
        &format!("ff{}", &traceparent("01")[2..]),
    ] {
        let request = gateway.anonymous(Method::GET, "/shop/a").header("traceparent", bad).header("tracestate", "a=1");
        let (parent, state) = seen(&Answer::of(request).await);
        assert_eq!(parent.len(), 4, "{bad}");
        assert!(parent[1] != TRACE && parent[3] == "00" && state.is_null(), "{bad}: {parent:?} {state}");
    }
}

#[tokio::test]
async fn without_a_collector_both_headers_pass_as_they_come() {
    let origin = Origin::start().await;
    let gateway = Gateway::start("").await;
    gateway.registered_and_up(&public_service("shop", &origin.url(), "/shop/*")).await;
    let request = gateway.anonymous(Method::GET, "/shop/a").header("traceparent", "whatever").header("tracestate", "a");
    let answer = Answer::of(request).await;
    let headers = &answer.json()["headers"];
    assert_eq!((&headers["traceparent"], &headers["tracestate"]), (&json!(["whatever"]), &json!(["a"])));
    let plain = gateway.get("/shop/a").await;
    assert!(plain.json()["headers"]["traceparent"].is_null());
    assert!(gateway.get("/nowhere").await.problem(404, "route-not-found")["trace_id"].is_null());
}

#[tokio::test]
async fn what_furt_answers_itself_is_recorded_and_names_its_trace() {
    let mut collector = Collector::start().await;
    let gateway =
        Gateway::start(&format!("{}\n[access_log]\npath = 'access.log'", collector.tail("share = '100%'"))).await;
    let problem = gateway.get("/nowhere").await.problem(404, "route-not-found");
    let (server, asked) = collector.next().await;
    assert_eq!(problem["trace_id"], hex(&server.trace_id));
    assert_eq!((server.name.as_str(), asked.len()), ("GET", 0));
    let told = attributes(&server);
    assert_eq!((&told["error.type"], &told["http.response.status_code"]), (&json!("route-not-found"), &json!(404)));
    assert_eq!(server.status.unwrap_or_default().code, 0, "of a 4xx the client is at fault");
    Answer::of(gateway.request(Method::from_bytes(b"FROB").unwrap(), "/nowhere", READER))
        .await
        .problem(404, "route-not-found");
    let (server, _) = collector.next().await;
    let told = attributes(&server);
    assert_eq!(
        (&told["http.request.method"], &told["http.request.method_original"]),
        (&json!("_OTHER"), &json!("FROB"))
    );
    let line = eventually("both are logged", SOON, async || {
        let text = std::fs::read_to_string(gateway.dir().join("access.log")).ok()?;
        text.lines().nth(1).map(|_| text.lines().next().unwrap().to_owned())
    })
    .await;
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["trace_id"], &line["scheme"]), (&problem["trace_id"], &json!("http")));
}

#[tokio::test]
async fn requests_of_http_2_are_recorded_alike() {
    let (mut collector, origin) = (Collector::start().await, Origin::h2c().await);
    let gateway = Gateway::start(&collector.tail("share = '100%'")).await;
    gateway
        .registered_and_up(&with(public_service("shop", &origin.url(), "/shop/*"), json!({ "protocol": "h2c" })))
        .await;
    let client = Client::to(gateway.public).await;
    let answer = client.ask(h2_client::get("/shop/a")).await;
    let parent = answer.json()["headers"]["traceparent"][0].as_str().unwrap().to_owned();
    let (server, asked) = collector.next().await;
    assert_eq!(attributes(&server)["network.protocol.version"], "2");
    assert_eq!(parent, format!("00-{}-{}-01", hex(&server.trace_id), hex(&asked[0].span_id)));
    assert_eq!(attributes(&asked[0])["http.response.status_code"], 200);
}

#[tokio::test]
async fn a_server_that_is_asked_is_part_of_the_trace_and_a_copy_is_not() {
    let (mut collector, origin, copies) = (Collector::start().await, Origin::start().await, Recorder::start().await);
    let sso = Answers::start(|_| Reply::With(200, Vec::new(), String::new())).await;
    let gateway = Gateway::start(&format!(
        "{}\n[[forward_auth]]\nname = 'sso'\nurl = '{}/verify?a=b'\n[[rules]]\nservice = 'shop'\nmirror = {{ service = 'copies' }}\n",
        collector.tail("share = '100%'"),
        sso.url()
    ))
    .await;
    gateway.registered_and_up(&public_service("copies", copies.url(), "/copies/*")).await;
    let shop = json!({"service": "shop", "url": origin.url(), "health_endpoint": null,
        "routes": [{"method": "*", "path": "/shop/*", "auth": ["sso"]}]});
    gateway.registered_and_up(&shop).await;
    assert_eq!(gateway.get("/shop/a").await.status, 200);
    let (server, mut asked) = collector.next().await;
    asked.sort_by_key(|span| span.start_time_unix_nano);
    assert_eq!(asked.len(), 2);
    assert_eq!(attributes(&asked[0])["url.full"], format!("{}/verify", sso.url()));
    assert!(!attributes(&asked[1]).contains_key("http.request.resend_count"), "the question was no attempt");
    let question = sso.asked().remove(0);
    let expected = format!("00-{}-{}-01", hex(&server.trace_id), hex(&asked[0].span_id));
    assert_eq!(question.header("traceparent"), expected);
    let copy = copies.has(1).await.remove(0);
    assert_eq!(copy.target(), "/shop/a");
    assert!(!copy.headers.contains_key("traceparent") && !copy.headers.contains_key("tracestate"), "{copy:?}");
}

#[tokio::test]
async fn a_collector_that_is_away_or_hangs_costs_no_request() {
    let origin = Origin::start().await;
    let collector = Answers::start(|_| Reply::Never).await;
    let mut gateway = Gateway::start(&format!("[tracing]\nendpoint = '{}'\nshare = '100%'", collector.url())).await;
    gateway.registered_and_up(&public_service("shop", &origin.url(), "/shop/*")).await;
    for _ in 0..1_200 {
        assert_eq!(gateway.get("/shop/a").await.status, 200);
    }
    let count = async |outcome: &str| {
        let line = format!("furt_spans_total{{outcome=\"{outcome}\"}} ");
        let metrics = gateway.metrics().await;
        metrics.lines().find_map(|shown| shown.strip_prefix(&line)?.parse::<u64>().ok()).unwrap()
    };
    assert!(count("dropped").await >= 2 * 1_200 - 2_048, "what waits is bounded");
    // Nobody is there.
    gateway
        .reloaded(&format!("[tracing]\nendpoint = 'http://{}'\nshare = '100%'", crate::support::ports::free_address()))
        .await;
    gateway.get("/shop/a").await;
    eventually("it is told once", SOON, async || gateway.log().contains("the collector takes no spans").then_some(()))
        .await;
    assert!(count("failed").await > 0);
    let began = std::time::Instant::now();
    assert!(gateway.stop().await.success());
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_waits_is_sent_at_the_end_and_where_the_collector_is_another() {
    let (mut one, mut other, origin) = (Collector::start().await, Collector::start().await, Origin::start().await);
    let mut gateway = Gateway::start(&one.tail("share = '100%'")).await;
    gateway.registered_and_up(&public_service("shop", &origin.url(), "/shop/*")).await;
    gateway.get("/shop/a").await;
    gateway.reloaded(&other.tail("share = '100%'")).await;
    one.read();
    assert_eq!(one.spans.len(), 2, "{:?}", one.spans);
    gateway.get("/shop/b").await;
    assert!(gateway.stop().await.success());
    other.read();
    assert_eq!(other.spans.len(), 2, "{:?}", other.spans);
}

#[tokio::test]
async fn a_collector_that_cannot_be_one_is_refused_with_its_line() {
    for (line, expected) in [
        ("endpoint = 'collector'", "must be the url of a collector"),
        ("endpoint = 'ftp://a'", "must be the url of a collector"),
        ("endpoint = 'http://user:secret@a'", "must be the url of a collector"),
        ("endpoint = 'http://a'\nca = '/ca.pem'", "is of no use: tracing.endpoint is no https url"),
        ("share = '101%'", "must be a percentage"),
        ("incoming = 'maybe'", "tracing.incoming"),
    ] {
        let gateway = Gateway::start("").await;
        gateway.configure(&format!("[tracing]\n{line}"));
        let answer = gateway.reload().await;
        let problem = answer.problem(422, "invalid-config");
        assert!(problem.to_string().contains(expected), "{line}: {problem}");
    }
}
