//! Why furt is degraded, as `/health` says it: what the store and the last reload of the configuration came to, whether a shared
//! store is away or has records that cannot be taken over, and whether the network of its own host is out, and whether a certificate is not
//! in order.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

/// What is wrong now.
#[derive(Default)]
pub struct Issues {
    store: ArcSwapOption<String>,
    reload: ArcSwapOption<String>,
    outage: ArcSwapOption<String>,
    reach: ArcSwapOption<String>,
    refused: ArcSwapOption<String>,
    newer: ArcSwapOption<String>,
    certificates: ArcSwapOption<String>,
    cluster: ArcSwapOption<Vec<String>>,
    vault: ArcSwapOption<Vec<String>>,
}

impl Issues {
    /// One sentence each; none while all is well.
    pub fn list(&self) -> Vec<String> {
        let (store, reload, outage) = (self.store.load(), self.reload.load(), self.outage.load());
        let store = store.iter().map(|error| format!("the store cannot take changes: {error}"));
        let reload =
            reload.iter().map(|error| format!("the configuration was not reloaded, nor would furt start: {error}"));
        let (reach, refused) = (self.reach.load(), self.refused.load());
        let reach = reach.iter().map(|why| format!("the store is away, and takes no changes: {why}"));
        let refused = refused.iter().map(|record| format!("a record of the store cannot be taken over: {record}"));
        let newer = self.newer.load();
        let newer = newer
            .iter()
            .map(|record| format!("a record of the store is not routed here, since a newer furt wrote it: {record}"));
        let certificates = self.certificates.load();
        let certificates = certificates.iter().map(|why| format!("a certificate is not in order: {why}"));
        let cluster = self.cluster.load();
        let cluster = cluster.iter().flat_map(|issues| issues.iter().map(|issue| format!("cluster: {issue}")));
        let vault = self.vault.load();
        let vault = vault.iter().flat_map(|issues| issues.iter().map(|issue| format!("vault: {issue}")));
        let others = outage.iter().map(|error| error.to_string());
        store
            .chain(reach)
            .chain(refused)
            .chain(newer)
            .chain(reload)
            .chain(certificates)
            .chain(cluster)
            .chain(vault)
            .chain(others)
            .collect()
    }

    /// `None`: the store takes changes.
    pub(super) fn set_store(&self, error: Option<String>) {
        self.store.store(error.map(Arc::new));
    }

    /// `None`: the shared store is read and written to.
    pub(super) fn set_reach(&self, error: Option<String>) {
        self.reach.store(error.map(Arc::new));
    }

    /// `None`: every record of the shared store was taken over.
    pub(super) fn set_refused(&self, record: Option<String>) {
        self.refused.store(record.map(Arc::new));
    }

    /// `None`: this furt reads every record of the shared store whole.
    pub(super) fn set_newer(&self, record: Option<String>) {
        self.newer.store(record.map(Arc::new));
    }

    /// `None`: furt's own network is not out.
    pub(super) fn set_outage(&self, error: Option<String>) {
        self.outage.store(error.map(Arc::new));
    }

    /// `None`: every certificate is that of its file, and still good.
    pub(super) fn set_certificates(&self, why: Option<String>) {
        self.certificates.store(why.map(Arc::new));
    }

    /// Sentences; none: nothing is wrong with the cluster, or there is none.
    pub(super) fn set_cluster(&self, issues: Vec<String>) {
        self.cluster.store((!issues.is_empty()).then(|| Arc::new(issues)));
    }

    /// Sentences; none: every value of the configuration is there, or there is no Vault.
    pub(super) fn set_vault(&self, issues: Vec<String>) {
        self.vault.store((!issues.is_empty()).then(|| Arc::new(issues)));
    }

    /// `None`: the last reload succeeded.
    pub(super) fn set_reload(&self, error: Option<String>) {
        self.reload.store(error.map(Arc::new));
    }
}
