//! A page as a stream: what changed in it, once a second at most, as server-sent events.
//!
//! The first event says which build makes the page, so that a page of an earlier one loads itself again; each further one says what
//! changed (`crate::dashboard::Changes`). A browser closes the stream while its tab is hidden.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::page::Page;
use super::viewer::Viewer;
use crate::api::Api;
use crate::api::listener::Live;
use crate::api::listing::Received;
use crate::api::problem::Problem;
use crate::dashboard::{BUILD, Changes};

pub(super) const MEDIA_TYPE: &str = "text/event-stream";
/// Between two looks at what changed.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest silence: what lies between would take the connection for dead, and furt learns whether the browser is there.
const LONGEST_SILENCE: Duration = Duration::from_secs(15);

/// The page as a stream, for as long as the viewer may look at it and furt runs.
///
/// # Errors
/// There are too many already.
pub(super) fn stream(api: Arc<Api>, viewer: Viewer, page: Page) -> Result<Response, Problem> {
    let Ok(permit) = Arc::clone(&api.dashboard.streams).try_acquire_owned() else {
        return Err(Problem::busy("too many pages are kept up to date already; this one stays as it is"));
    };
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let _permit = permit;
        let gone = sender.clone();
        tokio::select! {
            // Its receiver is the answer's body: nobody takes more.
            () = gone.closed() => {}
            () = api.readiness.stops() => {}
            _ = send(&api, &viewer, &page, &sender) => {}
        }
    });
    let mut response = Response::new(Body::new(Received(receiver)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response.extensions_mut().insert(Live);
    Ok(response)
}

/// Sends until nobody takes it, or the viewer may look no more.
async fn send(api: &Api, viewer: &Viewer, page: &Page, sender: &mpsc::Sender<Bytes>) -> Option<()> {
    let mut changes = Changes::default();
    let mut ticks = tokio::time::interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut silence = Duration::ZERO;
    sender.send(format!("event: build\ndata: {}\n\n", *BUILD).into()).await.ok()?;
    loop {
        ticks.tick().await;
        if !viewer.may_still(page.right(), api) {
            return sender.send(Bytes::from_static(b"event: ended\ndata:\n\n")).await.ok();
        }
        // A service may have left meanwhile: what its page showed last stays.
        let changed = page.content(api).await.ok().and_then(|content| changes.of(&content.lists));
        match changed {
            Some(changed) => sender.send(format!("event: lists\ndata: {changed}\n\n").into()).await.ok()?,
            None if silence >= LONGEST_SILENCE => sender.send(Bytes::from_static(b":\n\n")).await.ok()?,
            None => {
                silence += PAUSE;
                continue;
            }
        }
        silence = Duration::ZERO;
    }
}
