//! Joining, beating, joining again, leaving.

use std::time::{Duration, Instant};

use furt_client::{Error, Service, State};
use serde_json::json;

use crate::server::{Reply, Server, furt, furt_of};
use crate::{client, eventually};

const REGISTER: &str = "POST /internal/register-service";

fn count(server: &Server, line: &str) -> usize {
    server.lines().iter().filter(|one| one.ends_with(line)).count()
}

#[tokio::test]
async fn a_service_joins_beats_and_leaves() {
    let host = Server::start(furt()).await;
    let registry = client(&[&host], "shop");
    let member = registry.join("comments", Service::new(7812).field("zone", json!("b"))).await.unwrap();
    assert_eq!((member.service(), member.state()), ("shop.comments", State::Joined));
    let body = host.seen()[0].body.clone();
    let expected = json!({"name": "comments", "port": 7812, "hostname": "127.0.0.1", "host": "127.0.0.1:7812",
        "url": "http://127.0.0.1:7812", "zone": "b"});
    assert_eq!((&body["document"], &body["url"]), (&expected, &json!("http://127.0.0.1:7812")));
    assert_eq!((&body["service"], &body["heartbeat_ttl"]), (&json!("shop.comments"), &json!(2.0)));
    assert_eq!((&body["health_endpoint"], &body["routes"]), (&json!(null), &json!(null)));
    let incarnation = body["incarnation"].as_str().unwrap().to_owned();
    assert_eq!(incarnation.len(), 36);

    eventually("two beats", || (count(&host, "/heartbeat") >= 2).then_some(())).await;
    assert_eq!(count(&host, REGISTER), 1);
    let left = member.leave(Duration::from_secs(3)).await.unwrap();
    assert_eq!((left.in_flight, member.state()), (0, State::Left));
    let last = host.seen().pop().unwrap();
    let path = "/internal/services/shop.comments/instances/shop.comments-127.0.0.1:7812";
    assert_eq!(format!("{} {}", last.method, last.path), format!("DELETE {path}?drain=3&incarnation={incarnation}"));
    assert!(host.seen().iter().filter(|one| one.path.contains("heartbeat")).all(|one| one.path.contains(&incarnation)));
    assert_eq!(member.leave(Duration::ZERO).await, Err(Error::Left));
    let seen = host.seen().len();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(host.seen().len(), seen, "nothing is sent after leaving");
}

#[tokio::test]
async fn a_lost_registration_is_made_again() {
    for reason in ["404", "412", "another epoch"] {
        let host = Server::start(furt_of("one")).await;
        let member = client(&[&host], "").join("a", Service::new(1)).await.unwrap();
        match reason {
            "404" => host.script(furt_of("one")),
            "412" => {
                let furt = furt_of("one");
                host.script(move |seen| match seen.path.contains("heartbeat") {
                    true => Reply::problem(412, "another-incarnation"),
                    false => furt(seen),
                });
            }
            _ => {
                // It knows the instance, of another registry.
                let furt = furt_of("two");
                host.script(move |seen| match seen.path.contains("heartbeat") {
                    true => Reply::Json(
                        200,
                        json!({ "status": "ok", "service": "a", "instance": "a-127.0.0.1:1", "health": "UP",
                        "epoch": "two", "heartbeat_ttl": 2.0 }),
                    ),
                    false => furt(seen),
                });
            }
        }
        eventually(reason, || (count(&host, REGISTER) >= 2).then_some(())).await;
        assert_eq!(member.state(), State::Joined, "{reason}");
        member.leave(Duration::ZERO).await.unwrap();
    }
}

#[tokio::test]
async fn a_registry_that_is_away_at_the_start_is_joined_later() {
    let host = Server::start(furt()).await;
    host.stop().await;
    let registry = client(&[&host], "");
    assert!(matches!(registry.join("a", Service::new(1)).await, Err(Error::Unreachable(_))));
    let member = registry.join_in_background("a", Service::new(1)).unwrap();
    let mut states = member.states();
    states.wait_for(|state| matches!(state, State::Away(Error::Unreachable(_)))).await.unwrap();
    let back = Server::at(host.address, None, furt()).await;
    states.wait_for(|state| *state == State::Joined).await.unwrap();
    assert_eq!(back.lines(), [REGISTER]);
    // Away later, and back without what it knew.
    back.stop().await;
    states.wait_for(|state| matches!(state, State::Away(_))).await.unwrap();
    let back = Server::at(host.address, None, furt()).await;
    states.wait_for(|state| *state == State::Joined).await.unwrap();
    assert_eq!(count(&back, REGISTER), 1);
}

#[tokio::test]
async fn a_refusal_is_tried_again_in_the_background() {
    let host = Server::start(|_| Reply::problem(403, "not-owner")).await;
    let member = client(&[&host], "").join_in_background("a", Service::new(1)).unwrap();
    let mut states = member.states();
    let refused = states.wait_for(|state| matches!(state, State::Refused(_))).await.unwrap().clone();
    let State::Refused(error) = refused else { unreachable!() };
    assert_eq!(error.problem().unwrap().status, 403);
    host.script(furt());
    states.wait_for(|state| *state == State::Joined).await.unwrap();
}

#[tokio::test]
async fn a_drain_is_awaited_and_a_silent_host_does_not_hold_it_up() {
    let (first, second) = (Server::start(furt()).await, Server::start(furt()).await);
    let registry = client(&[&first, &second], "");
    let member = registry.join("a", Service::new(1)).await.unwrap();
    // Of a registry that both hosts share.
    let of_both = |in_flight: u64| {
        let furt = furt();
        move |seen: &crate::server::Seen| match seen.method.as_str() {
            "DELETE" => Reply::Later(
                Duration::from_millis(700),
                200,
                json!({ "status": "deregistered", "service": "a",
                "instance": "a-127.0.0.1:1", "instances": 1, "in_flight": in_flight, "generation": 1 }),
            ),
            _ if seen.path.contains("heartbeat") => Reply::Json(
                200,
                json!({ "status": "ok", "service": "a", "instance": "a-127.0.0.1:1",
                "health": "UP", "epoch": "one", "heartbeat_ttl": 2.0 }),
            ),
            _ => furt(seen),
        }
    };
    first.script(|_| Reply::Silence);
    second.script(of_both(3));
    let begin = Instant::now();
    // Longer than the patience with a host, and much less than the drain.
    assert_eq!(member.leave(Duration::from_secs(20)).await.unwrap().in_flight, 3);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!(count(&second, "DELETE /internal/services/a/instances/a-127.0.0.1:1"), 1);
}

#[tokio::test]
async fn leaving_without_a_registry_is_told_and_what_never_joined_asks_nobody() {
    let host = Server::start(furt()).await;
    let registry = client(&[&host], "");
    let member = registry.join("a", Service::new(1)).await.unwrap();
    host.stop().await;
    assert!(matches!(member.leave(Duration::from_secs(3)).await, Err(Error::Unreachable(_))));
    assert_eq!(member.state(), State::Left);

    let nowhere = furt_client::Builder::new("furt://nowhere.invalid?refresh=off").token("").connect().unwrap();
    let member = nowhere.join_in_background("a", Service::new(1)).unwrap();
    let mut states = member.states();
    states.wait_for(|state| matches!(state, State::Away(_))).await.unwrap();
    assert_eq!(member.leave(Duration::from_secs(3)).await.unwrap().in_flight, 0);
}

#[tokio::test]
async fn a_registry_leaves_with_one_name_or_with_all() {
    let host = Server::start(furt()).await;
    let registry = client(&[&host], "");
    for (name, port) in [("a", 1), ("a", 2), ("b", 3), ("c", 4)] {
        // A handle that is dropped changes nothing.
        registry.join(name, Service::new(port)).await.unwrap();
    }
    let names = async |registry: &furt_client::Registry| {
        let found = registry.list(None).await.unwrap();
        found.into_iter().map(|one| format!("{}{}", one.name, one.port)).collect::<Vec<_>>()
    };
    assert_eq!(names(&registry).await, ["a1", "a2", "b3", "c4"]);
    registry.leave(Some("a"), Duration::ZERO).await.unwrap();
    assert_eq!(names(&registry).await, ["b3", "c4"]);
    registry.leave(None, Duration::ZERO).await.unwrap();
    assert_eq!(names(&registry).await, [""; 0]);
    registry.leave(None, Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn bad_names_and_services_are_refused_before_anything_is_sent() {
    let host = Server::start(furt()).await;
    let registry = client(&[&host], "shop");
    assert!(matches!(registry.join("Comments", Service::new(1)).await, Err(Error::Name { .. })));
    assert!(matches!(registry.lookup("a/b").await, Err(Error::Name { .. })));
    assert!(matches!(registry.watch(Some("")), Err(Error::Name { .. })));
    assert!(matches!(registry.leave(Some("A"), Duration::ZERO).await, Err(Error::Name { .. })));
    assert!(matches!(registry.join("a", Service::at("ftp://x")).await, Err(Error::Service(_))));
    assert!(matches!(registry.join_in_background("a", Service::new(0)), Err(Error::Service(_))));
    let (blank, bad) = ("furt://a".to_owned(), "a\nb");
    assert!(matches!(furt_client::Builder::new(blank).token(bad).connect(), Err(Error::Setting(_))));
    assert!(host.seen().is_empty());
}
