//! Settings of the cluster and of its nodes: what is set, and changing it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::{Extension, Json};
use furt_api::cluster::ScopeSettings;
use furt_api::settings::{SetSettings, Settings, SettingsDocument, TargetOutcome, TargetResult, Told};
use furt_api::{Ordered, Outcome};
use furt_cluster::model::{Fingerprint, Restart, Scope, UpdateResult};
use furt_cluster::{Answer, NodeView, Outcome as Fared};
use serde_json::Value;

use super::super::Api;
use super::super::commands::{ApiResult, json_body};
use super::super::listener::BodyTooLarge;
use super::Problem;
use super::body::{self, ChangedSettings, Targets};
use super::naming::{self, Names};
use super::{asks, in_time, refusing, showing, taking_part, unexpected, within};
use crate::cluster::{KnownSettings, SettingsChange};
use crate::wire;
use furt_core::registry::Source;

/// How long a change may take: 10 s for the nodes to check it, 30 s for the arbiter, 10 s to put it in force, and the time in between.
const SET_TIMEOUT: Duration = Duration::from_secs(60);
/// How much longer for each node that may restart.
const RESTART_TIMEOUT: Duration = Duration::from_secs(60);

/// `GET /internal/cluster/settings`
pub(in super::super) async fn settings(State(api): State<Arc<Api>>) -> ApiResult<Settings> {
    let cluster = taking_part(&api)?;
    let shown = in_time(cluster.look()).await?;
    let own = shown.view.nodes.iter().find(|node| node.is_self).map(|node| node.fingerprint.to_string());
    let documents = in_time(cluster.documents()).await?;
    // The view always has this node.
    Ok(Json(Settings { fingerprint: own.unwrap_or_default(), settings: documents.iter().map(document).collect() }))
}

fn document(known: &KnownSettings) -> SettingsDocument {
    let ScopeSettings { node, id } = showing::scope_settings(known.scope, &known.id);
    SettingsDocument {
        node,
        id,
        latest: known.is_latest,
        applied: known.is_applied,
        applied_at: known.applied_ms.map(wire::time),
        text: known.text.clone(),
        values: known.text.as_deref().map(values),
    }
}

/// The keys of a document, by their full names.
fn values(text: &str) -> Ordered<Value> {
    let tables: toml::Table = text.parse().unwrap_or_default();
    let keys = tables.into_iter().flat_map(|(table, keys)| match keys {
        toml::Value::Table(keys) => {
            keys.into_iter().map(|(key, value)| (format!("{table}.{key}"), json(value))).collect()
        }
        value => vec![(table, json(value))],
    });
    keys.collect()
}

fn json(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(truth) => truth.into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(values) => values.into_iter().map(json).collect(),
        toml::Value::Table(table) => Value::Object(table.into_iter().map(|(key, value)| (key, json(value))).collect()),
    }
}

/// `POST /internal/cluster/settings`: all nodes that are meant check the change first.
pub(in super::super) async fn set_settings(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    too_large: Option<Extension<BodyTooLarge>>,
    headers: HeaderMap,
    body: Bytes,
) -> ApiResult<SetSettings> {
    let cluster = taking_part(&api)?;
    let body = json_body(too_large.is_some(), &headers, &body)?;
    let ChangedSettings { to, set, unset, expect, agreement, restart } =
        body::changed_settings(body).map_err(Problem::invalid_fields)?;
    let nodes = in_time(cluster.look()).await?.view.nodes;
    let scopes = scopes(&nodes, &to)?;
    let whose = scopes.iter().map(|scope| format!("{scope:?}")).collect::<Vec<_>>().join(", ");
    asks(&api, &source, &format!("settings of {whose}: {} set, {} unset", set.len(), unset.len())).await;
    let restarts = match (restart, &to) {
        (Restart::Never, _) => 0,
        (Restart::OneByOne, Targets::Nodes(_)) => 1,
        (Restart::OneByOne, Targets::All) => nodes.iter().filter(|node| node.standing.is_approved()).count(),
    };
    let limit = SET_TIMEOUT + RESTART_TIMEOUT * u32::try_from(restarts).unwrap_or(u32::MAX);
    let change = SettingsChange { scopes, set, unset, expect, agreement, restart };
    match within(limit, cluster.set(change)).await?.map_err(|why| refusing::of_settings(why, &nodes))? {
        Answer::Set { documents, outcomes } => Ok(Json(SetSettings {
            status: Outcome::Set,
            documents: documents.iter().map(|(scope, id)| showing::scope_settings(*scope, id)).collect(),
            outcomes: outcomes.into_iter().map(|(key, fared)| outcome(&nodes, key, fared)).collect(),
        })),
        other => Err(unexpected(&other)),
    }
}

/// Whose settings are meant. Names count among approved nodes alone: a stranger can have no settings, whatever it calls itself.
fn scopes(nodes: &[NodeView], to: &Targets) -> Result<Vec<Scope>, Problem> {
    let Targets::Nodes(named) = to else { return Ok(vec![Scope::Cluster]) };
    let approved: Vec<_> = nodes.iter().filter(|node| node.standing.is_approved()).cloned().collect();
    let keys = named.iter().map(|text| naming::find(&approved, text, Names::Taken));
    // One node may be named twice.
    let keys: BTreeSet<Fingerprint> = keys.collect::<Result<_, _>>()?;
    Ok(keys.into_iter().map(Scope::Node).collect())
}

fn outcome(nodes: &[NodeView], key: Fingerprint, fared: Fared) -> TargetOutcome {
    let (result, errors, told) = match fared {
        Fared::Told(result) => match &result.status {
            Ok(()) => (TargetResult::Success, Vec::new(), Some(told(&result))),
            Err(why) => (TargetResult::Failed, vec![why.to_string()], Some(told(&result))),
        },
        Fared::Seen => (TargetResult::Seen, Vec::new(), None),
        Fared::Disagreed(why) => (TargetResult::Disagreed, refusing::errors_of(&why), None),
        Fared::NoAnswer => (TargetResult::NoAnswer, Vec::new(), None),
        Fared::Waiting => (TargetResult::Waiting, Vec::new(), None),
        Fared::Away => (TargetResult::Away, Vec::new(), None),
    };
    TargetOutcome { fingerprint: key.to_string(), name: refusing::name_of(nodes, &key), result, errors, told }
}

fn told(result: &UpdateResult) -> Told {
    let (status, error) = match &result.status {
        Ok(()) => ("success", None),
        Err(why) => ("failed", Some(why.to_string())),
    };
    Told {
        action: result.action.to_string(),
        status: status.to_owned(),
        detail: result.detail.as_ref().map(ToString::to_string),
        error,
        node: result.node.to_string(),
        timestamp: wire::time(result.at_ms),
        generation: result.generation,
    }
}
