//! Looking up, listing, watching.

use std::time::{Duration, Instant};

use furt_client::{Error, Service};
use serde_json::json;

use crate::server::{Reply, Server, furt, instance};
use crate::{client, eventually};

/// A list with the instances of these ports, and what it stands for.
fn listing(ports: &[u16]) -> Reply {
    let one = |port: &u16| {
        instance(&json!({ "service": "shop.a", "instance": port.to_string(), "url": format!("http://127.0.0.1:{port}"),
            "document": {"name": "a", "port": port} }))
    };
    let instances: Vec<_> = ports.iter().map(one).collect();
    let next = format!("{ports:?}");
    Reply::Json(200, json!({ "instances": instances, "next": next, "generation": 1, "epoch": "one" }))
}

#[tokio::test]
async fn a_namespace_is_looked_up_in_and_sees_nothing_else() {
    let host = Server::start(furt()).await;
    let (shop, other) = (client(&[&host], "shop"), client(&[&host], "other"));
    shop.join("a", Service::new(1).field("zone", json!("b"))).await.unwrap();
    other.join("a", Service::new(2)).await.unwrap();
    let found = shop.lookup("a").await.unwrap().unwrap();
    assert_eq!((found.name.as_str(), found.port, found.url.as_str()), ("a", 1, "http://127.0.0.1:1"));
    assert_eq!(found.document.unwrap()["zone"], "b");
    assert_eq!(shop.list(None).await.unwrap().len(), 1);
    assert_eq!(client(&[&host], "").list(None).await.unwrap().len(), 2);
    assert_eq!(client(&[&host], "").lookup("shop.a").await.unwrap().unwrap().port, 1);
    assert_eq!(shop.lookup("b").await.unwrap(), None);
    let asked: Vec<_> = host.seen().into_iter().filter(|seen| seen.method == "GET").map(|seen| seen.path).collect();
    assert_eq!(asked[0], "/internal/instances?service=shop.a");
    assert_eq!(asked[1], "/internal/instances?namespace=shop");
    assert_eq!(asked[2], "/internal/instances");
    // What a gateway lists of others is left out all the same.
    host.script(|_| listing(&[1]));
    assert!(other.list(None).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_watch_gives_each_change_once() {
    let host = Server::start(|_| listing(&[1])).await;
    let mut watch = client(&[&host], "shop").watch(Some("a")).unwrap();
    let ports = |found: Vec<furt_client::Found>| found.into_iter().map(|one| one.port).collect::<Vec<_>>();
    assert_eq!(ports(watch.next().await.unwrap()), [1]);
    let begin = Instant::now();
    {
        let mut next = std::pin::pin!(watch.next());
        // The same list again and again is no change, and a future that is dropped loses none.
        let early = tokio::time::timeout(Duration::from_millis(500), &mut next).await;
        assert!(early.is_err());
    }
    assert!(host.seen().len() < 20, "{} polls in {:?}", host.seen().len(), begin.elapsed());
    host.script(|_| listing(&[1, 2]));
    assert_eq!(ports(watch.next().await.unwrap()), [1, 2]);
    let last = host.seen().pop().unwrap().path;
    assert_eq!(last, "/internal/instances?service=shop.a&after=%5B1%5D&wait=10");
}

#[tokio::test]
async fn a_watch_waits_for_an_answer_that_comes_late() {
    let host = Server::start(|seen| match seen.path.contains("after=") {
        false => listing(&[1]),
        true => {
            let Reply::Json(status, body) = listing(&[2]) else { unreachable!() };
            Reply::Later(Duration::from_millis(900), status, body)
        }
    })
    .await;
    let mut watch = client(&[&host], "shop").watch(None).unwrap();
    watch.next().await.unwrap();
    // Longer than the patience with a silent host.
    assert_eq!(watch.next().await.unwrap()[0].port, 2);
    assert_eq!(host.seen().len(), 2);
}

#[tokio::test]
async fn a_watch_goes_on_at_another_host_and_after_an_error() {
    let (first, second) = (Server::start(|_| listing(&[1])).await, Server::start(|_| listing(&[1])).await);
    let mut watch = client(&[&first, &second], "shop").watch(None).unwrap();
    watch.next().await.unwrap();
    first.stop().await;
    second.script(|_| listing(&[1, 2]));
    assert_eq!(watch.next().await.unwrap().len(), 2);
    second.stop().await;
    let begin = Instant::now();
    assert!(matches!(watch.next().await, Err(Error::Unreachable(_))));
    assert!(matches!(watch.next().await, Err(Error::Unreachable(_))));
    assert!(begin.elapsed() > Duration::from_millis(900), "a loop over errors does not spin");
    let _back = Server::at(second.address, None, |_| listing(&[3])).await;
    assert_eq!(watch.next().await.unwrap()[0].port, 3);
}

#[tokio::test]
async fn a_client_sends_nothing_until_it_is_used() {
    let host = Server::start(furt()).await;
    let registry = client(&[&host], "");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(host.all().is_empty());
    registry.list(None).await.unwrap();
    eventually("the other nodes are asked for", || (host.all().len() == 2).then_some(())).await;
}
