//! `GET /internal/events?after=N&wait=S`: what happened in the registry, for operators that follow it by long polls.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde_json::json;

use super::problem::Problem;
use super::query::Parameters;
use super::{Api, listing};

/// The longest wait for an event, in seconds.
const MAX_SECONDS: u16 = 60;
/// Numbers that every reader of JSON takes for exact.
const MAX_NUMBER: u64 = 1 << 53;
/// Operators that may wait at once: each is woken by the next event, and many would hold up the driver that tells it.
pub(super) const MAX_WAITS: usize = 64;
/// What happens in one turn of the driver comes in one answer: a service that leaves is an event an instance.
const GATHER: Duration = Duration::from_millis(5);

pub(super) async fn events(State(api): State<Arc<Api>>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let mut parameters = Parameters::of(query.as_deref());
    let after = parameters.whole("after", MAX_NUMBER);
    let wait = parameters.seconds("wait", MAX_SECONDS).unwrap_or_default();
    parameters.finish()?;
    let events = &api.telemetry.events;
    let mut following = events.after(after);
    if following.is_empty() && !wait.is_zero() {
        let _place = api.event_waits.take(wait)?;
        let seen = following.next;
        let comes = async {
            events.follows(seen).await;
            tokio::time::sleep(GATHER).await;
        };
        tokio::select! {
            _ = tokio::time::timeout(wait, comes) => {}
            () = api.readiness.ends() => {}
        }
        following = events.after(Some(seen));
    }
    let after = json!({ "next": following.next, "lost": following.is_lossy });
    let shown = following.events.into_iter().map(|event| json!(*event));
    Ok(listing::list(&json!({}), "events", shown, &after))
}
