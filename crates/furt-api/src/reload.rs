//! Reading the configuration again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Generation, Outcome, ServiceName};

/// The answer to `POST /internal/reload`, which takes no body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reloaded {
    /// [`Outcome::Reloaded`].
    pub status: Outcome,
    /// The change.
    pub generation: Generation,
    /// The keys of the configuration that changed and are in force, such as `server.grace`.
    pub changed: Vec<String>,
    /// Those that changed and are not in force before the next start.
    pub needs_restart: Vec<NeedsRestart>,
    /// Services that are kept but not routed.
    pub blocked: Vec<BlockedService>,
    /// Rules that match requests of a route and are skipped for it. At most 100.
    #[serde(default)]
    pub skipped_rules: Vec<SkippedRule>,
}

/// One of `[[rules]]`, and a route for which it is skipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SkippedRule {
    /// The line of the configuration where the rule begins.
    pub line: usize,
    /// The route, as `METHOD HOST/PATH`.
    pub route: String,
    /// The service that registered it; `null`: it is of the configuration.
    pub service: Option<ServiceName>,
    /// Why, as a clause about the rule.
    pub why: String,
}

/// A key of the configuration that changed and needs a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NeedsRestart {
    /// Where it stands; empty where it is at its default.
    #[serde(flatten)]
    pub place: Place,
    /// The key.
    pub key: String,
}

/// A place in the configuration. Each field is absent where it is not known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Place {
    /// The file, as furt was given it; absent where an environment variable is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column, from 1, in characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// The environment variable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
}

/// A service that is kept but not routed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BlockedService {
    /// The service's name.
    pub service: ServiceName,
    /// Why.
    pub why: String,
}
