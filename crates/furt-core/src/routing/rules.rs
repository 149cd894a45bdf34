//! The options in force for a route: what its service, the route itself and the operator say, merged.
//!
//! The registry merges where it publishes a route, so that a request finds everything ready; `explain` merges again, to tell
//! who said what.

mod cors;
mod merged;
mod restricting;
mod shared;

use std::sync::Arc;
use std::time::Duration;

pub use cors::CorsPolicy;
pub use merged::{Merged, Restricted, SaidBy};
pub use restricting::{LimitLive, Restriction};
pub(crate) use shared::Rules;

use crate::model::{AskedHost, AuthMethods, MessageHeaders, Mirror, Rewrite};

/// The options in force for a route; at least one of them is set.
#[derive(Debug, PartialEq, Eq)]
pub struct RouteRules {
    /// What browsers may do from other origins; `None`: furt has no say in it.
    pub cors: Option<CorsPolicy>,
    /// What becomes of the path on its way to the service; `None`: it stays.
    pub rewrite: Option<Arc<Rewrite>>,
    /// Whether answers are compressed.
    pub compresses: bool,
    /// Which host the service is asked for; `None`: the client's.
    pub asked_host: Option<AskedHost>,
    /// How long the service may take to the header of its answer, and between reads; `None`: as its definition says.
    pub read_timeout: Option<Duration>,
    /// What is set and removed among headers; `None`: nothing.
    pub headers: Option<Arc<MessageHeaders>>,
    /// Of which requests a copy goes to another service; `None`: of none.
    pub mirror: Option<Arc<Mirror>>,
    /// What restricts; each of them holds, but for `auth`.
    pub restrictions: Box<[Restriction]>,
}

impl RouteRules {
    /// Who may vouch for callers of the whole route (`None`: nobody says), and whether something else is said of a part of it.
    pub fn auth_of_all(&self) -> (Option<&AuthMethods>, bool) {
        let (mut of_all, mut has_other) = (None, false);
        for one in self.restrictions.iter().filter(|one| one.said.auth.is_some()) {
            match one.scope {
                None => (of_all, has_other) = (one.said.auth.as_ref(), false),
                Some(_) => has_other = true,
            }
        }
        (of_all, has_other)
    }

    /// Who may vouch for the caller of a request; `None`: nobody says. Host and path normalized.
    pub fn auth(&self, host: &str, path: &str, method: &http::Method) -> Option<&AuthMethods> {
        let mut from_last = self.restrictions.iter().rev();
        from_last.find_map(|one| one.said.auth.as_ref().filter(|_| one.is_for(host, path, method)))
    }
}
