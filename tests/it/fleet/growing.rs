//! The start of a fleet: thousands of instances register while clients ask.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::three;
use crate::support::gateway::client_from;
use crate::support::{Gateway, Load, Origin, public_service, with};

const INSTANCES: usize = 5_000;
/// Connections over which they register, each kept alive.
const CONNECTIONS: usize = 8;
/// Ten seconds are the aim; a machine that builds beside the test gets six times as many.
const LONGEST: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_register_while_traffic_flows_and_nobody_sees_an_error() {
    let gateway = Gateway::start("[registration]\nrate = '100000/s'").await;
    let origins = three(&gateway, json!({"policy": "edge"})).await;
    let everywhere = Origin::everywhere("fleet").await;
    let port = everywhere.address().port();
    let (client, url) = (client_from(None), gateway.public_url("/shop"));
    let mut load = Load::start(4, move |_, _| {
        let request = client.get(&url);
        async move { assert_eq!(request.send().await.unwrap().status(), 200) }
    });
    load.more(50).await;
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let registering: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let next = Arc::clone(&next);
            let (client, url) = (client_from(None), gateway.internal_url("/internal/register-service"));
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= INSTANCES {
                        return;
                    }
                    let place = format!("http://127.1.{}.{}:{port}", number / 250, number % 250 + 1);
                    let more = json!({"heartbeat_ttl": 60, "weight": number % 3 + 1, "region": "eu"});
                    let body = with(public_service("shop", &place, "/shop"), more);
                    let body = with(body, json!({"instance": format!("i{number}"), "policy": "edge"}));
                    let answer = client.post(&url).json(&body).send().await.unwrap();
                    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
                }
            })
        })
        .collect();
    for one in registering {
        one.await.unwrap();
    }
    let took = began.elapsed();
    eprintln!("{INSTANCES} instances registered in {took:?}");
    load.more(100).await;
    load.stop().await;
    assert!(took < LONGEST, "{took:?}");
    let shown = gateway.service("shop").await.unwrap();
    assert_eq!(shown["instances"].as_array().unwrap().len(), INSTANCES + origins.len());
    assert_eq!(shown["status"], "UP");
}
