//! What the core takes from a configuration.

use std::sync::Arc;
use std::time::Duration;

use super::grants::RegistrationPolicy;
use super::probes::HealthLimits;
use super::static_route::StaticRoute;
use crate::model::{KeySpec, Rule};

/// The numbers and rules that the core is given.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who may register what.
    pub policy: RegistrationPolicy,
    /// The operator's rules for routes, which override what services say; a later one overrides an earlier one.
    pub rules: Arc<[Rule]>,
    /// The numbers of the health machine.
    pub health: HealthLimits,
    /// The TTL of instances that heartbeat and name none.
    pub heartbeat_ttl: Duration,
    /// Who else writes to the store; stays as it was at the start.
    pub sharing: Sharing,
    /// How long verdicts are held at most while the gateway's own network is out; zero: they are not.
    pub outage_hold: Duration,
    /// Whether a limit holds for all gateways that share the registry together, and each of them has its share of it.
    pub shares_limits: bool,
}

/// Who writes to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sharing {
    /// This gateway alone: nothing changes but by its own writes, and it says when a TTL is over.
    #[default]
    Exclusive,
    /// Other gateways, too: what they changed is told by [`Event::StoreChanged`](super::Event::StoreChanged), and the store
    /// says when a TTL is over.
    Shared {
        /// A number that no other of the gateways has: what each of them may do comes at another moment on each.
        salt: u64,
        /// The store holds nothing for a shorter time.
        least_ttl: Duration,
    },
}

impl Sharing {
    /// Whether other gateways write to the store.
    pub fn is_shared(self) -> bool {
        match self {
            Self::Exclusive => false,
            Self::Shared { .. } => true,
        }
    }

    /// The TTL that an instance is held to which asks for this one: a shared store counts whole seconds.
    pub fn held_to(self, ttl: Duration) -> Duration {
        match self {
            Self::Exclusive => ttl,
            Self::Shared { least_ttl, .. } => {
                Duration::from_secs(ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0)).max(least_ttl)
            }
        }
    }
}

/// All that the core takes from a configuration.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The rules for registrations, and the numbers of health and heartbeats.
    pub settings: Settings,
    /// The static routes, as `settings.policy.static_routes` claims them.
    pub static_routes: Vec<StaticRoute>,
    /// The API keys.
    pub keys: Vec<KeySpec>,
}
