//! What the cluster refuses, as it is answered.

use axum::http::StatusCode;
use furt_api::Code;
use furt_api::problem::ProblemError;
use furt_cluster::model::Fingerprint;
use furt_cluster::{CheckFailure, NodeView, Refusal};

use super::super::fields::FieldError;
use super::Problem;
use crate::cluster::Failure;

pub(super) fn problem(failure: Failure) -> Problem {
    match failure {
        Failure::Refused(refusal) => refused(&refusal),
        Failure::Token(detail) => Problem::invalid_fields(vec![FieldError { pointer: "/token".to_owned(), detail }]),
        Failure::Settings(faults) => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, Code::InvalidConfig, faults.join("; "))
        }
        Failure::Unavailable(detail) => Problem::cluster_unavailable(detail),
    }
}

/// The same of a change of settings: what is wrong at each node.
pub(super) fn of_settings(failure: Failure, nodes: &[NodeView]) -> Problem {
    let Failure::Refused(refusal @ Refusal::Disagreed { disagree, silent }) = &failure else {
        return problem(failure);
    };
    let node = |key: &Fingerprint, why: &str| ProblemError::node(key.to_string(), name_of(nodes, key), why);
    let wrong = disagree.iter().flat_map(|(key, why)| errors_of(why).into_iter().map(move |why| node(key, &why)));
    let silent = silent.iter().map(|key| node(key, "did not answer whether it agrees"));
    let errors: Vec<_> = wrong.chain(silent).collect();
    let detail = match errors.as_slice() {
        [one] => format!(
            "{refusal}: {}: {}",
            one.name.as_ref().or(one.fingerprint.as_ref()).map_or("", |name| name),
            one.detail
        ),
        _ => refusal.to_string(),
    };
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, Code::InvalidConfig, detail).with(|body| body.errors = Some(errors))
}

/// What a node calls itself.
pub(super) fn name_of(nodes: &[NodeView], key: &Fingerprint) -> Option<String> {
    nodes.iter().find(|node| node.fingerprint == *key)?.name.as_ref().map(ToString::to_string)
}

/// What is wrong at a node, a sentence each.
pub(super) fn errors_of(failure: &CheckFailure) -> Vec<String> {
    match failure {
        CheckFailure::Wrong(errors) => errors.iter().map(ToString::to_string).collect(),
        CheckFailure::Outdated(generation) => vec![format!("it has generation {generation} already; try again")],
        CheckFailure::Busy => vec!["it checks too many settings already; try again".to_owned()],
    }
}

fn refused(refusal: &Refusal) -> Problem {
    let detail = refusal.to_string();
    let (status, code) = match refusal {
        Refusal::Busy => return Problem::busy(&detail),
        Refusal::BusDown | Refusal::NoArbiter(_) => return Problem::cluster_unavailable(detail),
        Refusal::NotCommander => (StatusCode::FORBIDDEN, Code::NotCommander),
        Refusal::NoSuchToken | Refusal::Unknown(_) | Refusal::NoSuchSecret => (StatusCode::NOT_FOUND, Code::NotFound),
        Refusal::Unjoined
        | Refusal::Joined(_)
        | Refusal::Revoked(_)
        | Refusal::Approved(_)
        | Refusal::Indispensable(_)
        | Refusal::Full
        | Refusal::NoSecret
        | Refusal::RotationRuns(_)
        | Refusal::SettingsRun(_)
        | Refusal::Split(_)
        | Refusal::UpdateRuns(_) => (StatusCode::CONFLICT, Code::ClusterConflict),
        Refusal::Outdated { .. } | Refusal::SecretTaken(_) => (StatusCode::PRECONDITION_FAILED, Code::Outdated),
        Refusal::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, Code::InvalidFields),
        Refusal::Disagreed { .. } => (StatusCode::UNPROCESSABLE_ENTITY, Code::InvalidConfig),
    };
    Problem::new(status, code, detail)
}
