//! One log line and one counter for each thing that is reported (DESIGN §5.6).

use log::{info, warn};

use crate::model::Status;
use crate::registry::Report;
use crate::telemetry::Telemetry;

pub(super) fn report(report: &Report, telemetry: &Telemetry) {
    let counters = &telemetry.registry;
    match report {
        Report::Registered { instance, url, routes, from } => {
            counters.registrations.inc();
            info!("registered {instance} at {url} with {routes} routes, from {from}");
        }
        Report::Refused { service, from, refusal } => {
            counters.refusals.inc();
            warn!("refused {service} from {from}: {refusal}");
        }
        Report::Deregistered { instance, from } => {
            counters.deregistrations.inc();
            info!("deregistered {instance}, from {from}");
        }
        Report::Expired(instance) => {
            counters.expirations.inc();
            warn!("expired {instance}: not heard within its TTL");
        }
        Report::Freed(service) => info!("freed the routes of {service}"),
        Report::InstanceStatusChanged { instance, from, to } => {
            counters.status_changes.inc();
            info!("instance {instance} is {to}, was {from}");
        }
        Report::ServiceStatusChanged { service, from, to } => {
            counters.service_status_changes.inc();
            match (from, to) {
                (_, Status::Down) => warn!("service {service} is DOWN, was {from}: its routes left the table"),
                (Status::Down, _) => info!("service {service} is {to}, was DOWN: its routes are in the table"),
                _ => info!("service {service} is {to}, was {from}"),
            }
        }
        Report::ProbeFailed { instance, failures, error } => {
            counters.probe_failures.inc();
            warn!("probe of {instance} failed, {failures} in a row: {error}");
        }
        Report::ProbingStopped(instance) => {
            counters.probes_stopped.inc();
            warn!("stopped probing {instance}: a registration, a heartbeat or a wish for a probe starts it again");
        }
        Report::AddressesChanged { subject, addresses } => info!("{subject} is at {addresses:?} now"),
        Report::AddressesRefused { subject, why } => {
            warn!("new addresses of {subject} are refused, the old ones stay: {why}")
        }
        Report::Blocked { service, why } => warn!("{service} is kept but not routed: {why}"),
        Report::Unblocked(service) => info!("{service} may stand again: its routes are in force"),
        Report::RemovalFailed { service, why } => warn!("removing {service} could not be stored: {why}"),
    }
}
