//! `GET /internal/instances`: where the instances of a service are, for clients that choose one themselves, and a long poll
//! for when that changes. `GET /internal/nodes`: the gateways that can be asked.
//!
//! A state of what was asked for has a mark, which clients get as `next`. It is made of what the answer says and of nothing
//! else: the same on every gateway of a registry, and after a restart, so that a client may go on at another one. Generations
//! would not do, since they are each gateway's own.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use axum::{Extension, Json};
use furt_api::lookup::{FoundInstance, FoundInstances};
use furt_api::{ServiceName, nodes};

use super::problem::Problem;
use super::query::Parameters;
use super::waiting::MAX_SECONDS;
use super::{Api, cluster, listing, views};
use crate::nodes::Node;
use crate::wire;
use furt_core::model::{self, Role, Scheme};
use furt_core::registry::Source;
use furt_core::routing::{Instance, Service, Snapshot};

/// Callers that may wait at once: a fleet of 1,000 of which each process watches one service.
const MAX_WAITS: usize = 1024;
/// The longest mark that is read; those that are written are shorter.
const MAX_MARK: usize = 64;
/// Changes of so long come in one answer, and each waiting caller looks at most so often.
const GATHER: Duration = Duration::from_millis(20);

/// Callers that may wait at once, where the listener takes so many connections. They wait all the time, so half of the
/// connections are left to those who register.
pub(super) fn most_waits(connections: usize) -> usize {
    MAX_WAITS.min(connections / 2)
}

/// Which services are asked for.
enum Wanted {
    One(model::ServiceName),
    /// Those whose names begin so.
    Within(String),
    All,
}

impl Wanted {
    /// `None`: a parameter is wrong, which is noted.
    fn read(parameters: &mut Parameters) -> Option<Self> {
        let name = |text: &str| model::ServiceName::try_new(text).ok();
        let (has_service, has_namespace) = (parameters.has("service"), parameters.has("namespace"));
        let service = parameters.parsed("service", "must be the name of a service", name);
        let namespace = parameters.parsed("namespace", "must be what names of services begin with, before a dot", name);
        match (has_service, has_namespace) {
            (true, true) => {
                parameters.refuse("namespace", "must not be there beside service: ask for NAMESPACE.NAME as service");
                None
            }
            (true, false) => service.map(Self::One),
            (false, true) => namespace.map(|namespace| Self::Within(format!("{namespace}."))),
            (false, false) => Some(Self::All),
        }
    }

    /// The services, by name. A suspended one is not among them: furt itself sends it nothing either.
    fn services<'a>(&self, snapshot: &'a Snapshot) -> Vec<&'a Arc<Service>> {
        let found: Vec<_> = match self {
            Self::One(name) => snapshot.service_named(name.as_str()).into_iter().collect(),
            Self::Within(start) => within(snapshot, start).collect(),
            Self::All => snapshot.registered().collect(),
        };
        found.into_iter().filter(|service| service.suspended.is_none()).collect()
    }
}

/// The services whose names begin with `start`, by name.
pub(super) fn within<'a>(snapshot: &'a Snapshot, start: &str) -> impl Iterator<Item = &'a Arc<Service>> {
    let from = (std::ops::Bound::Included(start), std::ops::Bound::Unbounded);
    let names = snapshot.names.range::<_, str>(from);
    let names: Vec<_> = names.take_while(|(name, _)| name.as_str().starts_with(start)).collect();
    names.into_iter().filter_map(|(_, index)| snapshot.service(*index))
}

/// What was listed at the last look, so that the next one reads only what is new.
#[derive(Default)]
struct Marks(HashMap<usize, (Arc<Service>, u64)>);

impl Marks {
    /// The mark of these services.
    fn of(&mut self, services: &[&Arc<Service>]) -> String {
        let mut known = HashMap::with_capacity(services.len());
        let mut mark = DefaultHasher::new();
        for service in services {
            let place = Arc::as_ptr(service).addr();
            // It is held, so that no other one takes its place.
            let (service, said) = self.0.remove(&place).unwrap_or_else(|| (Arc::clone(service), said(service)));
            said.hash(&mut mark);
            // These change without a new service.
            service.instances.iter().for_each(|one| one.live.is_draining().hash(&mut mark));
            known.insert(place, (service, said));
        }
        self.0 = known;
        format!("{:016x}", mark.finish())
    }
}

/// A digest of what is told of a service, but for drains.
fn said(service: &Service) -> u64 {
    let mut said = DefaultHasher::new();
    service.definition.service.as_str().hash(&mut said);
    for instance in &service.instances {
        let spec = &instance.spec;
        spec.id.as_str().hash(&mut said);
        spec.url.hash(&mut said);
        instance.addresses.hash(&mut said);
        spec.protocol.as_str().hash(&mut said);
        spec.tls_name.hash(&mut said);
        wire::status(instance.status).as_str().hash(&mut said);
        spec.weight.hash(&mut said);
        spec.region.as_ref().map(model::Region::as_str).hash(&mut said);
        spec.country.as_ref().map(model::Country::as_str).hash(&mut said);
        spec.document.as_ref().map(model::Document::as_str).hash(&mut said);
    }
    said.finish()
}

/// `GET /internal/instances`
pub(super) async fn instances(State(api): State<Arc<Api>>, mut parameters: Parameters) -> Result<Response, Problem> {
    let wanted = Wanted::read(&mut parameters);
    let rule = "must be the `next` of an earlier answer";
    let is_mark = |text: &str| (1..=MAX_MARK).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    let after = parameters.parsed("after", rule, |text| is_mark(text).then(|| text.to_owned()));
    let wait = parameters.seconds("wait", MAX_SECONDS).unwrap_or_default();
    let wanted = parameters.finish_with(wanted)?;
    let mut marks = Marks::default();
    // Before the first look: nothing is missed between it and the wait.
    let mut published = api.driver.published();
    let mark = marks.of(&wanted.services(&api.snapshots.load()));
    if after.as_ref() == Some(&mark) && !wait.is_zero() {
        let _permit = api.lookup_waits.take(wait)?;
        let changes = async {
            while published.changed().await.is_ok() {
                tokio::time::sleep(GATHER).await;
                if marks.of(&wanted.services(&api.snapshots.load())) != mark {
                    return;
                }
            }
        };
        tokio::select! {
            _ = tokio::time::timeout(wait, changes) => {}
            () = api.readiness.stops() => {}
        }
    }
    Ok(answer(&api, &wanted, &mut marks))
}

fn answer(api: &Api, wanted: &Wanted, marks: &mut Marks) -> Response {
    let snapshot = api.snapshots.load_full();
    let services = wanted.services(&snapshot);
    let envelope = FoundInstances {
        instances: Vec::new(),
        next: marks.of(&services),
        generation: wire::generation(snapshot.generation),
        epoch: wire::epoch(snapshot.epoch),
    };
    let of_service = |service: &Arc<Service>| {
        let name = ServiceName::from(service.definition.service.as_str());
        let found = |one: &Arc<Instance>| (name.clone(), Arc::clone(one));
        service.instances.iter().map(found).collect::<Vec<_>>()
    };
    let found: Vec<_> = services.into_iter().flat_map(of_service).collect();
    listing::list(&envelope, "instances", found.into_iter().map(|(service, instance)| show(service, &instance)))
}

fn show(service: ServiceName, instance: &Instance) -> FoundInstance {
    let shown = views::instance(instance);
    FoundInstance {
        service,
        instance: shown.instance,
        url: shown.url,
        addresses: shown.addresses,
        protocol: shown.protocol,
        tls_name: shown.tls_name,
        status: shown.status,
        draining: shown.draining,
        weight: shown.weight,
        region: shown.region,
        country: shown.country,
        document: shown.document,
    }
}

/// `GET /internal/nodes`
pub(super) async fn nodes(State(api): State<Arc<Api>>, Extension(source): Extension<Source>) -> Json<nodes::Nodes> {
    // Services ask here too, often, and are told nothing of keys, tokens and issues.
    Json(all_nodes(&api, source.may(Role::Read)).await)
}

/// The gateways, and for operators the cluster.
pub(super) async fn all_nodes(api: &Api, is_operator: bool) -> nodes::Nodes {
    let looked = if is_operator { cluster::look(api).await } else { None };
    let (cluster, cluster_error) = match looked.transpose() {
        Ok(cluster) => (cluster, None),
        Err(why) => (None, Some(why)),
    };
    let nodes = api.nodes.list();
    let show = |(at, node): (usize, &Node)| nodes::Node {
        id: node.id.to_string(),
        name: node.name.clone(),
        version: node.version.clone(),
        internal: node.internal.as_ref().map(origin),
        this: at == 0,
    };
    nodes::Nodes { nodes: nodes.iter().enumerate().map(show).collect(), cluster, cluster_error }
}

/// With its port, whichever that is.
pub(super) fn origin(url: &model::UpstreamUrl) -> String {
    match (url.scheme, url.port) {
        (Scheme::Http, 80) | (Scheme::Https, 443) => format!("{url}:{}", url.port),
        (Scheme::Http | Scheme::Https, _) => url.to_string(),
    }
}
