//! The log lines, counters and events of grants.

use log::{info, warn};

use super::origin::{origin, with_actor};
use crate::telemetry::{Event, RegistryMetrics};
use furt_core::model::GatewayName;
use furt_core::registry::GrantReport;

pub(super) fn report(report: &GrantReport, gateway: Option<&GatewayName>, metrics: &RegistryMetrics) -> Event {
    match report {
        GrantReport::Set { service, grant } => {
            info!("{service} has a grant, {}", origin(Some(&grant.by), gateway));
            with_actor(Event::new("grant-set").service(service), Some(&grant.by))
        }
        GrantReport::Removed { service, by } => {
            info!("{service} has no grant of run time any more, {}", origin(by.as_ref(), gateway));
            with_actor(Event::new("grant-removed").service(service), by.as_ref())
        }
        GrantReport::Refused { service, by, refusal } => {
            metrics.refused();
            warn!("refused a change of the grant of {service} from {by}: {refusal}");
            with_actor(Event::new("refused").service(service), Some(by)).with("why", refusal.to_string())
        }
    }
}
