//! One route as it is matched: what a registration or the configuration said, and who answers for it.
//!
//! A [`Route`] never changes; another owner or permission is another route, which replaces the old one. Made by the
//! registry, kept by the [`Table`](super::Table), read by the proxy. Where its requests are counted is found once and kept
//! beside it, so that no request looks for it.

use std::sync::{Arc, OnceLock};

use super::RouteRules;
use crate::live::RouteTraffic;
use crate::model::{Host, MethodRule, Pattern, Permission};

/// A position in the snapshot's list of services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceIndex(pub u32);

/// Who put a route there, and which service of the snapshot answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The configuration: it is used where a service's route cannot be.
    Static(ServiceIndex),
    /// A registration.
    Service(ServiceIndex),
}

impl Owner {
    /// The position of the service that answers.
    pub fn index(self) -> ServiceIndex {
        match self {
            Self::Static(index) | Self::Service(index) => index,
        }
    }
}

/// One route as it is matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The host it is bound to; `None` takes every host, after the routes that are bound to the request's.
    pub host: Option<Host>,
    /// The method it takes.
    pub method: MethodRule,
    /// The paths it takes.
    pub pattern: Pattern,
    /// What the caller's key must hold; `None` is public.
    pub permission: Option<Permission>,
    /// The service or static route that answers.
    pub owner: Owner,
    /// What else holds for its requests; `None`: nothing.
    pub rules: Option<Arc<RouteRules>>,
    /// Where its requests are counted.
    pub counter: RouteCounter,
}

/// Where a route's requests are counted, from the first one on. Says nothing of the route: any two are equal.
#[derive(Clone, Debug, Default)]
pub struct RouteCounter(OnceLock<Arc<RouteTraffic>>);

impl RouteCounter {
    /// What the first call found.
    pub fn get_or_find(&self, find: impl FnOnce() -> Arc<RouteTraffic>) -> &RouteTraffic {
        self.0.get_or_init(find)
    }
}

impl PartialEq for RouteCounter {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for RouteCounter {}
