//! What the core takes from a configuration.

use std::time::Duration;

use super::grants::RegistrationPolicy;
use super::probes::HealthLimits;
use super::static_route::StaticRoute;
use crate::model::KeySpec;

/// The numbers and rules that the core is given.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who may register what.
    pub policy: RegistrationPolicy,
    /// The numbers of the health machine.
    pub health: HealthLimits,
    /// The TTL of instances that heartbeat and name none.
    pub heartbeat_ttl: Duration,
    /// How long verdicts are held at most while the gateway's own network is out; zero: they are not.
    pub outage_hold: Duration,
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
