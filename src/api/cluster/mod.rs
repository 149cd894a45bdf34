//! Endpoints of the cluster, for operators with the token: each asks the cluster's driver and answers what that said.
//!
//! A join token is in the one answer to whom it was made for, and nowhere else: neither logged nor told in an error.

mod body;
mod naming;
mod refusing;
mod setting;
mod showing;
#[cfg(test)]
mod tests;
mod updating;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use furt_api::cluster::{
    AdoptedSecret, ApprovedNode, BeatsAsked, Cluster, DroppedToken, ForgottenNode, Founded, IssuedToken, Joining,
    RevokedNode, Rotating,
};
use furt_api::{Code, Outcome};
use furt_cluster::model::{Claim, ClusterId, SecretId, Standing, TokenId};
use furt_cluster::{Answer, Command, Refusal};
use serde_json::{Map, Value};
use uuid::Uuid;

pub(super) use setting::{set_settings, settings};

use super::Api;
use super::audit::{self, Asked};
use super::commands::{ANSWER_TIMEOUT, ApiResult, json_body};
use super::listener::BodyTooLarge;
use super::problem::Problem;
use crate::cluster::{Failure, Handle, Shown};
use crate::driver::DriverGone;
use crate::wire;
use furt_core::model::Order;
use furt_core::registry::Source;
use naming::Names;
pub(super) use updating::update;

/// The longest wait for what is shown: the list of gateways must not hang with it.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a rotation may take: 30 s for the arbiter, and the time beside it.
const ROTATE_TIMEOUT: Duration = Duration::from_secs(35);

/// What an operator is shown in `GET /internal/nodes`; `None`: there is no cluster.
///
/// # Errors
/// It cannot be shown, and why.
pub(super) async fn look(api: &Api) -> Option<Result<Cluster, String>> {
    let looking = tokio::time::timeout(LOOK_TIMEOUT, api.cluster.as_ref()?.look());
    Some(match looking.await {
        Ok(Ok(shown)) => Ok(showing::cluster(&shown)),
        Ok(Err(why)) => Err(why.to_string()),
        Err(_) => Err(format!("the cluster did not answer within {} s", LOOK_TIMEOUT.as_secs())),
    })
}

/// `POST /internal/cluster/init`: a new cluster, once; this node is its first commander.
pub(super) async fn init(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    body: Bytes,
) -> ApiResult<Founded> {
    let cluster = without_body(&api, &body)?;
    match command(&api, cluster, source, "a new cluster", Command::Init(ClusterId(Uuid::new_v4()))).await? {
        Answer::Founded(id, secret) => {
            Ok(Json(Founded { status: Outcome::Founded, cluster: id.to_string(), secret: showing::secret_id(&secret) }))
        }
        other => Err(unexpected(&other)),
    }
}

/// `POST /internal/cluster/join`
pub(super) async fn join(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    too_large: Option<Extension<BodyTooLarge>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let cluster = taking_part(&api)?;
    let body = json_body(too_large.is_some(), &headers, &body)?;
    let token = body::join(body).map_err(Problem::invalid_fields)?;
    asks(&api, &source, "joining by a token").await;
    match in_time(cluster.join(token)).await? {
        Answer::Joining => Ok((StatusCode::ACCEPTED, Json(Joining { status: Outcome::Joining })).into_response()),
        Answer::Done => Ok(Json(Joining { status: Outcome::Joined }).into_response()),
        other => Err(unexpected(&other)),
    }
}

/// `POST /internal/cluster/tokens`: a join token, shown this once. A body is not needed.
pub(super) async fn make_token(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    too_large: Option<Extension<BodyTooLarge>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let cluster = taking_part(&api)?;
    let body = optional_body(too_large.is_some(), &headers, &body)?;
    let body::NewToken { uses, ttl, role } = body::new_token(body).map_err(Problem::invalid_fields)?;
    asks(&api, &source, &format!("a token by which {uses} nodes may join, each as {role}")).await;
    let made = in_time(cluster.make_token(uses, ttl, role)).await?;
    let body = IssuedToken { id: made.id.to_string(), until: wire::time(made.until_ms), token: made.text };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// `DELETE /internal/cluster/tokens/{token}`
pub(super) async fn drop_token(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    Path(id): Path<String>,
) -> ApiResult<DroppedToken> {
    let cluster = taking_part(&api)?;
    // What can be no id names no token.
    let token: TokenId = id.parse().map_err(|_| refusing::problem(Refusal::NoSuchToken.into()))?;
    done(command(&api, cluster, source, &format!("the end of token {token}"), Command::DropToken(token)).await?)?;
    Ok(Json(DroppedToken { status: Outcome::Dropped, id: token.to_string() }))
}

/// `POST /internal/cluster/nodes/{key}/approve`. A body is not needed.
pub(super) async fn approve(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    Path(key): Path<String>,
    too_large: Option<Extension<BodyTooLarge>>,
    headers: HeaderMap,
    body: Bytes,
) -> ApiResult<ApprovedNode> {
    let cluster = taking_part(&api)?;
    let body = optional_body(too_large.is_some(), &headers, &body)?;
    let role = body::approve(body).map_err(Problem::invalid_fields)?;
    let shown = in_time(cluster.look()).await?;
    let key = naming::find(&shown.view.nodes, &key, Names::Refused)?;
    done(command(&api, cluster, source, &format!("approving {key} as {role}"), Command::Approve(key, role)).await?)?;
    // A role is only raised.
    let had = shown.view.nodes.iter().find(|node| node.fingerprint == key).map(|node| node.standing);
    let role = if let Some(Standing::Approved(had)) = had { had.max(role) } else { role };
    let status = if shown.view.membership.is_some() { Outcome::Approved } else { Outcome::Trusted };
    Ok(Json(ApprovedNode { status, fingerprint: key.to_string(), role: showing::role(role) }))
}

/// `POST /internal/cluster/nodes/{key}/revoke`
pub(super) async fn revoke(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    Path(key): Path<String>,
    body: Bytes,
) -> ApiResult<RevokedNode> {
    let cluster = without_body(&api, &body)?;
    let key = naming::find(&in_time(cluster.look()).await?.view.nodes, &key, Names::Refused)?;
    match command(&api, cluster, source, &format!("revoking {key}"), Command::Revoke(key)).await? {
        Answer::Revoked(again) => Ok(Json(RevokedNode {
            status: Outcome::Revoked,
            fingerprint: key.to_string(),
            approved_again: again.iter().map(ToString::to_string).collect(),
        })),
        other => Err(unexpected(&other)),
    }
}

/// `DELETE /internal/cluster/nodes/{key}`
pub(super) async fn forget(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    Path(key): Path<String>,
) -> ApiResult<ForgottenNode> {
    let cluster = taking_part(&api)?;
    let key = naming::find(&in_time(cluster.look()).await?.view.nodes, &key, Names::Taken)?;
    done(command(&api, cluster, source, &format!("forgetting {key}"), Command::Forget(key)).await?)?;
    Ok(Json(ForgottenNode { status: Outcome::Forgotten, fingerprint: key.to_string() }))
}

/// `POST /internal/cluster/beats`
pub(super) async fn ask_beats(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    body: Bytes,
) -> ApiResult<BeatsAsked> {
    let cluster = without_body(&api, &body)?;
    done(command(&api, cluster, source, "beats of all nodes", Command::AskBeats).await?)?;
    Ok(Json(BeatsAsked { status: Outcome::Asked }))
}

/// `POST /internal/cluster/secret/rotate`
pub(super) async fn rotate(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    body: Bytes,
) -> ApiResult<Rotating> {
    let cluster = without_body(&api, &body)?;
    match command(&api, cluster, source, "another secret", Command::Rotate).await? {
        Answer::Rotating(id) => Ok(Json(Rotating { status: Outcome::Rotating, secret: showing::secret_id(&id) })),
        other => Err(unexpected(&other)),
    }
}

/// `POST /internal/cluster/secret/adopt`
pub(super) async fn adopt(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    too_large: Option<Extension<BodyTooLarge>>,
    headers: HeaderMap,
    body: Bytes,
) -> ApiResult<AdoptedSecret> {
    let cluster = taking_part(&api)?;
    let body = json_body(too_large.is_some(), &headers, &body)?;
    let check = body::adopt(body).map_err(Problem::invalid_fields)?;
    let announced = announced(&in_time(cluster.look()).await?);
    let id = announced.into_iter().rfind(|id| id.check == check);
    let id = id.ok_or_else(|| refusing::problem(Refusal::NoSuchSecret.into()))?;
    let what = format!("adopting secret {} of generation {}", id.check, id.generation);
    done(command(&api, cluster, source, &what, Command::Adopt(id)).await?)?;
    Ok(Json(AdoptedSecret { status: Outcome::Adopted, secret: showing::secret_id(&id) }))
}

/// All secrets that a commander announced, in their order.
fn announced(shown: &Shown) -> Vec<SecretId> {
    let announced = shown.view.records.iter().filter_map(|record| match record.claim {
        Claim::Secret(id) => Some(id),
        Claim::Approved { .. }
        | Claim::Revoked { .. }
        | Claim::Active(_)
        | Claim::Adopted(_)
        | Claim::Settings { .. } => None,
    });
    let mut announced: Vec<_> = announced.collect();
    announced.sort_unstable();
    announced
}

/// The cluster, where this node takes part in one and goes on.
fn taking_part(api: &Api) -> Result<&Handle, Problem> {
    let cluster = api.cluster.as_ref().ok_or_else(|| {
        let detail = "this furt takes part in no cluster: cluster.url is not set";
        Problem::new(StatusCode::NOT_FOUND, Code::NotFound, detail)
    })?;
    // What a process that ends would take may not be answered any more.
    if api.readiness.is_stopping() { Err(DriverGone.into()) } else { Ok(cluster) }
}

fn without_body<'a>(api: &'a Api, body: &[u8]) -> Result<&'a Handle, Problem> {
    let cluster = taking_part(api)?;
    if body.is_empty() {
        return Ok(cluster);
    }
    Err(Problem::new(StatusCode::BAD_REQUEST, Code::UnexpectedBody, "this takes no body"))
}

fn optional_body(is_too_large: bool, headers: &HeaderMap, body: &[u8]) -> Result<Value, Problem> {
    if body.is_empty() && !is_too_large {
        return Ok(Value::Object(Map::new()));
    }
    json_body(is_too_large, headers, body)
}

/// Tells the log and the audit what is asked for.
async fn asks(api: &Api, source: &Source, what: &str) {
    log::info!("cluster: {} asks for {what}", source.actor());
    audit::note(api, source, Asked::of(Order::Cluster).detail(what)).await;
}

/// Has a command carried out; `what` is asked for, as the log says it.
async fn command(api: &Api, cluster: &Handle, source: Source, what: &str, command: Command) -> Result<Answer, Problem> {
    asks(api, &source, what).await;
    let limit = if command == Command::Rotate { ROTATE_TIMEOUT } else { ANSWER_TIMEOUT };
    within(limit, cluster.command(command)).await?.map_err(refusing::problem)
}

/// Waits no longer than a caller would.
async fn in_time<T>(asked: impl Future<Output = Result<T, Failure>>) -> Result<T, Problem> {
    within(ANSWER_TIMEOUT, asked).await?.map_err(refusing::problem)
}

/// Waits so long.
async fn within<T>(limit: Duration, asked: impl Future<Output = T>) -> Result<T, Problem> {
    match tokio::time::timeout(limit, asked).await {
        Ok(answer) => Ok(answer),
        Err(_) => {
            let seconds = limit.as_secs();
            let detail = format!(
                "the cluster did not answer within {seconds} s; what was asked may still be carried out: look before asking again"
            );
            Err(Problem::cluster_unavailable(detail))
        }
    }
}

fn done(answer: Answer) -> Result<(), Problem> {
    if answer == Answer::Done { Ok(()) } else { Err(unexpected(&answer)) }
}

fn unexpected(answer: &Answer) -> Problem {
    log::error!("the cluster gave an answer to another question: {answer:?}");
    let detail = "the cluster gave an answer to another question";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, detail)
}
