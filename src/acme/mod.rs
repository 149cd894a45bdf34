//! Certificates that furt gets and renews by itself, by ACME (RFC 8555).
//!
//! `plan` says what to do next: pure, it is told the time and what came of what it said. [`Keeper`] does it: it reads the names
//! from configuration and snapshot, holds the folder below `tls.state` (`folder`), speaks to the authority (`account`,
//! `order`, over `http`), and hands what it got to `tls`, which shows it. Nothing waits for it: no request, no handshake and no
//! registration causes an order by itself, and furt starts without. Never touches the registry. Caller: `app`.

mod account;
mod challenge;
#[doc(hidden)]
pub mod conversation;
mod fault;
mod folder;
mod http;
mod keeper;
mod order;
mod plan;
mod reach;
mod wanted;

pub use account::{AccountError, external_account};
pub use folder::Folder;
pub use keeper::Keeper;
