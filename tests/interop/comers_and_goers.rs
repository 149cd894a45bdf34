//! Callers who register and leave at both gateways without a pause, each with rivals for its route at both: at no moment may two
//! of them have been told that a route is theirs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use crate::gateways::shared_service;
use crate::support::gateway::client_from;
use crate::support::{Gateway, with};

const CALLERS: usize = 8;
const ROUTES: usize = CALLERS / 2;
/// How long a route is kept: long enough for a rival to be told the same.
const KEPT: Duration = Duration::from_millis(5);

/// Answers, by their status.
type Answers = BTreeMap<u16, usize>;

/// The callers.
pub(crate) struct ComersAndGoers(JoinSet<Answers>);

impl ComersAndGoers {
    /// Until `end`, at each gateway in turn.
    pub(crate) fn start(gateways: &[Gateway], url: &str, end: Instant) -> Self {
        let owners: Arc<[AtomicUsize; ROUTES]> = Arc::default();
        let call = |caller: usize| {
            let base = gateways[caller % gateways.len()].internal_url("");
            come_and_go(caller, base, url.to_owned(), owners.clone(), end)
        };
        Self((0..CALLERS).map(call).collect())
    }

    /// What all were answered. Panics where a route had two owners.
    pub(crate) async fn ended(self) -> Answers {
        let mut all = Answers::new();
        let answers = self.0.join_all().await.into_iter().flatten();
        answers.for_each(|(status, count)| *all.entry(status).or_default() += count);
        all
    }
}

async fn come_and_go(
    caller: usize,
    base: String,
    url: String,
    owners: Arc<[AtomicUsize; ROUTES]>,
    end: Instant,
) -> Answers {
    let (client, mut answers) = (client_from(None), Answers::new());
    let service = format!("caller-{caller}");
    for number in caller.. {
        if Instant::now() > end {
            break;
        }
        let route = number % ROUTES;
        let routes = json!([{"method": "GET", "path": format!("/r{route}")}]);
        let body = with(shared_service(&service, &url), json!({ "routes": routes }));
        let register = client.post(format!("{base}/internal/register-service")).json(&body);
        let registered = register.send().await.unwrap().status().as_u16();
        *answers.entry(registered).or_default() += 1;
        if registered == 200 {
            assert_eq!(owners[route].fetch_add(1, Ordering::SeqCst), 0, "/r{route} has two owners");
            tokio::time::sleep(KEPT).await;
            owners[route].fetch_sub(1, Ordering::SeqCst);
            let leave = client.delete(format!("{base}/internal/services/{service}"));
            *answers.entry(leave.send().await.unwrap().status().as_u16()).or_default() += 1;
        }
    }
    answers
}
