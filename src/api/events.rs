//! `GET /internal/events?after=N&wait=S`: what happened in the registry, for operators that follow it by long polls.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use furt_api::events::Events;
use serde::{Serialize, Serializer};

use super::problem::Problem;
use super::query::Parameters;
use super::waiting::MAX_SECONDS;
use super::{Api, listing};
use crate::telemetry::Event;

/// Numbers that every reader of JSON takes for exact.
pub(super) const MAX_NUMBER: u64 = 1 << 53;
/// Operators that may wait at once: each is woken by the next event, and many would hold up the driver that tells it.
pub(super) const MAX_WAITS: usize = 64;
/// What happens in one turn of the driver comes in one answer: a service that leaves is an event an instance.
const GATHER: Duration = Duration::from_millis(5);

pub(super) async fn events(State(api): State<Arc<Api>>, mut parameters: Parameters) -> Result<Response, Problem> {
    let after = parameters.whole("after", MAX_NUMBER);
    let wait = parameters.seconds("wait", MAX_SECONDS).unwrap_or_default();
    parameters.finish()?;
    let events = &api.telemetry.events;
    let mut following = events.after(after);
    if following.is_empty() && !wait.is_zero() {
        let _permit = api.event_waits.take(wait)?;
        let seen = following.next;
        let comes = async {
            events.wait_after(seen).await;
            tokio::time::sleep(GATHER).await;
        };
        tokio::select! {
            _ = tokio::time::timeout(wait, comes) => {}
            () = api.readiness.stops() => {}
        }
        following = events.after(Some(seen));
    }
    let envelope = Events::<Kept> { events: Vec::new(), next: following.next, lost: following.is_lossy };
    Ok(listing::list(&envelope, "events", following.events.into_iter().map(Kept)))
}

/// An event of the ring, which is written without a copy. It reads as [`furt_api::events::Event`].
pub(super) struct Kept(Arc<Event>);

impl Serialize for Kept {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_as_the_api_says() {
        let event = Event::new("blocked").with("why", "x").with("failures", 3);
        let text = serde_json::to_string(&Kept(Arc::new(event))).unwrap();
        let read: furt_api::events::Event = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}
