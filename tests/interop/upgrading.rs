//! A gateway that is replaced by another process while others share its registry.

use std::time::Duration;

use furt_core::model::Sha256Digest;
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use serde_json::Value;

use crate::foreign::Etcd;
use crate::gateways::{agree, beating_service, is_routed, status, stored_at};
use crate::support::{Answer, Gateway, Origin, SOON, eventually, throughout};

const TOKEN: &str = "operators-9a1f";

async fn seen(gateway: &Gateway, path: &str) -> Value {
    Answer::of(gateway.operate(Method::GET, path).bearer_auth(TOKEN)).await.ok()
}

#[tokio::test]
async fn the_new_process_joins_and_the_old_one_leaves_though_it_has_clients() {
    let (etcd, origin) = (Etcd::one().await, Origin::start().await);
    let digest = Sha256Digest::of(TOKEN.as_bytes());
    let token = format!("[internal]\noperator_token_sha256 = '{digest}'\n");
    let (mut a, b) = (
        Gateway::start(&format!("{}{token}", stored_at(&etcd.endpoints()))).await,
        Gateway::start(&stored_at(&etcd.endpoints())).await,
    );
    a.registered(&beating_service("shop", &origin.url(), Duration::from_secs(3))).await;
    is_routed(&b, "/shop", SOON).await;
    let url = a.public_url("/shop").replace("http://", "ws://");
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();

    let asked = a.operate(Method::POST, "/internal/upgrade").bearer_auth(TOKEN).timeout(Duration::from_secs(60));
    let upgraded = Answer::of(asked).await.ok();
    a.replaced_by(upgraded["pid"].as_u64().unwrap().try_into().unwrap());
    assert_eq!(seen(&a, "/internal/services/shop").await["instances"].as_array().unwrap().len(), 1);
    let nodes = async || b.seen("/internal/nodes").await["nodes"].as_array().unwrap().len();
    eventually("the old one is no gateway any more", SOON, async || (nodes().await == 2).then_some(())).await;

    // Heard at the new one alone, longer than it may be silent.
    throughout("it is heard and routed", Duration::from_secs(6), async || {
        a.heartbeat("shop", "shop").await.ok();
        status(&a, "/shop").await == 200 && status(&b, "/shop").await == 200
    })
    .await;
    socket.send("still here".into()).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap().as_str(), "still here");
    a.registered(&beating_service("other", &origin.url(), Duration::from_secs(60))).await;
    is_routed(&b, "/other", SOON).await;
    agree(&[b], &etcd).await;
}
