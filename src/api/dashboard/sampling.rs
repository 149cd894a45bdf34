//! Reads the counters of requests every few seconds, so that a page shows the minutes before somebody looked.

use std::sync::Arc;

use tokio::time::MissedTickBehavior;

use crate::clock;
use crate::published::Snapshots;
use crate::telemetry::{HISTORY_INTERVAL, ServiceTrafficSample, Telemetry};

/// Samples for as long as furt runs; while there is no dashboard nothing is kept.
pub async fn sample_traffic(snapshots: Snapshots, telemetry: Arc<Telemetry>) {
    let mut ticks = tokio::time::interval(HISTORY_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let snapshot = snapshots.load_full();
        if !snapshot.config.internal.dashboard {
            telemetry.history.clear();
            continue;
        }
        let services = snapshot.registered().map(|service| ServiceTrafficSample {
            service: &service.definition.service,
            registered_ms: service.live.registered_ms(),
            traffic: service.live.traffic_so_far(),
        });
        let series = &telemetry.series;
        telemetry.history.sample(clock::now(), services, vec![series.static_routes.read(), series.unrouted.read()]);
    }
}
