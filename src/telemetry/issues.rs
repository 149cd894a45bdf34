//! Why furt is degraded, as `/health` says it: what the store and the last reload of the configuration came to, and
//! whether the network of its own host is out.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

/// What is wrong now.
#[derive(Default)]
pub struct Issues {
    store: ArcSwapOption<String>,
    reload: ArcSwapOption<String>,
    outage: ArcSwapOption<String>,
}

impl Issues {
    /// One sentence each; none while all is well.
    pub fn list(&self) -> Vec<String> {
        let (store, reload, outage) = (self.store.load(), self.reload.load(), self.outage.load());
        let store = store.iter().map(|error| format!("the store cannot take changes: {error}"));
        let reload =
            reload.iter().map(|error| format!("the configuration was not reloaded, nor would furt start: {error}"));
        store.chain(reload).chain(outage.iter().map(|error| error.to_string())).collect()
    }

    /// `None`: the store takes changes.
    pub(super) fn set_store(&self, error: Option<String>) {
        self.store.store(error.map(Arc::new));
    }

    /// `None`: furt's own network is not out.
    pub(super) fn set_outage(&self, error: Option<String>) {
        self.outage.store(error.map(Arc::new));
    }

    /// `None`: the last reload succeeded.
    pub(super) fn set_reload(&self, error: Option<String>) {
        self.reload.store(error.map(Arc::new));
    }
}
