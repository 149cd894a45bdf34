//! A static route, as the configuration says it.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::model::{FixedAnswer, Host, InstanceSpec, MethodRule, Pattern, Permission, ServiceName};

/// A route of the configuration.
#[derive(Debug, Clone)]
pub struct StaticRoute {
    /// The host that a request must name; `None`: any.
    pub host: Option<Host>,
    /// The methods that it takes.
    pub method: MethodRule,
    /// The pattern of the paths that it takes.
    pub pattern: Pattern,
    /// What the caller's key must hold; `None`: public.
    pub permission: Option<Permission>,
    /// What answers its requests.
    pub target: StaticTarget,
}

/// Where a static route leads.
#[derive(Debug, Clone)]
pub enum StaticTarget {
    /// To a url of its own; addresses are empty until its name resolves.
    Url {
        /// The instance that the url stands for; its id says which route of the configuration it is.
        spec: Box<InstanceSpec>,
        /// The addresses of the url's host; empty until its name resolves.
        addresses: Arc<[SocketAddr]>,
    },
    /// To a registered service.
    Service(ServiceName),
    /// Nowhere: furt answers its requests itself.
    Answer(FixedAnswer),
}

impl StaticTarget {
    /// Whether both lead to the same, wherever they are in their files.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Service(one), Self::Service(other)) => one == other,
            (Self::Url { spec: one, .. }, Self::Url { spec: other, .. }) => {
                InstanceSpec { id: other.id.clone(), ..(**one).clone() } == **other
            }
            (Self::Answer(one), Self::Answer(other)) => one == other,
            (Self::Service(_) | Self::Url { .. } | Self::Answer(_), _) => false,
        }
    }
}
