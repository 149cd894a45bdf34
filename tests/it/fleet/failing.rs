//! Instances that die or hang while clients ask: what is lost, and what is not.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::{all_are_up, shown, three};
use crate::support::gateway::client_from;
use crate::support::{Answer, Gateway, Load, Mode, SOON, eventually};

/// What became of a POST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    /// 502, or an answer that broke off, while the instance of that number died.
    Lost(usize),
}

/// The lines of an access log, by request id.
fn access_log(gateway: &Gateway) -> BTreeMap<String, Value> {
    let text = std::fs::read_to_string(gateway.dir().join("access.log")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.map(|line| (line["request_id"].as_str().unwrap().to_owned(), line)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_is_lost_only_with_the_instance_that_it_was_sent_to_and_never_reaches_two() {
    const NAMES: [&str; 3] = ["one", "two", "three"];
    let gateway = Gateway::start("[access_log]\npath = 'access.log'").await;
    let mut origins = three(&gateway, json!({"health_endpoint": "/health"})).await;
    all_are_up(&gateway).await;
    // So long that some are in the middle of it whenever one dies.
    origins.iter().for_each(|origin| origin.set_mode(Mode::Works(20)));
    let fates = Arc::new(Mutex::new(BTreeMap::new()));
    let dying = Arc::new(AtomicUsize::new(0));
    let mut load = {
        let (client, url) = (client_from(None), gateway.public_url("/shop"));
        let (fates, dying) = (Arc::clone(&fates), Arc::clone(&dying));
        Load::start(9, move |number, exchange| {
            let id = format!("post-{number}-{exchange}");
            let request = client.post(&url).header("x-request-id", &id).body("an order");
            let (fates, dying) = (Arc::clone(&fates), Arc::clone(&dying));
            async move {
                let fate = match Answer::try_of(request).await {
                    Ok(answer) if answer.status == 200 => Fate::Answered,
                    Ok(answer) => {
                        assert_eq!(answer.status, 502, "{answer:?}");
                        answer.problem(502, "upstream-broken");
                        Fate::Lost(dying.load(Ordering::SeqCst))
                    }
                    Err(_) => Fate::Lost(dying.load(Ordering::SeqCst)),
                };
                fates.lock().unwrap().insert(id, fate);
            }
        })
    };
    for (number, origin) in origins.iter_mut().enumerate() {
        load.more(100).await;
        dying.store(number, Ordering::SeqCst);
        origin.stop().await;
        load.more(100).await;
        origin.restart().await;
        all_are_up(&gateway).await;
    }
    load.stop().await;

    let fates = std::mem::take(&mut *fates.lock().unwrap());
    let log = eventually("a line for each request", SOON, async || {
        let log = access_log(&gateway);
        (log.len() >= fates.len()).then_some(log)
    })
    .await;
    let received = origins.each_ref().map(|origin| origin.ids());
    for (id, fate) in &fates {
        let by: Vec<_> = NAMES
            .into_iter()
            .zip(&received)
            .flat_map(|(name, ids)| ids.iter().filter(|own| *own == id).map(move |_| name))
            .collect();
        assert!(by.len() <= 1, "{id} ({fate:?}) came to {by:?}");
        let sent_to = log[id]["instance"].as_str().unwrap();
        match fate {
            Fate::Answered => assert_eq!(by, [sent_to], "{id}"),
            Fate::Lost(dying) => {
                assert_eq!(sent_to, NAMES[*dying], "{id} was lost, and came to {by:?}: {}", log[id]);
                assert!(by.iter().all(|name| *name == sent_to), "{id} came to {by:?}");
            }
        }
    }
    for (number, name) in NAMES.iter().enumerate() {
        let lost = fates.values().filter(|fate| **fate == Fate::Lost(number)).count();
        // As many as were at it, and no more than there are clients: the next ones find nobody to connect to.
        assert!(lost <= 9, "{lost} were lost with {name}");
    }
    assert!(fates.values().any(|fate| matches!(fate, Fate::Lost(_))), "none was in the middle of it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_hangs_costs_five_requests_their_time_and_the_others_nothing() {
    const CLIENTS: usize = 4;
    let gateway = Gateway::start("").await;
    let [hung, _two, _three] = three(&gateway, json!({"timeouts": {"read": 0.3}})).await;
    hung.set_mode(Mode::Hangs);
    let (good, late) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut load = {
        let (client, url) = (client_from(None), gateway.public_url("/shop"));
        let (good, late) = (Arc::clone(&good), Arc::clone(&late));
        Load::start(CLIENTS, move |_, _| {
            let (request, good, late) = (client.get(&url), Arc::clone(&good), Arc::clone(&late));
            async move {
                let began = Instant::now();
                let answer = Answer::of(request).await;
                if answer.status == 200 {
                    good.fetch_add(1, Ordering::Relaxed);
                } else {
                    answer.problem(504, "upstream-timeout");
                    assert!(began.elapsed() >= Duration::from_millis(290), "{:?}", began.elapsed());
                    late.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    };
    let until = async || shown(&gateway, "one").await["ejected_until"].clone();
    eventually("it is ejected", SOON, async || until().await.is_string().then_some(())).await;
    let is_left = async || (shown(&gateway, "one").await["in_flight"] == 0).then_some(());
    eventually("the last one is over", SOON, is_left).await;
    // The fifth ejects; each other client may be waiting for it just then.
    let sent = hung.requests("/shop");
    assert!((5..5 + CLIENTS).contains(&sent), "{sent}");
    assert!(good.load(Ordering::Relaxed) > 5, "the others went on: {good:?}");
    hung.set_mode(Mode::Echo);
    load.more(100).await;
    if until().await.is_string() {
        assert_eq!(hung.requests("/shop"), sent, "it is not asked while it is ejected");
    }
    let is_asked = async || (hung.requests("/shop") > sent).then_some(());
    eventually("it is asked again", Duration::from_secs(20), is_asked).await;
    load.more(100).await;
    load.stop().await;
    assert_eq!(late.load(Ordering::Relaxed), sent, "nothing else was late");
    assert!(until().await.is_null());
    eventually("nothing is in flight", SOON, is_left).await;
    let metrics = Answer::of(gateway.operate(Method::GET, "/metrics")).await.body;
    assert!(metrics.contains("furt_ejections_total 1\n"), "{metrics}");
}
