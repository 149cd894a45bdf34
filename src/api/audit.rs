//! `GET /internal/audit`, and entries for what operators do beside the registry.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use furt_api::Code;
use furt_api::audit::{Audit, AuditEntry};

use super::Api;
use super::commands::{ApiResult, ask};
use super::events::MAX_NUMBER;
use super::problem::Problem;
use super::query::Parameters;
use super::waiting::MAX_SECONDS;
use crate::audit::{Page, Record, RecordedEntry};
use crate::wire;
use furt_core::model::{AuditAction, InstanceId, Order, ServiceName};
use furt_core::ports::StoreError;
use furt_core::registry::{Event, Source};

/// The most entries of one answer: some 600 KB of usual ones, and 20 MB of the largest.
pub(super) const MAX_LIMIT: u64 = 1000;
/// As many where nothing is said of it.
const LIMIT: u64 = 100;

/// How long an entry is waited for that belongs to no other change.
const PATIENCE: Duration = Duration::from_secs(3);

/// `GET /internal/audit?after=N&limit=N&wait=S`
pub(super) async fn list(State(api): State<Arc<Api>>, mut parameters: Parameters) -> ApiResult<Audit> {
    let after = parameters.whole("after", MAX_NUMBER);
    let limit = parameters.whole("limit", MAX_LIMIT).unwrap_or(LIMIT).max(1);
    let wait = parameters.seconds("wait", MAX_SECONDS).unwrap_or_default();
    parameters.finish()?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let read = async |after| api.audit.read(after, limit).await.map_err(unavailable);
    // Looked at first: what is added while it is read is news.
    let mut news = api.audit.news();
    let mut page = read(after).await?;
    if page.entries.is_empty() && !wait.is_zero() {
        let _permit = api.event_waits.take(wait)?;
        tokio::select! {
            () = until_more(&mut news, wait) => {}
            () = api.readiness.stops() => {}
        }
        page = read(Some(page.next)).await?;
    }
    let Page { entries, next } = page;
    Ok(Json(Audit { entries: entries.into_iter().map(shown).collect(), next }))
}

async fn until_more(news: &mut tokio::sync::watch::Receiver<u64>, wait: Duration) {
    // The sender lives as long as the store does.
    _ = tokio::time::timeout(wait, news.changed()).await;
}

fn unavailable(why: StoreError) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, Code::StoreUnavailable, why.to_string())
}

fn shown(entry: RecordedEntry) -> AuditEntry {
    let RecordedEntry { position: seq, record, sha256 } = entry;
    let sha256 = sha256.to_string();
    let record = match record {
        Ok(record) => record,
        Err(why) => return unreadable(seq, sha256, why),
    };
    let Record { gateway, number, at_ms, from, by, action, service, instance, key, details, previous } = record;
    let (time, from) = (wire::time(at_ms), from.to_string());
    AuditEntry { seq, time, gateway, number, action, by, from, service, instance, key, details, sha256, previous }
}

/// Somebody wrote there: that is shown, and does not hide the others.
fn unreadable(seq: u64, sha256: String, why: String) -> AuditEntry {
    AuditEntry {
        seq,
        time: wire::time(0),
        gateway: String::new(),
        number: 0,
        action: "unreadable".to_owned(),
        by: None,
        from: String::new(),
        service: None,
        instance: None,
        key: None,
        details: [("why".to_owned(), why.into())].into_iter().collect(),
        sha256,
        previous: None,
    }
}

/// What an operator asks of the gateway itself.
pub(super) struct Asked {
    pub(super) order: Order,
    pub(super) service: Option<ServiceName>,
    pub(super) instance: Option<InstanceId>,
    pub(super) detail: Option<String>,
}

impl Asked {
    pub(super) fn of(order: Order) -> Self {
        Self { order, service: None, instance: None, detail: None }
    }

    pub(super) fn detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }
}

/// Keeps what an operator is about to do. A store that is away keeps nobody from what does not need it, such as a reload that is to
/// mend that: then the log has it alone.
pub(super) async fn note(api: &Api, source: &Source, asked: Asked) {
    let Asked { order, service, instance, detail } = asked;
    let by = source.actor();
    let action = AuditAction::Order { order, service, instance, detail };
    let (name, who) = (action.as_str(), by.to_string());
    let asked = ask(api, |reply| Event::AuditRequested { action: Box::new(action), by, reply });
    let why = match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(_)) => return,
        Ok(Err(problem)) => problem.line(),
        Err(_) => format!("it was not stored within {} s", PATIENCE.as_secs()),
    };
    log::error!("the audit may lack \"{name}\" by {who}: {why}");
}
