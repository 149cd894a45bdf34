//! Settings of the cluster: whether they could be put in force, and that they are, by a reload or by a process that takes over.

use std::sync::Arc;

use furt_cluster::model::{Restart as SettingsRestart, Scope};

use super::reloading::{MAX_LOGGED, Prepared, Reloading};
use super::settings::{HandedSettings, Settings};
use super::upgrading::{Restart, Takeover};
use crate::api::ReloadError;
use crate::cluster::{ApplyReply, Task};
use crate::config::SourceLocation;

impl Reloading {
    /// Settings of the cluster: whether they could be put in force, or that they are.
    pub(super) async fn carry_out(&mut self, task: Task) {
        match task {
            // Whoever asked may have stopped waiting.
            Task::Check { scope, restart, text, reply } => _ = reply.send(self.check(scope, restart, text).await),
            Task::Apply { scope, id, restart, text, reply } => {
                let settings = self.settings.with(scope, Some(id), text.clone());
                let prepared = self.prepare(&settings, Some(scope)).await;
                if restart == SettingsRestart::OneByOne
                    && let Ok(prepared) = &prepared
                    && !self.needing_restart(&settings, prepared).is_empty()
                {
                    return self.restart(HandedSettings { scope, id, text }, reply);
                }
                let outcome = match prepared {
                    Ok(prepared) => self.put_in_force(prepared, settings).await,
                    Err(why) => Err(why),
                };
                self.tell(&outcome);
                reply.tell(outcome.map(|_| ()).map_err(|why| first_of(&why).into()));
            }
        }
    }

    /// Has another process of this program take over with the settings. Reloads go on meanwhile.
    fn restart(&self, settings: HandedSettings, reply: ApplyReply) {
        let restarts = match &self.restarts {
            Ok(restarts) => restarts,
            Err(why) => return reply.tell(Err(Arc::clone(why))),
        };
        log::info!("furt restarts for generation {} of the settings of the cluster", settings.id.generation);
        match restarts.try_reserve() {
            Ok(place) => place.send(Takeover::Restart(Restart { settings, reply })),
            Err(_) => reply.tell(Err("another process is to take over already".into())),
        }
    }

    async fn check(&self, scope: Scope, restart: SettingsRestart, text: String) -> Result<(), Vec<Arc<str>>> {
        let told = |why: ReloadError| match why {
            ReloadError::Refused(errors) => {
                errors.iter().take(MAX_LOGGED).map(|error| error.to_string().into()).collect()
            }
            ReloadError::Stopping => vec![first_of(&ReloadError::Stopping).into()],
        };
        let settings = self.settings.with(scope, None, text);
        let prepared = self.prepare(&settings, Some(scope)).await.map_err(told)?;
        let why = match (restart, &self.restarts) {
            (SettingsRestart::OneByOne, Ok(_)) => return Ok(()),
            (SettingsRestart::OneByOne, Err(why)) => format!("takes effect at a restart, and this furt cannot: {why}"),
            (SettingsRestart::Never, _) => {
                "takes effect at a restart alone; `furt settings set --restart` has nodes restart for it".to_owned()
            }
        };
        let faults: Vec<_> = self
            .needing_restart(&settings, &prepared)
            .into_iter()
            .map(|(key, place)| match place {
                Some(place) => format!("{place}: {key}: {why}").into(),
                None => format!("{key}: {why}").into(),
            })
            .collect();
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// The keys for which furt would have to restart. What the file alone has changed is not the settings' matter.
    fn needing_restart<'a>(
        &self,
        settings: &Settings,
        prepared: &'a Prepared,
    ) -> Vec<(&'static str, Option<&'a SourceLocation>)> {
        let (before, after) = (self.settings.keys(), settings.keys());
        let is_of_settings = |key: &str| before.contains(key) || after.contains(key);
        let keys = prepared.needs_restart.iter().filter(|(key, _)| is_of_settings(key));
        keys.map(|(key, place)| (*key, place.as_ref())).collect()
    }
}

/// The first of what is wrong.
fn first_of(why: &ReloadError) -> String {
    match why {
        ReloadError::Refused(errors) => errors.iter().next().map_or_else(String::new, ToString::to_string),
        ReloadError::Stopping => "furt is stopping".to_owned(),
    }
}
