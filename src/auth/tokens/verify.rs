//! The checks of a token, in their order. Pure: keys and time are given.

use serde_json::{Map, Value};

use super::error::TokenError;
use super::key_set::KeySet;
use super::token::Token;
use super::{claims, granted};
use crate::auth::Identity;
use crate::config::{IssuerConfig, TokenAlgorithm};

/// The type that tokens without one have.
const PLAIN_TYPE: &str = "jwt";

/// What a good token says.
#[derive(Debug)]
pub(super) struct Verified {
    /// Who the caller is.
    pub(super) identity: Identity,
    /// When the token ends, in seconds since the Unix epoch.
    pub(super) expires: f64,
}

/// What is used of a token's header. Keys that it brings along, or says where to find (`jwk`, `jku`, `x5c`, `x5u`), are not read.
struct Header<'t> {
    algorithm: TokenAlgorithm,
    kid: Option<&'t str>,
}

/// Checks a token at `now`, in seconds since the Unix epoch.
///
/// # Errors
/// The first that is wrong.
pub(super) fn verify(token: &str, keys: &KeySet, config: &IssuerConfig, now: f64) -> Result<Verified, TokenError> {
    let token = Token::try_new(token)?;
    let header = header(&token.header, config)?;
    let key = keys.choose(header.kid, header.algorithm)?;
    key.verify_sig(token.signed, &token.signature).map_err(|_| TokenError::Signature)?;
    let checked = claims::check(&token.claims, config, now)?;
    let identity = granted::identity(&token.claims, checked.subject, config);
    Ok(Verified { identity, expires: checked.expires })
}

fn header<'t>(header: &'t Map<String, Value>, config: &IssuerConfig) -> Result<Header<'t>, TokenError> {
    let named = text(header, "alg")?.ok_or(TokenError::Header("alg"))?;
    let algorithm = config.algorithms.iter().copied().find(|one| one.as_str() == named);
    let algorithm = algorithm.ok_or(TokenError::Algorithm)?;
    if header.contains_key("crit") {
        return Err(TokenError::Critical);
    }
    let typ = text(header, "typ")?.map_or_else(|| PLAIN_TYPE.to_owned(), IssuerConfig::normalized_type);
    if !config.types.contains(&typ) {
        return Err(TokenError::Type);
    }
    Ok(Header { algorithm, kid: text(header, "kid")? })
}

fn text<'t>(header: &'t Map<String, Value>, name: &'static str) -> Result<Option<&'t str>, TokenError> {
    match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(TokenError::Header(name)),
    }
}
