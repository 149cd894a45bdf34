//! `[update]`: what is wrong with it beside each key alone, and what the cluster asks for: programs that are staged and take over.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use furt_cluster::UpdateRule;
use furt_cluster::model::Program;
use tokio::sync::mpsc;

use super::acquiring::place;
use super::upgrading::{Takeover, Update};
use crate::cluster::{self, ProgramTask, TakeoverReply};
use crate::config::{Config, ConfigError, KeyLocations, StoreConfig};
use crate::store::Custody;
use crate::tls::check_roots;
use crate::update::{self, Candidate, Staging, StoreCheck};

/// Below `cluster.state`, where `update.state` does not say otherwise.
const FOLDER: &str = "update";

/// Keys that are of no use without others, and files that cannot be used.
pub(super) fn faults(config: &Config, locations: &KeyLocations, path: &Path) -> Vec<ConfigError> {
    let update = &config.update;
    let fault = |key: &str, message: String| ConfigError {
        location: place(key, locations, path),
        key: key.to_owned(),
        message,
    };
    let mut faults = Vec::new();
    if update.public_key.is_none() {
        let others = [
            ("update.folder", update.folder.is_some()),
            ("update.url", update.url.is_some()),
            ("update.ca", update.ca.is_some()),
            ("update.state", update.state.is_some()),
            ("update.in_container", update.in_container),
        ];
        let useless = others.into_iter().filter(|(_, is_set)| *is_set);
        return useless.map(|(key, _)| fault(key, "is of no use without update.public_key".to_owned())).collect();
    }
    let needless = |key: &str, message: &str| fault(key, message.to_owned());
    if config.cluster.url.is_none() {
        faults.push(needless(
            "update.public_key",
            "is of no use: cluster.url is not set, so nobody can ask for an update",
        ));
    }
    match (&update.folder, &update.url) {
        (None, None) => {
            faults.push(needless("update.public_key", "needs update.folder or update.url, where artefacts are"))
        }
        (Some(_), Some(_)) => {
            faults.push(needless("update.url", "must not be set beside update.folder; artefacts are in one place"))
        }
        (Some(folder), None) if !folder.is_dir() => {
            faults.push(fault("update.folder", format!("{} is no folder that can be read", folder.display())));
        }
        _ => {}
    }
    match &update.ca {
        Some(_) if update.url.as_ref().is_none_or(|url| url.scheme() != "https") => {
            faults.push(needless("update.ca", "is of no use: update.url is no https url"));
        }
        Some(ca) => faults.extend(check_roots(Some(ca)).err().map(|why| fault("update.ca", why.to_string()))),
        None => {}
    }
    faults
}

/// Whether the file at `program` may be replaced on command. It is looked at once: what owns it does not change while it runs.
pub(super) fn rule(config: &Config, program: Option<&Path>) -> UpdateRule {
    if config.update.public_key.is_none() {
        return UpdateRule::Off;
    }
    let owner = match program {
        Some(program) => update::owner(program, config.update.in_container),
        None => Some("the path that furt was started from is not known".to_owned()),
    };
    match owner {
        Some(why) => {
            log::warn!("update: no update is taken, the program is managed elsewhere: {why}");
            UpdateRule::ManagedElsewhere
        }
        None => UpdateRule::On,
    }
}

/// Stages programs and has them take over.
pub(super) struct Updating {
    pub(super) staging: Arc<Staging>,
    /// The program that they replace.
    pub(super) program: PathBuf,
    pub(super) takeovers: mpsc::Sender<Takeover>,
}

impl Updating {
    pub(super) async fn run(self, mut tasks: mpsc::Receiver<ProgramTask>) {
        while let Some(task) = tasks.recv().await {
            match task {
                ProgramTask::Stage(program, reply) => {
                    let outcome = self.stage(program).await;
                    if let Err(why) = &outcome {
                        log::error!("update: {why}");
                    }
                    // A node that has begun anew since has told that it failed.
                    _ = reply.send(outcome.map_err(Into::into));
                }
                ProgramTask::TakeOver(program, reply) => self.take_over(program, reply).await,
            }
        }
    }

    async fn stage(&self, program: Program) -> Result<(), String> {
        log::info!("update: furt {} is fetched and checked", program.version);
        let staging = Arc::clone(&self.staging);
        let staged = tokio::task::spawn_blocking(move || staging.stage(&program));
        staged.await.unwrap_or_else(|_| Err("checking the program broke off".to_owned())).map(|_| ())
    }

    async fn take_over(&self, program: Program, reply: TakeoverReply) {
        let (staging, installed) = (Arc::clone(&self.staging), self.program.clone());
        let placed = tokio::task::spawn_blocking(move || {
            let candidate = Candidate::place(&staging.path(program.version), &installed);
            staging.clear();
            candidate
        });
        match placed.await.unwrap_or_else(|_| Err("copying the program broke off".to_owned())) {
            Ok(candidate) => {
                let update = Update { candidate, version: program.version, reply };
                if self.takeovers.send(Takeover::Update(update)).await.is_err() {
                    log::debug!("update: furt ends meanwhile");
                }
            }
            Err(why) => {
                log::error!("update: {why}");
                reply.failed(&why);
            }
        }
    }
}

/// What staging needs on this node.
pub(super) fn staging(config: &Config, path: &Path, custody: Option<Custody>) -> Staging {
    let store = match (&config.store, custody) {
        (StoreConfig::Memory, _) => StoreCheck::Memory,
        (StoreConfig::Disk(_), Some(custody)) => StoreCheck::File(Box::new(move |to| custody.copy(to))),
        (StoreConfig::Disk(_) | StoreConfig::Etcd, _) => StoreCheck::None,
    };
    let folder = config.update.state.clone().unwrap_or_else(|| config.cluster.state.join(FOLDER));
    Staging { config: config.update.clone(), folder, file: path.to_owned(), store }
}

/// Where programs are asked for, where updates are on.
pub(super) fn channel(rule: UpdateRule) -> Option<(mpsc::Sender<ProgramTask>, mpsc::Receiver<ProgramTask>)> {
    (rule == UpdateRule::On).then(cluster::programs)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys that are at fault, and why.
    fn faults_of(text: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("releases")).unwrap();
        std::fs::write(folder.path().join("ca.pem"), "none").unwrap();
        let path = folder.path().join("furt.toml");
        let key = "public_key = 'RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3'";
        let text = text.replace("KEY", key).replace("HERE", &folder.path().to_string_lossy());
        std::fs::write(&path, text).unwrap();
        let (config, locations) = Config::load_with_locations(&path, &|_| None).unwrap();
        let faults = faults(&config, &locations, &path);
        faults
            .iter()
            .map(|fault| format!("{}: {}", fault.key, fault.message.replace(&*folder.path().to_string_lossy(), "")))
            .collect()
    }

    #[test]
    fn keys_that_contradict_each_other_are_told() {
        let cluster = "[cluster]\nurl = 'amqp://furt@127.0.0.1:5672'\n[update]\n";
        for good in
            ["", "KEY\nfolder = 'HERE/releases'", "KEY\nurl = 'https://a.example/'\nstate = 'x'\nin_container = true"]
        {
            assert_eq!(faults_of(&format!("{cluster}{good}")), Vec::<String>::new(), "{good}");
        }
        for (bad, told) in [
            ("folder = 'x'", "update.folder: is of no use without update.public_key"),
            ("in_container = true", "update.in_container: is of no use without update.public_key"),
            ("KEY", "update.public_key: needs update.folder or update.url, where artefacts are"),
            (
                "KEY\nfolder = 'HERE/releases'\nurl = 'https://a.example/'",
                "update.url: must not be set beside update.folder; artefacts are in one place",
            ),
            ("KEY\nfolder = 'HERE/none'", "update.folder: /none is no folder that can be read"),
            (
                "KEY\nfolder = 'HERE/releases'\nca = 'HERE/ca.pem'",
                "update.ca: is of no use: update.url is no https url",
            ),
            (
                "KEY\nurl = 'http://127.0.0.1/'\nca = 'HERE/ca.pem'",
                "update.ca: is of no use: update.url is no https url",
            ),
            ("KEY\nurl = 'https://a.example/'\nca = 'HERE/ca.pem'", "update.ca: /ca.pem has no certificate in PEM"),
            ("KEY\nurl = 'https://a.example/'\nca = 'HERE/no.pem'", "update.ca: /no.pem cannot be read (No such file"),
        ] {
            let faults = faults_of(&format!("{cluster}{bad}"));
            assert!(faults.len() == 1 && faults[0].starts_with(told), "{bad}: {faults:?}");
        }
        let alone = faults_of("[update]\nKEY\nfolder = 'HERE/releases'");
        assert!(alone.len() == 1 && alone[0].contains("cluster.url is not set"), "{alone:?}");
    }
}
