//! Who sends a request, as limits and splits tell callers apart.

use super::context::{Context, Credentials};
use furt_core::routing::CallerId;

/// By whoever vouches for the caller, else its key, else its address. A key that was not asked for is nobody's: whoever has several
/// would have the measure of each.
pub(super) fn of(ctx: &Context) -> CallerId<'_> {
    let Credentials { key, identity, is_asked_for, .. } = &ctx.credentials;
    let by_key = || key.as_ref().filter(|_| *is_asked_for).map(|key| CallerId::Key(&key.name));
    let by_word = || {
        let identity = identity.as_ref()?;
        Some(CallerId::Vouched(&identity.provider, identity.subject.as_ref()?.as_bytes()))
    };
    by_word().or_else(by_key).unwrap_or_else(|| CallerId::of_address(ctx.client.address))
}
