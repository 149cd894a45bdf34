//! The other gateways of a registry: who is taken up, who is forgotten, and who may know the token.

use furt_client::{Error, Service};
use serde_json::json;

use crate::server::{Reply, Seen, Server, furt};
use crate::{client_with, eventually};

/// furt with these addresses of nodes.
fn telling(addresses: Vec<String>) -> impl Fn(&Seen) -> Reply + Send + Sync + 'static {
    let furt = furt();
    move |seen| {
        let node =
            |address: &String| json!({"id": "x", "name": "n", "version": "1", "internal": address, "this": false});
        let mut nodes: Vec<_> = addresses.iter().map(node).collect();
        nodes.push(json!({"id": "y", "name": "n", "version": "1", "internal": null, "this": false}));
        match seen.path.as_str() {
            "/internal/nodes" => Reply::Json(200, json!({ "nodes": nodes })),
            _ => furt(seen),
        }
    }
}

fn address(server: &Server) -> String {
    format!("http://{}", server.address)
}

/// Until the client has asked `server` for other nodes so often, and has read the answers.
async fn refreshed(server: &Server, times: usize) {
    let asked = || server.all().iter().filter(|seen| seen.path == "/internal/nodes").count();
    eventually("other nodes are asked for", || (asked() > times).then_some(())).await;
}

#[tokio::test]
async fn a_gateway_that_is_told_takes_over_and_is_forgotten_when_it_is_not_told_any_more() {
    let told = Server::start(furt()).await;
    let named = Server::start(telling(vec![address(&told)])).await;
    let registry = client_with(&[&named], "", "&refresh=1", None);
    registry.list(None).await.unwrap();
    refreshed(&named, 1).await;
    named.stop().await;
    registry.join("a", Service::new(1)).await.unwrap();
    assert_eq!(told.lines()[0], "POST /internal/register-service");
    // The told one tells of nobody, itself included.
    refreshed(&told, 0).await;
    told.stop().await;
    let Err(Error::Unreachable(tries)) = registry.list(None).await else { panic!("nobody is there") };
    assert_eq!(tries.iter().map(|one| one.host.clone()).collect::<Vec<_>>(), [named.address.to_string()]);
}

#[tokio::test]
async fn what_is_no_address_of_the_same_scheme_is_not_taken_up() {
    let other = Server::start(furt()).await;
    let bad = vec![
        format!("https://{}", other.address),
        other.address.to_string(),
        "http://".to_owned(),
        "http://u@b".to_owned(),
    ];
    let named = Server::start(telling(bad)).await;
    let registry = client_with(&[&named], "", "&refresh=1", None);
    registry.list(None).await.unwrap();
    refreshed(&named, 1).await;
    named.stop().await;
    let Err(Error::Unreachable(tries)) = registry.list(None).await else { panic!("nobody is there") };
    assert_eq!(tries.len(), 1);
    assert!(other.all().is_empty());
}

#[tokio::test]
async fn over_http_a_token_goes_to_the_named_hosts_alone() {
    let told = Server::start(furt()).await;
    let named = Server::start(telling(vec![address(&told)])).await;
    let registry = client_with(&[&named], "", "&refresh=1", Some(" t0k3n\n"));
    let member = registry.join("a", Service::new(1)).await.unwrap();
    refreshed(&named, 1).await;
    assert!(named.all().iter().all(|seen| seen.authorization.as_deref() == Some("Bearer t0k3n")));
    named.stop().await;
    // What needs no token is asked of the other one.
    registry.list(None).await.unwrap();
    // What may need it is not.
    let Err(Error::Unreachable(tries)) = member.leave(std::time::Duration::ZERO).await else {
        panic!("nobody may know")
    };
    assert_eq!(tries.len(), 1);
    assert_eq!(told.lines(), ["GET /internal/instances"]);
    assert!(told.all().iter().all(|seen| seen.authorization.is_none()));
}

#[tokio::test]
async fn without_refresh_nobody_is_asked_for() {
    let named = Server::start(furt()).await;
    let registry = client_with(&[&named], "", "&refresh=off", None);
    registry.list(None).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(named.all().len(), 1);
}
