//! The files of furt's own answers: bodies of static routes, and pages in the place of problems. Read whole at the start and at each reload; what is in force is
//! in memory, so that a request never waits for a disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::acquiring::place;
use crate::auth::Providers;
use crate::config::{Config, ConfigError, KeyLocations, RespondConfig, StaticRouteConfig, StaticTarget};
use crate::published::InForce;
use crate::wire::{Page, Pages, TooManyPlaceholders};
use furt_core::model::{FixedAnswer, Respond};

/// What the files have.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct AnswerFiles {
    bodies: BTreeMap<PathBuf, Bytes>,
    pages: Option<Arc<Pages>>,
}

/// Why a file cannot be used; what follows its name in a sentence.
#[derive(Debug, thiserror::Error)]
enum FileFault {
    #[error("cannot be read ({0})")]
    Unreadable(#[from] io::Error),
    #[error("is no regular file")]
    NotRegular,
    #[error("has more than {} KiB, the most that is read", Respond::MAX_BODY / 1024)]
    TooLarge,
    #[error("is no text in UTF-8")]
    NotText,
    #[error(transparent)]
    Placeholders(#[from] TooManyPlaceholders),
}

impl AnswerFiles {
    /// Reads all files that the configuration names.
    ///
    /// # Errors
    /// Each that cannot be used, with its place in the configuration.
    pub(super) fn read(config: &Config, locations: &KeyLocations, path: &Path) -> Result<Self, Vec<ConfigError>> {
        let mut faults = Vec::new();
        let mut fault = |place_of: &str, key: &str, file: &Path, fault: FileFault| {
            let message = format!("{} {fault}", file.display());
            faults.push(ConfigError { location: place(place_of, locations, path), key: key.to_owned(), message });
        };
        let mut bodies = BTreeMap::new();
        for (index, file) in config.routes.iter().enumerate().filter_map(|(at, route)| Some((at, file(route)?))) {
            match read(file) {
                Ok(body) => _ = bodies.insert(file.to_owned(), body),
                Err(why) => fault(&RespondConfig::place(index), "routes.respond.file", file, why),
            }
        }
        let mut page = |key: &str, file: Option<&PathBuf>| {
            let file = file?;
            read_page(file).map_err(|why| fault(key, key, file, why)).ok()
        };
        let error = page("pages.error", config.pages.error.as_ref());
        let maintenance = page("pages.maintenance", config.pages.maintenance.as_ref());
        let pages = Pages::new(error, maintenance).map(Arc::new);
        if faults.is_empty() { Ok(Self { bodies, pages }) } else { Err(faults) }
    }

    /// Each file that cannot be used.
    pub(super) fn faults(config: &Config, locations: &KeyLocations, path: &Path) -> Vec<ConfigError> {
        Self::read(config, locations, path).err().unwrap_or_default()
    }

    /// A static route's answer.
    pub(super) fn answer(&self, respond: &RespondConfig) -> FixedAnswer {
        let mut answer = respond.answer.clone();
        if let Some(body) = respond.file.as_ref().and_then(|file| self.bodies.get(file)) {
            answer.body = body.clone();
        }
        FixedAnswer::Respond(Arc::new(answer))
    }

    /// The configuration with its pages, and with those who vouch for callers.
    pub(super) fn with(&self, config: &Arc<Config>, providers: Option<Arc<Providers>>) -> InForce {
        InForce { config: Arc::clone(config), pages: self.pages.clone(), providers }
    }

    /// The keys whose files have other contents than `before`.
    pub(super) fn changed(&self, before: &Self) -> impl Iterator<Item = &'static str> {
        let error = |files: &Self| files.pages.as_ref().and_then(|pages| pages.error().cloned());
        let maintenance = |files: &Self| files.pages.as_ref().and_then(|pages| pages.maintenance().cloned());
        let changed = [
            ("pages.error", error(self) != error(before)),
            ("pages.maintenance", maintenance(self) != maintenance(before)),
            ("routes", self.bodies != before.bodies),
        ];
        changed.into_iter().filter_map(|(key, is_changed)| is_changed.then_some(key))
    }
}

fn file(route: &StaticRouteConfig) -> Option<&Path> {
    match &route.target {
        StaticTarget::Respond(respond) => respond.file.as_deref(),
        StaticTarget::Url(_) | StaticTarget::Service(_) | StaticTarget::Redirect(_) => None,
    }
}

fn read(path: &Path) -> Result<Bytes, FileFault> {
    // Before it is opened: opening a pipe waits for somebody to write.
    if !path.metadata()?.is_file() {
        return Err(FileFault::NotRegular);
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(Respond::MAX_BODY as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > Respond::MAX_BODY { Err(FileFault::TooLarge) } else { Ok(bytes.into()) }
}

fn read_page(path: &Path) -> Result<Page, FileFault> {
    let bytes = read(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| FileFault::NotText)?;
    Ok(Page::try_new(text)?)
}
