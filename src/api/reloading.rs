//! `POST /internal/reload`: asks for the configuration to be read again, and tells what came of it.
//!
//! Who reads it is `app`; it is reached through [`Reloads`], and tells everyone who waits the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use furt_api::problem::ProblemError;
use furt_api::reload::{self, BlockedService, NeedsRestart, SkippedRule};
use furt_api::{Code, Outcome};
use tokio::sync::{mpsc, oneshot};

use super::Api;
use super::audit::{self, Asked};
use super::commands::ApiResult;
use super::problem::Problem;
use crate::config::{ConfigErrors, SourceLocation};
use crate::driver::DriverGone;
use crate::wire;
use furt_core::model::{Generation, Order, ServiceName};
use furt_core::registry::{self, Source};

/// Callers that may wait at once; they share the next reload.
const MAX_WAITING: usize = 64;
/// How long one waits: a file of 64 MiB is read in less.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Errors that are told one by one: a file that is no configuration at all has one in each line.
const MAX_TOLD: usize = 100;

/// A reload that was done.
#[derive(Debug, Clone)]
pub struct Reloaded {
    /// The change.
    pub generation: Generation,
    /// Keys that changed and are in force.
    pub changed: Vec<&'static str>,
    /// Keys that changed and are not in force before the next start, and where they stand; `None`: at their default.
    pub needs_restart: BTreeMap<&'static str, Option<SourceLocation>>,
    /// Services that are kept and not routed, and why.
    pub blocked: Vec<(ServiceName, Arc<str>)>,
    /// Rules that are skipped for a route, and the line of each.
    pub skipped_rules: Vec<(usize, registry::SkippedRule)>,
}

/// Why nothing was changed.
#[derive(Debug, Clone)]
pub enum ReloadError {
    /// The configuration is not good.
    Refused(ConfigErrors),
    /// furt is stopping.
    Stopping,
}

/// What came of a reload.
pub type ReloadOutcome = Arc<Result<Reloaded, ReloadError>>;

/// Someone who waits for a reload.
pub type ReloadWaiting = oneshot::Sender<ReloadOutcome>;

/// A way to ask for a reload.
#[derive(Clone)]
pub struct Reloads(mpsc::Sender<ReloadWaiting>);

impl Reloads {
    /// The way, and its end, from where everyone who waits is to be answered.
    pub fn channel() -> (Self, mpsc::Receiver<ReloadWaiting>) {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        (Self(sender), receiver)
    }

    async fn ask(&self) -> Result<ReloadOutcome, Problem> {
        let (answer, waiting) = oneshot::channel();
        self.0.try_send(answer).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => {
                let detail = "too many wait for a reload; it is done all the same";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, Code::Busy, detail)
            }
            mpsc::error::TrySendError::Closed(_) => DriverGone.into(),
        })?;
        match tokio::time::timeout(ANSWER_TIMEOUT, waiting).await {
            Ok(answered) => answered.map_err(|_| DriverGone.into()),
            Err(_) => {
                let detail = "the reload is still under way; the log tells what comes of it";
                Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, Code::Busy, detail))
            }
        }
    }
}

/// `POST /internal/reload`
pub(super) async fn reload(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    body: Bytes,
) -> ApiResult<reload::Reloaded> {
    if !body.is_empty() {
        // Who sends a configuration must not believe that it is in force.
        let detail = "this takes no body: the file that furt was started with is read again";
        return Err(Problem::new(StatusCode::BAD_REQUEST, Code::UnexpectedBody, detail));
    }
    if api.readiness.is_stopping() {
        return Err(DriverGone.into());
    }
    log::info!("a reload is asked for from {}", source.actor());
    audit::note(&api, &source, Asked::of(Order::Reload)).await;
    match &*api.reloads.ask().await? {
        Ok(reloaded) => Ok(Json(describe(reloaded))),
        Err(ReloadError::Refused(errors)) => Err(refused(errors)),
        Err(ReloadError::Stopping) => Err(DriverGone.into()),
    }
}

fn describe(reloaded: &Reloaded) -> reload::Reloaded {
    let needs_restart = reloaded
        .needs_restart
        .iter()
        .map(|(key, at)| NeedsRestart { place: at.as_ref().map(place).unwrap_or_default(), key: (*key).to_owned() });
    let blocked = reloaded
        .blocked
        .iter()
        .map(|(service, why)| BlockedService { service: service.as_str().into(), why: why.to_string() });
    let skipped_rules = reloaded.skipped_rules.iter().map(|(line, one)| SkippedRule {
        line: *line,
        route: one.route.clone(),
        service: one.service.as_ref().map(|service| service.as_str().into()),
        why: one.why.to_string(),
    });
    reload::Reloaded {
        status: Outcome::Reloaded,
        generation: wire::generation(reloaded.generation),
        changed: reloaded.changed.iter().map(|key| (*key).to_owned()).collect(),
        needs_restart: needs_restart.collect(),
        blocked: blocked.collect(),
        skipped_rules: skipped_rules.collect(),
    }
}

fn refused(errors: &ConfigErrors) -> Problem {
    let told = errors.iter().take(MAX_TOLD);
    let told = told.map(|error| ProblemError::config(place(&error.location), &*error.key, &*error.message)).collect();
    let detail = match errors.count() {
        1 => format!("{errors}; nothing has changed"),
        count @ 2..=MAX_TOLD => format!("the configuration has {count} errors; nothing has changed"),
        count => format!("the configuration has {count} errors, of which {MAX_TOLD} are told; nothing has changed"),
    };
    Problem::invalid_config(detail, told)
}

fn place(location: &SourceLocation) -> reload::Place {
    let nowhere = reload::Place::default();
    match location {
        SourceLocation::File { file } => reload::Place { file: Some(file.clone()), ..nowhere },
        SourceLocation::Position { file, line, column } => {
            reload::Place { file: Some(file.clone()), line: Some(*line), column: Some(*column), ..nowhere }
        }
        SourceLocation::Variable { name } => reload::Place { variable: Some(name.clone()), ..nowhere },
    }
}
