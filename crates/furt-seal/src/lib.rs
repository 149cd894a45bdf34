//! The seal of a cluster: it signs, verifies, encrypts and decrypts what nodes say to each other, and writes and reads its wire form.
//! Keys, secrets and tokens are here and nowhere else. No IO, clock, lock, await or log: bytes come in and values go out.
//!
//! It keeps what `furt-cluster` says that a seal promises. [`Seal::open`] takes a message for what it says only where its signature
//! is by the key that it carries. Whether that key may say so, whether the message is new, and whether it is for this node, the
//! core decides.
//!
//! # The wire
//!
//! A message is JSON in the form of lex-node's, so that a lex-node could read it, and has furt's own in headers. RSA-PSS with
//! SHA-256 signs a length-prefixed list of all that decides what the message means, as it is on the wire: cluster, sender, key,
//! boot, number, time, receiver, routing key, types, function, and the body's raw bytes. There is no canonical JSON. What is protected
//! by the cluster's secret is AES-256-GCM over the JSON, under lex-node's `encrypted/cs`, with the secret's name in a header.
//!
//! Names of labels end in `v1`: another form has another label, and no signature of one is one of the other.
//!
//! # Reading order
//!
//! `seal`, `envelope`, `wire`; `record`, `token`, `secret`, `key` with `public`; `fields`, `gcm`, `pem`, `date`; `routing`; `lexnode`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod bid;
mod date;
mod envelope;
mod error;
mod fields;
mod gcm;
mod key;
mod keyring;
pub mod lexnode;
mod pem;
mod public;
mod random;
mod record;
mod routing;
mod seal;
mod secret;
#[cfg(test)]
mod tests;
mod token;
mod vault;
mod wire;

pub use bid::{SignedBid, read_bid};
pub use error::SealError;
pub use key::{KeyError, NodeKey};
pub use random::nonce;
pub use routing::bindings;
pub use seal::{Seal, document, fingerprint, is_signed};
pub use secret::{NoSecretText, Secret};
pub use token::{JoinToken, TokenError};
pub use vault::{Enclosed, WrappedToken};
