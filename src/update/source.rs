//! Where artefacts come from: a folder of this machine, or a url. What is read has a bound, and a time.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

use crate::clock;
use crate::config::UpdateConfig;
use crate::telemetry::VERSION;
use crate::tls::{roots, unasked};

/// What is said of what takes too long.
pub(super) const LATE: &str = "was not there in time";

/// A place with artefacts.
pub(super) enum Source {
    Folder(PathBuf),
    Url { agent: Agent, base: url::Url, deadline: Instant },
}

impl Source {
    /// # Errors
    /// The configuration names none, or its authorities cannot be used.
    pub(super) fn try_new(config: &UpdateConfig, deadline: Instant) -> Result<Self, String> {
        match (&config.folder, &config.url) {
            (Some(folder), _) => Ok(Self::Folder(folder.clone())),
            (None, Some(base)) => Ok(Self::Url { agent: agent(config, base)?, base: base.clone(), deadline }),
            (None, None) => Err("neither update.folder nor update.url says where artefacts are".to_owned()),
        }
    }

    /// Opens a file of this name.
    ///
    /// # Errors
    /// A sentence: it is not there, or cannot be read.
    pub(super) fn open(&self, name: &str) -> Result<Box<dyn Read>, String> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                let unread = |why: &dyn std::fmt::Display| format!("{} cannot be read: {why}", path.display());
                // A pipe would be waited for.
                let is_file = fs::metadata(&path).map_err(|why| unread(&why))?.is_file();
                let file = if is_file {
                    File::open(&path).map_err(|why| unread(&why))?
                } else {
                    return Err(unread(&"it is no file"));
                };
                Ok(Box::new(file))
            }
            Self::Url { agent, base, deadline } => {
                let url = base.join(name).map_err(|why| format!("{base}{name} is no url: {why}"))?;
                let unfetched = |why: &str| format!("{url} cannot be fetched: {why}");
                // What was fetched before has taken its part of the time.
                let left = deadline.saturating_duration_since(clock::now()).max(Duration::from_millis(1));
                let request = agent.get(url.as_str()).config().timeout_global(Some(left)).build();
                let answer = request.call().map_err(|why| match why {
                    ureq::Error::Timeout(_) => unfetched("the server did not answer in time"),
                    why => unfetched(&unasked(&why, "update.ca")),
                })?;
                let status = answer.status();
                match status.as_u16() {
                    200 => Ok(Box::new(answer.into_body().into_reader())),
                    code if status.is_redirection() => Err(unfetched(&format!(
                        "the server answers {code} and sends elsewhere, which furt does not follow"
                    ))),
                    code => Err(unfetched(&format!("the server answers {code}"))),
                }
            }
        }
    }
}

fn agent(config: &UpdateConfig, base: &url::Url) -> Result<Agent, String> {
    // Plain HTTP needs no authorities; none may be there.
    let roots = if base.scheme() == "https" {
        roots(config.ca.as_deref()).map_err(|why| format!("update.ca: {why}"))?
    } else {
        Vec::new()
    };
    let config = Agent::config_builder()
        .https_only(base.scheme() == "https")
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(format!("furt/{VERSION}"))
        .tls_config(TlsConfig::builder().root_certs(RootCerts::new_with_certs(&roots)).build())
        .build();
    Ok(config.into())
}

/// A whole small file.
///
/// # Errors
/// As [`Source::open`]; or it is too large, or no text.
pub(super) fn read_text(source: &Source, name: &str, max_bytes: u64) -> Result<String, String> {
    let mut bytes = Vec::new();
    source
        .open(name)?
        .take(max_bytes + 1)
        .read_to_end(&mut bytes)
        .map_err(|why| format!("{name}: {}", unread(&why)))?;
    if bytes.len() as u64 > max_bytes {
        return Err(format!("{name} is larger than {max_bytes} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| format!("{name} is no text"))
}

/// Why a file could not be read to its end.
pub(super) fn unread(why: &io::Error) -> String {
    match why.get_ref().and_then(|why| why.downcast_ref()) {
        Some(ureq::Error::Timeout(_)) => LATE.to_owned(),
        _ => format!("cannot be read: {why}"),
    }
}
