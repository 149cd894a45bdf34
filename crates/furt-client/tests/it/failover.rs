//! Hosts in turn: no connection, 5xx, silence and strangers lead to the next one; 4xx never does.

use std::time::{Duration, Instant};

use furt_client::{Error, Service};

use crate::client;
use crate::server::{Reply, Server, furt};

#[tokio::test]
async fn the_next_host_is_asked_and_then_asked_first() {
    for bad in [
        Reply::problem(503, "store-unavailable"),
        Reply::Silence,
        Reply::Stuck,
        Reply::Foreign(200),
        Reply::Foreign(404),
    ] {
        let reply = bad.clone();
        let (first, second) = (Server::start(move |_| reply.clone()).await, Server::start(furt()).await);
        let registry = client(&[&first, &second], "");
        let begin = Instant::now();
        registry.join("a", Service::new(1)).await.unwrap();
        assert!(begin.elapsed() < Duration::from_secs(2), "{bad:?}: {:?}", begin.elapsed());
        assert_eq!(first.lines(), ["POST /internal/register-service"], "{bad:?}");
        registry.list(None).await.unwrap();
        assert_eq!(first.lines().len(), 1, "{bad:?}");
        assert_eq!(second.lines(), ["POST /internal/register-service", "GET /internal/instances"], "{bad:?}");
    }
}

#[tokio::test]
async fn a_host_without_a_connection_is_passed_over() {
    let (first, second) = (Server::start(furt()).await, Server::start(furt()).await);
    first.stop().await;
    client(&[&first, &second], "").join("a", Service::new(1)).await.unwrap();
    assert_eq!(second.lines(), ["POST /internal/register-service"]);
}

#[tokio::test]
async fn a_refusal_is_an_answer_and_no_other_host_is_asked() {
    for status in [400, 401, 403, 404, 409, 412, 422, 429] {
        let first = Server::start(move |_| Reply::problem(status, "taken")).await;
        let second = Server::start(furt()).await;
        let error = client(&[&first, &second], "").join("a", Service::new(1)).await.unwrap_err();
        let Error::Refused { host, problem } = &error else { panic!("{error}") };
        assert_eq!((host, problem.status), (&first.address.to_string(), status));
        assert_eq!(error.to_string(), format!("{} refused: {status} taken: for the test", first.address));
        assert_eq!(second.lines(), [""; 0]);
    }
}

#[tokio::test]
async fn every_host_is_told_where_none_did_it() {
    let first = Server::start(|_| Reply::problem(503, "stopping")).await;
    let (second, third) = (Server::start(|_| Reply::Silence).await, Server::start(|_| Reply::Foreign(200)).await);
    let fourth = Server::start(furt()).await;
    fourth.stop().await;
    let error = client(&[&first, &second, &third, &fourth], "").list(None).await.unwrap_err();
    let Error::Unreachable(tries) = &error else { panic!("{error}") };
    let whats: Vec<_> = tries.iter().map(|one| one.what.as_str()).collect();
    assert_eq!(whats[0], "503 stopping: for the test");
    assert_eq!(whats[1], "no answer within 0.3 s");
    assert!(whats[2].contains("not furt's internal listener: it answered 200"), "{}", whats[2]);
    assert!(whats[3].contains("refused"), "{}", whats[3]);
    assert!(error.to_string().starts_with(&format!("no host of the registry took it: {}: 503", first.address)));
}

#[tokio::test]
async fn an_answer_of_another_version_is_told() {
    let host = Server::start(|_| Reply::Json(200, serde_json::json!({"other": 1}))).await;
    let error = client(&[&host], "").list(None).await.unwrap_err();
    assert!(matches!(error, Error::Answer { .. }), "{error}");
}
