//! Tokens that issuers sign (JSON Web Tokens, RFC 7519): who a caller is, by the claims of a token whose signature is good.
//!
//! What judges is pure and is given the time: `token` (what a token is made of), `key_set`, `claims`, `granted`, and `verify`, which has the
//! order of the checks. [`Issuer`] is what the rest of furt sees. Its keys are in a `Keyring`, which one task (`keeper`) fills: `Schedule`,
//! pure as well, says when. An issuer that is away takes nothing away: the last good keys stay.

mod claims;
mod error;
mod granted;
mod issuer;
mod keeper;
mod kept;
mod key;
mod key_set;
mod keyring;
mod schedule;
mod source;
#[cfg(test)]
mod tests;
mod token;
mod verify;

pub use error::{Misfit, TokenError, TokenFault};
pub use issuer::{Issuer, IssuerError};
pub use token::claimed_issuer;
