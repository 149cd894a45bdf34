//! The target `acme_answers`: what an authority may answer to one that wants a certificate.
//!
//! An input is answers with a line `%%` between them, in the order of furt's questions: the directory, a nonce, the account, the order,
//! its authorization, and so on. An answer is a line with its status, its headers line by line, an empty line, its body. Where no
//! answer is left, the authority says that it is overloaded. Each body is read as a certificate with its key as well.

use std::sync::{LazyLock, Mutex, PoisonError};

use bytes::Bytes;
use furt::acme::conversation::{converse, read_certificate};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use tokio::runtime::{Builder, Runtime};

const DAY: i64 = 24 * 3600;
/// Some moment of 2026.
const NOW: i64 = 1_790_000_000;
const LIFE: (i64, i64) = (NOW - 10 * DAY, NOW + 20 * DAY);
/// More questions than furt has before it gives up.
const MOST_ANSWERS: usize = 64;
/// What operators are told at most, in characters.
const LONGEST: usize = 401;

/// Its clock stands still while somebody works, and jumps where all wait.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap_or_else(|error| panic!("{error}"))
});

/// Asserts that furt goes on, says in a line what is wrong, asks again neither at once nor never, and renews before the end.
pub fn acme_answers(data: &[u8]) {
    let answers: Vec<_> = split(data, b"\n%%\n").take(MOST_ANSWERS).map(answer).collect();
    for answer in &answers {
        if let Some((names, _)) = read_certificate(answer.body(), answer.body()) {
            assert!(!names.is_empty(), "a certificate for nobody");
        }
    }
    let answers = Mutex::new(answers.into_iter());
    let next = move |_: &_| {
        let next = answers.lock().unwrap_or_else(PoisonError::into_inner).next();
        next.unwrap_or_else(|| of(StatusCode::SERVICE_UNAVAILABLE, HeaderMap::new(), Bytes::new()))
    };
    let heard = RUNTIME.block_on(converse((LIFE.0, NOW, LIFE.1), next));
    if let Some(why) = &heard.why {
        assert!(why.chars().count() <= LONGEST && !why.contains(char::is_control) && !why.is_empty(), "{why:?}");
    }
    let (next, text) = heard.next.as_ref().unwrap_or_else(|| panic!("never again: {heard:?}"));
    assert!(*next >= NOW + if heard.why.is_some() { 1 } else { 0 }, "at once: {heard:?}");
    let latest = (LIFE.1 - (LIFE.1 - LIFE.0) / 10).max(NOW + 7 * DAY);
    assert!(*next <= latest && text.starts_with("2026-"), "too late: {heard:?}");
    assert!(heard.until.is_some_and(|until| until > NOW), "no pause: {heard:?}");
}

fn answer(text: &[u8]) -> Response<Bytes> {
    let mut parts = split(text, b"\n\n");
    let head = parts.next().unwrap_or_default();
    let body = text.get(head.len() + 2..).unwrap_or_default();
    let mut lines = head.split(|byte| *byte == b'\n');
    let status = lines.next().and_then(|line| StatusCode::from_bytes(line).ok()).unwrap_or(StatusCode::OK);
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| std::str::from_utf8(line).ok()?.split_once(": ")) {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    of(status, headers, Bytes::copy_from_slice(body))
}

fn of(status: StatusCode, headers: HeaderMap, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The parts between separators.
fn split<'a>(text: &'a [u8], separator: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let at = text.windows(separator.len()).position(|window| window == separator);
        rest = at.map(|at| &text[at + separator.len()..]);
        Some(at.map_or(text, |at| &text[..at]))
    })
}
