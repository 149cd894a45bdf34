//! What is opened before the store: counters, the access log, files of furt's own answers, the database of addresses, certificates, the runtime of the driver, SIGHUP.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::Signal;

use super::answer_files::AnswerFiles;
use super::certifying::Certifying;
use super::locating::{self, DatabaseWatcher};
use super::providing::{self, Providing};
use super::{rotating, tracing};
use crate::auth::Providers;
use crate::config::{Config, ConfigErrors, KeyLocations};
use crate::geo::Geo;
use crate::telemetry::{AccessLog, Telemetry, Tracer};

pub(super) struct Opened {
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) access_log: AccessLog,
    pub(super) tracer: Tracer,
    pub(super) geo: Arc<Geo>,
    pub(super) database: Option<DatabaseWatcher>,
    pub(super) certifying: Certifying,
    pub(super) answer_files: AnswerFiles,
    pub(super) providing: Providing,
    /// Those at the start.
    pub(super) providers: Option<Arc<Providers>>,
    /// The driver and reloads run here, apart from the request path and from Pingora, which ends before them.
    pub(super) background: Runtime,
    pub(super) hangups: Signal,
}

impl Opened {
    /// # Errors
    /// The first that cannot be opened.
    pub(super) fn try_new(config: &Config, locations: &KeyLocations, path: &Path, node: &str) -> Result<Self> {
        let telemetry = Telemetry::try_new().context("counters cannot be made")?;
        let access_log = AccessLog::open(&config.access_log, telemetry.access_log.clone())?;
        ConfigErrors::try_new(tracing::faults(config, locations, path)).map_or(Ok(()), Err)?;
        let tracer = tracing::open(config, node, &telemetry)?;
        let certifying = Certifying::open(config, locations, path, &telemetry)?;
        let answer_files = AnswerFiles::read(config, locations, path);
        let answer_files =
            answer_files.or_else(|faults| ConfigErrors::try_new(faults).map_or(Ok(Default::default()), Err))?;
        let geo = locating::open(config)?;
        let background = runtime()?;
        ConfigErrors::try_new(providing::faults(config, locations, path)).map_or(Ok(()), Err)?;
        let providing = Providing::new(&telemetry, background.handle());
        let providers = providing.prepare(config, locations, path, None);
        let providers = providers.or_else(|faults| ConfigErrors::try_new(faults).map_or(Ok(None), Err))?;
        let database = DatabaseWatcher::try_new(&geo, &telemetry)?;
        rotating::on_hangup(&background, access_log.clone())?;
        let hangups = rotating::hangups(&background)?;
        Ok(Self {
            telemetry,
            access_log,
            tracer,
            geo,
            database,
            certifying,
            answer_files,
            providing,
            providers,
            background,
            hangups,
        })
    }
}

fn runtime() -> Result<Runtime> {
    let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("background").enable_all().build();
    runtime.context("the background runtime cannot be started")
}
