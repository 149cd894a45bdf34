//! Whatever goes wrong with requests, their places at instances are given back.
//!
//! Clients go away at every moment, instances hang, break off, answer nonsense, refuse, die and come back, sockets are
//! upgraded and dropped; all at once and in an order that a seed decides. Then it is quiet, and nothing is in flight.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::instance;
use crate::support::gateway::client_from;
use crate::support::scripted::{Scripted, Then};
use crate::support::wire::Wire;
use crate::support::{Answer, Gateway, Mode, Origin, SOON, eventually, ports, public_service, with};

const CLIENTS: u64 = 12;
const REQUESTS: usize = 25;

/// One request of a client that may go away at any moment. What it is answered does not matter here.
async fn misbehave(public: SocketAddr, client: &reqwest::Client, rng: &mut fastrand::Rng) {
    let url = format!("http://{public}/shop");
    let moment = Duration::from_millis(rng.u64(..60));
    match rng.usize(..8) {
        0 => drop(Answer::try_of(client.get(&url)).await),
        1 => drop(Answer::try_of(client.post(&url).body("order").timeout(Duration::from_millis(150))).await),
        2 => {
            let mut wire = Wire::to(public).await;
            wire.try_send("GET /shop HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
            tokio::time::sleep(moment).await;
        }
        3 => {
            // It goes in the middle of its body.
            let mut wire = Wire::to(public).await;
            wire.try_send("POST /shop HTTP/1.1\r\nHost: gateway\r\nContent-Length: 1000\r\n\r\npart").await;
            tokio::time::sleep(moment).await;
        }
        4 => {
            // It goes in the middle of the answer.
            if let Ok(mut answer) = client.get(&url).timeout(Duration::from_secs(1)).send().await {
                _ = answer.chunk().await;
            }
        }
        5 => {
            let mut wire = Wire::to(public).await;
            wire.try_send("PUT /shop HTTP/1.1\r\nHost: gateway\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n")
                .await;
            tokio::time::sleep(moment).await;
            wire.try_send("the body!").await;
        }
        number => {
            let connecting = tokio_tungstenite::connect_async(url.replace("http://", "ws://"));
            if let Ok(Ok((mut socket, _))) = tokio::time::timeout(Duration::from_secs(2), connecting).await {
                _ = socket.send("ping".into()).await;
                _ = tokio::time::timeout(Duration::from_secs(1), socket.next()).await;
                if number == 6 {
                    _ = socket.close(None).await;
                }
            }
        }
    }
}

/// Requests that hold a place, requests that wait for one, requests that are being answered.
async fn in_flight(gateway: &Gateway) -> (u64, Value, String) {
    let shown = gateway.service("shop").await.unwrap();
    let places = shown["instances"].as_array().unwrap().iter().map(|one| one["in_flight"].as_u64().unwrap()).sum();
    let metrics = Answer::of(gateway.operate(Method::GET, "/metrics")).await.body;
    let answering = metrics.lines().find_map(|line| line.strip_prefix("furt_requests_in_flight "));
    (places, shown["waiting"].clone(), answering.unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_any_mix_of_faults_nothing_is_in_flight() {
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let gateway = Gateway::start("").await;
    let mut origins = [Origin::named("a").await, Origin::named("b").await, Origin::named("c").await];
    let cut = Scripted::start("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", Then::Close).await;
    let nonsense = Scripted::start("no HTTP at all\r\n\r\n", Then::Hang).await;
    let changes = json!({"hard_limit": 3, "timeouts": {"connect": 0.3, "read": 0.3}});
    for (id, origin) in ["a", "b", "c"].iter().zip(&origins) {
        gateway.registered(&instance(id, origin, changes.clone())).await;
    }
    let nobody = format!("http://{}", ports::free_address());
    for (id, url) in [("cut", cut.url()), ("nonsense", nonsense.url()), ("nobody", nobody)] {
        let body = with(public_service("shop", &url, "/shop"), changes.clone());
        gateway.registered(&with(body, json!({"instance": id}))).await;
    }

    let mut clients = JoinSet::new();
    let public = gateway.public;
    for number in 0..CLIENTS {
        let mut rng = fastrand::Rng::with_seed(seed.wrapping_add(number));
        clients.spawn(async move {
            let client = client_from(None);
            for _ in 0..REQUESTS {
                misbehave(public, &client, &mut rng).await;
            }
        });
    }
    let mut rng = fastrand::Rng::with_seed(!seed);
    let modes = [
        Mode::Echo,
        Mode::Status(500),
        Mode::Hangs,
        Mode::StopsWithin,
        Mode::Zeros(1 << 20),
        Mode::Works(20),
        Mode::Mirror,
        Mode::Events,
    ];
    // As long as the clients are at it.
    while !clients.is_empty() {
        let origin = &mut origins[rng.usize(..3)];
        if rng.u8(..10) == 0 {
            origin.restart().await;
        }
        origin.set_mode(modes[rng.usize(..modes.len())]);
        if let Ok(Some(ended)) = tokio::time::timeout(Duration::from_millis(50), clients.join_next()).await {
            ended.unwrap();
        }
    }

    // A place that was given back twice would show as well: as four billion.
    eventually(&format!("nothing is in flight, seed {seed}"), SOON, async || {
        (in_flight(&gateway).await == (0, json!(0), "0".to_owned())).then_some(())
    })
    .await;
}
