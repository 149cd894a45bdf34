//! The log lines, counters and events of maintenance.

use log::{info, warn};

use super::origin::{origin, with_actor};
use crate::clock;
use crate::telemetry::{Event, RegistryMetrics};
use furt_core::model::{GatewayName, MaintenanceScope};
use furt_core::registry::MaintenanceReport;

pub(super) fn report(report: &MaintenanceReport, gateway: Option<&GatewayName>, metrics: &RegistryMetrics) -> Event {
    match report {
        MaintenanceReport::Began { scope, maintenance } => {
            let (of, origin) = (named(scope), origin(Some(&maintenance.by), gateway));
            let until = maintenance.ends_ms.map(clock::rfc3339);
            let ends =
                until.as_ref().map_or_else(|| "until that is ended".to_owned(), |until| format!("until {until}"));
            warn!("{of} in maintenance {ends}, {origin}: clients get 503");
            let event = with_actor(of_scope("maintenance-began", scope), Some(&maintenance.by)).with("until", until);
            let message = maintenance.message.as_ref().map(|message| message.as_str().to_owned());
            let allowed: Vec<_> = maintenance.allow_from.networks().iter().map(ToString::to_string).collect();
            event.with("message", message).with("allow_from", allowed)
        }
        MaintenanceReport::Ended { scope, by } => {
            info!("{} in maintenance no more, {}", named(scope), origin(by.as_ref(), gateway));
            with_actor(of_scope("maintenance-ended", scope), by.as_ref()).with("why", "command")
        }
        MaintenanceReport::Expired(scope) => {
            info!("{} in maintenance no more: its time is over", named(scope));
            of_scope("maintenance-ended", scope).with("why", "time")
        }
        MaintenanceReport::Refused { scope, by, refusal } => {
            metrics.refused();
            warn!("refused a change of maintenance of {scope} from {by}: {refusal}");
            with_actor(of_scope("refused", scope), Some(by)).with("why", refusal.to_string())
        }
        MaintenanceReport::RemovalFailed { scope, why } => {
            warn!("the end of the maintenance of {scope} could not be stored, and is tried again; it is over: {why}");
            of_scope("maintenance-removal-failed", scope).with("why", &**why)
        }
    }
}

/// With its verb, as the subject of a sentence.
fn named(scope: &MaintenanceScope) -> String {
    scope.service().map_or_else(|| "all services are".to_owned(), |service| format!("service {service} is"))
}

/// An event about no service is about all of them.
fn of_scope(kind: &'static str, scope: &MaintenanceScope) -> Event {
    match scope.service() {
        Some(service) => Event::new(kind).service(service),
        None => Event::new(kind),
    }
}
