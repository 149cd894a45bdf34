//! An issuer of a configuration: it says who the caller with a token is. Verdicts are remembered for a minute.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use tokio::runtime::Handle;

use super::error::{TokenError, TokenFault};
use super::keeper;
use super::kept::KeptFile;
use super::key_set::KeySet;
use super::keyring::{Clock, Held, Keyring};
use super::schedule::Schedule;
use super::source::{Fetch, read_file, source};
use super::verify::verify;
use crate::auth::Identity;
use crate::auth::authorities::digest_of;
use crate::clock;
use crate::config::{IssuerConfig, JwksSource};
use crate::telemetry::{TokenMetrics, TokenOutcome};
use crate::tls::RootsError;
use furt_core::model::Sha256Digest;

/// The most verdicts that are remembered.
const MAX_VERDICTS: u64 = 10_000;
/// For how long each is.
const VERDICT_LIFE: Duration = Duration::from_secs(60);

/// An issuer of tokens.
///
/// Its keys are fetched by a task, which ends when the issuer is dropped.
pub struct Issuer {
    config: IssuerConfig,
    keyring: Arc<Keyring>,
    verdicts: Cache<Sha256Digest, Verdict>,
    /// Of the file of authorities, as it was read.
    ca: Option<Sha256Digest>,
}

/// Why an issuer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// The authorities of its server.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// The file of its keys; what is wrong with it is a sentence.
    #[error("{0}")]
    KeyFile(String),
}

impl IssuerError {
    /// The key of its entry that names the file.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Roots(_) => "ca",
            Self::KeyFile(_) => "jwks",
        }
    }
}

/// That a token was good.
#[derive(Clone)]
struct Verdict {
    identity: Arc<Identity>,
    /// Of the keys.
    generation: u64,
    /// It holds before this time, in ms since the Unix epoch.
    until_ms: i64,
}

impl Issuer {
    /// Starts the issuer of a configuration, with a task on `runtime` that fetches its keys. Those of before are read from `keep`, and
    /// written there, where they come from a url. Reads files: the authorities, and what is kept.
    ///
    /// # Errors
    /// The authorities of its server cannot be used; the error names the file.
    pub fn start(
        config: &IssuerConfig,
        keep: Option<PathBuf>,
        metrics: &TokenMetrics,
        runtime: &Handle,
    ) -> Result<Arc<Self>, IssuerError> {
        let source = source(config)?;
        Ok(Self::start_with(
            config,
            keep.as_deref(),
            metrics,
            Edge { source, clock: Arc::new(clock::unix_ms), runtime },
        ))
    }

    fn start_with(config: &IssuerConfig, keep: Option<&Path>, metrics: &TokenMetrics, edge: Edge<'_>) -> Arc<Self> {
        let schedule = Schedule::new(config.refresh, clock::now());
        let keyring = Keyring::new(config.name.clone(), schedule, metrics.of_issuer(&config.name), edge.clock);
        let keyring = Arc::new(keyring);
        let mut kept = match (&config.jwks, keep) {
            (JwksSource::Url(url), Some(path)) => Some(KeptFile::new(path.to_owned(), url.to_string())),
            (JwksSource::Url(_) | JwksSource::File(_), _) => None,
        };
        if let Some(file) = &mut kept {
            keeper::restore(&keyring, file);
        }
        edge.runtime.spawn(keeper::keep(Arc::downgrade(&keyring), keyring.waker(), edge.source, kept));
        let verdicts = Cache::builder().max_capacity(MAX_VERDICTS).time_to_live(VERDICT_LIFE).build();
        Arc::new(Self { config: config.clone(), keyring, verdicts, ca: digest_of(config.ca.as_deref()) })
    }

    /// Looks whether the files that an entry names can be used: the authorities of its server, its keys.
    ///
    /// # Errors
    /// One cannot; the error names it.
    pub fn check(config: &IssuerConfig) -> Result<(), IssuerError> {
        source(config)?;
        let JwksSource::File(path) = &config.jwks else { return Ok(()) };
        let document = read_file(path).map_err(|why| IssuerError::KeyFile(why.to_string()))?;
        match KeySet::read(&document) {
            Ok(_) => Ok(()),
            Err(why) => Err(IssuerError::KeyFile(format!("{} {why}", path.display()))),
        }
    }

    /// Whether the file of authorities is as it was when it was read.
    pub fn has_current_ca(&self) -> bool {
        self.ca == digest_of(self.config.ca.as_deref())
    }

    /// What the configuration says of it.
    pub fn config(&self) -> &IssuerConfig {
        &self.config
    }

    /// Why its keys could not be fetched last time, as a sentence; `None`: they could, or nobody tried yet.
    pub fn fault(&self) -> Option<String> {
        let why = self.keyring.fault()?;
        Some(format!("the keys of the issuer {} cannot be fetched: {why}", self.config.name))
    }

    /// The verdict on a token of this digest at `now_ms`, in ms since the Unix epoch; `None`: there is none, or it holds no longer.
    ///
    /// It holds for a minute, while the token has not expired and the keys are the same.
    pub fn known(&self, token: &Sha256Digest, now_ms: i64) -> Option<Arc<Identity>> {
        let verdict = self.verdicts.get(token)?;
        let is_current = self.keyring.held()?.generation == verdict.generation && now_ms < verdict.until_ms;
        is_current.then_some(verdict.identity)
    }

    /// Who the caller with a token is; `digest` is the token's, by which the verdict is remembered. Where the token's key is not known,
    /// it waits up to a second for keys.
    ///
    /// # Errors
    /// The token is not good, or there were never keys.
    pub async fn verify(&self, token: &str, digest: Sha256Digest) -> Result<Arc<Identity>, TokenFault> {
        let verified = self.judge(token, digest).await;
        self.keyring.metrics().checked(match &verified {
            Ok(_) => TokenOutcome::Good,
            Err(TokenFault::Refused(_)) => TokenOutcome::Refused,
            Err(TokenFault::NoKeys) => TokenOutcome::NoKeys,
        });
        verified
    }

    async fn judge(&self, token: &str, digest: Sha256Digest) -> Result<Arc<Identity>, TokenFault> {
        // Before the keys: a fetch that ends in between is not waited for.
        let seen = self.keyring.ended();
        let first = self.judge_now(token, digest);
        match first {
            Err(TokenFault::NoKeys | TokenFault::Refused(TokenError::UnknownKey)) => {
                if self.keyring.next_fetch(seen).await { self.judge_now(token, digest) } else { first }
            }
            _ => first,
        }
    }

    fn judge_now(&self, token: &str, digest: Sha256Digest) -> Result<Arc<Identity>, TokenFault> {
        let held = self.keyring.held().ok_or(TokenFault::NoKeys)?;
        let now_ms = self.keyring.unix_ms();
        let verified = verify(token, &held.keys, &self.config, now_ms as f64 / 1000.0)?;
        let identity = Arc::new(verified.identity);
        self.remember(digest, &identity, &held, until_ms(verified.expires, now_ms));
        Ok(identity)
    }

    fn remember(&self, digest: Sha256Digest, identity: &Arc<Identity>, held: &Held, until_ms: i64) {
        let identity = Arc::clone(identity);
        self.verdicts.insert(digest, Verdict { identity, generation: held.generation, until_ms });
    }
}

/// What is outside: where keys come from, the time of day, and where the task runs.
struct Edge<'r> {
    source: Box<dyn Fetch>,
    clock: Clock,
    runtime: &'r Handle,
}

/// Until when a verdict of now holds on a token that expires so many seconds after the Unix epoch.
fn until_ms(expires: f64, now_ms: i64) -> i64 {
    let life = i64::try_from(VERDICT_LIFE.as_millis()).unwrap_or(i64::MAX);
    // What lies beyond the calendar becomes its end.
    now_ms.saturating_add(life).min((expires * 1000.0) as i64)
}

#[cfg(test)]
impl Issuer {
    /// One whose keys come from `source`, and whose time of day is `clock`'s.
    pub(super) fn start_from(
        config: &IssuerConfig,
        keep: Option<&Path>,
        source: Box<dyn Fetch>,
        clock: Clock,
    ) -> Arc<Self> {
        let metrics = TokenMetrics::unexposed().unwrap();
        Self::start_with(config, keep, &metrics, Edge { source, clock, runtime: &Handle::current() })
    }

    /// What is counted of it.
    pub(super) fn metrics(&self) -> &crate::telemetry::IssuerMetrics {
        self.keyring.metrics()
    }
}
