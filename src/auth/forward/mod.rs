//! Forward auth: a server is asked about each request whether it may come in.
//!
//! Knows how to ask and how to read the answer. Knows no route: the caller says what is asked about, and does what the answer says.
//! Reading order: `question` (what is sent), `answer` (what comes back), `exchange` (the connection), `asking` (the limits).

mod addresses;
mod answer;
mod asking;
mod condition;
mod exchange;
mod question;
mod trust;
mod uri;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::StatusCode;
use pingora::http::RequestHeader;
use pingora::protocols::tls::CaType;
use url::Url;

pub use answer::{Allowed, AuthAnswer, Denied, Why};
pub use asking::Asking;
pub use question::Question;
pub use trust::TrustError;
pub use uri::forwarded_uri;

use crate::auth::authorities::digest_of;
use crate::clock;
use crate::config::ForwardAuthConfig;
use crate::telemetry::{ForwardAuthCounters, ForwardAuthOutcome};
use addresses::Addresses;
use condition::{Change, Condition};
use furt_core::model::Sha256Digest;

/// Tells connections of one server from those of another one, also of the same address: what was verified differs.
static NEXT_GROUP: AtomicU64 = AtomicU64::new(0);

/// A server of `[[forward_auth]]`. One for each entry; all of a process share one [`Asking`].
pub struct ForwardAuth {
    config: ForwardAuthConfig,
    /// Everything of a question that is the same each time.
    template: RequestHeader,
    ca: Option<Arc<CaType>>,
    group: u64,
    addresses: Addresses,
    counters: ForwardAuthCounters,
    condition: Condition,
    /// Of the file of authorities, as it was read.
    ca_digest: Option<Sha256Digest>,
    /// Questions to this server that are in flight.
    in_flight: AtomicUsize,
}

/// Why a server of `[[forward_auth]]` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its authorities.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// Its url.
    #[error("cannot be asked for; must be an http or https url with a host, and shorter than 64 KiB")]
    Url,
}

impl OpenError {
    /// The key of its entry that is wrong.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Trust(_) => "ca",
            Self::Url => "url",
        }
    }
}

/// What is made of an entry alone.
struct Prepared {
    template: RequestHeader,
    ca: Option<Arc<CaType>>,
    addresses: Addresses,
}

impl Prepared {
    fn of(config: &ForwardAuthConfig) -> Result<Self, OpenError> {
        let ca = config.ca.as_deref().filter(|_| is_tls(&config.url)).map(trust::load).transpose()?;
        let template = question::template(&config.url).ok_or(OpenError::Url)?;
        let addresses = Addresses::of(&config.url).ok_or(OpenError::Url)?;
        Ok(Self { template, ca, addresses })
    }
}

impl ForwardAuth {
    /// Makes an entry ready to be asked, and reads its file of authorities. Opens no connection.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn open(config: ForwardAuthConfig, asking: &Asking) -> Result<Self, OpenError> {
        let Prepared { template, ca, addresses } = Prepared::of(&config)?;
        let counters = asking.metrics().of(config.name.as_str());
        let group = NEXT_GROUP.fetch_add(1, Ordering::Relaxed);
        let ca_digest = digest_of(config.ca.as_deref());
        let (condition, in_flight) = (Condition::default(), AtomicUsize::new(0));
        Ok(Self { config, template, ca, group, addresses, counters, condition, ca_digest, in_flight })
    }

    /// Looks whether an entry can be used. Reads its file of authorities.
    ///
    /// # Errors
    /// The file of authorities cannot be used, or the url cannot be asked for.
    pub fn check(config: &ForwardAuthConfig) -> Result<(), OpenError> {
        Prepared::of(config).map(drop)
    }

    /// Whether the file of authorities is as it was when it was read.
    pub fn has_current_ca(&self) -> bool {
        self.ca_digest == digest_of(self.config.ca.as_deref())
    }

    /// The entry.
    pub fn config(&self) -> &ForwardAuthConfig {
        &self.config
    }

    /// Asks whether a request may come in. Takes at most the entry's timeout.
    ///
    /// # Errors
    /// It may not: the server says so, or it does not answer, or there are as many questions in flight as may be.
    pub async fn ask(&self, asking: &Asking, question: Question<'_>) -> Result<Allowed, Denied> {
        let began = clock::now();
        let outcome = self.outcome(asking, question, began + self.config.timeout).await;
        self.note(&outcome, clock::now().saturating_duration_since(began));
        outcome
    }

    async fn outcome(&self, asking: &Asking, question: Question<'_>, ends_at: Instant) -> Result<Allowed, Denied> {
        let _place = asking.enter_until(ends_at, question.address, &self.in_flight).await?;
        let request = question::request(&self.template, &self.config.request_headers, question);
        let request = request.ok_or(Denied::Unavailable(Why::Unaskable))?;
        let asked = tokio::time::timeout_at(ends_at.into(), self.exchange(asking, &request, ends_at)).await;
        let head = asked.unwrap_or(Err(Denied::Unavailable(Why::TimedOut(self.config.timeout))))?;
        answer::allowed(&self.config, &head).map_err(Denied::Unavailable)
    }

    fn note(&self, outcome: &Result<Allowed, Denied>, took: Duration) {
        let counted = match outcome {
            Ok(_) => ForwardAuthOutcome::Allowed,
            Err(Denied::Answer(_)) => ForwardAuthOutcome::Denied,
            Err(Denied::TooMany) => ForwardAuthOutcome::TooMany,
            Err(Denied::Busy) => ForwardAuthOutcome::Busy,
            Err(Denied::Unavailable(_)) => ForwardAuthOutcome::Unavailable,
        };
        self.counters.asked(counted, took);
        let change = match outcome {
            Err(Denied::TooMany | Denied::Busy | Denied::Unavailable(Why::Unaskable)) => None,
            // A client that sends such requests would have the log tell each of them.
            Err(Denied::Unavailable(Why::Status(status))) if is_of_request(*status) => None,
            Err(Denied::Unavailable(_)) => self.condition.failed(),
            Ok(_) | Err(Denied::Answer(_)) => self.condition.answered(),
        };
        match (change, outcome) {
            (Some(Change::Failed), Err(Denied::Unavailable(why))) => {
                log::warn!("forward auth: \"{}\" gives no answer that can be used: {why}", self.config.name);
            }
            (Some(Change::Recovered), _) => log::info!("forward auth: \"{}\" answers again", self.config.name),
            _ => {}
        }
    }
}

/// Whether the request brought the answer about, and not the server's condition.
fn is_of_request(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 413 | 414 | 431)
}

fn is_tls(url: &Url) -> bool {
    url.scheme() == "https"
}
