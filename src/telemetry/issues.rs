//! Why furt is degraded, as `/health` says it: what the store and the last reload of the configuration came to.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

/// What is wrong now.
#[derive(Default)]
pub struct Issues {
    store: ArcSwapOption<String>,
    reload: ArcSwapOption<String>,
}

impl Issues {
    /// One sentence each; none while all is well.
    pub fn list(&self) -> Vec<String> {
        let (store, reload) = (self.store.load(), self.reload.load());
        let store = store.iter().map(|error| format!("the store cannot take changes: {error}"));
        let reload =
            reload.iter().map(|error| format!("the configuration was not reloaded, nor would furt start: {error}"));
        store.chain(reload).collect()
    }

    /// `None`: the store takes changes.
    pub(super) fn set_store(&self, error: Option<String>) {
        self.store.store(error.map(Arc::new));
    }

    /// `None`: the last reload succeeded.
    pub(super) fn set_reload(&self, error: Option<String>) {
        self.reload.store(error.map(Arc::new));
    }
}
