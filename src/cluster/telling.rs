//! What is logged, counted and told in `/health` of the cluster. What strangers can cause is logged seldom.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use furt_cluster::model::{Fingerprint, Scope};
use furt_cluster::{Issue, Refused, Report, View};
use furt_seal::lexnode::Heard;

use super::settings::of;
use crate::clock;
use crate::telemetry::ClusterMetrics;

/// Between two lines of the log about messages that are refused for one reason.
const SELDOM: Duration = Duration::from_secs(60);
/// Issues that are told; more would be read by nobody.
const MOST_ISSUES: usize = 16;

/// Where it is told.
pub(super) struct Telling {
    metrics: Arc<ClusterMetrics>,
    refused: BTreeMap<Refused, Quiet>,
    pending: Option<Instant>,
}

/// A reason that was logged.
#[derive(Debug, Default)]
struct Quiet {
    logged: Option<Instant>,
    since: u64,
}

impl Telling {
    pub(super) fn new(metrics: Arc<ClusterMetrics>) -> Self {
        Self { metrics, refused: BTreeMap::new(), pending: None }
    }

    pub(super) fn report(&mut self, report: &Report) {
        match report {
            Report::Refused { from, why } => self.refused(*from, *why),
            Report::PendingHeard(key, name) => self.pending(*key, name.as_str()),
            Report::NodeStateChanged { node, from, to } => {
                let from = from.map_or_else(|| "unknown".to_owned(), |from| from.to_string());
                log::info!("cluster: {} was {from} and is {to}", node.short());
            }
            Report::Joined(cluster) => log::info!("cluster: this node belongs to cluster {cluster}"),
            Report::Approved(key, role) => log::info!("cluster: {key} is approved as {role}"),
            Report::Revoked(key) => log::warn!("cluster: {key} is revoked"),
            Report::SecretGiven(id, to) => {
                log::info!("cluster: generation {} of the secret was given to {}", id.generation, to.short());
            }
            Report::SecretTaken(id) => log::info!("cluster: this node has generation {} of the secret", id.generation),
            Report::SecretActivated(id) => log::info!("cluster: generation {} of the secret is active", id.generation),
            Report::VaultTokenGiven(to) => log::info!("cluster: a token of Vault was made for {}", to.short()),
            Report::VaultTokenFailed(to, why) => {
                log::warn!("cluster: no token of Vault can be made for {}: {}", to.short(), printable(why));
            }
            Report::VaultTokenTaken(from) => {
                log::info!("cluster: {} had a token of Vault made for this node", from.short())
            }
            Report::SecretSplit(generation) => {
                log::error!("cluster: two secrets have generation {generation}; see `furt secret adopt`");
            }
            Report::SettingsApplied(scope, id) => {
                log::info!("cluster: generation {} of the settings of {} is in force", id.generation, of(scope));
            }
            Report::SettingsFailed(scope, id) => {
                let scope = of(scope);
                log::warn!("cluster: generation {} of the settings of {scope} cannot be put in force", id.generation);
            }
            Report::Result(result) => match &result.status {
                Ok(()) => log::info!("cluster: {} at {} succeeded", result.action, result.node),
                Err(why) => log::warn!("cluster: {} at {} failed: {}", result.action, result.node, printable(why)),
            },
        }
    }

    fn refused(&mut self, from: Option<Fingerprint>, why: Refused) {
        self.metrics.refused(why.as_str());
        let (now, quiet) = (clock::now(), self.refused.entry(why).or_default());
        quiet.since += 1;
        if quiet.logged.is_some_and(|at| now.saturating_duration_since(at) < SELDOM) {
            return;
        }
        let from = from.map_or_else(|| "a stranger".to_owned(), |from| from.short());
        log::warn!("cluster: {} messages were refused ({why}), the last of {from}", quiet.since);
        *quiet = Quiet { logged: Some(now), since: 0 };
    }

    /// Whether a message that is refused for this reason would be told now.
    pub(super) fn would_tell(&self, why: Refused) -> bool {
        let told = self.refused.get(&why).and_then(|quiet| quiet.logged);
        told.is_none_or(|at| clock::now().saturating_duration_since(at) >= SELDOM)
    }

    /// What an unsigned message looks like: a lex-node on the same exchange, maybe.
    pub(super) fn heard_unsigned(&self, heard: Option<&Heard>) {
        if let Some(heard) = heard {
            log::warn!("cluster: a lex-node seems to use the same exchange; nothing unsigned is taken: {heard:?}");
        }
    }

    /// Whoever may publish can have any number of keys.
    fn pending(&mut self, key: Fingerprint, name: &str) {
        let now = clock::now();
        if self.pending.is_none_or(|at| now.saturating_duration_since(at) >= Duration::from_secs(1)) {
            self.pending = Some(now);
            log::info!("cluster: {name} with the key {key} is not approved; see `furt nodes approve`");
        }
    }

    /// The broker is there, or is not.
    pub(super) fn connected(&self, is_up: bool) {
        self.metrics.connected(is_up);
    }

    /// What is wrong at a moment, and what there is.
    pub(super) fn show(&self, view: &View) {
        let text = |issue: &Issue| printable(&issue.to_string());
        self.metrics.set_issues(view.issues.iter().take(MOST_ISSUES).map(text).collect());
        let settings = view.settings.get(&Scope::Cluster).map_or(0, |id| id.generation);
        let secret = view.secret.active.map_or(0, |id| id.generation);
        self.metrics.show(view.nodes.iter().filter_map(|node| node.state), settings, secret, view.beats);
    }

    /// The node does not take part, for this reason.
    pub(super) fn apart(&self, why: String) {
        self.metrics.set_issues(vec![why]);
    }
}

/// Words of another node cannot break a line of the log.
fn printable(text: &str) -> String {
    text.chars().take(500).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
