//! What is odd about a service, in words for an operator: whose url an instance is at, whose id it has, and which public route
//! passes a permission by.

use std::sync::Arc;

use furt_core::model::{Definition, InstanceId, RouteOptions, RouteSpec, ServiceName};
use furt_core::registry::Canary;
use furt_core::routing::{
    Contest, Instance, Owner, Route, RouteCounter, Service, ServiceIndex, SharedUrl, SharedUrls, unguarded,
};

use crate::clock;

/// How long a contest for an id is told, in ms.
const CONTEST_MS: i64 = 600_000;
/// Services at one url that are named.
const MAX_NAMED: usize = 3;
/// Public routes that are named; each of them is a line of the log.
const MAX_UNGUARDED: usize = 8;

/// What there is to say of a service; `shared`: the urls that services share.
pub(super) fn of(service: &Service, shared: &SharedUrls) -> Vec<String> {
    let name = &service.definition.service;
    let there = |one: &&Arc<Instance>| if shared.is_empty() { None } else { shared.get(&one.spec.place()) };
    let urls = service.instances.iter().filter_map(|one| Some(shared_url(name, there(&one)?)));
    let now_ms = clock::unix_ms();
    let contests = service.instances.iter().filter_map(|one| {
        let contest = one.live.contest().filter(|contest| now_ms - contest.at_ms < CONTEST_MS)?;
        Some(contested(one, &contest))
    });
    urls.chain(contests).collect()
}

/// What there is to say of a service's routes. Not for lists: it looks up paths by the hundred where there are many routes.
pub(super) fn of_routes(service: &Service) -> Vec<String> {
    let definition = &service.definition;
    let route = |spec: &RouteSpec| {
        Arc::new(Route {
            host: definition.host.clone(),
            method: spec.method.clone(),
            pattern: spec.pattern.clone(),
            permission: spec.permission.clone(),
            owner: Owner::Service(ServiceIndex(0)),
            rules: None,
            counter: RouteCounter::default(),
        })
    };
    let routes: Vec<_> = definition.routes.iter().map(route).collect();
    let of_paths = unguarded(&routes).into_iter().take(MAX_UNGUARDED).map(|one| one.to_string());
    of_paths.chain(auth_of_no_route(definition)).collect()
}

/// What a canary says in vain, for the log and for whoever registers it.
pub(super) fn of_canary(instance: &InstanceId, canary: &Canary) -> String {
    let why_not = canary.obstacle.as_ref().map(|why| format!(", which would be refused today: {why}"));
    format!(
        "a split names the version of instance \"{instance}\": its routes, permissions and whatever else it says of the service are \
         not in force until it registers without the split{}",
        why_not.unwrap_or_default()
    )
}

/// That an instance has a version which its service's split does not name.
pub(super) fn of_unnamed_version(service: &Service, instance: &InstanceId) -> Option<String> {
    let spec = &service.split.as_ref()?.split.spec;
    let found = service.instances.binary_search_by(|one| one.spec.id.cmp(instance)).ok()?;
    let version = service.instances[found].spec.version.as_ref()?;
    (!spec.names(Some(version))).then(|| {
        format!("the split of \"{}\" does not name the version \"{version}\": instance \"{instance}\" is a stable one, and what it says of the service holds for all", service.definition.service)
    })
}

/// That `auth` of the definition closes nothing.
fn auth_of_no_route(definition: &Definition) -> Option<String> {
    let says = |options: &RouteOptions| options.restrictions.as_ref().is_some_and(|said| said.auth.is_some());
    let reaches = |route: &RouteSpec| route.permission.is_some() && !says(&route.options);
    // A service without routes is reached with a permission.
    let is_lost = says(&definition.options) && !definition.routes.is_empty() && !definition.routes.iter().any(reaches);
    is_lost.then(|| {
        "auth of the definition holds for no route: routes without a permission are public unless they set auth themselves"
            .to_owned()
    })
}

/// What limits mean where several gateways share the registry; `has_rate`: the API key in question has one; `are_shared`: each
/// gateway lets through one part of them.
pub(super) fn of_limits(
    service: Option<&Service>,
    has_rate: bool,
    gateways: usize,
    are_shared: bool,
) -> Option<String> {
    let has_hard_limit = service.is_some_and(|service| service.instances.iter().any(|one| one.spec.hard_limit != 0));
    let what = match (has_hard_limit, has_rate) {
        (true, true) => "hard limits and the key's rate are",
        (true, false) => "hard limits are",
        (false, true) => "the key's rate is",
        (false, false) => return None,
    };
    let how = if are_shared { "divided among all gateways" } else { "each gateway's own" };
    let share = || format!("{what} {how}: {gateways} gateways share the registry");
    (gateways > 1).then(share)
}

fn shared_url(name: &ServiceName, shared: &SharedUrl) -> String {
    let others = shared.instances.iter().filter(|(service, _)| service != name);
    let named: Vec<_> = others.take(MAX_NAMED).map(|(service, id)| format!("{service}/{id}")).collect();
    // One of them is the service's own: within a service one url is one instance.
    let more = (shared.count - 1).saturating_sub(named.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!(
        "{} is the url of {}{more} as well: where that is meant, each says \"shared\": true",
        shared.url,
        named.join(", ")
    )
}

fn contested(instance: &Instance, contest: &Contest) -> String {
    format!(
        "two processes register as id \"{}\" in turn, at {} and at {}: each needs an `instance` of its own",
        instance.spec.id, contest.other, instance.spec.url
    )
}
