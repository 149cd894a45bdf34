//! Which connection to its instance a request is sent on, and what is learned of how long services keep theirs.

use std::time::{Duration, Instant};

use reqwest::Method;

use crate::support::{Answer, Gateway, Origin, SOON, eventually, public_service, throughout};

async fn gateway_and_origin(tail: &str) -> (Gateway, Origin) {
    let (gateway, origin) = (Gateway::start(tail).await, Origin::start().await);
    gateway.registered_and_up(&public_service("service", &origin.url(), "/s/*")).await;
    (gateway, origin)
}

/// The connection that the request came on.
async fn connection(gateway: &Gateway, method: Method) -> u64 {
    Answer::of(gateway.anonymous(method, "/s/a")).await.ok()["connection"].as_u64().expect("an echo")
}

#[tokio::test]
async fn requests_that_are_not_repeated_have_connections_of_their_own_until_the_service_says_how_long_it_keeps_them() {
    let (gateway, origin) = gateway_and_origin("").await;
    let (get, post) = (connection(&gateway, Method::GET).await, connection(&gateway, Method::POST).await);
    assert_ne!(get, post);
    for _ in 0..3 {
        assert_eq!(connection(&gateway, Method::DELETE).await, get);
        assert_eq!(connection(&gateway, Method::POST).await, post);
    }
    origin.set_keep_alive("timeout=30, max=1000");
    // Said by this answer: the connection of the next POST is that of GETs.
    assert_eq!(connection(&gateway, Method::GET).await, get);
    for _ in 0..3 {
        assert_eq!(connection(&gateway, Method::POST).await, get);
        assert_eq!(connection(&gateway, Method::GET).await, get);
    }
}

#[tokio::test]
async fn where_the_configuration_is_careful_all_requests_share_connections() {
    let (gateway, _origin) = gateway_and_origin("[upstream]\nidle_timeout = 4").await;
    let get = connection(&gateway, Method::GET).await;
    assert_eq!(connection(&gateway, Method::POST).await, get);
    assert_eq!(connection(&gateway, Method::GET).await, get);
}

#[tokio::test]
async fn a_body_makes_a_request_one_that_is_not_repeated() {
    let (gateway, _origin) = gateway_and_origin("").await;
    let get = connection(&gateway, Method::GET).await;
    let put = Answer::of(gateway.anonymous(Method::PUT, "/s/a").body("body")).await.ok();
    assert_ne!(put["connection"].as_u64(), Some(get));
    assert_eq!(connection(&gateway, Method::DELETE).await, get);
}

#[tokio::test]
async fn a_connection_is_given_up_before_the_service_closes_it() {
    let (gateway, origin) = gateway_and_origin("").await;
    origin.set_keep_alive("timeout=1");
    let first = connection(&gateway, Method::GET).await;
    let used = Instant::now();
    assert_eq!(connection(&gateway, Method::GET).await, first, "it is kept at all");
    eventually("it is closed", SOON, async || (origin.serving_connections() == 0).then_some(())).await;
    let kept = used.elapsed();
    assert!(kept >= Duration::from_millis(450), "{kept:?}");
}

/// A request that meets the end of its connection is sent again on a new one: of several that ended together none has another.
#[tokio::test]
async fn a_service_that_closes_all_it_keeps_costs_no_request() {
    let (gateway, mut origin) = gateway_and_origin("").await;
    for _ in 0..5 {
        let all = (0..8).map(|_| connection(&gateway, Method::GET));
        futures_util::future::join_all(all).await;
        origin.restart().await;
        throughout("answered", Duration::from_millis(100), async || {
            Answer::of(gateway.anonymous(Method::GET, "/s/a")).await.status == 200
        })
        .await;
    }
}
