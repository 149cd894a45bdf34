//! The one place where what is reported becomes a log line, a counter and an event: each report all three,
//! so that no one of them knows more than the others.

use log::{info, warn};

use super::origin::{origin, with_actor};
use super::{grant_report, key_report, maintenance_report, split_report};
use crate::telemetry::{Event, RegistryMetrics};
use furt_core::model::{GatewayName, ServiceName, Status};
use furt_core::registry::{DnsSubject, InstanceRef, OutageScope, Replaced, Report};

/// Logs and counts what is reported; the caller keeps the event. `gateway`: the other gateway that it comes from.
pub(super) fn report(report: &Report, gateway: Option<&GatewayName>, metrics: &RegistryMetrics) -> Event {
    let event = report_of(report, gateway, metrics);
    match gateway {
        Some(gateway) => event.with("gateway", gateway.as_str()),
        None => event,
    }
}

fn report_of(report: &Report, gateway: Option<&GatewayName>, metrics: &RegistryMetrics) -> Event {
    // A command is counted by the gateway that took it.
    let is_own = gateway.is_none();
    match report {
        Report::Registered { instance, url, routes, replaced, is_canary, by } => {
            if is_own {
                metrics.registered();
            }
            let event = of("registered", instance).with("url", &**url).with("routes", *routes);
            let event = with_actor(event, Some(by));
            let event = if *is_canary { event.with("canary", true) } else { event };
            let origin = origin(Some(by), gateway);
            match replaced {
                None => {
                    info!("registered {instance} at {url} with {routes} routes, {origin}");
                    event
                }
                Some(Replaced { url: before, .. }) => {
                    info!("registered {instance} at {url} with {routes} routes, {origin}; it was UP at {before}");
                    event.with("replaced", before.to_string())
                }
            }
        }
        Report::Replaced { instance, newer, url, from } => {
            info!(
                "{instance} is gone: {newer} registered at its url {url}, {}",
                origin(Some(&(*from).into()), gateway)
            );
            of("replaced", instance).with("newer", newer.as_str()).with("url", &**url).with("from", from.to_string())
        }
        Report::UrlShared { instance, url, with } => {
            let with: Vec<_> = with.iter().map(ToString::to_string).collect();
            warn!("{instance} registered at {url}, which is the url of {} as well", with.join(", "));
            of("url-shared", instance).with("url", &**url).with("with", with)
        }
        Report::Refused { service, by, refusal } => {
            metrics.refused();
            warn!("refused {service} from {by}: {refusal}");
            with_actor(of_service("refused", service), Some(by)).with("why", refusal.to_string())
        }
        Report::Deregistered { instance, by } => {
            if is_own {
                metrics.deregistered();
            }
            info!("deregistered {instance}, {}", origin(by.as_ref(), gateway));
            with_actor(of("deregistered", instance), by.as_ref())
        }
        Report::DrainBegan { instance, until, by } => {
            if is_own {
                metrics.drain_began();
            }
            let until = until.as_str();
            info!("{instance} is draining: it gets no new requests until {until}, {}", origin(by.as_ref(), gateway));
            with_actor(of("drain-began", instance).with("until", until), by.as_ref())
        }
        Report::DrainEnded { instance, by } => {
            if is_own {
                metrics.drain_ended();
            }
            info!("{instance} is draining no more, {}", origin(by.as_ref(), gateway));
            with_actor(of("drain-ended", instance), by.as_ref())
        }
        Report::Expired(instance) => {
            metrics.expired();
            warn!("expired {instance}: not heard within its TTL");
            of("expired", instance)
        }
        Report::Restored(instance) => {
            metrics.restored();
            info!("{instance} is stored again: the store had lost it, and it lives");
            of("restored", instance)
        }
        Report::Freed(service) => {
            info!("freed the routes of {service}");
            of_service("freed", service)
        }
        Report::InstanceStatusChanged { instance, from, to } => {
            metrics.instance_status_changed();
            info!("instance {instance} is {to}, was {from}");
            of("instance-status", instance).with("status", to.as_str()).with("was", from.as_str())
        }
        Report::ServiceStatusChanged { service, from, to } => {
            metrics.service_status_changed(service, *from, *to);
            match (from, to) {
                (_, Status::Down) => warn!("service {service} is DOWN, was {from}: its routes left the table"),
                (Status::Down, _) => info!("service {service} is {to}, was DOWN: its routes are in the table"),
                _ => info!("service {service} is {to}, was {from}"),
            }
            of_service("service-status", service).with("status", to.as_str()).with("was", from.as_str())
        }
        Report::ProbeFailed { instance, failures, error } => {
            metrics.probe_failed();
            warn!("probe of {instance} failed, {failures} in a row: {error}");
            of("probe-failed", instance).with("failures", *failures).with("why", &**error)
        }
        Report::ProbingStopped(instance) => {
            metrics.probing_stopped();
            warn!("stopped probing {instance}: a registration, a heartbeat or a command to probe starts it again");
            of("probing-stopped", instance)
        }
        Report::OutageBegan { scope, longest } => {
            let OutageScope { failing, watched, addresses } = *scope;
            let why = format!(
                "the network of this host seems to be out: {failing} of {watched} instances that were UP, at {addresses} \
                 addresses, fail and none answers; no instance becomes DOWN for it for at most {} s",
                longest.as_secs()
            );
            warn!("{why}");
            metrics.outage_changed(Some(why.clone()));
            Event::new("outage-began").with("why", why)
        }
        Report::OutageEnded => {
            info!("instances are judged again: something answered, or the outage lasted too long");
            metrics.outage_changed(None);
            Event::new("outage-ended")
        }
        Report::AddressesChanged { subject, addresses } => {
            info!("{subject} is at {addresses:?} now");
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            of_name("addresses-changed", subject).with("addresses", addresses)
        }
        Report::AddressesRefused { subject, why } => {
            warn!("new addresses of {subject} are refused, the old ones stay: {why}");
            of_name("addresses-refused", subject).with("why", &**why)
        }
        Report::Suspended { service, why } => {
            warn!("{service} is kept but not routed: {why}");
            of_service("blocked", service).with("why", &**why)
        }
        Report::Reinstated(service) => {
            info!("{service} may stand again: its routes are in force");
            of_service("unblocked", service)
        }
        Report::RemovalFailed { service, why } => {
            warn!("removing {service} could not be stored: {why}");
            of_service("removal-failed", service).with("why", &**why)
        }
        Report::Key(of_key) => key_report::report(of_key, gateway, metrics),
        Report::Maintenance(of_maintenance) => maintenance_report::report(of_maintenance, gateway, metrics),
        Report::Split(of_split) => split_report::report(of_split, gateway, metrics),
        Report::Grant(of_grant) => grant_report::report(of_grant, gateway, metrics),
    }
}

fn of(kind: &'static str, instance: &InstanceRef) -> Event {
    of_service(kind, &instance.service).instance(&instance.id)
}

fn of_service(kind: &'static str, service: &ServiceName) -> Event {
    Event::new(kind).service(service)
}

fn of_name(kind: &'static str, subject: &DnsSubject) -> Event {
    match subject {
        DnsSubject::Instance(instance) => of(kind, instance),
        DnsSubject::Static(_) => Event::new(kind).with("static", subject.to_string()),
    }
}
