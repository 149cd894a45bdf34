//! TLS of both listeners: certificates and their files, which of them a client is shown, session tickets, and the one
//! library that does the arithmetic.
//!
//! Never accepts a connection and never logs; knows no route and no request. [`Served`] is what a handshake reads: one
//! `ArcSwap`, like the snapshot of a request. Callers: `listener` (handshakes), `app` (start, looks at the files, reloads), `cli`
//! (`check`).

mod acquired;
mod authorities;
mod certificate;
mod challenges;
mod change;
mod client_rules;
mod covered;
mod files;
mod internal;
mod names;
mod provider;
mod roots;
mod secured;
mod served;
mod shared_keys;
mod shown;
#[cfg(test)]
mod tests;
mod tickets;
mod upstream;
mod watched;

pub use acquired::{Acquired, Listed, Renewals, Source};
pub use certificate::{Certificate, CertificateError, CertificateFault, CertificateName, check, read_secret};
pub use challenges::{ACME_TLS, Answered, Challenges};
pub use change::Change;
pub use client_rules::{ByHost, ClientAuthStatus, ClientRule};
pub use covered::Covered;
pub use internal::InternalTls;
pub use provider::install;
pub use roots::{RootsError, check_roots, roots, unasked};
pub use secured::{Handshake, Secured, ShownByClient, Unwelcome};
pub use served::{Http2, Offer, Served};
pub use shared_keys::SharedRoot;
pub use shown::Shown;
pub use tickets::StateError;
pub use upstream::{PreparedUpstream, Trust, UpstreamTls};
pub use watched::{CertificateStatus, FaultyEntry, OpenError, Prepared, Tls, check_rules};
