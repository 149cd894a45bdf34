//! The answer of a service of HTTP/2, piece by piece, as Pingora's sessions take it.

use http::{Method, StatusCode, header};
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::v2::client::Http2Session;
use pingora::{Error, ErrorType, Result};

/// What comes next of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Answer {
    #[default]
    Header,
    Body,
    Trailers,
    Done,
}

impl Answer {
    pub(super) const fn is_done(self) -> bool {
        matches!(self, Self::Done)
    }

    /// The next piece. Nothing is lost where it is dropped before.
    ///
    /// # Errors
    /// The service or its connection has given up the request, or answers what is no answer.
    pub(super) async fn next(&mut self, service: &mut Http2Session) -> Result<HttpTask> {
        self.read(service).await.map_err(Error::into_up)
    }

    async fn read(&mut self, service: &mut Http2Session) -> Result<HttpTask> {
        if *self == Self::Header {
            service.read_response_header().await?;
            let is_last = service.check_response_end_or_error()?;
            check_length(service, is_last)?;
            let Some(header) = service.response_header() else {
                return Error::e_explain(ErrorType::InternalError, "a header that was read is there");
            };
            let header = Box::new(header.clone());
            *self = if is_last { Self::Done } else { Self::Body };
            return Ok(HttpTask::Header(header, is_last));
        }
        while *self == Self::Body {
            let Some(part) = service.read_response_body().await? else {
                *self = Self::Trailers;
                break;
            };
            let is_last = service.check_response_end_or_error()?;
            if is_last {
                *self = Self::Done;
            }
            if is_last || !part.is_empty() {
                return Ok(HttpTask::Body(Some(part), is_last));
            }
        }
        let trailers = service.read_trailers().await?;
        *self = Self::Done;
        Ok(trailers.map_or(HttpTask::Done, |trailers| HttpTask::Trailer(Some(Box::new(trailers)))))
    }
}

/// `h2` compares the length with what comes, but not where nothing does.
fn check_length(service: &Http2Session, is_last: bool) -> Result<()> {
    let (Some(request), Some(header)) = (service.request_header(), service.response_header()) else { return Ok(()) };
    let may_be_empty = !is_last
        || request.method == Method::HEAD
        || matches!(header.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let says_more = |length: &http::HeaderValue| length.as_bytes().iter().any(|digit| *digit != b'0');
    if !may_be_empty && header.headers.get(header::CONTENT_LENGTH).is_some_and(says_more) {
        return Error::e_explain(ErrorType::H2Error, "an answer with a length and without a body");
    }
    Ok(())
}
