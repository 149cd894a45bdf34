//! What requests count and everyone reads: plain atomics that outlive a snapshot, without a lock and without a clock.
//!
//! Nothing here knows whose counters they are: `routing` shares them between snapshots, `proxy` and `registry` count, the
//! internal listener reads.

mod callers;
mod latency;
mod limiter;
mod traffic;

pub use callers::{CallerCounts, CallerRates, NoRoom};
pub use latency::{LATENCY_BUCKETS, Latency, latency_bound_us, quantile_us};
pub use limiter::{Pace, RateLimiter, RateLimiters, retry_after_seconds, since_ns};
pub use traffic::{
    Outcome, PROBE_BOUNDS_MS, PROBE_NUMBERS, ROUTE_BOUNDS_MS, ROUTE_NUMBERS, RouteTraffic, STATUS_CLASSES,
    ServiceEvents, ServiceTraffic, TrafficCounts, Verdict, status_class,
};
