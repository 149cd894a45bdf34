//! What is wrong now, in words: of furt itself, of services and their instances, of certificates.

use crate::api::Api;
use crate::api::{splits, warnings};
use crate::dashboard::{Fault, Severity};
use crate::published::Published;
use furt_core::model::Status;
use furt_core::routing::{Instance, Service};

/// All faults, the worst first.
pub(super) fn faults(api: &Api, snapshot: &Published, now_ms: i64) -> Vec<Fault> {
    let own = api.telemetry.issues.list().into_iter().chain(snapshot.provider_faults());
    let mut faults: Vec<_> = own.map(|text| Fault { severity: Severity::Error, service: None, text }).collect();
    let mut on = snapshot.maintenance.iter().flat_map(|table| table.iter());
    if on.any(|(scope, one)| scope.service().is_none() && !one.is_over(now_ms)) {
        let text = "All services and static routes are in maintenance.".to_owned();
        faults.push(Fault { severity: Severity::Warning, service: None, text });
    }
    for service in snapshot.registered() {
        faults.extend(of_service(service, snapshot, now_ms).into_iter().map(|(severity, text)| Fault {
            severity,
            service: Some(service.definition.service.to_string()),
            text,
        }));
    }
    // The order of services stays within each severity.
    faults.sort_by_key(|fault| fault.severity);
    faults
}

fn of_service(service: &Service, snapshot: &Published, now_ms: i64) -> Vec<(Severity, String)> {
    let mut faults = Vec::new();
    if let Some(why) = &service.suspended {
        faults.push((Severity::Error, format!("it is kept but not routed: {why}")));
    } else if service.status == Status::Down {
        let why = service.instances.iter().find_map(|one| one.live.last_error());
        let text = match (why, service.instances.len()) {
            (_, 0) => "it is DOWN: its last instance left, and its routes are held".to_owned(),
            (Some(why), _) => format!("it is DOWN: {why}"),
            (None, _) => "it is DOWN".to_owned(),
        };
        faults.push((Severity::Error, text));
    } else {
        faults.extend(service.instances.iter().filter_map(|one| Some((Severity::Warning, of_instance(one, now_ms)?))));
        if service.is_draining() {
            faults.push((Severity::Error, "each of its instances is draining: requests get 503".to_owned()));
        }
    }
    let name = &service.definition.service;
    let mut on = snapshot.maintenance.iter().flat_map(|table| table.of_service(name, now_ms));
    if on.any(|(scope, _)| scope.service().is_some()) {
        faults.push((Severity::Warning, "it is in maintenance".to_owned()));
    }
    let odd = warnings::of(service, &snapshot.shared_urls).into_iter().chain(splits::without_instances_today(service));
    faults.extend(odd.map(|text| (Severity::Warning, text)));
    faults
}

fn of_instance(instance: &Instance, now_ms: i64) -> Option<String> {
    let id = &instance.spec.id;
    if instance.status == Status::Down {
        let why = instance.live.last_error().map(|why| format!(": {why}")).unwrap_or_default();
        return Some(format!("its instance {id} is DOWN{why}"));
    }
    let is_ejected = instance.live.ejected_until_ms(now_ms).is_some();
    is_ejected.then(|| format!("its instance {id} gets no requests for a while, since those before failed"))
}
