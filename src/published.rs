//! What is published: the core's snapshot and the configuration in force, of one moment.
//!
//! The core knows no configuration, so the driver lays the two side by side. Both stand behind one `ArcSwap`: one load
//! gives a request its routes, its keys and the configuration that came with them. Nothing here changes once it is
//! published. The driver publishes; `proxy`, `api` and `app` read.

use std::ops::Deref;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::auth::Providers;
use crate::config::Config;
use crate::wire::Pages;
use furt_core::model::RateLimit;
use furt_core::routing::Snapshot;

/// What is published, shared: the driver replaces it, everyone else reads it.
pub type Snapshots = Arc<ArcSwap<Published>>;

/// A configuration in force, with what was read of the files that it names.
#[derive(Clone, Default)]
pub struct InForce {
    /// The configuration.
    pub config: Arc<Config>,
    /// The pages of `[pages]`; `None`: there are none.
    pub pages: Option<Arc<Pages>>,
    /// Who vouches for callers beside API keys; `None`: nobody does.
    pub providers: Option<Arc<Providers>>,
}

/// Without pages, and without those who vouch for callers.
impl From<Arc<Config>> for InForce {
    fn from(config: Arc<Config>) -> Self {
        Self { config, pages: None, providers: None }
    }
}

/// A snapshot with its configuration; derefs to the snapshot.
#[derive(Clone)]
pub struct Published {
    /// Routes, services and keys.
    pub snapshot: Snapshot,
    /// The configuration in force.
    pub config: Arc<Config>,
    /// Pages in the place of furt's own answers; `None`: there are none.
    pub pages: Option<Arc<Pages>>,
    /// Who vouches for callers beside API keys; `None`: nobody does.
    pub providers: Option<Arc<Providers>>,
    /// How often one address may ask this gateway without a good API key; `None`: without limit.
    pub address_limit: Option<RateLimit>,
}

impl Published {
    /// A snapshot beside the configuration that came with it.
    pub fn new(snapshot: Snapshot, InForce { config, pages, providers }: InForce) -> Self {
        let address_limit = config.limits.address().map(|limit| snapshot.share.of_rate(limit));
        Self { snapshot, config, pages, providers, address_limit }
    }

    /// What is wrong with those who vouch for callers, as a sentence each.
    pub fn provider_faults(&self) -> Vec<String> {
        self.providers.as_ref().map(|providers| providers.faults()).unwrap_or_default()
    }
}

impl Deref for Published {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.snapshot
    }
}
