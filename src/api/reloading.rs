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
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};

use super::Api;
use super::problem::Problem;
use crate::config::{ConfigErrors, SourceLocation};
use crate::driver::DriverGone;
use furt_core::model::{Generation, ServiceName};
use furt_core::registry::Source;

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
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail)
            }
            mpsc::error::TrySendError::Closed(_) => DriverGone.into(),
        })?;
        match tokio::time::timeout(ANSWER_TIMEOUT, waiting).await {
            Ok(answered) => answered.map_err(|_| DriverGone.into()),
            Err(_) => {
                let detail = "the reload is still under way; the log tells what comes of it";
                Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail))
            }
        }
    }
}

/// `POST /internal/reload`
pub(super) async fn reload(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    if !body.is_empty() {
        // Who sends a configuration must not believe that it is in force.
        let detail = "this takes no body: the file that furt was started with is read again";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "unexpected-body", detail));
    }
    if !api.readiness.get() {
        return Err(DriverGone.into());
    }
    log::info!("a reload is asked for from {}", source.address);
    match &*api.reloads.ask().await? {
        Ok(reloaded) => Ok(Json(describe(reloaded))),
        Err(ReloadError::Refused(errors)) => Err(refused(errors)),
        Err(ReloadError::Stopping) => Err(DriverGone.into()),
    }
}

fn describe(reloaded: &Reloaded) -> Value {
    let needs_restart =
        reloaded.needs_restart.iter().map(|(key, place)| with_place(place.as_ref(), json!({ "key": key })));
    let blocked = reloaded.blocked.iter().map(|(service, why)| json!({ "service": service.as_str(), "why": &**why }));
    json!({
        "status": "reloaded",
        "generation": reloaded.generation.0,
        "changed": reloaded.changed,
        "needs_restart": needs_restart.collect::<Vec<_>>(),
        "blocked": blocked.collect::<Vec<_>>(),
    })
}

fn refused(errors: &ConfigErrors) -> Problem {
    let told: Vec<_> = errors
        .iter()
        .take(MAX_TOLD)
        .map(|error| with_place(Some(&error.location), json!({ "key": error.key, "detail": error.message })))
        .collect();
    let detail = match errors.count() {
        1 => format!("{errors}; nothing has changed"),
        count @ 2..=MAX_TOLD => format!("the configuration has {count} errors; nothing has changed"),
        count => format!("the configuration has {count} errors, of which {MAX_TOLD} are told; nothing has changed"),
    };
    Problem::invalid_config(detail, told)
}

/// The members of a place, as far as they are known, before `members`.
fn with_place(place: Option<&SourceLocation>, members: Value) -> Value {
    let mut shown = Map::new();
    match place {
        Some(SourceLocation::File { file }) => _ = shown.insert("file".to_owned(), file.as_str().into()),
        Some(SourceLocation::Position { file, line, column }) => {
            shown.insert("file".to_owned(), file.as_str().into());
            shown.insert("line".to_owned(), (*line).into());
            shown.insert("column".to_owned(), (*column).into());
        }
        Some(SourceLocation::Variable { name }) => _ = shown.insert("variable".to_owned(), name.as_str().into()),
        None => {}
    }
    if let Value::Object(members) = members {
        shown.extend(members);
    }
    shown.into()
}
