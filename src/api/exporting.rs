//! `GET /internal/store/export`: everything that the store holds, as `furt store export` prints it of a closed one.
//!
//! It is read whole before the answer begins, so that it is of one moment and an error is told as one. Then it is written
//! piece by piece as the caller takes it. One at a time: each holds all of the store in memory.

use std::io::{self, Write};
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use furt_api::Code;
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};

use super::Api;
use super::audit::{self, Asked};
use super::listing::Received;
use super::problem::Problem;
use furt_core::model::Order;
use furt_core::ports::StoreError;
use furt_core::registry::Source;

/// The size of a piece.
const PIECE: usize = 64 * 1024;

/// Reads all of the store; may block.
type Read = dyn Fn() -> Result<Value, StoreError> + Send + Sync;

/// A way to read the running store.
#[derive(Clone)]
pub struct Exports {
    read: Arc<Read>,
    permits: Arc<Semaphore>,
}

impl Exports {
    /// `read` gives all that the store holds; it is called on a thread that may block.
    pub fn new(read: impl Fn() -> Result<Value, StoreError> + Send + Sync + 'static) -> Self {
        Self { read: Arc::new(read), permits: Arc::new(Semaphore::new(1)) }
    }
}

/// `GET /internal/store/export`
pub(super) async fn export(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    exports: Option<Extension<Exports>>,
) -> Result<Response, Problem> {
    audit::note(&api, &source, Asked::of(Order::ExportStore)).await;
    exported(exports).await
}

async fn exported(exports: Option<Extension<Exports>>) -> Result<Response, Problem> {
    let Some(Extension(Exports { read, permits })) = exports else {
        let detail = "the store is in memory: there is no file that this could be a copy of";
        return Err(Problem::new(StatusCode::CONFLICT, Code::NoStoreFile, detail));
    };
    let permit = permits.try_acquire_owned().map_err(|_| Problem::busy("the store is being exported; again later"))?;
    let all = tokio::task::spawn_blocking(move || read());
    let all = all.await.map_err(|_| unavailable("reading the store broke off"))?;
    let all = all.map_err(|error| unavailable(&error.to_string()))?;
    let (sender, receiver) = mpsc::channel(1);
    // Ends with its last piece, or with the caller.
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let mut pieces = io::BufWriter::with_capacity(PIECE, Pieces(sender));
        serde_json::to_writer_pretty(&mut pieces, &all).map_err(io::Error::from)?;
        pieces.write_all(b"\n")?;
        pieces.flush()
    });
    let mut response = Body::new(Received(receiver)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn unavailable(why: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, Code::StoreUnavailable, why)
}

/// Hands over what is written; waits until it is taken.
struct Pieces(mpsc::Sender<Bytes>);

impl Write for Pieces {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Bytes::copy_from_slice(piece));
        sent.map(|()| piece.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use serde_json::json;

    use super::*;

    async fn ask(exports: Option<&Exports>) -> Result<Response, Problem> {
        exported(exports.cloned().map(Extension)).await
    }

    #[tokio::test]
    async fn an_export_comes_whole_and_one_at_a_time() {
        let all = json!({ "keys": vec!["x".repeat(1000); 1000] });
        let held = all.clone();
        let exports = Exports::new(move || Ok(held.clone()));
        let first = ask(Some(&exports)).await.unwrap();
        assert!(ask(Some(&exports)).await.unwrap_err().line().starts_with("busy"), "the first is not taken yet");
        let text = first.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(text, serde_json::to_string_pretty(&all).unwrap() + "\n");
        for _ in 0..500 {
            if let Ok(second) = ask(Some(&exports)).await {
                drop(second);
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("the first holds its permit for ever");
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_told_before_the_answer_begins() {
        let failing = Exports::new(|| Err(StoreError::Unavailable("the disk is gone".to_owned())));
        assert_eq!(ask(Some(&failing)).await.unwrap_err().line(), "store-unavailable: the disk is gone");
        assert!(ask(None).await.unwrap_err().line().starts_with("no-store-file"));
    }
}
