//! Who vouches for callers beside furt's own API keys: issuers of tokens, and servers that are asked about each request.
//!
//! Knows no route and decides of none: it says who a caller is and what that permits, and `proxy` asks it where a route wants to
//! know. What is in force is prepared once for each configuration; a request finds it beside its snapshot.

mod authorities;
mod forward;
mod identity;
mod providers;
mod tokens;

pub use forward::{
    Allowed, Asking, AuthAnswer, Denied, ForwardAuth, OpenError, Question, TrustError, Why, forwarded_uri,
};
pub use identity::Identity;
pub use providers::Providers;
pub use tokens::{Issuer, IssuerError, Misfit, TokenError, TokenFault, claimed_issuer};
