//! How the driver speaks with a store, whether it is this process's own or one that gateways share.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use furt_core::ports::StoreError;
use furt_core::registry::{Change, Event, InstanceRef, Write, WriteId};
use furt_core::routing::InstanceLive;

/// A store from the driver's side. Nothing here blocks; every write that is given gets an event with its outcome.
pub trait Backend: Send {
    /// Takes a write; its outcome comes by [`Self::events`].
    fn write(&mut self, id: WriteId, write: Write);
    /// Takes a note that nobody waits for.
    fn keep(&mut self, change: Change);
    /// An instance was heard.
    fn renew(&mut self, instance: InstanceRef);
    /// An instance takes no new requests; what is in flight at it is told to gateways that share the store, and theirs is noted.
    fn departs(&mut self, instance: InstanceRef, live: Arc<InstanceLive>);
    /// A turn is over: what was taken may go.
    fn submit(&mut self, now: Instant);
    /// How the store took what it was given last; once after each time.
    fn take_condition(&mut self) -> Option<Result<(), StoreError>>;
    /// Waits for outcomes and for what the store tells by itself. Dropping the wait loses nothing.
    fn events(&mut self) -> impl Future<Output = Vec<Event>> + Send;
}
