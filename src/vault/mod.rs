//! A server with HashiCorp Vault's API, such as OpenBao, that has values of the configuration.
//!
//! `plan` says when to ask it for what: pure, it is told the time and what came of what it said. [`Keeper`] does it on a thread of its
//! own: it reads the token's file, renews the token, reads the values over [`Client`], and puts them in [`Values`], where the rest of furt
//! looks. A server that is away, or that refuses, takes nothing away: the last values stay, in memory alone. Nothing of a request waits
//! for it. Callers: `app` (start and reload), `api` (values).

mod client;
mod fault;
mod keeper;
mod plan;
mod token;
mod values;

pub use client::{Client, NewToken};
pub use fault::Fault;
pub use keeper::{Keeper, Running, Taker, TokenFile, Wanted};
pub use plan::Lease;
pub use token::{Token, TokenFileError};
pub use values::{ByPlace, Values};

#[cfg(test)]
mod tests;
