//! Counts of requests, for readers that take the difference between two answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Epoch, Generation, ServiceName, Status};

/// The answer to `GET /internal/stats`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stats {
    /// How long furt runs.
    pub uptime_ms: u64,
    /// When furt started, in milliseconds since 1970; another value means that all counts began again.
    pub started_ms: i64,
    /// The registry's identity.
    pub epoch: Epoch,
    /// The registry's last change.
    pub generation: Generation,
    /// The classes that [`Counts::requests`] counts by.
    pub status_classes: Vec<String>,
    /// Where each bucket of [`Counts::latency`] begins, in microseconds; each ends where the next begins.
    pub latency_begins_us: Vec<u64>,
    /// Every registered service, by name.
    pub services: Vec<ServiceStats>,
    /// Requests to routes of the configuration that lead to urls.
    #[serde(rename = "static")]
    pub static_routes: Traffic,
    /// Requests that found no route.
    pub unrouted: Traffic,
}

/// A service, and its requests since it registered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceStats {
    /// Its requests.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// The service's name.
    pub service: ServiceName,
    /// Its health.
    pub status: Status,
    /// When it registered, in milliseconds since 1970; another value means that its counts began again.
    pub registered_ms: i64,
    /// How many instances are UP, and how many there are.
    pub instances: [u64; 2],
    /// Requests in flight.
    pub in_flight: u64,
    /// The share of time that it was not DOWN since it registered, 0 to 1.
    pub uptime_share: f64,
}

/// Requests, as an object that has no field while there was no request.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Traffic {
    /// `None` where there was no request.
    #[serde(flatten)]
    pub counts: Option<Counts>,
}

/// Requests, counted.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// By [`Stats::status_classes`].
    pub requests: Vec<u64>,
    /// Those that furt answered with a 4xx of its own.
    #[serde(default)]
    pub refused: u64,
    /// Answers of 5xx, requests without an answer, answers that broke off.
    #[serde(default)]
    pub errors: u64,
    /// How long requests took: the number of a bucket of [`Stats::latency_begins_us`], and how many fell into it. Buckets
    /// without requests are left out.
    pub latency: Vec<(usize, u64)>,
}
