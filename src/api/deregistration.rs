//! Deregistering and draining: `DELETE` of a service or an instance, and `POST` and `DELETE` of a drain.
//!
//! What is asked is done at once, whether or not the caller waits for it; a wait only says when nothing is in flight any
//! more, or that the drain ended meanwhile.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use furt_api::Outcome;
use furt_api::deregistration::Drained;

use super::Api;
use super::commands::{ApiResult, ask, instance, unexpected, unknown};
use super::problem::Problem;
use super::query::Parameters;
use super::waiting::{self, MAX_DRAIN_SECONDS};
use crate::wire;
use furt_core::model::{DrainUntil, Generation, Incarnation, InstanceId, ServiceName};
use furt_core::registry::{Answer, Deregistration, Drain, DrainCommand, Event, InstanceRef, OnLastInstance, Source};
use furt_core::routing;

/// The instances that a path names: one, or all of a service.
#[derive(Clone)]
struct Target {
    service: ServiceName,
    instance: Option<InstanceId>,
    /// No other one is meant.
    incarnation: Option<Incarnation>,
}

impl Target {
    fn service(name: &str) -> Result<Self, Problem> {
        let service = ServiceName::try_new(name).map_err(|_| unknown(name))?;
        Ok(Self { service, instance: None, incarnation: None })
    }

    fn instance((service, id): &(String, String)) -> Result<Self, Problem> {
        let InstanceRef { service, id } = instance(service, id)?;
        Ok(Self { service, instance: Some(id), incarnation: None })
    }

    /// Takes the incarnation, which only an instance has.
    fn read(&mut self, parameters: &mut Parameters) {
        if self.instance.is_some() {
            self.incarnation = parameters.incarnation();
        }
    }

    fn shown(&self, status: Outcome, drained: &routing::Drained, in_flight: u64, generation: Generation) -> Drained {
        Drained {
            status,
            service: self.service.as_str().into(),
            instance: self.instance.as_ref().map(|instance| instance.as_str().into()),
            instances: drained.instances(),
            in_flight,
            until: drained.marks().map(|mark| mark.until).min().map(wire::drain_until),
            needs_undo: drained.marks().filter(|mark| mark.needs_undo()).count(),
            ended: 0,
            generation: wire::generation(generation),
        }
    }
}

/// `DELETE /internal/services/{service}/instances/{id}`
pub(super) async fn deregister_instance(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    Path(path): Path<(String, String)>,
    parameters: Parameters,
) -> ApiResult<Drained> {
    deregister(&api, source, Target::instance(&path)?, parameters).await
}

/// `DELETE /internal/services/{service}`
pub(super) async fn deregister_service(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    Path(service): Path<String>,
    parameters: Parameters,
) -> ApiResult<Drained> {
    deregister(&api, source, Target::service(&service)?, parameters).await
}

async fn deregister(api: &Api, source: Source, mut target: Target, mut parameters: Parameters) -> ApiResult<Drained> {
    target.read(&mut parameters);
    let wait = time_to_wait(parameters, "drain")?;
    let _permit = api.drain_waits.take(wait)?;
    let (service, instance, incarnation) =
        (target.service.clone(), target.instance.clone(), target.incarnation.clone());
    let on_last_instance = OnLastInstance::RemoveService;
    let command = Deregistration { service, instance, incarnation, on_last_instance, source };
    match ask(api, |reply| Event::DeregistrationRequested(command, reply)).await? {
        Answer::Deregistered { drained, generation, .. } => {
            let in_flight = waiting::until_idle(&drained, wait, &api.config().store, &api.readiness).await;
            let shown = target.shown(Outcome::Deregistered, &drained, in_flight, generation);
            // Whatever drained it went with it.
            Ok(Json(Drained { until: None, needs_undo: 0, ..shown }))
        }
        other => Err(unexpected(&other)),
    }
}

/// `POST /internal/services/{service}/instances/{id}/drain`
pub(super) async fn drain_instance(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    Path(path): Path<(String, String)>,
    parameters: Parameters,
) -> ApiResult<Drained> {
    drain(&api, source, Target::instance(&path)?, parameters).await
}

/// `POST /internal/services/{service}/drain`
pub(super) async fn drain_service(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    Path(service): Path<String>,
    parameters: Parameters,
) -> ApiResult<Drained> {
    drain(&api, source, Target::service(&service)?, parameters).await
}

async fn drain(api: &Api, source: Source, mut target: Target, mut parameters: Parameters) -> ApiResult<Drained> {
    target.read(&mut parameters);
    let rule = "must be registration, restart or undo";
    let until = parameters.parsed("until", rule, DrainUntil::from_name).unwrap_or_default();
    let wait = time_to_wait(parameters, "wait")?;
    let _permit = api.drain_waits.take(wait)?;
    let (drained, generation) = set_drain(api, source, &target, Drain::Begins(until)).await?;
    let in_flight = waiting::until_idle(&drained, wait, &api.config().store, &api.readiness).await;
    let shown = target.shown(Outcome::Draining, &drained, in_flight, generation);
    Ok(Json(Drained { ended: drained.ended(), ..shown }))
}

/// `DELETE /internal/services/{service}/instances/{id}/drain`
pub(super) async fn undo_drain_of_instance(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    Path(path): Path<(String, String)>,
    parameters: Parameters,
) -> ApiResult<Drained> {
    undo_drain(&api, source, Target::instance(&path)?, parameters).await
}

/// `DELETE /internal/services/{service}/drain`
pub(super) async fn undo_drain_of_service(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    Path(service): Path<String>,
    parameters: Parameters,
) -> ApiResult<Drained> {
    undo_drain(&api, source, Target::service(&service)?, parameters).await
}

async fn undo_drain(api: &Api, source: Source, mut target: Target, mut parameters: Parameters) -> ApiResult<Drained> {
    target.read(&mut parameters);
    parameters.finish()?;
    let (ended, generation) = set_drain(api, source, &target, Drain::Ends).await?;
    Ok(Json(target.shown(Outcome::DrainEnded, &ended, ended.in_flight(), generation)))
}

async fn set_drain(
    api: &Api,
    source: Source,
    target: &Target,
    drain: Drain,
) -> Result<(routing::Drained, Generation), Problem> {
    let Target { service, instance, incarnation } = target.clone();
    let command = Box::new(DrainCommand { service, instance, incarnation, drain, source });
    match ask(api, |reply| Event::DrainRequested(command, reply)).await? {
        Answer::Drained { instances, generation } => Ok((instances, generation)),
        other => Err(unexpected(&other)),
    }
}

/// Checked before anything is done; by default nobody waits.
fn time_to_wait(mut parameters: Parameters, name: &str) -> Result<Duration, Problem> {
    let wait = parameters.seconds(name, MAX_DRAIN_SECONDS);
    parameters.finish()?;
    Ok(wait.unwrap_or_default())
}
