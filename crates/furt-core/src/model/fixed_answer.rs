//! What furt itself answers to every request of a static route.

use std::fmt;
use std::sync::Arc;

use super::{Redirect, Respond};

/// An answer without a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FixedAnswer {
    /// The client is sent to another place.
    Redirect(Arc<Redirect>),
    /// The same text for every client.
    Respond(Arc<Respond>),
}

/// In words, for operators.
impl fmt::Display for FixedAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redirect(redirect) => write!(f, "redirect {redirect}"),
            Self::Respond(respond) => write!(f, "respond {respond}"),
        }
    }
}
