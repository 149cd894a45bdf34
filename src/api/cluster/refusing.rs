//! What the cluster refuses, as it is answered.

use axum::http::StatusCode;
use furt_api::Code;
use furt_cluster::Refusal;

use super::super::fields::FieldError;
use super::Problem;
use crate::cluster::Failure;

pub(super) fn problem(failure: Failure) -> Problem {
    match failure {
        Failure::Refused(refusal) => refused(&refusal),
        Failure::Token(detail) => Problem::invalid_fields(vec![FieldError { pointer: "/token".to_owned(), detail }]),
        Failure::Unavailable(detail) => Problem::cluster_unavailable(detail),
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
        | Refusal::Split(_)
        | Refusal::UpdateRuns(_) => (StatusCode::CONFLICT, Code::ClusterConflict),
        Refusal::Outdated { .. } | Refusal::SecretTaken(_) => (StatusCode::PRECONDITION_FAILED, Code::Outdated),
        Refusal::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, Code::InvalidFields),
        Refusal::Disagreed { .. } => (StatusCode::UNPROCESSABLE_ENTITY, Code::InvalidConfig),
    };
    Problem::new(status, code, detail)
}
