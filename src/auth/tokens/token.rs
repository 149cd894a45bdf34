//! A token as it comes: three parts, of which two are JSON objects (RFC 7515 §7.1). Nothing of it is believed here.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::error::TokenError;

/// The longest token.
const MAX_BYTES: usize = 8 * 1024;

/// What a token is made of.
#[derive(Debug)]
pub(super) struct Token<'t> {
    /// Its header.
    pub(super) header: Map<String, Value>,
    /// Its claims.
    pub(super) claims: Map<String, Value>,
    /// What the signature is of.
    pub(super) signed: &'t [u8],
    /// The signature.
    pub(super) signature: Vec<u8>,
}

impl<'t> Token<'t> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// It is too long, or no token.
    pub(super) fn try_new(text: &'t str) -> Result<Self, TokenError> {
        if text.len() > MAX_BYTES {
            return Err(TokenError::TooLong);
        }
        let parts: Vec<_> = text.split('.').collect();
        let &[header, claims, signature] = &parts[..] else { return Err(TokenError::Parts) };
        if parts.iter().any(|part| part.is_empty()) {
            return Err(TokenError::Parts);
        }
        let signed = &text.as_bytes()[..header.len() + 1 + claims.len()];
        let (header, claims, signature) = (decoded(header)?, decoded(claims)?, decoded(signature)?);
        Ok(Self { header: object(&header)?, claims: object(&claims)?, signed, signature })
    }
}

/// The issuer that a token claims to be of. Nothing of the token is checked: this says only by whose keys it is to be checked.
///
/// `None`: the text is no signed JSON Web Token (three parts in base64url, at most 8 KiB, a header with `alg`), or names no issuer.
pub fn claimed_issuer(token: &str) -> Option<String> {
    let mut token = Token::try_new(token).ok()?;
    token.header.get("alg")?.as_str()?;
    match token.claims.swap_remove("iss") {
        Some(Value::String(issuer)) => Some(issuer),
        _ => None,
    }
}

/// Without padding, and with nothing in the bits that are left over: no two texts are the same bytes.
fn decoded(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Encoding)
}

/// The members of an object, each of which is there once: another reader could take the other one (RFC 7515 §4, RFC 7519 §4).
fn object(json: &[u8]) -> Result<Map<String, Value>, TokenError> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let mut members = Members { is_twice: false };
    let read = deserializer.deserialize_map(&mut members);
    match read {
        Ok(_) if deserializer.end().is_err() => Err(TokenError::NotJson),
        Ok(map) => Ok(map),
        Err(_) if members.is_twice => Err(TokenError::Duplicate),
        Err(_) => Err(TokenError::NotJson),
    }
}

struct Members {
    is_twice: bool,
}

impl<'de> Visitor<'de> for &mut Members {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut map = Map::new();
        while let Some((name, value)) = access.next_entry::<String, Value>()? {
            if map.insert(name, value).is_some() {
                self.is_twice = true;
                return Err(A::Error::custom("a member stands there twice"));
            }
        }
        Ok(map)
    }
}
