//! What a server answers, and what that says: who is let in, and what the client gets who is not.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::auth::Identity;
use crate::config::ForwardAuthConfig;
use crate::upstream::ResolveError;

/// The longest body of an answer, in bytes.
pub(super) const MAX_BODY: usize = 64 * 1024;
/// The longest header of an answer, in bytes.
pub(super) const MAX_HEAD: usize = 64 * 1024;
/// The most cookies that an answer sets.
const MAX_COOKIES: usize = 32;
/// Their values together, in bytes.
const MAX_COOKIE_BYTES: usize = 16 * 1024;

/// What goes to the client with an answer that lets nobody in. `Content-Encoding` says how the body is to be read.
const PASSED_ON: [HeaderName; 6] = [
    header::WWW_AUTHENTICATE,
    header::LOCATION,
    header::SET_COOKIE,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CACHE_CONTROL,
];

/// The server lets the request in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// Who the caller is.
    pub identity: Arc<Identity>,
    /// Values of `Set-Cookie` for the client, beside those of the service; at most 32, of 16 KiB together.
    pub set_cookies: Vec<HeaderValue>,
}

/// The request does not come in.
#[derive(Debug)]
pub enum Denied {
    /// The server says so, and this is for the client.
    Answer(Box<AuthAnswer>),
    /// The client's address has as many questions in flight as it may.
    TooMany,
    /// All together are as many as may be.
    Busy,
    /// Nobody says anything of use.
    Unavailable(Why),
}

/// An answer for the client: 401, 403, 301, 302, 303, 307 or 308.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthAnswer {
    /// The status.
    pub status: StatusCode,
    /// `WWW-Authenticate`, `Location`, `Set-Cookie`, `Content-Type`, `Content-Encoding` and `Cache-Control`, each with all its values, in
    /// order.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// At most 64 KiB.
    pub body: Bytes,
}

/// Why a server says nothing of use. Never repeats what the server sent, but for a status.
#[derive(Debug, thiserror::Error)]
pub enum Why {
    /// It has no address.
    #[error("{0}")]
    Resolve(#[from] ResolveError),
    /// It cannot be reached, or what it sends is no answer; in words.
    #[error("{0}")]
    Broken(String),
    /// It took longer than the entry's timeout.
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// Its status says neither yes nor no.
    #[error("it answers {}; must answer 2xx, 401, 403, 301, 302, 303, 307 or 308", .0.as_u16())]
    Status(StatusCode),
    /// Its header is too long.
    #[error("the header of its answer has more than {} KiB", MAX_HEAD / 1024)]
    LongHead,
    /// The body for the client is too long.
    #[error("the body of its answer has more than {} KiB", MAX_BODY / 1024)]
    LongBody,
    /// It sets too many cookies.
    #[error("it sets more than {MAX_COOKIES} cookies, or more than {} KiB of them", MAX_COOKIE_BYTES / 1024)]
    Cookies,
    /// The question has what no header may have.
    #[error("the request cannot be asked about")]
    Unaskable,
}

/// What a status says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The request comes in.
    In,
    /// The answer is for the client.
    ForClient,
    /// Nothing of use.
    Nothing,
}

pub(super) fn verdict(status: StatusCode) -> Verdict {
    match status.as_u16() {
        200..=299 => Verdict::In,
        301 | 302 | 303 | 307 | 308 | 401 | 403 => Verdict::ForClient,
        _ => Verdict::Nothing,
    }
}

/// Who is let in, by the header of an answer that lets in.
pub(super) fn allowed(config: &ForwardAuthConfig, head: &HeaderMap) -> Result<Allowed, Why> {
    let set_cookies = cookies(head)?;
    let mut headers = Vec::new();
    for name in &config.copy {
        for value in head.get_all(name) {
            headers.push((name.clone(), value.clone()));
        }
    }
    let subject = config.user.as_ref().and_then(|name| single(head, name)).cloned();
    let permissions = config.grants.claim.as_deref().map(|claim| {
        let values = head.get_all(claim).iter().filter_map(|value| str::from_utf8(value.as_bytes()).ok());
        config.grants.permissions_of(values.flat_map(words))
    });
    let identity = Identity { provider: config.name.clone(), subject, permissions, headers };
    Ok(Allowed { identity: Arc::new(identity), set_cookies })
}

/// The value of a header that has one, and not an empty one.
fn single<'h>(head: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = head.get_all(name).iter();
    values.next().filter(|value| values.next().is_none() && !value.is_empty())
}

/// Servers part words by commas, or, as Authentik does, bars. Not by blanks: the group `site admins` is not the group `admins`.
fn words(value: &str) -> impl Iterator<Item = &str> {
    value.split([',', '|']).map(str::trim).filter(|word| !word.is_empty())
}

/// The answer for a client who is not let in.
pub(super) fn for_client(status: StatusCode, head: &HeaderMap, body: Bytes) -> Result<AuthAnswer, Why> {
    cookies(head)?;
    let mut headers = Vec::new();
    for name in PASSED_ON {
        for value in head.get_all(&name) {
            headers.push((name.clone(), value.clone()));
        }
    }
    Ok(AuthAnswer { status, headers, body })
}

fn cookies(head: &HeaderMap) -> Result<Vec<HeaderValue>, Why> {
    let cookies: Vec<_> = head.get_all(header::SET_COOKIE).iter().cloned().collect();
    let bytes: usize = cookies.iter().map(HeaderValue::len).sum();
    if cookies.len() > MAX_COOKIES || bytes > MAX_COOKIE_BYTES { Err(Why::Cookies) } else { Ok(cookies) }
}
