//! Answers of services that furt compresses, where `compress` is in force for the route: which ones (`fate`, by what the client
//! `accepted`), what their headers say (`marks`), their bytes (`running`, `encoder`), and the memory for that (`budget`).
//!
//! An answer that breaks off is not ended: its client sees that it is not whole. Routes without `compress` have none of this.

mod accepted;
mod budget;
mod encoder;
mod fate;
mod marks;
pub(super) mod running;
mod unmarking;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use pingora::http::ResponseHeader;
use pingora::modules::http::HttpModules;
use pingora::{Error, ErrorType, Result};
use pingora_proxy::Session;

use super::context::Context;
use super::h2::Exchange;
use crate::config::ContentCoding;
use crate::published::Published;
use crate::telemetry::ProxyMetrics;
use budget::Budget;
use encoder::Encoder;
use fate::Fate;
use running::Compressing;

/// Compresses answers.
pub(super) struct Compressor {
    modules: HttpModules,
    metrics: Arc<ProxyMetrics>,
    budget: Arc<Budget>,
}

/// An answer of a route that asks for `compress`, before any header of it is edited.
pub(super) struct Candidate {
    /// From then on nothing else holds the configuration.
    view: Arc<Published>,
    /// Whether the service wants it as it is.
    is_kept: bool,
}

impl Candidate {
    /// Looks at the header as the service has sent it; `None`: the route does not ask.
    pub(super) fn look(response: &ResponseHeader, ctx: &Context) -> Option<Self> {
        if !ctx.target.compresses() {
            return None;
        }
        Some(Self { view: ctx.snapshot.clone()?, is_kept: fate::is_kept(&response.headers) })
    }
}

impl Compressor {
    pub(super) fn new(metrics: Arc<ProxyMetrics>) -> Self {
        Self { modules: unmarking::modules(), metrics, budget: Arc::default() }
    }

    /// Edits the header of an answer that the client is to get, and makes its encoder ready.
    ///
    /// # Errors
    /// A header that cannot be made; none of ours.
    pub(super) fn begin(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
        Candidate { view, is_kept }: &Candidate,
    ) -> Result<()> {
        // Of an attempt before.
        ctx.compressing = None;
        if *is_kept {
            return Ok(());
        }
        let config = &view.config.compression;
        match fate::of(session.req_header(), response, config) {
            Fate::Left => Ok(()),
            Fate::Varies => marks::vary(response),
            Fate::NotModified => {
                marks::weaken(response)?;
                marks::vary(response)
            }
            Fate::Compressed(coding) => {
                let length = fate::length(&response.headers);
                let Some(compressing) = self.encoder(coding, length, config.max_memory) else {
                    self.metrics.compression.found_no_memory();
                    return marks::vary(response);
                };
                if length.is_none() {
                    session.downstream_modules_ctx = self.modules.build_ctx();
                }
                marks::set(response, coding, session.req_header().version)?;
                self.metrics.compression.answer_began(coding);
                ctx.compressing = Some(Box::new(compressing));
                Ok(())
            }
        }
    }

    /// The encoder of an answer of so many bytes; `None`: there is no memory for it, and the answer is sent as it is.
    fn encoder(&self, coding: ContentCoding, length: Option<u64>, max_memory: u64) -> Option<Compressing> {
        let share = self.budget.take(encoder::memory(coding), max_memory)?;
        let encoder = Encoder::new(coding, length).ok()?;
        Some(Compressing::new(encoder, share, Arc::clone(&self.metrics)))
    }
}

/// Puts what is to be sent in the place of a part of the answer.
///
/// # Errors
/// The encoder has failed; the answer cannot go on.
pub(super) fn encode(part: &mut Option<Bytes>, is_last: bool, ctx: &mut Context) -> Result<()> {
    let plain = part.take().unwrap_or_default();
    if is_last {
        *part = finish(&plain, ctx)?;
        return Ok(());
    }
    let Some(compressing) = ctx.compressing.as_mut().filter(|_| !plain.is_empty()) else { return Ok(()) };
    *part = Some(compressing.encode(&plain).map_err(failed)?);
    Ok(())
}

/// Edits trailers of a service's answer, before anybody takes them.
pub(super) fn edit_trailers(trailers: &mut HeaderMap, ctx: &Context) {
    if ctx.compressing.is_some() {
        marks::set_trailers(trailers);
    }
}

/// The end of the encoded content, which goes before the trailers; `None`: the answer is not compressed.
///
/// Pingora sends it in the place of the trailers. To a client of HTTP/2 its session sends them after that, to one of HTTP/1 its
/// stream, which has them already.
///
/// # Errors
/// The encoder has failed.
pub(super) fn end_before(trailers: &mut HeaderMap, session: &Session, ctx: &mut Context) -> Result<Option<Bytes>> {
    let end = finish(&Bytes::new(), ctx)?;
    if end.is_some()
        && let Some(exchange) = Exchange::of(session)
    {
        exchange.hold_trailers(std::mem::take(trailers));
    }
    Ok(end)
}

fn finish(plain: &Bytes, ctx: &mut Context) -> Result<Option<Bytes>> {
    ctx.compressing.take().map(|compressing| compressing.finish(plain).map_err(failed)).transpose()
}

fn failed(why: io::Error) -> Box<Error> {
    Error::because(ErrorType::InternalError, "an answer could not be compressed", why).into_in()
}
