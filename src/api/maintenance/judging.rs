//! Whether a request would be let in, as `furt explain` tells it.

use std::net::IpAddr;

use crate::clock;
use furt_core::model::{Maintenance, MaintenanceScope};
use furt_core::routing::{Route, Snapshot};

/// What becomes of a request for what is in maintenance.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::api) enum Judgement {
    /// It is answered 503; why.
    KeptOut(String),
    /// It is let in though others are not; why.
    LetIn(String),
}

/// `None`: nothing that the route leads to is in maintenance.
pub(in crate::api) fn judge(route: &Route, client: Option<IpAddr>, snapshot: &Snapshot) -> Option<Judgement> {
    let table = snapshot.maintenance.as_ref()?;
    let service = snapshot.service(route.owner.index()).map(|service| &**service);
    let mut on: Vec<_> = table.of_route(route.owner, service, clock::unix_ms()).collect();
    // The one that is answered.
    on.sort_by_key(|(_, maintenance)| maintenance.lets_in(client));
    let (scope, maintenance) = on.first()?;
    let what = sentence(scope, maintenance);
    Some(match client.filter(|_| maintenance.lets_in(client)) {
        Some(client) => Judgement::LetIn(format!("{what}; the client {client} is let in")),
        None => Judgement::KeptOut(format!("{what}: 503{}", exception(maintenance))),
    })
}

fn sentence(scope: &MaintenanceScope, maintenance: &Maintenance) -> String {
    let of = match scope {
        MaintenanceScope::All => "all services are".to_owned(),
        MaintenanceScope::Service(service) => format!("service \"{service}\" is"),
    };
    let until = match maintenance.ends_ms {
        Some(end) => format!("until {}", clock::rfc3339(end)),
        None => "until `furt maintenance off`".to_owned(),
    };
    let message = maintenance.message.as_ref().map(|message| format!(" (\"{}\")", message.as_str()));
    format!("{of} in maintenance {until}{}", message.unwrap_or_default())
}

fn exception(maintenance: &Maintenance) -> String {
    match maintenance.allow_from.is_empty() {
        true => String::new(),
        false => format!(", except for clients from {}", maintenance.allow_from),
    }
}
