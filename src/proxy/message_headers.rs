//! What the operator's rules set and remove among the headers of requests and answers.
//!
//! Of an answer it comes before what furt answers for itself, which it cannot change: the names that rules may have are checked
//! with the configuration.

use http::HeaderName;
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};

use super::context::Context;
use furt_core::model::HeaderEdit;
use furt_core::routing::RouteRules;

/// Edits the request that goes to the service.
///
/// # Errors
/// A header that cannot be made; none of these.
pub(super) fn for_service(request: &mut RequestHeader, rules: &RouteRules) -> Result<()> {
    let Some(headers) = &rules.headers else { return Ok(()) };
    for (name, edit) in headers.request.iter() {
        match edit {
            HeaderEdit::Set(value) => request.insert_header(name.clone(), value.clone())?,
            HeaderEdit::Remove => drop(request.remove_header(name)),
        }
    }
    Ok(())
}

/// Edits the answer of the service.
///
/// # Errors
/// A header that cannot be made; none of these.
pub(super) fn for_client(response: &mut ResponseHeader, ctx: &Context) -> Result<()> {
    edit(response, ctx, |_, _| true)
}

/// Edits an answer of furt's own, but for what that answer says itself: whoever keeps it, and for how long, is not the rule's to say.
///
/// # Errors
/// As [`for_client`].
pub(super) fn for_own(response: &mut ResponseHeader, ctx: &Context) -> Result<()> {
    edit(response, ctx, |response, name| !response.headers.contains_key(name))
}

fn edit(
    response: &mut ResponseHeader,
    ctx: &Context,
    may_edit: impl Fn(&ResponseHeader, &HeaderName) -> bool,
) -> Result<()> {
    let Some(headers) = ctx.target.rules_of_answer().and_then(|rules| rules.headers.as_ref()) else { return Ok(()) };
    for (name, edit) in headers.response.iter() {
        match edit {
            _ if !may_edit(response, name) => {}
            HeaderEdit::Set(value) => response.insert_header(name.clone(), value.clone())?,
            HeaderEdit::Remove => drop(response.remove_header(name)),
        }
    }
    Ok(())
}
