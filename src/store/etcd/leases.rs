//! Leases of instances: granted before the write that puts an instance under one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::connection::{Connection, Fault};
use super::mirror::Lease;

/// Grants at once.
const AT_ONCE: usize = 64;

/// A lease for each TTL that is wanted, in their order.
///
/// # Errors
/// The first that was not granted; the others end by themselves.
pub(super) async fn grant(
    connection: &Arc<Connection>,
    ttls: &[Option<Duration>],
) -> Result<Vec<Option<Lease>>, Fault> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut grants = JoinSet::new();
    for (number, ttl) in ttls.iter().enumerate().filter_map(|(number, ttl)| Some((number, (*ttl)?))) {
        let (connection, places) = (Arc::clone(connection), Arc::clone(&places));
        grants.spawn(async move {
            // The semaphore is never closed.
            let _place = places.acquire().await;
            (number, connection.grant(seconds(ttl)).await)
        });
    }
    let mut leases = vec![None; ttls.len()];
    while let Some(granted) = grants.join_next().await {
        let Ok((number, granted)) = granted else { continue };
        leases[number] = Some(granted?.0);
    }
    Ok(leases)
}

/// A lease is of whole seconds.
pub(super) fn seconds(ttl: Duration) -> u64 {
    ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0)
}
