//! What gateways of a cluster have in common besides what they say: keys that each derives from the secret.

use furt_cluster::Cluster;
use furt_cluster::model::SecretId;
use furt_seal::{Seal, Secret};
use zeroize::Zeroizing;

/// Of which keys of sticky cookies are made.
const AFFINITY: &str = "affinity cookies";
/// Of which keys of session tickets are made.
const TICKETS: &str = "session tickets";

/// What all nodes with one secret derive from it alike. Each is 32 bytes that nobody else can know.
pub struct Shared {
    /// For cookies of stickiness.
    pub affinity: Zeroizing<[u8; 32]>,
    /// For session tickets: of the active secret, then of the others that this node has.
    pub tickets: Vec<Zeroizing<[u8; 32]>>,
}

/// The secrets of which keys were derived last.
#[derive(Debug, Default)]
pub(super) struct Derived(Vec<SecretId>);

impl Derived {
    /// What is to be used from now on; `None`: what was, or nothing yet.
    pub(super) fn renew(&mut self, core: &Cluster, seal: &Seal) -> Option<Shared> {
        let active = core.active_secret()?;
        let others = core.held_secrets().filter(|id| *id != active);
        let ids: Vec<_> = std::iter::once(active).chain(others).collect();
        if ids == self.0 {
            return None;
        }
        let derive = |label: &'static str| move |secret: &Secret| secret.derive(label, 0);
        let affinity = seal.secret(&active).map(derive(AFFINITY))?;
        let tickets = ids.iter().filter_map(|id| seal.secret(id)).map(derive(TICKETS)).collect();
        self.0 = ids;
        Some(Shared { affinity, tickets })
    }
}
