//! `POST …/instances/{id}/probe`: probes at once.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use furt_api::Outcome;
use furt_api::registration::Probing;

use super::Api;
use super::audit::{self, Asked};
use super::commands::{ask, instance, unexpected};
use super::problem::Problem;
use crate::wire;
use furt_core::model::Order;
use furt_core::registry::{Answer, Event, Source};

/// `POST /internal/services/{service}/instances/{id}/probe`
pub(super) async fn probe(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    Path((service, id)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let instance = instance(&service, &id)?;
    let (of, one) = (Some(instance.service.clone()), Some(instance.id.clone()));
    audit::note(&api, &source, Asked { service: of, instance: one, ..Asked::of(Order::Probe) }).await;
    match ask(&api, |reply| Event::ProbeRequested(instance, source, reply)).await? {
        Answer::Probing { status } => {
            let (service, instance, health) = (service.into(), id.into(), wire::status(status));
            let body = Probing { status: Outcome::Probing, service, instance, health };
            Ok((StatusCode::ACCEPTED, Json(body)).into_response())
        }
        other => Err(unexpected(&other)),
    }
}
