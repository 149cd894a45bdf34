//! Settings of the cluster, which lie over the file: the cluster's, then this node's own.

use std::path::Path;

use furt_cluster::model::Scope;

use crate::cluster;
use crate::config::{Config, Disallowed, KeyLocations, Layer};

/// What lies over the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Settings {
    cluster: Option<Layer>,
    node: Option<Layer>,
}

impl Settings {
    /// Those that were in force when the node ended.
    pub(super) fn at_start(config: &Config) -> Self {
        let mut settings = Self::default();
        if config.cluster.url.is_none() {
            return settings;
        }
        match cluster::settings_in(&config.cluster.state) {
            Ok(all) => {
                all.into_iter().for_each(|(scope, id, text)| settings = settings.with(scope, Some(id.generation), text))
            }
            Err(why) => log::error!("the settings of the cluster cannot be read: {why}"),
        }
        settings
    }

    /// The last one lies over the others.
    pub(super) fn layers(&self) -> Vec<Layer> {
        self.cluster.iter().chain(&self.node).cloned().collect()
    }

    /// With another document of a scope; it has no generation before it is in force.
    pub(super) fn with(&self, scope: Scope, generation: Option<u64>, text: String) -> Self {
        let layer = |whose: &str| {
            let name = match generation {
                Some(generation) => format!("settings of {whose}, generation {generation}"),
                None => format!("new settings of {whose}"),
            };
            Some(Layer { name, text })
        };
        match scope {
            Scope::Cluster => Self { cluster: layer("the cluster"), ..self.clone() },
            Scope::Node(_) => Self { node: layer("this node"), ..self.clone() },
        }
    }
}

/// The configuration of a start, with the settings that were in force when the node ended. Those that do not fit the file any more are
/// left out and told: a node starts whatever was set from elsewhere.
pub fn with_settings(
    path: &Path,
    (config, locations): (Config, KeyLocations),
    env: &dyn Fn(&str) -> Option<String>,
) -> (Config, KeyLocations) {
    let layers = Settings::at_start(&config).layers();
    if layers.is_empty() {
        return (config, locations);
    }
    match Config::load_with_layers(path, &layers, Disallowed::PassedOver, env) {
        Ok(loaded) => loaded,
        Err(errors) => {
            log::error!("furt starts without the settings of the cluster, since they do not fit its file:");
            errors.iter().for_each(|error| log::error!("{error}"));
            (config, locations)
        }
    }
}
