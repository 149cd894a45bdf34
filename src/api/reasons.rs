//! Why a route is taken or not, in words for an operator: which service is in the way, and what is wrong with it.

use std::sync::Arc;

use furt_api::routes::{self, Candidate, Verdict};

use crate::clock;
use crate::wire;
use furt_core::model::{Asked, FixedAnswer, MethodRule, RouteSpec, Status};
use furt_core::routing::{NoInstance, Owner, Route, Service, ServiceKind, Snapshot};

/// Instances whose failure is told one by one.
const MAX_TOLD: usize = 3;

/// Who a request would be refused by, though its route is in force: the code of the answer, and why.
pub(super) fn refusal(service: &Service) -> Option<(Verdict, String)> {
    let name = name(service);
    Some(match service.refusal_reason(clock::unix_ms())? {
        NoInstance::Draining => {
            (Verdict::Draining, format!("every instance of {name} is draining, as `furt services` shows"))
        }
        NoInstance::Full => (Verdict::InstancesFull, format!("every instance of {name} is at its hard limit")),
        NoInstance::Unavailable => (Verdict::NoInstance, format!("no instance of {name} can be asked")),
    })
}

/// What furt answers itself to a request of the route behind which the service stands; `asked`: what is asked for, where all of it is
/// known.
pub(super) fn own_answer(service: &Service, asked: Option<Asked<'_>>) -> Option<(Verdict, String)> {
    let ServiceKind::Answers(answer) = &service.kind else { return None };
    let goes = format!("the request goes to this route, which furt answers itself: {answer}");
    Some(match answer {
        FixedAnswer::Respond(_) => (Verdict::Responded, goes),
        FixedAnswer::Redirect(redirect) => match asked.map(|asked| redirect.place(asked)) {
            None => (Verdict::Redirected, goes),
            Some(Ok(place)) => (Verdict::Redirected, format!("{goes}; to {place}")),
            Some(Err(why)) => (Verdict::LoopDetected, format!("{goes}; {why}: 508")),
        },
    })
}

/// Why the service of a route is not asked at all.
pub(super) fn unusable(route: &Route, snapshot: &Snapshot) -> String {
    match snapshot.service(route.owner.index()) {
        None => "no service of the name that the route leads to is registered".to_owned(),
        Some(service) => down(service),
    }
}

fn down(service: &Service) -> String {
    let name = name(service);
    if let Some(why) = &service.suspended {
        return format!("{name} is kept but not routed: {why}");
    }
    let since = clock::rfc3339(service.live.since_ms());
    if service.instances.is_empty() {
        return format!("{name} is DOWN since {since}: its last instance expired, and its routes are held for it");
    }
    let failed = service.instances.iter().filter(|one| one.status == Status::Down);
    let told = failed.take(MAX_TOLD).map(|one| {
        let why = one.live.last_error().map_or_else(|| "not probed since the start".to_owned(), |why| why.to_string());
        let stopped = if one.live.is_probing_stopped() { ", and is not probed any more" } else { "" };
        format!("{}: {why}{stopped}", one.spec.id)
    });
    let told: Vec<_> = told.collect();
    let more = service.instances.len().saturating_sub(told.len());
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("{name} is DOWN since {since}: {}{more}", told.join("; "))
}

fn name(service: &Service) -> String {
    match service.kind {
        ServiceKind::Registered => format!("service \"{}\"", service.definition.service),
        ServiceKind::Static => "the static route's url".to_owned(),
        ServiceKind::Answers(_) => "furt's own answer".to_owned(),
    }
}

/// The route that a static one stands in for: more specific, and its service is not asked.
pub(super) fn replaced<'a>(
    winner: &Route,
    before: &[&'a Arc<Route>],
    takes: impl Fn(&MethodRule) -> bool,
    snapshot: &Snapshot,
) -> Option<&'a Route> {
    let is_static = matches!(winner.owner, Owner::Static(_));
    let mut missed = before.iter().filter(|one| is_static && takes(&one.method) && !snapshot.is_usable(one));
    missed.next().map(|route| &***route)
}

/// Routes that match and are not in the table, since their services are kept but not routed.
pub(super) fn blocked(snapshot: &Snapshot, host: &str, path: &str) -> Vec<Candidate> {
    let blocked = snapshot.registered().filter(|service| service.suspended.is_some());
    let shown = |service: &Service, method: &str, pattern: &str, permission: Option<&str>| {
        let route = routes::Route {
            method: method.to_owned(),
            path: pattern.to_owned(),
            host: service.definition.host.as_ref().map(|host| host.as_str().to_owned()),
            permission: permission.map(str::to_owned),
            auth: None,
            has_other_auth: false,
            service: Some(service.definition.service.as_str().into()),
            is_static: false,
            url: None,
            answer: None,
            status: wire::status(service.status),
            routed: false,
        };
        Candidate { route, won: false, reason: down(service) }
    };
    let routes = |service: &Arc<Service>| -> Vec<Candidate> {
        let definition = &service.definition;
        // Without routes it would be reached by its host below apps.domain.
        let rest = host.strip_prefix(definition.service.as_str());
        if definition.routes.is_empty() && rest.is_some_and(|rest| rest.starts_with('.')) {
            return vec![shown(service, "*", "/*", None)];
        }
        let is_host = definition.host.as_ref().is_none_or(|own| own.as_str() == host);
        let matching = definition.routes.iter().filter(|route| is_host && route.pattern.matches(path));
        let one = |route: &RouteSpec| {
            let permission = route.permission.as_ref().map(|permission| permission.as_str());
            shown(service, route.method.as_str(), route.pattern.as_str(), permission)
        };
        matching.map(one).collect()
    };
    blocked.flat_map(routes).collect()
}
