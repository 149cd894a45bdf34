//! What is registered as a tree of keys. It has the instances that furt itself would send requests to: none that is DOWN or
//! draining, and none of a suspended service.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};

use super::super::lookup;
use super::super::problem::Problem;
use super::errors::EtcdError;
use super::key::{self, Key, Name};
use crate::clock;
use furt_core::model::{Generation, Status, UpstreamHost, UpstreamUrl};
use furt_core::routing::{Instance, Service, Snapshot};

/// How far down a folder is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    One,
    All,
}

/// A key: a folder, or a file with a value.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Node {
    key: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dir: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<Vec<Node>>,
    modified_index: u64,
    created_index: u64,
}

/// What is at a key; `None`: nothing.
///
/// # Errors
/// The key may mean several services.
pub(super) fn node(snapshot: &Snapshot, key: &Key, depth: Depth) -> Result<Option<Node>, Problem> {
    if let Some(namespace) = key.namespace() {
        return Ok(all(snapshot, &namespace, key.text(), depth));
    }
    if let Some(name) = key.name()
        && let Some(service) = one(&name, snapshot)?
    {
        return Ok(of_service(snapshot, service, &name.namespace, key.text()));
    }
    let Ok(place) = key.instance() else { return Ok(None) };
    let found = super::find(snapshot, &place.candidates(snapshot), &place.id);
    let found = found.filter(|(service, instance)| service.suspended.is_none() && is_asked(instance));
    Ok(found.map(|(service, instance)| leaf(service, instance, &place.namespace, key.text(), snapshot.generation)))
}

/// The one service that a name means.
///
/// # Errors
/// It means several.
fn one<'a>(name: &Name, snapshot: &'a Snapshot) -> Result<Option<&'a Arc<Service>>, Problem> {
    match name.candidates(snapshot).as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        [one, other, ..] => {
            let cause = format!(
                "the services \"{}\" and \"{}\" are both written as \"{}\" in a key: rename one of them, or look it up by \
                 /internal/instances",
                one.definition.service, other.definition.service, name.segment
            );
            Err(EtcdError::InvalidField.with(StatusCode::BAD_REQUEST, cause))
        }
    }
}

/// The services of a namespace.
fn all(snapshot: &Snapshot, namespace: &str, key: &str, depth: Depth) -> Option<Node> {
    let mut folders = BTreeMap::<String, Node>::new();
    for service in lookup::within(snapshot, namespace) {
        let segment = key::folded(key::rest(service, namespace));
        let at = format!("{key}/{segment}");
        let Some(node) = of_service(snapshot, service, namespace, &at) else { continue };
        match folders.get_mut(&segment) {
            // Of several services that are written alike each instance says whose it is.
            Some(folder) => folder.nodes.get_or_insert_default().extend(node.nodes.unwrap_or_default()),
            None => _ = folders.insert(segment, node),
        }
    }
    if folders.is_empty() {
        return None;
    }
    let nodes = folders.into_values().map(|node| match depth {
        Depth::One => Node { nodes: None, ..node },
        Depth::All => node,
    });
    Some(folder(key, nodes.collect(), snapshot.generation))
}

/// The instances of a service.
fn of_service(snapshot: &Snapshot, service: &Service, namespace: &str, key: &str) -> Option<Node> {
    let asked = service.instances.iter().filter(|one| service.suspended.is_none() && is_asked(one));
    let leaf =
        |one: &Arc<Instance>| leaf(service, one, namespace, &format!("{key}/{}", one.spec.id), snapshot.generation);
    let nodes: Vec<_> = asked.map(leaf).collect();
    (!nodes.is_empty()).then(|| folder(key, nodes, snapshot.generation))
}

fn is_asked(instance: &Instance) -> bool {
    instance.status != Status::Down && !instance.live.is_draining()
}

fn folder(key: &str, nodes: Vec<Node>, generation: Generation) -> Node {
    let index = super::index(generation);
    Node {
        key: key.to_owned(),
        dir: true,
        value: None,
        expiration: None,
        ttl: None,
        nodes: Some(nodes),
        modified_index: index,
        created_index: index,
    }
}

/// An instance.
pub(super) fn leaf(service: &Service, instance: &Instance, namespace: &str, key: &str, generation: Generation) -> Node {
    let ttl_ms = instance.live.ttl_ms.load(Ordering::Relaxed);
    let until_ms = instance.live.heard_ms.load(Ordering::Relaxed).saturating_add_unsigned(ttl_ms);
    file(key, value(service, instance, namespace), (ttl_ms > 0).then_some(until_ms), generation)
}

/// A key with a value, which is gone at this time (Unix ms).
pub(super) fn file(key: &str, value: String, until_ms: Option<i64>, generation: Generation) -> Node {
    let index = super::index(generation);
    let left = |until_ms: i64| u64::try_from(until_ms - clock::unix_ms()).unwrap_or(0).div_ceil(1000);
    Node {
        key: key.to_owned(),
        dir: false,
        value: Some(value),
        expiration: until_ms.map(clock::rfc3339_ms),
        ttl: until_ms.map(left),
        nodes: None,
        modified_index: index,
        created_index: index,
    }
}

/// The instance's document. Five fields are always there, as the package writes them: those that it lacks are made of the
/// url, and name and url are the registered ones.
fn value(service: &Service, instance: &Instance, namespace: &str) -> String {
    let url = &instance.spec.url;
    let mut fields = instance.spec.document.as_ref().map(|document| document.fields()).unwrap_or_default();
    fields.insert("name".to_owned(), key::rest(service, namespace).into());
    let hostname = hostname(url);
    let mut add = |name: &str, value: Value| _ = fields.entry(name).or_insert(value);
    add("port", url.port.into());
    add("hostname", hostname.as_str().into());
    add("host", format!("{hostname}:{}", url.port).into());
    if !says(&fields, url) {
        fields.insert("url".to_owned(), url.to_string().into());
    }
    Value::Object(fields).to_string()
}

/// Whether its `url` is the registered one, be it written otherwise.
fn says(fields: &Map<String, Value>, url: &UpstreamUrl) -> bool {
    let own = fields.get("url").and_then(Value::as_str).and_then(|text| UpstreamUrl::try_new(text).ok());
    own.as_ref() == Some(url)
}

fn hostname(url: &UpstreamUrl) -> String {
    match &url.host {
        UpstreamHost::Address(std::net::IpAddr::V6(address)) => format!("[{address}]"),
        UpstreamHost::Address(std::net::IpAddr::V4(address)) => address.to_string(),
        UpstreamHost::Name(name) => name.to_string(),
    }
}
