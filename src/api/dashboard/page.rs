//! What each page shows: gathered from the same values as the answers of the API.

use std::sync::Arc;

use axum::http::StatusCode;
use furt_api::Code;
use furt_api::certificates::Certificates;
use furt_api::events::Event;
use furt_api::routes::RouteOption;
use furt_api::services::Service as ShownService;
use url::form_urlencoded;

use super::{context, faults};
use crate::api::problem::Problem;
use crate::api::query::Parameters;
use crate::api::{Api, certificates, explain, keys, lookup, maintenance, metrics, route_options, views, warnings};
use crate::clock;
use crate::dashboard::{
    self, Content, Context, Count, EventsView, ExplainView, Overview, Paging, RoutesView, ServiceRow, ServiceView,
    ServicesView,
};
use crate::published::Published;
use crate::telemetry::Event as Kept;
use crate::wire;
use furt_core::model::{Role, Status};
use furt_core::routing::{Route, Service};

/// Faults on the first page.
const MAX_FAULTS: usize = 50;
/// Services that are the busiest.
const BUSIEST: usize = 10;
/// Events on the first page and on that of a service, and on their own one.
const LAST_EVENTS: usize = 10;
const MAX_EVENTS: usize = 200;
/// Routes of a service whose options are told.
const MAX_ROUTES_WITH_OPTIONS: usize = 32;

/// A page that is asked for.
#[derive(Debug, Clone)]
pub(super) enum Page {
    Overview,
    Services { question: String, status: String, number: u64 },
    Service { name: String },
    Routes { question: String, number: u64 },
    Events { question: String },
    Keys,
    Nodes,
    Certificates,
    Explain { query: String },
}

impl Page {
    /// The least that its viewer must be, as `endpoints` says it too.
    pub(super) fn right(&self) -> Role {
        match self {
            Self::Keys => Role::Keys,
            _ => Role::Read,
        }
    }

    pub(super) fn context(&self) -> Context {
        context(if matches!(self, Self::Service { .. }) { "../" } else { "" })
    }

    /// What it shows now.
    ///
    /// # Errors
    /// The service is not registered.
    pub(super) async fn content(&self, api: &Api) -> Result<Content, Problem> {
        let context = &self.context();
        Ok(match self {
            Self::Overview => dashboard::overview(&overview(api, context), context),
            Self::Services { question, status, number } => {
                dashboard::services(&services(api, (question, status), *number), context)
            }
            Self::Service { name } => dashboard::service(&service(api, name, context)?, context),
            Self::Routes { question, number } => dashboard::routes(&routes(api, question, *number), context),
            Self::Events { question } => {
                let events = last_events(api, MAX_EVENTS, |event| has(event, question));
                dashboard::events(&EventsView { question: question.clone(), events }, context)
            }
            Self::Keys => dashboard::keys(&keys::all(api), context),
            Self::Nodes => dashboard::nodes(&lookup::all_nodes(api, true).await),
            Self::Certificates => {
                dashboard::certificates(&Certificates { certificates: certificates::all(api) }, context)
            }
            Self::Explain { query } => dashboard::explain(&explained(api, query), context),
        })
    }
}

fn overview(api: &Api, context: &Context) -> Overview {
    let snapshot = api.snapshots.load_full();
    let mut faults = faults::faults(api, &snapshot, context.now_ms);
    let more_faults = faults.len().saturating_sub(MAX_FAULTS);
    faults.truncate(MAX_FAULTS);
    let (mut of_services, mut of_instances, mut in_flight, mut waiting) = (Count::default(), Count::default(), 0, 0);
    for service in snapshot.registered() {
        count(&mut of_services, service.status);
        service.instances.iter().for_each(|instance| count(&mut of_instances, instance.status));
        in_flight += metrics::in_flight(service);
        waiting += u64::from(service.live.waiting());
    }
    let mut busiest: Vec<_> = api.telemetry.history.latest().into_iter().collect();
    busiest.retain(|(_, point)| point.requests > 0.0);
    busiest.sort_by(|(one_name, one), (other_name, other)| {
        other.requests.total_cmp(&one.requests).then_with(|| one_name.as_str().cmp(other_name.as_str()))
    });
    busiest.truncate(BUSIEST);
    Overview {
        uptime_ms: context.now_ms - api.started_ms,
        gateways: api.nodes.list().len(),
        services: of_services,
        instances: of_instances,
        routes: snapshot.table.len(),
        in_flight,
        waiting,
        traffic: api.telemetry.history.whole(),
        faults,
        more_faults,
        busiest: busiest.into_iter().map(|(name, point)| (name.to_string(), point)).collect(),
        events: last_events(api, LAST_EVENTS, |_| true),
    }
}

fn count(count: &mut Count, status: Status) {
    match status {
        Status::Up => count.up += 1,
        Status::Unknown => count.unknown += 1,
        Status::Down => count.down += 1,
    }
}

fn services(api: &Api, (question, status): (&str, &str), number: u64) -> ServicesView {
    let snapshot = api.snapshots.load_full();
    let wanted = question.trim().to_ascii_lowercase();
    let is_wanted = |service: &&Arc<Service>| {
        let definition = &service.definition;
        let is_named = definition.service.as_str().contains(&wanted)
            || definition.host.as_ref().is_some_and(|host| host.as_str().contains(&wanted));
        is_named && (status.is_empty() || service.status.as_str().eq_ignore_ascii_case(status))
    };
    let found: Vec<_> = snapshot.registered().filter(is_wanted).collect();
    let paging = Paging::new(number, found.len());
    let latest = api.telemetry.history.latest();
    let row = |service: &&Arc<Service>| {
        let name = &service.definition.service;
        ServiceRow {
            service: name.to_string(),
            status: wire::status(service.status),
            since: wire::time(service.live.since_ms()),
            tags: tags(service, &snapshot),
            instances: [
                service.instances.iter().filter(|one| one.status == Status::Up).count(),
                service.instances.len(),
            ],
            host: service.definition.host.as_ref().map(|host| host.as_str().to_owned()),
            routes: service.definition.routes.len(),
            in_flight: metrics::in_flight(service),
            traffic: latest.get(name).copied(),
            uptime_share: service.live.uptime_share(service.status, clock::unix_ms()),
        }
    };
    ServicesView {
        question: question.to_owned(),
        status: status.to_owned(),
        services: found[paging.range()].iter().map(row).collect(),
        paging,
        is_nothing_registered: snapshot.registered().next().is_none(),
    }
}

fn tags(service: &Service, snapshot: &Published) -> Vec<&'static str> {
    let name = &service.definition.service;
    let is_in_maintenance = !maintenance::of_service(name, snapshot.maintenance.as_deref()).is_empty();
    let all = [
        (service.suspended.is_some(), "blocked"),
        (service.is_draining(), "draining"),
        (is_in_maintenance, "maintenance"),
        (service.split.is_some(), "split"),
    ];
    all.into_iter().filter(|(is_so, _)| *is_so).map(|(_, word)| word).collect()
}

fn service(api: &Api, name: &str, context: &Context) -> Result<ServiceView, Problem> {
    let snapshot = api.snapshots.load_full();
    let Some(service) = snapshot.service_named(name) else {
        let detail = format!("service \"{name}\" is not registered");
        return Err(Problem::new(StatusCode::NOT_FOUND, Code::NotFound, detail));
    };
    let mut shown = views::service(service, &snapshot.shared_urls, snapshot.maintenance.as_deref());
    shown.warnings.extend(warnings::of_routes(service));
    shown.warnings.extend(route_options::skipped_of(service, &snapshot));
    Ok(ServiceView {
        options: options(service, &snapshot),
        status: service.status,
        registered_ms: service.live.registered_ms(),
        traffic: api.telemetry.history.of(name),
        changes: api.telemetry.status_changes.of(&service.definition.service, context.now_ms),
        events: last_events(api, LAST_EVENTS, |event| event.about_service() == Some(name)),
        service: ShownService { time: None, ..shown },
    })
}

/// The options in force for its routes: routes with the same ones together.
fn options(service: &Service, snapshot: &Published) -> Vec<(String, Vec<RouteOption>)> {
    let is_own = |route: &&Arc<Route>| {
        snapshot.service(route.owner.index()).is_some_and(|owner| std::ptr::eq(&**owner, service))
    };
    let mut all: Vec<(String, Vec<RouteOption>)> = Vec::new();
    // A service has 256 routes at most; the table may have hundreds of thousands.
    let definition = &service.definition;
    let own = definition.routes.iter().take(MAX_ROUTES_WITH_OPTIONS).filter_map(|spec| {
        let host = definition.host.as_ref().map(|host| host.as_str()).unwrap_or_default();
        let matching = snapshot.table.matches(host, spec.pattern.as_str());
        matching
            .into_iter()
            .filter(is_own)
            .find(|route| route.pattern == spec.pattern && route.method == spec.method)
            .map(Arc::clone)
    });
    for route in own {
        let merged = route_options::merged(&route, snapshot);
        let host = route.host.as_ref().map(|host| host.as_str()).unwrap_or_default();
        let method = route.method.as_str().parse().unwrap_or(axum::http::Method::GET);
        let options = route_options::options((host, route.pattern.as_str(), &method), &merged, snapshot);
        if options.is_empty() {
            continue;
        }
        let name = format!("{} {}", route.method, route.pattern);
        match all.iter_mut().find(|(_, known)| *known == options) {
            Some((names, _)) => {
                names.push_str(", ");
                names.push_str(&name);
            }
            None => all.push((name, options)),
        }
    }
    all
}

fn routes(api: &Api, question: &str, number: u64) -> RoutesView {
    let snapshot = api.snapshots.load_full();
    let wanted = question.trim().to_ascii_lowercase();
    let is_wanted = |route: &&Arc<Route>| {
        let is_in = |text: &str| text.to_ascii_lowercase().contains(&wanted);
        wanted.is_empty()
            || is_in(route.pattern.as_str())
            || route.host.as_ref().is_some_and(|host| is_in(host.as_str()))
            || route.permission.as_ref().is_some_and(|permission| is_in(permission.as_str()))
            || snapshot.service(route.owner.index()).is_some_and(|service| is_in(service.definition.service.as_str()))
    };
    let found: Vec<_> = snapshot.table.iter().filter(is_wanted).collect();
    let paging = Paging::new(number, found.len());
    RoutesView {
        question: question.to_owned(),
        routes: found[paging.range()].iter().map(|route| views::route(route, &snapshot)).collect(),
        paging,
        is_nothing_registered: snapshot.table.is_empty(),
    }
}

/// The last events that are wanted, the last one first.
fn last_events(api: &Api, most: usize, is_wanted: impl Fn(&Kept) -> bool) -> Vec<Event> {
    let kept = api.telemetry.events.after(None).events;
    let wanted = kept.iter().rev().filter(|event| is_wanted(event)).take(most);
    wanted.filter_map(|event| serde_json::from_value(serde_json::to_value(&**event).ok()?).ok()).collect()
}

fn has(event: &Kept, question: &str) -> bool {
    let wanted = question.trim().to_ascii_lowercase();
    let is_in = |text: &str| text.to_ascii_lowercase().contains(&wanted);
    is_in(event.kind()) || event.about_service().is_some_and(is_in) || event.about_instance().is_some_and(is_in)
}

/// The answer to a form, which sends what is left empty as well.
fn explained(api: &Api, query: &str) -> ExplainView {
    let mut view = ExplainView { method: "GET".to_owned(), ..ExplainView::default() };
    let mut asked = form_urlencoded::Serializer::new(String::new());
    let mut is_asked = false;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let value = value.trim();
        if value.is_empty() {
            continue;
        }
        is_asked = true;
        asked.append_pair(&name, value);
        let place = match &*name {
            "method" => &mut view.method,
            "url" => &mut view.url,
            "client" => &mut view.client,
            "key" => &mut view.key,
            "origin" => &mut view.origin,
            _ => continue,
        };
        value.clone_into(place);
    }
    if is_asked {
        let parameters = Parameters::new(explain::PARAMETERS, Some(&asked.finish()));
        let answer = explain::answer(api, parameters);
        view.answer = Some(answer.map_err(|problem| Box::new(problem.body().clone())));
    }
    view
}
