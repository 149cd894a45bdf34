//! Maintenance as operators are shown it.

use furt_api::ServiceName;
use furt_api::maintenance::Maintenance;

use crate::clock;
use crate::wire;
use furt_core::model::{self, MaintenanceScope};
use furt_core::routing::MaintenanceTable;

pub(super) fn shown(scope: &MaintenanceScope, maintenance: &model::Maintenance) -> Maintenance {
    Maintenance {
        service: name(scope),
        since: wire::time(maintenance.began_ms),
        until: maintenance.ends_ms.map(wire::time),
        from: maintenance.by.address.to_string(),
        by: wire::operator(&maintenance.by),
        allow_from: maintenance.allow_from.networks().iter().map(ToString::to_string).collect(),
        message: maintenance.message.as_ref().map(|message| message.as_str().to_owned()),
    }
}

pub(super) fn name(scope: &MaintenanceScope) -> Option<ServiceName> {
    scope.service().map(|service| service.as_str().into())
}

/// What a registered service is in: its own first, then that of all services.
pub(in crate::api) fn of_service(service: &model::ServiceName, table: Option<&MaintenanceTable>) -> Vec<Maintenance> {
    let on = table.into_iter().flat_map(|table| table.of_service(service, clock::unix_ms()));
    on.map(|(scope, maintenance)| shown(scope, maintenance)).collect()
}
