//! `GET /internal/export` and `POST /internal/apply`: what operators make at run time, as a file.

mod body;
mod views;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use furt_api::desired::{Applied, Exported};
use furt_api::{Code, Outcome};

use super::Api;
use super::commands::{ApiResult, ask, check_staying, json_body, unexpected};
use super::listener::{BodyTooLarge, MAX_LARGE_BODY};
use super::problem::Problem;
use super::query::Parameters;
use crate::clock;
use crate::published::Published;
use crate::wire;
use furt_core::model::{Actor, AuthMethods, Sha256Digest};
use furt_core::registry::{Answer, ApplyAnswer, ApplyCommand, DesiredState, Event, Refusal, Source, differences};

/// Digits of a revision: two states have the same one by chance once in 2^64.
const REVISION_DIGITS: usize = 16;
/// In the place of a revision where something else has changed already; no state has it.
const CHANGED: &str = "changed";
/// How often what was looked at is looked at again, where something else changed.
const TRIES: usize = 3;

/// `GET /internal/export`
pub(super) async fn export(State(api): State<Arc<Api>>) -> ApiResult<Exported> {
    let published = api.snapshots.load_full();
    apart(move || Ok(Json(exported(&published)))).await
}

/// `POST /internal/apply?dry_run=B&in_parts=B&revision=R`
pub(super) async fn apply(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    too_large: Option<Extension<BodyTooLarge>>,
    headers: HeaderMap,
    mut parameters: Parameters,
    body: Bytes,
) -> ApiResult<Applied> {
    let is = |parameters: &mut Parameters, name| {
        parameters.parsed(name, "must be true or false", |text| text.parse::<bool>().ok()).unwrap_or_default()
    };
    let (is_dry, in_parts) = (is(&mut parameters, "dry_run"), is(&mut parameters, "in_parts"));
    let revision = parameters.text("revision");
    parameters.finish()?;
    if too_large.is_some() {
        let detail = format!("the body is larger than {MAX_LARGE_BODY} bytes");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, Code::TooLarge, detail));
    }
    check_staying(&api)?;
    let published = api.snapshots.load_full();
    let desired = apart(move || {
        let auth_fault = |methods: &AuthMethods| published.config.unknown_provider(methods);
        let body = json_body(false, &headers, &body)?;
        body::read(body, &auth_fault).map(Arc::new).map_err(Problem::invalid_fields)
    })
    .await?;
    let by = source.actor();
    let done = match (is_dry, revision) {
        (true, expected) => compare(api.snapshots.load_full(), desired, by, expected).await,
        (false, Some(expected)) => apply_to(&api, &expected, &desired, &by, in_parts).await,
        (false, None) => match command(&api, &by, ApplyCommand { desired, seen: None, in_parts }).await {
            Ok(answer) => applied(&api, answer).await,
            Err(problem) => Err(problem),
        },
    };
    // The driver tells of no refusal of a file.
    done.map_err(Problem::unreported)
}

/// Says what differs, and changes nothing.
///
/// # Errors
/// What is there is not what was looked at before, or what is desired cannot be.
async fn compare(
    published: Arc<Published>,
    desired: Arc<DesiredState>,
    by: Actor,
    expected: Option<String>,
) -> ApiResult<Applied> {
    apart(move || {
        let revision = exported(&published).revision;
        if expected.is_some_and(|expected| expected != revision) {
            return Err(Refusal::ChangedSince.into());
        }
        let steps = differences(&published, &desired, &by, clock::unix_ms())?;
        let changes: Vec<_> = steps.iter().flatten().map(views::change).collect();
        let status = if changes.is_empty() { Outcome::Unchanged } else { Outcome::Compared };
        let generation = wire::generation(published.generation);
        Ok(Json(Applied { status, changes, left: 0, revision, generation }))
    })
    .await
}

/// Changes what was looked at before, and nothing else.
async fn apply_to(
    api: &Api,
    expected: &str,
    desired: &Arc<DesiredState>,
    by: &Actor,
    in_parts: bool,
) -> ApiResult<Applied> {
    for _ in 0..TRIES {
        let published = api.snapshots.load_full();
        let seen = Some(published.generation);
        let revision = apart(move || Ok(exported(&published).revision)).await?;
        if revision != expected {
            break;
        }
        match command(api, by, ApplyCommand { desired: Arc::clone(desired), seen, in_parts }).await {
            // What it was may be there again, and something that is no part of it changes the generation as well.
            Err(problem) if problem.is(Code::ChangedSince) => {}
            Err(problem) => return Err(problem),
            Ok(answer) => return applied(api, answer).await,
        }
    }
    Err(Refusal::ChangedSince.into())
}

/// Away from the threads that answer: a file may have as many keys as there may be.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> Result<T, Problem> + Send + 'static) -> Result<T, Problem> {
    let broken_off = |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, "the work broke off");
    tokio::task::spawn_blocking(work).await.map_err(broken_off)?
}

fn exported(published: &Published) -> Exported {
    let state = views::state(&DesiredState::of(published, clock::unix_ms()));
    // Texts, numbers and lists of them always serialize.
    let text = serde_json::to_vec(&state).unwrap_or_default();
    let mut revision = Sha256Digest::of(&text).to_string();
    revision.truncate(REVISION_DIGITS);
    Exported { revision, state }
}

async fn applied(api: &Api, answer: ApplyAnswer) -> ApiResult<Applied> {
    let ApplyAnswer { done, left, generation } = answer;
    let published = api.snapshots.load_full();
    apart(move || {
        let changes: Vec<_> = done.iter().map(views::change).collect();
        let status = if changes.is_empty() { Outcome::Unchanged } else { Outcome::Applied };
        // Something else may have changed by now, which nobody has looked at.
        let is_other = published.operated > generation;
        let revision = if is_other { CHANGED.to_owned() } else { exported(&published).revision };
        Ok(Json(Applied { status, changes, left, revision, generation: wire::generation(generation) }))
    })
    .await
}

async fn command(api: &Api, by: &Actor, command: ApplyCommand) -> Result<ApplyAnswer, Problem> {
    let by = by.clone();
    match ask(api, move |reply| Event::ApplyRequested { command, by, reply }).await? {
        Answer::Applied(answer) => Ok(answer),
        other => Err(unexpected(&other)),
    }
}
