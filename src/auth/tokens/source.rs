//! Where the keys of an issuer come from: a server, or a file. What comes is bounded in time and size, and followed nowhere else.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};
use url::Url;

use super::key_set::MAX_BYTES;
use crate::config::{IssuerConfig, JwksSource};
use crate::private_files;
use crate::telemetry::VERSION;
use crate::tls::{RootsError, roots, unasked};

/// For a whole answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why no document came, as a sentence without its beginning.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct FetchError(pub(super) String);

/// Gets the document with the keys.
#[async_trait]
pub(super) trait Fetch: Send + Sync {
    /// The document as it came.
    ///
    /// # Errors
    /// It did not come, or is too large.
    async fn fetch(&self) -> Result<Vec<u8>, FetchError>;
}

/// What fetches the keys of an issuer.
///
/// # Errors
/// The authorities of its server cannot be used.
pub(super) fn source(config: &IssuerConfig) -> Result<Box<dyn Fetch>, RootsError> {
    Ok(match &config.jwks {
        JwksSource::Url(url) => Box::new(Server::try_new(url, config.ca.as_deref())?),
        JwksSource::File(path) => Box::new(KeyFile(path.clone())),
    })
}

struct Server {
    agent: Agent,
    url: String,
}

impl Server {
    fn try_new(url: &Url, ca: Option<&Path>) -> Result<Self, RootsError> {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .timeout_global(Some(TIMEOUT))
            .user_agent(format!("furt/{VERSION}"));
        let agent = if url.scheme() == "https" {
            let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&roots(ca)?)).build();
            agent.https_only(true).tls_config(tls)
        } else {
            agent
        };
        Ok(Self { agent: agent.build().into(), url: url.to_string() })
    }
}

#[async_trait]
impl Fetch for Server {
    async fn fetch(&self) -> Result<Vec<u8>, FetchError> {
        let (agent, url) = (self.agent.clone(), self.url.clone());
        blocking(move || ask(&agent, &url)).await
    }
}

fn ask(agent: &Agent, url: &str) -> Result<Vec<u8>, FetchError> {
    let away = |why: ureq::Error| match why {
        ureq::Error::BodyExceedsLimit(_) => too_large(),
        why => FetchError(unasked(&why, "issuers.ca")),
    };
    let mut answer = agent.get(url).header("Accept", "application/json").call().map_err(away)?;
    let status = answer.status();
    if status.is_redirection() {
        let why = "sends elsewhere, which furt does not follow; jwks must be the url that has the keys";
        return Err(FetchError(format!("the server answers {} and {why}", status.as_u16())));
    }
    if status != StatusCode::OK {
        return Err(FetchError(format!("the server answers {}; must be 200", status.as_u16())));
    }
    // The library refuses what is just as long as its limit.
    let bytes = answer.body_mut().with_config().limit(MAX_BYTES + 1).read_to_vec().map_err(away)?;
    if bytes.len() as u64 > MAX_BYTES { Err(too_large()) } else { Ok(bytes) }
}

struct KeyFile(PathBuf);

#[async_trait]
impl Fetch for KeyFile {
    async fn fetch(&self) -> Result<Vec<u8>, FetchError> {
        let path = self.0.clone();
        blocking(move || read_file(&path)).await
    }
}

/// The file with the keys.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, FetchError> {
    match private_files::read(path, MAX_BYTES + 1) {
        Ok(Some(bytes)) if bytes.len() as u64 > MAX_BYTES => Err(too_large()),
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(FetchError(format!("{} is not there", path.display()))),
        Err(why) => Err(FetchError(why.to_string())),
    }
}

fn too_large() -> FetchError {
    FetchError(format!("the document is too large; must be at most {} KiB", MAX_BYTES / 1024))
}

async fn blocking(work: impl FnOnce() -> Result<Vec<u8>, FetchError> + Send + 'static) -> Result<Vec<u8>, FetchError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|why| Err(FetchError(why.to_string())))
}
