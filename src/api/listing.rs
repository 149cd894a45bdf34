//! Long answers, made as the client takes them: a JSON object with a list in it, or a text of many parts.
//!
//! A list of all routes or services may have tens of MiB as text. Up to [`PIECE`] bytes it is one body, with its length.
//! Beyond, a piece is made when the one before it is written: a client that reads slowly holds one piece, and pointers to
//! what is still to come.

use std::convert::Infallible;
use std::iter::{self, Peekable};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http_body::Frame;
use serde::Serialize;
use tokio::sync::mpsc;

/// The size of a piece, and of the longest answer that is one body.
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
    let items = items.enumerate().map(|(position, item)| {
        let mut text = if position == 0 { Vec::new() } else { vec![b','] };
        // Values of the API can be written as JSON, and a Vec takes them.
        _ = serde_json::to_writer(&mut text, &item);
        text
    });
    let parts = iter::once(opening.into_bytes()).chain(items).chain(iter::once(closing.into_bytes()));
    in_pieces("application/json", parts)
}

/// The parts one after the other. Each is made when there is room for it in a piece, and is part of one piece.
pub(super) fn in_pieces(
    content_type: &'static str,
    parts: impl Iterator<Item = Vec<u8>> + Send + Unpin + 'static,
) -> Response {
    let mut pieces = Pieces { first: None, parts: parts.peekable() };
    let first = pieces.next().unwrap_or_default();
    let mut response = if pieces.parts.peek().is_none() && first.len() <= PIECE {
        first.into_response()
    } else {
        pieces.first = Some(first);
        let mut response = Body::new(pieces).into_response();
        response.extensions_mut().insert(Streamed);
        response
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
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

/// A body in pieces of at least [`PIECE`] bytes, but for the last. A piece is larger by less than a part.
struct Pieces<I: Iterator> {
    /// The first piece, made before it was known to be one of several.
    first: Option<Bytes>,
    parts: Peekable<I>,
}

impl<I: Iterator<Item = Vec<u8>>> Iterator for Pieces<I> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.first.is_some() {
            return self.first.take();
        }
        let mut piece = self.parts.next()?;
        while piece.len() < PIECE {
            let Some(part) = self.parts.next() else { break };
            piece.extend_from_slice(&part);
        }
        Some(piece.into())
    }
}

impl<I: Iterator<Item = Vec<u8>> + Unpin> http_body::Body for Pieces<I> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.next().map(|piece| Ok(Frame::data(piece))))
    }
}

/// A body of what another task hands over.
pub(super) struct Received(pub(super) mpsc::Receiver<Bytes>);

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
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
                let is_long = whole.len() > PIECE;
                assert_eq!(response.extensions().get::<Streamed>().is_some(), is_long, "{count}");
                assert_eq!(exact, (!is_long).then_some(whole.len() as u64));
                assert_eq!(text(response).await, whole);
            }
        }
    }

    #[tokio::test]
    async fn an_answer_is_one_body_up_to_the_size_of_a_piece() {
        for (lengths, is_long) in [
            (vec![], false),
            (vec![PIECE], false),
            (vec![PIECE + 1], true),
            (vec![PIECE - 1, 1], false),
            (vec![PIECE - 1, 2], true),
            (vec![PIECE, 1], true),
        ] {
            let whole = lengths.iter().sum::<usize>();
            let response = in_pieces("text/plain", lengths.into_iter().map(|length| vec![b'x'; length]));
            assert_eq!(response.extensions().get::<Streamed>().is_some(), is_long, "{whole}");
            let exact = http_body::Body::size_hint(response.body()).exact();
            assert_eq!(exact, (!is_long).then_some(whole as u64));
            assert_eq!(text(response).await.len(), whole);
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
