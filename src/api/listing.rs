//! Long lists as answers: an object with a list in it, whose items are made as the client takes them.
//!
//! A list of all routes or services may have tens of MiB as text. Up to [`PIECE`] bytes it is one body, with its length.
//! Beyond, a piece is made when the one before it is written: a client that reads slowly holds one piece, and pointers to
//! what is still to come.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http_body::Frame;
use serde::Serialize;

/// The size of a piece, and of the longest list that is one body.
const PIECE: usize = 64 * 1024;

/// The answer is longer than a piece: its length is not known before its end. On the response of a HEAD as well.
#[derive(Debug, Clone, Copy)]
pub(super) struct Streamed;

/// The JSON of `envelope`, whose list `name` is empty, with `items` in that list.
pub(super) fn list<T: Serialize + 'static>(
    envelope: &impl Serialize,
    name: &str,
    items: impl Iterator<Item = T> + Send + Unpin + 'static,
) -> Response {
    let (opening, closing) = split(envelope, name);
    let mut pieces = Pieces { open: opening.into_bytes(), items, is_first: true, closing: Some(closing) };
    let first = pieces.next().unwrap_or_default();
    let mut response = if pieces.closing.is_none() {
        first.into_response()
    } else {
        pieces.open = first.into();
        let mut response = Body::new(Chunked(pieces)).into_response();
        response.extensions_mut().insert(Streamed);
        response
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// What comes before the items, and what after them. In a text within JSON a quote has a backslash before it, so only the
/// list itself can be found.
fn split(envelope: &impl Serialize, name: &str) -> (String, String) {
    let text = serde_json::to_string(envelope).unwrap_or_default();
    let list = format!("\"{name}\":[");
    let (before, after) = text.split_once(&format!("{list}]")).unwrap_or((&text, ""));
    (format!("{before}{list}"), format!("]{after}"))
}

/// The text of a list in pieces of at least [`PIECE`] bytes, but for the last.
struct Pieces<I> {
    /// What the next piece begins with.
    open: Vec<u8>,
    items: I,
    is_first: bool,
    /// What comes after the items; `None`: it was given.
    closing: Option<String>,
}

impl<T: Serialize, I: Iterator<Item = T>> Iterator for Pieces<I> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.closing.as_ref()?;
        let mut piece = std::mem::take(&mut self.open);
        while piece.len() < PIECE {
            match self.items.next() {
                Some(item) => {
                    if !std::mem::take(&mut self.is_first) {
                        piece.push(b',');
                    }
                    piece.extend_from_slice(&serde_json::to_vec(&item).unwrap_or_default());
                }
                None => {
                    piece.extend_from_slice(self.closing.take().unwrap_or_default().as_bytes());
                    break;
                }
            }
        }
        Some(piece.into())
    }
}

/// A body of these pieces.
struct Chunked<I>(Pieces<I>);

impl<T: Serialize, I: Iterator<Item = T> + Unpin> http_body::Body for Chunked<I> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next().map(|piece| Ok(Frame::data(piece))))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http_body_util::BodyExt as _;
    use serde_json::json;

    use super::*;

    async fn text(response: Response) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().into()).unwrap()
    }

    #[tokio::test]
    async fn a_list_reads_as_the_object_that_it_is_however_long() {
        for count in [0, 1, 2, 100, 20_000] {
            let items = || (0..count).map(|number| json!({ "number": number, "text": "\"é\n" }));
            for envelope in [json!({ "items": [] }), json!({ "total": "\"items\":[]", "items": [], "a": 1, "b": "2" })]
            {
                let mut whole = envelope.clone();
                whole["items"] = items().collect();
                let response = list(&envelope, "items", items());
                assert_eq!(response.headers()["content-type"], "application/json");
                let exact = http_body::Body::size_hint(response.body()).exact();
                let whole = whole.to_string();
                let is_long = whole.len() > 2 * PIECE;
                assert_eq!(response.extensions().get::<Streamed>().is_some(), is_long, "{count}");
                assert_eq!(exact, (!is_long).then_some(whole.len() as u64));
                assert_eq!(text(response).await, whole);
            }
        }
    }

    #[tokio::test]
    async fn items_are_made_as_they_are_taken() {
        let made = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&made);
        let items = (0..1000).map(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            "x".repeat(1022)
        });
        let mut body = list(&json!({ "items": [] }), "items", items).into_body();
        let mut seen = 0;
        for piece in 1..=3 {
            assert!(made.load(Ordering::Relaxed) <= 65 * piece);
            seen += body.frame().await.unwrap().unwrap().into_data().unwrap().len();
        }
        assert!((3 * PIECE..4 * PIECE).contains(&seen), "{seen}");
    }
}
