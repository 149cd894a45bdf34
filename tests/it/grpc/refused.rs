//! Calls that furt answers itself, and what instances are judged by.

use http::Method;
use serde_json::{Value, json};

use super::{before, refused, status, taking_calls};
use crate::support::Answer;
use crate::support::grpc::{GrpcService, call, message};
use crate::support::h2_client::{Client, answered, asks, send_all};
use crate::support::wire::{self, exchange};
use crate::support::{Gateway, Origin, READER, SOON, eventually, ports, public_service, with};

#[tokio::test]
async fn what_furt_refuses_has_a_status_of_grpc() {
    let service = GrpcService::start();
    let gateway = before("[limits]\nmax_body = 1000\n[server]\nmax_requests = 6", &service).await;
    let keyed = json!({"service": "keyed", "url": service.url(), "protocol": "h2c", "health_endpoint": null, "shared": true,
        "routes": [{"method": "POST", "path": "/k/*", "permission": "comments:admin"}]});
    gateway.registered(&keyed).await;
    let nowhere = format!("http://{}", ports::free_address());
    let dead = with(public_service("dead", &nowhere, "/d/*"), json!({"protocol": "h2c"}));
    gateway.registered(&dead).await;
    let client = Client::to(gateway.public).await;
    let at = |path: &str| call("x").uri(format!("http://gateway{path}"));
    for (asked, expected) in [
        (at("/nothing"), ("12", "route-not-found")),
        (at("/s/%2e%2e/a"), ("13", "bad-path")),
        (at("/k/a"), ("16", "key-missing")),
        (at("/k/a").header("x-api-key", "wrong"), ("16", "key-unknown")),
        (at("/k/a").header("x-api-key", READER), ("7", "permission-missing")),
        (at("/health"), ("12", "method-not-allowed")),
        (at("/d/a"), ("14", "connect-failed")),
        ((0..257).fold(call("Echo"), |asked, _| asked.header("a", "b")), ("8", "header-too-large")),
    ] {
        assert_eq!(refused(&client.ask(asked).await), expected);
    }
    let answer = client.ask(at("/k/a").header("x-api-key", READER)).await;
    let message_of = answer.headers["grpc-message"].to_str().unwrap();
    assert_eq!(message_of, "The caller lacks the permission for this route: needs \"comments:admin\"");
    assert!(answer.headers.contains_key("x-request-id") && !answer.headers.contains_key("content-length"));
    assert!(!answer.headers.contains_key("transfer-encoding"), "{answer:?}");

    let (response, _stream) = client.begin(call("Echo").header("content-length", "5000")).await;
    assert_eq!(refused(&answered(response).await.unwrap()), ("8", "body-too-large"));

    // Once messages were sent, it is in trailers.
    let (response, stream) = client.begin(call("Echo")).await;
    let (_, answer) = tokio::join!(send_all(stream, message(&[0; 5000])), answered(response));
    let answer = answer.unwrap();
    let fields = answer.trailers.as_ref().unwrap_or(&answer.headers);
    assert_eq!((status(Some(fields)), &fields["x-furt-code"]), ("8", &"body-too-large".parse().unwrap()));

    eventually("all are over", SOON, async || {
        gateway.metrics().await.contains("furt_requests_in_flight 0\n").then_some(())
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..6 {
        held.push(client.begin(call("Hang")).await);
    }
    eventually("they are under way", SOON, async || (service.calls("Hang").len() == 6).then_some(())).await;
    let answer = client.ask(call("Echo")).await;
    assert_eq!((refused(&answer), &answer.headers["retry-after"]), (("14", "overloaded"), &"1".parse().unwrap()));
}

#[tokio::test]
async fn what_is_no_call_over_http_2_has_a_problem_as_before() {
    let gateway = Gateway::start("").await;
    let client = Client::to(gateway.public).await;
    for media_type in ["application/grpc-web", "application/grpc-web+proto", "application/json", "application/grp"] {
        let asked = asks(Method::POST, "/nothing").header("content-type", media_type);
        client.ask(asked).await.problem(404, "route-not-found");
    }
    let plain = "POST /nothing HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/grpc\r\nConnection: close\r\n\
        Content-Length: 0\r\n\r\n";
    let answer = exchange(gateway.public, plain).await;
    assert!(wire::status(&answer) == 404 && answer.contains("route-not-found"), "{answer}");
}

#[tokio::test]
async fn calls_go_to_instances_that_take_them_alone() {
    let (origin, service) = (Origin::start().await, GrpcService::start());
    let gateway = Gateway::start("").await;
    gateway.registered(&with(public_service("service", &origin.url(), "/s/*"), json!({"instance": "old"}))).await;
    let client = Client::to(gateway.public).await;
    assert_eq!(refused(&client.send(call("Echo"), message(b"a")).await), ("12", "grpc-needs-h2c"));
    assert_eq!(client.ask(asks(Method::GET, "/s/a")).await.status, 200);
    gateway.registered(&with(taking_calls(&service.url()), json!({"instance": "new"}))).await;
    for _ in 0..20 {
        assert_eq!(status(client.send(call("Echo"), message(b"a")).await.trailers.as_ref()), "0");
    }
    assert_eq!((origin.requests("/s/Echo"), service.calls("Echo").len()), (0, 20));
}

#[tokio::test]
async fn calls_go_to_a_side_of_a_split_that_takes_them_if_it_has_a_share() {
    let (origin, service) = (Origin::start().await, GrpcService::start());
    let gateway = Gateway::start("").await;
    let old = with(public_service("service", &origin.url(), "/s/*"), json!({"instance": "old"}));
    gateway.registered(&old).await;
    gateway.registered(&with(taking_calls(&service.url()), json!({"instance": "new", "version": "2"}))).await;
    let client = Client::to(gateway.public).await;
    let split = async |body: Value| {
        let put = gateway.operate(Method::PUT, "/internal/services/service/split").json(&body);
        Answer::of(put).await.ok();
        client.send(call("Echo").header("x-version", "stable"), message(b"a")).await
    };
    let shared = split(json!({"versions": {"2": 1}, "header": "x-version"})).await;
    assert_eq!(status(shared.trailers.as_ref()), "0", "the stable instance takes no calls");
    for none in [json!({"versions": {"2": 0}}), json!({"versions": {"2": 1}, "header": "x-version", "strict": true})] {
        assert_eq!(refused(&split(none.clone()).await), ("12", "grpc-needs-h2c"), "{none}");
    }
    assert_eq!((origin.requests("/s/Echo"), service.calls("Echo").len()), (0, 1));
}

#[tokio::test]
async fn a_static_route_takes_calls_where_it_says_so() {
    let service = GrpcService::start();
    let route =
        |protocol: &str| format!("[[routes]]\nmethod = 'POST'\npath = '/s/*'\nurl = '{}'\n{protocol}", service.url());
    let gateway = Gateway::start(&route("")).await;
    let client = Client::to(gateway.public).await;
    assert_eq!(refused(&client.send(call("Echo"), message(b"a")).await), ("12", "grpc-needs-h2c"));
    gateway.reloaded(&route("protocol = 'h2c'")).await;
    assert_eq!(status(client.send(call("Echo"), message(b"a")).await.trailers.as_ref()), "0");
}

#[tokio::test]
async fn an_instance_is_judged_by_the_status_of_its_calls() {
    let services = [GrpcService::start(), GrpcService::start()];
    let gateway = Gateway::start("").await;
    for (number, service) in services.iter().enumerate() {
        let routed =
            with(taking_calls(&service.url()), json!({"instance": format!("i{number}"), "policy": "round_robin"}));
        gateway.registered(&routed).await;
    }
    let client = Client::to(gateway.public).await;
    let is_ejected = async || {
        let instances = gateway.service("service").await.unwrap()["instances"].clone();
        instances.as_array().unwrap().iter().any(|one| one["ejected_until"] != Value::Null)
    };
    let calls = async |method: &str, status: &str, count: usize| {
        for _ in 0..count {
            client.send(call(method).header("x-fail", status), message(b"a")).await;
        }
    };
    let mut count = 0;
    for status in ["12", "4", "7", "5", "8", "1", "nonsense"] {
        calls("Refuse", status, 12).await;
        calls("Echo", status, 12).await;
        count += 24;
        assert!(!is_ejected().await, "{status}");
    }
    let counts = async |total: usize, errors: usize| {
        eventually("they are counted", SOON, async || {
            let requests = gateway.service("service").await.unwrap()["requests"].clone();
            (requests["total"] == json!(total) && requests["errors"] == json!(errors)).then_some(())
        })
        .await;
    };
    counts(count, 0).await;
    calls("Echo", "13", 12).await;
    assert!(is_ejected().await, "in trailers");
    counts(count + 12, 12).await;
}

#[tokio::test]
async fn an_instance_that_refuses_calls_as_unavailable_is_ejected() {
    let services = [GrpcService::start(), GrpcService::start()];
    let gateway = Gateway::start("").await;
    for (number, service) in services.iter().enumerate() {
        let routed =
            with(taking_calls(&service.url()), json!({"instance": format!("i{number}"), "policy": "round_robin"}));
        gateway.registered(&routed).await;
    }
    let client = Client::to(gateway.public).await;
    for _ in 0..12 {
        client.send(call("Refuse").header("x-fail", "14"), message(b"a")).await;
    }
    let instances = gateway.service("service").await.unwrap()["instances"].clone();
    assert!(instances.as_array().unwrap().iter().any(|one| one["ejected_until"] != Value::Null), "{instances}");
}

#[tokio::test]
async fn the_access_log_tells_how_a_call_ended() {
    let service = GrpcService::start();
    let gateway = before("[access_log]\npath = 'access.log'", &service).await;
    let client = Client::to(gateway.public).await;
    client.send(call("Echo"), message(b"a")).await;
    client.send(call("Refuse").header("x-fail", "9"), message(b"a")).await;
    client.send(call("x").uri("http://gateway/nothing"), message(b"a")).await;
    client.send(call("Hang").header("grpc-timeout", "100m"), message(b"a")).await;
    client.ask(asks(Method::GET, "/nothing")).await;
    let log = eventually("five lines", SOON, async || {
        let log = std::fs::read_to_string(gateway.dir().join("access.log")).ok()?;
        (log.lines().count() == 5).then_some(log)
    })
    .await;
    let told: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = told.iter().map(|one| json!([one["status"], one["grpc_status"], one["flag"]])).collect();
    // A line is written once its answer is sent, and a client goes on at once: their order is not that of the calls.
    for expected in [
        json!([200, 0, null]),
        json!([200, 9, null]),
        json!([200, 12, "route-not-found"]),
        json!([200, 4, "deadline-exceeded"]),
        json!([404, null, "route-not-found"]),
    ] {
        assert!(told.contains(&expected), "{expected} is not in {log}");
    }
    let metrics = gateway.metrics().await;
    for line in ["furt_requests_total{status=\"4xx\"} 2\n", "furt_requests_total{status=\"5xx\"} 1\n"] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}
