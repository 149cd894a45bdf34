//! Where artefacts come from: a folder of this machine, or a url. What is read has a bound, and a time.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::clock;
use crate::config::UpdateConfig;
use crate::telemetry::VERSION;

/// Reads what `update.ca` names.
///
/// # Errors
/// It cannot be read, or has no certificate.
pub fn check_roots(file: &Path) -> Result<(), String> {
    roots(Some(file)).map(|_| ())
}

fn roots(file: Option<&Path>) -> Result<Vec<Certificate<'static>>, String> {
    let Some(file) = file else {
        let system = rustls_native_certs::load_native_certs().unwrap_or_default();
        let roots: Vec<_> = system.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
        let none = "the system has no certificate to trust; update.ca names others".to_owned();
        return if roots.is_empty() { Err(none) } else { Ok(roots) };
    };
    let pem = fs::read(file).map_err(|why| format!("{} cannot be read ({why})", file.display()))?;
    let certificates = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let roots: Vec<_> = certificates.collect();
    if roots.is_empty() { Err(format!("{} has no certificate in PEM", file.display())) } else { Ok(roots) }
}

/// A place with artefacts.
pub(super) enum Source {
    Folder(PathBuf),
    Url { agent: Agent, base: url::Url },
}

impl Source {
    /// # Errors
    /// The configuration names none, or its authorities cannot be used.
    pub(super) fn try_new(config: &UpdateConfig, deadline: Instant) -> Result<Self, String> {
        match (&config.folder, &config.url) {
            (Some(folder), _) => Ok(Self::Folder(folder.clone())),
            (None, Some(base)) => Ok(Self::Url { agent: agent(config, base, deadline)?, base: base.clone() }),
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
            Self::Url { agent, base } => {
                let url = base.join(name).map_err(|why| format!("{base}{name} is no url: {why}"))?;
                let answer = agent.get(url.as_str()).call().map_err(|why| format!("{url} cannot be fetched: {why}"))?;
                match answer.status().as_u16() {
                    200 => Ok(Box::new(answer.into_body().into_reader())),
                    status => Err(format!("{url} cannot be fetched: the server answers {status}")),
                }
            }
        }
    }
}

fn agent(config: &UpdateConfig, base: &url::Url, deadline: Instant) -> Result<Agent, String> {
    // Plain HTTP needs no authorities; none may be there.
    let roots = if base.scheme() == "https" { roots(config.ca.as_deref())? } else { Vec::new() };
    let config = Agent::config_builder()
        .https_only(base.scheme() == "https")
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(deadline.saturating_duration_since(clock::now()).max(Duration::from_millis(1))))
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
    let unread = |why: io::Error| format!("{name} cannot be read: {why}");
    source.open(name)?.take(max_bytes + 1).read_to_end(&mut bytes).map_err(unread)?;
    if bytes.len() as u64 > max_bytes {
        return Err(format!("{name} is larger than {max_bytes} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| format!("{name} is no text"))
}
