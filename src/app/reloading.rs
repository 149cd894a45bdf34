//! Reloads: one task, one at a time, on SIGHUP and when the api asks; everyone who waits meanwhile shares the next.
//!
//! The file that furt was started with and the environment are read and checked as at the start; then the driver puts all
//! of it in force in one publish. Nothing is changed before everything that can fail has succeeded, so a bad file changes
//! nothing. Keys that hold until a restart are named and kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;
use tokio::task::JoinError;

use super::answer_files::AnswerFiles;
use super::certifying::{self, Certifying, Prepared as PreparedCertificates};
use super::files::{self, Files};
use super::providing::{self, Providing};
use super::settings::Settings;
use super::upgrading::Takeover;
use super::{acquiring, lookups, notify_supervisor, services, tracing, vaulting};
use crate::api::{ReloadError, ReloadOutcome, ReloadWaiting, Reloaded};
use crate::auth::Providers;
use crate::cluster::Task;
use crate::config::{
    AccessLogConfig, Config, ConfigError, ConfigErrors, KeyLocations, Layer, ReloadClass, SourceLocation,
};
use crate::driver::Handle;
use crate::listener::OwnListeners;
use crate::published::Snapshots;
use crate::telemetry::{AccessLog, Collector, OpenedLog, ReloadMetrics, Tracer};
use crate::vault;
use furt_cluster::model::Scope;
use furt_core::registry::{Answer, Configuration, Sharing, SkippedRule};

/// How long a file may take to be opened and read: one on a share that hangs must not end all reloads.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Errors that are logged one by one: a file that is no configuration at all has one in each line.
pub(super) const MAX_LOGGED: usize = 20;

/// What a reload reads, and what it changes beside the registry.
pub(super) struct Reloading {
    /// The file that furt was started with.
    pub(super) path: PathBuf,
    /// What is in force.
    pub(super) config: Arc<Config>,
    pub(super) driver: Handle,
    /// Who writes to the store; stays as it was at the start.
    pub(super) sharing: Sharing,
    pub(super) own_listeners: OwnListeners,
    pub(super) access_log: AccessLog,
    pub(super) tracer: Tracer,
    pub(super) metrics: Arc<ReloadMetrics>,
    pub(super) files: Files,
    pub(super) certifying: Certifying,
    /// What is in force of them.
    pub(super) answer_files: AnswerFiles,
    pub(super) providing: Providing,
    /// Who vouches for callers now.
    pub(super) providers: Option<Arc<Providers>>,
    pub(super) snapshots: Snapshots,
    /// What lies over the file.
    pub(super) settings: Settings,
    pub(super) vault: Option<vault::Running>,
    pub(super) restarts: Restarts,
}

/// Where settings go that need a restart; `Err`: why this process cannot be replaced.
pub(super) type Restarts = Result<mpsc::Sender<Takeover>, Arc<str>>;

/// A configuration that could be put in force at once.
pub(super) struct Prepared {
    new: Arc<Config>,
    configuration: Box<Configuration>,
    opened: Option<OpenedLog>,
    collector: Option<Collector>,
    certificates: Option<PreparedCertificates>,
    answer_files: AnswerFiles,
    providers: Option<Arc<Providers>>,
    changed: Vec<&'static str>,
    pub(super) needs_restart: BTreeMap<&'static str, Option<SourceLocation>>,
}

impl Reloading {
    /// Reloads whenever it is asked to, until nobody can ask any more.
    pub(super) async fn run(
        mut self,
        mut hangups: Signal,
        mut asked: mpsc::Receiver<ReloadWaiting>,
        mut tasks: mpsc::Receiver<Task>,
    ) {
        let mut waiting = Vec::new();
        loop {
            let places = asked.max_capacity();
            tokio::select! {
                Some(task) = tasks.recv() => {
                    self.carry_out(task).await;
                    continue;
                }
                Some(()) = hangups.recv() => log::info!("SIGHUP: reloading {}", self.path.display()),
                count = asked.recv_many(&mut waiting, places) => {
                    if count == 0 {
                        return;
                    }
                }
            }
            let outcome = self.reload().await;
            for one in waiting.drain(..) {
                // Who asked may have stopped waiting.
                _ = one.send(Arc::clone(&outcome));
            }
        }
    }

    async fn reload(&mut self) -> ReloadOutcome {
        // systemd takes the first with the time alone (`Type=notify-reload`), and otherwise not amiss.
        if let Ok(time) = NotifyState::monotonic_usec_now() {
            notify_supervisor(&[NotifyState::Reloading, time]);
        }
        let outcome = self.try_reload().await;
        notify_supervisor(&[NotifyState::Ready]);
        self.tell(&outcome);
        Arc::new(outcome)
    }

    async fn try_reload(&mut self) -> Result<Reloaded, ReloadError> {
        let settings = self.settings.clone();
        let prepared = self.prepare(&settings, None).await?;
        self.put_in_force(prepared, settings).await
    }

    pub(super) async fn put_in_force(
        &mut self,
        prepared: Prepared,
        settings: Settings,
    ) -> Result<Reloaded, ReloadError> {
        let Prepared {
            new,
            configuration,
            opened,
            collector,
            certificates,
            answer_files,
            providers,
            changed,
            needs_restart,
        } = prepared;
        let in_force = answer_files.with(&new, providers.clone());
        let answer = self.driver.reconfigure(configuration, in_force).await;
        let Ok(Ok(Answer::Reconfigured(done))) = answer else { return Err(ReloadError::Stopping) };
        if let Some(prepared) = certificates {
            self.certifying.apply(prepared, &new);
        }
        if let Some(log) = opened {
            let access_log = self.access_log.clone();
            // A full queue makes it wait, and the driver runs on this thread.
            _ = tokio::task::spawn_blocking(move || access_log.switch(log)).await;
        }
        if let Some(collector) = collector {
            let tracer = self.tracer.clone();
            // What waits for the one before is sent first.
            _ = tokio::task::spawn_blocking(move || tracer.switch(collector)).await;
        }
        (self.config, self.settings, self.answer_files, self.providers) = (new, settings, answer_files, providers);
        if let Some(vault) = &self.vault {
            vault.reload();
        }
        providing::lost(&self.snapshots.load()).iter().for_each(|warning| log::warn!("{warning}"));
        files::tell_lowered(self.files, self.config.server.max_connections);
        let line = |rule: usize| self.config.rules.get(rule).map_or(0, |rule| rule.line.0);
        let skipped_rules = done.skipped_rules.into_iter().map(|one| (line(one.rule), one)).collect();
        Ok(Reloaded { generation: done.generation, changed, needs_restart, blocked: done.suspended, skipped_rules })
    }

    /// Everything that can fail. Nothing is changed. Settings of scope `due` are to be put in force.
    pub(super) async fn prepare(&self, settings: &Settings, due: Option<Scope>) -> Result<Prepared, ReloadError> {
        let read = read(&self.path, settings.layers(due)).await;
        let (new, locations) = read.map_err(ReloadError::Refused)?;
        let mut changed = self.config.changed(&new, ReloadClass::Reload);
        let needs_restart = self.config.changed(&new, ReloadClass::Restart);
        let needs_restart = needs_restart.into_iter().map(|key| (key, locations.get(key).cloned())).collect();
        let new = Arc::new(new.until_restart(&self.config));

        let found = lookups::addresses(&new, &self.config).await;
        let (mut faults, answer_files) = match read_answers(&new, &locations, &self.path).await {
            Ok(files) => (Vec::new(), files),
            Err(faults) => (faults, AnswerFiles::default()),
        };
        let others: Vec<_> = answer_files.changed(&self.answer_files).filter(|key| !changed.contains(key)).collect();
        changed.extend(others);
        let (of_routes, configuration) = self.judge(&new, locations.clone(), found, answer_files.clone()).await?;
        faults.extend(of_routes);
        let opened = if new.access_log == self.config.access_log {
            None
        } else {
            open_log(&new.access_log).await.map_err(|why| faults.push(log_fault(&locations, &self.path, &why))).ok()
        };
        faults.extend(tracing::faults(&new, &locations, &self.path));
        faults.extend(certifying::useless_rules(&new, &locations, &self.path));
        faults.extend(acquiring::faults(&new, &locations, &self.path));
        faults.extend(vaulting::faults(&new, &locations, &self.path));
        faults.extend(providing::faults(&new, &locations, &self.path));
        let certificates = self.certifying.prepare(&new, &locations, &self.path).await;
        let certificates = certificates.map_err(|why| faults.extend(why)).ok();
        if let Some(errors) = ConfigErrors::try_new(faults) {
            return Err(ReloadError::Refused(errors));
        }
        let collector = self.collector(&new, &locations)?;
        // Last, so that nobody is asked for keys by a configuration that is refused.
        let providers = self.provide(&new, locations).await?;
        Ok(Prepared {
            new,
            configuration,
            opened,
            collector,
            certificates,
            answer_files,
            providers,
            changed,
            needs_restart,
        })
    }

    /// Another collector, where the configuration has one; it begins a thread.
    fn collector(&self, new: &Config, locations: &KeyLocations) -> Result<Option<Collector>, ReloadError> {
        if tracing::is_same(new, &self.config) {
            return Ok(None);
        }
        let collector = tracing::collector(new, &self.tracer);
        let unusable = |why| ConfigErrors::try_new(vec![tracing::unusable(&why, locations, &self.path)]);
        collector.map(Some).or_else(|why| unusable(why).map_or(Ok(None), |errors| Err(ReloadError::Refused(errors))))
    }

    /// Those who vouch for callers by a configuration. Files may be on a share that hangs.
    async fn provide(&self, new: &Arc<Config>, locations: KeyLocations) -> Result<Option<Arc<Providers>>, ReloadError> {
        let (providing, new, path) = (self.providing.clone(), Arc::clone(new), self.path.clone());
        let before = self.providers.clone();
        let preparing =
            tokio::task::spawn_blocking(move || providing.prepare(&new, &locations, &path, before.as_deref()));
        let prepared = preparing.await.map_err(|_| ReloadError::Stopping)?;
        prepared.or_else(|faults| match ConfigErrors::try_new(faults) {
            Some(errors) => Err(ReloadError::Refused(errors)),
            None => Ok(None),
        })
    }

    /// What is wrong with it though it reads well, and what the driver is given. Not on the driver's thread: with 100,000
    /// keys it takes a while.
    async fn judge(
        &self,
        new: &Arc<Config>,
        locations: KeyLocations,
        found: lookups::Found,
        answer_files: AnswerFiles,
    ) -> Result<(Vec<ConfigError>, Box<Configuration>), ReloadError> {
        let (new, path, own_listeners) = (Arc::clone(new), self.path.clone(), self.own_listeners.clone());
        let sharing = self.sharing;
        let preparing = tokio::task::spawn_blocking(move || {
            let faults = services::static_faults(&new, &locations, &path, &found, &own_listeners);
            let configuration = Configuration {
                settings: services::settings(&new, sharing),
                static_routes: services::static_routes(&new, &found, &answer_files),
                keys: services::keys(&new),
            };
            (faults, Box::new(configuration))
        });
        preparing.await.map_err(|_| ReloadError::Stopping)
    }

    /// One line of what changed, or what is wrong.
    pub(super) fn tell(&self, outcome: &Result<Reloaded, ReloadError>) {
        let path = self.path.display();
        match outcome {
            Ok(Reloaded { generation, changed, needs_restart, blocked, skipped_rules }) => {
                let changed = if changed.is_empty() { "nothing".to_owned() } else { changed.join(", ") };
                log::info!(
                    "reloaded {path} as generation {}: changed {changed}; {} services are kept but not routed",
                    generation.0,
                    blocked.len()
                );
                for (key, place) in needs_restart {
                    let place = place.as_ref().map_or_else(String::new, |place| format!("{place}: "));
                    log::warn!("{place}{key} was changed and takes effect at the next start of furt");
                }
                for (line, SkippedRule { route, why, .. }) in skipped_rules.iter().take(MAX_LOGGED) {
                    log::warn!("{path}:{line}: the rule is skipped for {route}: {why}");
                }
                self.metrics.reload_succeeded();
            }
            Err(ReloadError::Refused(errors)) => {
                let count = errors.count();
                let are = if count == 1 { "is 1 error".to_owned() } else { format!("are {count} errors") };
                log::error!("{path} is not reloaded and nothing has changed, since there {are}:");
                errors.iter().take(MAX_LOGGED).for_each(|error| log::error!("{error}"));
                if count > MAX_LOGGED {
                    log::error!("and {} more", count - MAX_LOGGED);
                }
                let first = errors.iter().next().map_or_else(String::new, ToString::to_string);
                let more = if count > 1 { format!(" (and {} more)", count - 1) } else { String::new() };
                self.metrics.reload_failed(first + &more);
            }
            Err(ReloadError::Stopping) => log::warn!("{path} is not reloaded: furt is stopping"),
        }
    }
}

async fn read(path: &Path, layers: Vec<Layer>) -> Result<(Config, KeyLocations), ConfigErrors> {
    let name = path.display().to_string();
    let path = path.to_owned();
    let env = |name: &str| std::env::var(name).ok();
    let reading = tokio::task::spawn_blocking(move || {
        check_kind(&path)?;
        Config::load_with_layers(&path, &layers, &env)
    });
    match tokio::time::timeout(READ_TIMEOUT, reading).await {
        Ok(Ok(read)) => read,
        Ok(Err(panicked)) => Err(ConfigErrors::unreadable(&name, &panicked)),
        Err(_) => Err(ConfigErrors::unreadable(&name, &format!("not within {} s", READ_TIMEOUT.as_secs()))),
    }
}

/// Files may be on a share that hangs.
async fn read_answers(
    config: &Arc<Config>,
    locations: &KeyLocations,
    path: &Path,
) -> Result<AnswerFiles, Vec<ConfigError>> {
    let reading = {
        let (config, locations, path) = (Arc::clone(config), locations.clone(), path.to_owned());
        tokio::task::spawn_blocking(move || AnswerFiles::read(&config, &locations, &path))
    };
    let fault = |message: String| {
        let location = SourceLocation::File { file: path.display().to_string() };
        vec![ConfigError { location, key: "routes.respond.file or pages".to_owned(), message }]
    };
    match tokio::time::timeout(READ_TIMEOUT, reading).await {
        Ok(Ok(read)) => read,
        Ok(Err(panicked)) => Err(fault(format!("could not be read through: {panicked}"))),
        Err(_) => Err(fault(format!("cannot be read within {} s", READ_TIMEOUT.as_secs()))),
    }
}

/// A pipe, as of `--config <(…)`, was read to its end at the start: what is left of it is empty, and an empty file is a good
/// configuration without a key, a grant or a route.
fn check_kind(path: &Path) -> Result<(), ConfigErrors> {
    let unreadable = |why: &dyn std::fmt::Display| ConfigErrors::unreadable(&path.display().to_string(), why);
    let metadata = std::fs::metadata(path).map_err(|why| unreadable(&why))?;
    // Of a directory reading says what is wrong; nothing ever comes of /dev/null.
    if metadata.is_file() || metadata.is_dir() || path == Path::new("/dev/null") {
        return Ok(());
    }
    Err(unreadable(&"it is no regular file, so it can be read at the start alone"))
}

/// Why an access log cannot be switched to.
#[derive(Debug, thiserror::Error)]
enum LogError {
    #[error("{0:#}")]
    Unopened(anyhow::Error),
    #[error("{0}")]
    Panicked(JoinError),
    #[error("cannot be opened within {} s", READ_TIMEOUT.as_secs())]
    TimedOut,
}

async fn open_log(config: &AccessLogConfig) -> Result<OpenedLog, LogError> {
    let config = config.clone();
    let opening = tokio::task::spawn_blocking(move || OpenedLog::try_new(&config));
    match tokio::time::timeout(READ_TIMEOUT, opening).await {
        Ok(Ok(opened)) => opened.map_err(|error| LogError::Unopened(error.into())),
        Ok(Err(panicked)) => Err(LogError::Panicked(panicked)),
        Err(_) => Err(LogError::TimedOut),
    }
}

fn log_fault(locations: &KeyLocations, path: &Path, why: &LogError) -> ConfigError {
    let whole = || SourceLocation::File { file: path.display().to_string() };
    let location = locations.get("access_log.path").cloned().unwrap_or_else(whole);
    ConfigError {
        location,
        key: "access_log.path".to_owned(),
        message: format!("{why}; must be a file that can be written"),
    }
}
