//! Gateways whose configurations differ: each routes what its own allows, and what another may route is taken all the same.

use serde_json::json;

use crate::foreign::Etcd;
use crate::gateways::{is_routed, shared_service, status, stored_at};
use crate::support::{Gateway, Origin, SOON, eventually, with};

#[tokio::test]
async fn what_one_gateway_does_not_allow_is_blocked_there_and_routed_at_the_other() {
    let (etcd, origin) = (Etcd::one().await, Origin::start().await);
    let open = stored_at(&etcd.endpoints());
    let narrow = format!("{open}\n[[grants]]\nservice = 'one'\npaths = ['/else/*']\npublic = true\n");
    let (a, b) = (Gateway::start(&open).await, Gateway::start(&narrow).await);
    a.registered(&shared_service("one", &origin.url())).await;
    eventually("it is blocked", SOON, async || {
        let seen = b.service("one").await?;
        (!seen["blocked"].is_null()).then_some(())
    })
    .await;
    assert_eq!((status(&a, "/one").await, status(&b, "/one").await), (200, 404));
    let heir = with(shared_service("heir", &origin.url()), json!({"routes": [{"method": "*", "path": "/one"}]}));
    for gateway in [&a, &b] {
        assert_eq!(gateway.register(&heir).await.problem(409, "taken")["rival"]["service"], "one");
    }
    b.register(&shared_service("one", &origin.url())).await.problem(403, "beyond-grant");
    // Rules that allow it bring it back, with nothing said to etcd.
    let before = etcd.ctl().get("/furt/default/v1/services/one").await.unwrap().modified;
    b.reloaded(&open).await;
    is_routed(&b, "/one", SOON).await;
    assert_eq!(etcd.ctl().get("/furt/default/v1/services/one").await.unwrap().modified, before);
}

#[tokio::test]
async fn a_static_route_of_one_gateway_refuses_there_and_hides_nothing_elsewhere() {
    let (etcd, origin) = (Etcd::one().await, Origin::start().await);
    let stands = Origin::named("static").await;
    let open = stored_at(&etcd.endpoints());
    let tail = format!("{open}\n[[routes]]\nmethod = 'GET'\npath = '/one'\nurl = '{}'\n", stands.url());
    let a = Gateway::start(&open).await;
    let b = Gateway::start(&tail).await;
    let body = with(shared_service("one", &origin.url()), json!({"routes": [{"method": "GET", "path": "/one"}]}));
    b.register(&body).await.problem(409, "taken");
    a.registered(&body).await;
    eventually("B knows of it", SOON, async || b.service("one").await).await;
    let answering = async |gateway: &Gateway| gateway.get("/one").await.header("x-origin").to_owned();
    assert_eq!((answering(&a).await, answering(&b).await), ("origin".to_owned(), "static".to_owned()));
    // One start later as well.
    let again = Gateway::start(&tail).await;
    assert_eq!(answering(&again).await, "static");
}
