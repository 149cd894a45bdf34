//! Settings of the cluster, which lie over the file: the cluster's, then this node's own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use furt_cluster::model::{Scope, SettingsId};
use serde::{Deserialize, Serialize};

use crate::cluster;
use crate::config::{Config, ConfigErrors, Disallowed, KeyLocations, Layer};

/// A document that a process is to have in force that takes over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HandedSettings {
    pub(super) scope: Scope,
    pub(super) id: SettingsId,
    pub(super) text: String,
}

/// What lies over the file. The cluster's come before a node's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Settings(BTreeMap<Scope, Document>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Document {
    /// `None`: it is not in force yet.
    id: Option<SettingsId>,
    text: String,
}

/// A configuration as a process begins with it.
#[derive(Debug)]
pub struct Loaded {
    pub(super) config: Config,
    pub(super) locations: KeyLocations,
    pub(super) settings: Settings,
}

impl Settings {
    /// Those that were in force when the node ended.
    fn at_start(config: &Config) -> Self {
        if config.cluster.url.is_none() {
            return Self::default();
        }
        match cluster::settings_in(&config.cluster.state) {
            Ok(all) => {
                Self(all.into_iter().map(|(scope, id, text)| (scope, Document { id: Some(id), text })).collect())
            }
            Err(why) => {
                log::error!("the settings of the cluster cannot be read: {why}");
                Self::default()
            }
        }
    }

    /// The last one lies over the others. Those of scope `due` are to be put in force, the others were.
    pub(super) fn layers(&self, due: Option<Scope>) -> Vec<Layer> {
        let layer = |(scope, Document { id, text }): (&Scope, &Document)| {
            let whose = match scope {
                Scope::Cluster => "the cluster",
                Scope::Node(_) => "this node",
            };
            let name = match id {
                Some(id) => format!("settings of {whose}, generation {}", id.generation),
                None => format!("new settings of {whose}"),
            };
            let disallowed = if due == Some(*scope) { Disallowed::Refused } else { Disallowed::PassedOver };
            Layer { name, text: text.clone(), disallowed }
        };
        self.0.iter().map(layer).collect()
    }

    /// With another document of a scope; it has no name before it is in force.
    pub(super) fn with(&self, scope: Scope, id: Option<SettingsId>, text: String) -> Self {
        let mut all = self.clone();
        all.0.insert(scope, Document { id, text });
        all
    }

    /// The documents that are in force.
    pub(super) fn in_force(&self) -> BTreeMap<Scope, SettingsId> {
        self.0.iter().filter_map(|(scope, document)| Some((*scope, document.id?))).collect()
    }

    /// The full names of the keys that are set.
    pub(super) fn keys(&self) -> BTreeSet<String> {
        let tables = self.0.values().filter_map(|document| document.text.parse::<toml::Table>().ok()).flatten();
        let keys = tables.filter_map(|(table, keys)| match keys {
            toml::Value::Table(keys) => Some(keys.into_iter().map(move |(key, _)| format!("{table}.{key}"))),
            _ => None,
        });
        keys.flatten().collect()
    }
}

impl Loaded {
    /// Without settings of a cluster.
    pub fn alone((config, locations): (Config, KeyLocations)) -> Self {
        Self { config, locations, settings: Settings::default() }
    }

    /// With the settings that were in force when the node ended. Those that do not fit the file any more are left out and told: a node
    /// starts whatever was set from elsewhere.
    ///
    /// # Errors
    /// What this process is to have in force does not fit.
    pub(super) fn with_settings(
        path: &Path,
        (config, locations): (Config, KeyLocations),
        handed: Option<HandedSettings>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigErrors> {
        let mut settings = Settings::at_start(&config);
        let due = handed.as_ref().map(|handed| handed.scope);
        if let Some(HandedSettings { scope, id, text }) = handed {
            settings = settings.with(scope, Some(id), text);
        }
        if settings == Settings::default() {
            return Ok(Self { config, locations, settings });
        }
        match Config::load_with_layers(path, &settings.layers(due), env) {
            Ok((config, locations)) => Ok(Self { config, locations, settings }),
            Err(errors) if due.is_some() => Err(errors),
            Err(errors) => {
                log::error!("furt starts without the settings of the cluster, since they do not fit its file:");
                errors.iter().for_each(|error| log::error!("{error}"));
                Ok(Self { config, locations, settings })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_s_own_settings_lie_over_the_cluster_s_and_keys_of_both_are_known() {
        let node = Scope::Node(furt_cluster::model::Fingerprint::new([7; 32]));
        let own = Settings::default().with(node, None, "[server]\nthreads = 2\n[limits]\nmax_body = 5\n".to_owned());
        let both = own.with(Scope::Cluster, None, "[limits]\nmax_body = 6\n".to_owned());
        let names: Vec<_> = both.layers(Some(node)).into_iter().map(|layer| layer.name).collect();
        assert_eq!(names, ["new settings of the cluster", "new settings of this node"]);
        assert_eq!(both.keys().into_iter().collect::<Vec<_>>(), ["limits.max_body", "server.threads"]);
        assert_eq!(both.in_force(), BTreeMap::new());
        assert_eq!(both.with(node, None, "not TOML".to_owned()).keys().len(), 1);
    }
}
