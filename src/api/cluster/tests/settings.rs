//! Settings: which bodies reach the driver, whose settings are meant, and how each node's answer is told.

use furt_cluster::model::UpdateResult;
use furt_cluster::{CheckFailure, Outcome as Fared};

use super::*;
use crate::cluster::KnownSettings;

const PATH: &str = "/internal/cluster/settings";

fn id(generation: u64) -> SettingsId {
    SettingsId { generation, digest: Digest::new([9; 32]) }
}

/// Settings of the cluster that are in force, and those of another node, which this node does not have.
pub(super) fn known() -> Vec<KnownSettings> {
    let text = "[limits]\nmax_body = 5\n\n[server]\ngrace = \"2s\"\n".to_owned();
    let of_cluster = KnownSettings {
        scope: Scope::Cluster,
        id: id(4),
        is_latest: true,
        is_applied: true,
        applied_ms: Some(1_763_152_200_000),
        text: Some(text),
    };
    let scope = Scope::Node(key(2, 0));
    vec![of_cluster.clone(), KnownSettings { scope, is_applied: false, applied_ms: None, text: None, ..of_cluster }]
}

#[tokio::test]
async fn what_is_set_is_told_with_its_keys() {
    let router = Driver::default().answering(|| Ok(Answer::Done));
    let (status, body) = asked(&router, "GET", PATH, "").await;
    let digest = "09".repeat(32);
    let expected = json!({"fingerprint": key(1, 0), "settings": [
        {"node": null, "generation": 4, "digest": digest, "latest": true, "applied": true, "applied_at": "2025-11-14T20:30:00Z",
         "text": "[limits]\nmax_body = 5\n\n[server]\ngrace = \"2s\"\n", "values": {"limits.max_body": 5, "server.grace": "2s"}},
        {"node": key(2, 0), "generation": 4, "digest": digest, "latest": true, "applied": false, "applied_at": null,
         "text": null, "values": null},
    ]});
    assert_eq!((status, body), (200, expected));
    let detail = refused(&super::router(None), "GET", PATH, "", 404, "not-found").await;
    assert!(detail.contains("cluster.url is not set"), "{detail}");
}

#[tokio::test]
async fn a_change_reaches_the_driver_whole() {
    let driver = Driver::default();
    let router = driver.answering(|| Ok(Answer::Set { documents: BTreeMap::new(), outcomes: BTreeMap::new() }));
    let body = json!({"to": [key(2, 0).to_string(), "02ababab", "b.2"], "unset": ["a.b"], "expect": 3, "partial": true,
        "set": {"a.c": [1, -2.5, "x", true, [9_223_372_036_854_775_807_i64]]}});
    assert_eq!(asked(&router, "POST", PATH, &body.to_string()).await.0, 200);
    // A name counts though a stranger has it too, and one node is meant once.
    let expected = format!(
        "SettingsChange {{ scopes: [{:?}], set: {{\"a.c\": Array([Integer(1), Float(-2.5), String(\"x\"), Boolean(true), \
         Array([Integer(9223372036854775807)])])}}, unset: {{\"a.b\"}}, expect: Some(3), agreement: Partial, restart: Never }}",
        Scope::Node(key(2, 0))
    );
    assert_eq!(driver.told(), [expected]);
    let body = r#"{"to": "all", "set": {"server.threads": 3}, "restart": true}"#;
    assert_eq!(asked(&router, "POST", PATH, body).await.0, 200);
    assert!(driver.told()[0].ends_with("agreement: All, restart: OneByOne }"));

    for (to, status, code) in [
        (json!(["nobody.1"]), 404, "not-found"),
        // They are heard and not approved.
        (json!(["c.3"]), 404, "not-found"),
        (json!(["03ababab"]), 404, "not-found"),
        (json!(["b.2", "c.3"]), 404, "not-found"),
        (json!([]), 422, "invalid-fields"),
        (json!("b.2"), 422, "invalid-fields"),
        (json!([1]), 422, "invalid-fields"),
        (json!(null), 422, "invalid-fields"),
    ] {
        let body = json!({"to": to, "set": {"limits.max_body": 5}}).to_string();
        refused(&router, "POST", PATH, &body, status, code).await;
    }
    let twins = View {
        nodes: [view().nodes, vec![node(key(4, 0), "b.2", Standing::Approved(Role::Member))]].concat(),
        ..view()
    };
    let router = driver.showing(twins, || Ok(Answer::Done));
    let body = r#"{"to": ["b.2"], "set": {"limits.max_body": 5}}"#;
    refused(&router, "POST", PATH, body, 409, "cluster-conflict").await;
    assert!(driver.told().is_empty());
}

#[tokio::test]
async fn every_field_that_is_wrong_is_named() {
    let driver = Driver::default();
    let router = driver.answering(|| Ok(Answer::Done));
    let too_great = serde_json::Number::from(u64::MAX);
    for (body, wrong) in [
        (json!({"to": "all"}), vec!["/set"]),
        (json!({"to": "all", "set": {}, "unset": []}), vec!["/set"]),
        (json!({"to": "all", "set": []}), vec!["/set"]),
        (
            json!({"to": "all", "set": {"a.b": null, "a.c": {}, "a/d": [{}], "a.e": 1, "a.f": too_great}}),
            vec!["/set/a.b", "/set/a.c", "/set/a~1d", "/set/a.f"],
        ),
        (json!({"to": "all", "set": {"a.b": 1}, "unset": ["a.b"]}), vec!["/unset"]),
        (
            json!({"to": "all", "set": {"a.b": 1}, "unset": "a.b", "expect": -1, "partial": 1, "x": 1}),
            vec!["/unset", "/expect", "/partial", "/x"],
        ),
        (json!({"set": {"a.b": 1}}), vec!["/to"]),
        (json!({"to": "all", "set": {"a.b": 1}, "restart": "yes"}), vec!["/restart"]),
        (json!({"to": ["b.2", "c.3"], "set": {"a.b": 1}, "restart": true, "partial": true}), vec!["/partial", "/to"]),
    ] {
        let (status, problem) = asked(&router, "POST", PATH, &body.to_string()).await;
        let pointers: Vec<_> =
            problem["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
        assert_eq!((status, pointers), (422, wrong), "{body}");
    }
    refused(&router, "POST", PATH, r#"{"to": "all", "set": {"a.b": 1, "a.b": 2}}"#, 400, "not-json").await;
    assert!(driver.told().is_empty());
}

#[tokio::test]
async fn each_node_s_answer_is_told() {
    let told = |status: Result<(), Arc<str>>| {
        Fared::Told(UpdateResult {
            action: "update_settings".into(),
            status,
            detail: Some("limits".into()),
            node: NodeName::try_new("a.1").unwrap(),
            at_ms: 1_763_152_200_000,
            generation: 7,
            request: None,
        })
    };
    let router = Driver::default().answering(move || {
        let fared = [
            (key(1, 0), told(Ok(()))),
            (key(2, 0), told(Err("it hangs".into()))),
            (key(3, 0), Fared::Seen),
            (key(4, 0), Fared::Disagreed(CheckFailure::Wrong(vec!["a:1:1: x".into(), "a:2:1: y".into()]))),
            (key(5, 0), Fared::Disagreed(CheckFailure::Outdated(9))),
            (key(6, 0), Fared::Disagreed(CheckFailure::Busy)),
            (key(7, 0), Fared::NoAnswer),
            (key(8, 0), Fared::Away),
        ];
        Ok(Answer::Set { documents: [(Scope::Cluster, id(7))].into(), outcomes: fared.into() })
    });
    let (status, body) = asked(&router, "POST", PATH, ALL[10].2).await;
    assert_eq!(
        (status, &body["documents"]),
        (200, &json!([{"node": null, "generation": 7, "digest": "09".repeat(32)}]))
    );
    let outcomes = body["outcomes"].as_array().unwrap();
    let results: Vec<_> = outcomes.iter().map(|one| one["result"].as_str().unwrap()).collect();
    let expected = ["success", "failed", "seen", "disagreed", "disagreed", "disagreed", "no-answer", "away"];
    assert_eq!(results, expected);
    let failed = json!({"fingerprint": key(2, 0), "name": "b.2", "result": "failed", "errors": ["it hangs"], "action": "update_settings",
        "status": "failed", "detail": "limits", "error": "it hangs", "node": "a.1", "timestamp": "2025-11-14T20:30:00Z", "generation": 7});
    assert_eq!(outcomes[1], failed);
    assert_eq!(outcomes[3]["errors"], json!(["a:1:1: x", "a:2:1: y"]));
    assert!(outcomes[4]["errors"][0].as_str().unwrap().contains("generation 9"), "{}", outcomes[4]);
    assert_eq!(outcomes[7], json!({"fingerprint": key(8, 0), "name": null, "result": "away", "errors": []}));
}

#[tokio::test]
async fn whoever_disagrees_is_named_with_each_error() {
    let disagreed = |errors: usize, silent: bool| {
        move || {
            let errors = (1..=errors).map(|line| format!("settings:{line}:1: wrong").into()).collect();
            let silent = silent.then_some(key(3, 0)).into_iter().collect();
            Err(Refusal::Disagreed { disagree: [(key(2, 0), CheckFailure::Wrong(errors))].into(), silent }.into())
        }
    };
    let router = Driver::default().answering(disagreed(2, true));
    let (status, problem) = asked(&router, "POST", PATH, ALL[10].2).await;
    assert_eq!((status, &problem["code"]), (422, &json!("invalid-config")));
    let two = |detail: &str| json!({"fingerprint": key(2, 0), "name": "b.2", "detail": detail});
    let silent = json!({"fingerprint": key(3, 0), "name": "c.3", "detail": "did not answer whether it agrees"});
    assert_eq!(problem["errors"], json!([two("settings:1:1: wrong"), two("settings:2:1: wrong"), silent]));
    // A single one is in the detail.
    let router = Driver::default().answering(disagreed(1, false));
    let detail = refused(&router, "POST", PATH, ALL[10].2, 422, "invalid-config").await;
    assert!(detail.contains("b.2: settings:1:1: wrong"), "{detail}");
    let router = Driver::default().answering(|| Err(Refusal::Outdated { scope: Scope::Cluster, generation: 8 }.into()));
    let detail = refused(&router, "POST", PATH, ALL[10].2, 412, "outdated").await;
    assert!(detail.contains("generation 8"), "{detail}");
    let router = Driver::default().answering(|| Err(Failure::Settings(vec!["x: is no key".to_owned()])));
    assert_eq!(refused(&router, "POST", PATH, ALL[10].2, 422, "invalid-config").await, "x: is no key");
}

#[tokio::test(start_paused = true)]
async fn what_an_arbiter_decides_may_take_longer_than_other_commands() {
    let (handle, mut orders) = Handle::channel();
    let shown = Shown { view: view(), link: Link::Up };
    tokio::spawn(async move {
        while let Some(order) = orders.recv().await {
            match order {
                Order::Look(reply) => _ = reply.send(Ok(shown.clone())),
                Order::Settings(_, reply) => {
                    tokio::time::sleep(Duration::from_secs(55)).await;
                    _ = reply.send(Ok(Answer::Set { documents: BTreeMap::new(), outcomes: BTreeMap::new() }));
                }
                Order::Command(_, reply) => {
                    tokio::time::sleep(Duration::from_secs(31)).await;
                    _ = reply.send(Ok(Answer::Rotating(secret(2, 0x22))));
                }
                Order::MakeToken { .. } | Order::Documents(_) | Order::Join(..) => unreachable!(),
            }
        }
    });
    let router = super::router(Some(handle));
    for (method, path, body) in [ALL[8], ALL[10]] {
        assert_eq!(asked(&router, method, path, body).await.0, 200, "{path}");
    }
}
