//! `POST /internal/upgrade`: asks for this process to be replaced, and tells what came of it.
//!
//! `app` does it; it is reached through [`Upgrades`]. The caller is answered once the new process serves, by the old one.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use furt_api::{Code, Outcome, upgrade};
use tokio::sync::{mpsc, oneshot};

use super::Api;
use super::audit::{self, Asked};
use super::commands::ApiResult;
use super::problem::Problem;
use crate::driver::DriverGone;
use furt_core::model::Order;
use furt_core::registry::Source;

/// A process that has taken over.
#[derive(Debug, Clone)]
pub struct Upgraded {
    /// It.
    pub pid: u32,
    /// Its version.
    pub version: String,
}

/// Why this process goes on.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// Nothing was begun.
    #[error("{0}")]
    Refused(String),
    /// The new program has failed.
    #[error("{0}; the furt that runs goes on as before")]
    Failed(String),
}

/// Someone who waits for an upgrade.
pub type UpgradeWaiting = oneshot::Sender<Result<Upgraded, UpgradeError>>;

/// A way to ask for an upgrade.
#[derive(Clone)]
pub struct Upgrades(mpsc::Sender<UpgradeWaiting>);

impl Upgrades {
    /// The way, and its end, where one at a time is taken.
    pub fn channel() -> (Self, mpsc::Receiver<UpgradeWaiting>) {
        let (sender, receiver) = mpsc::channel(1);
        (Self(sender), receiver)
    }

    async fn ask(&self) -> Result<Upgraded, Problem> {
        let (answer, waiting) = oneshot::channel();
        self.0.try_send(answer).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => refused_because("an upgrade is under way"),
            mpsc::error::TrySendError::Closed(_) => DriverGone.into(),
        })?;
        // However it ends, it ends in time: `app` waits for no process for ever.
        match waiting.await.map_err(|_| DriverGone)? {
            Ok(upgraded) => Ok(upgraded),
            Err(error @ UpgradeError::Refused(_)) => Err(refused_because(&error.to_string())),
            Err(error @ UpgradeError::Failed(_)) => {
                Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, Code::UpgradeFailed, error.to_string()))
            }
        }
    }
}

/// `POST /internal/upgrade`
pub(super) async fn upgrade(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    body: Bytes,
) -> ApiResult<upgrade::Upgraded> {
    if !body.is_empty() {
        // A request names no program: who may send it may not choose what runs.
        let detail = "this takes no body: the program is the one at the path that furt was started from";
        return Err(Problem::new(StatusCode::BAD_REQUEST, Code::UnexpectedBody, detail));
    }
    if api.readiness.is_stopping() {
        return Err(DriverGone.into());
    }
    log::info!("an upgrade is asked for from {}", source.actor());
    audit::note(&api, &source, Asked::of(Order::Upgrade)).await;
    let Upgraded { pid, version } = api.upgrades.ask().await?;
    Ok(Json(upgrade::Upgraded { status: Outcome::Upgraded, pid, version, old_pid: std::process::id() }))
}

fn refused_because(why: &str) -> Problem {
    Problem::new(StatusCode::CONFLICT, Code::UpgradeRefused, why)
}
