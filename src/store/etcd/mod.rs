//! The store that gateways share: etcd, as one log that each of them reads in its order.
//!
//! A write goes to it with what it relies on, as a transaction; the watch says at which revision it was stored, or that it is
//! outdated. `layout` are the keys, `plan` and `batch` make transactions of writes, `mirror` is what was followed, `follow`
//! what a revision means, `link` the task over one connection, `connecting` the way from one to the next, `opening` the start.
//! `connection` alone knows the client's crate. Decision 52 says why it is so.

mod audit;
mod batch;
#[cfg(test)]
pub(in crate::store) mod conformance;
mod connecting;
mod connection;
mod departing;
mod follow;
mod followed;
mod layout;
mod leases;
mod link;
#[cfg(test)]
mod mangled;
mod meta;
mod mirror;
#[cfg(test)]
mod model;
mod opening;
mod plan;
mod session;
mod settings;
#[cfg(test)]
mod tests;
mod txn;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

pub use connection::Access;
pub use followed::{Stored, taken_over};
pub use opening::{Opened, open};

use crate::driver::Backend;
use crate::nodes::Nodes;
use furt_core::ports::StoreError;
use furt_core::registry::{Change, Event, InstanceRef, Write, WriteId};
use furt_core::routing::InstanceLive;
use link::Command;

/// How a store on etcd is opened.
#[derive(Clone)]
pub struct Options {
    /// Urls of its members, at least one; one of them is used at a time.
    pub endpoints: Vec<String>,
    /// Gateways of one namespace share one registry.
    pub namespace: String,
    /// Who furt is there, and how it knows etcd.
    pub access: Access,
    /// This gateway, and from then on the others.
    pub nodes: Nodes,
}

/// A way to the task that follows the store and writes to it.
pub struct EtcdStore {
    commands: mpsc::UnboundedSender<Command>,
    events: mpsc::UnboundedReceiver<Vec<Event>>,
}

/// Takes the gateway's session out of the store when it stops.
#[derive(Clone)]
pub struct Leaving(mpsc::UnboundedSender<Command>);

impl EtcdStore {
    fn new(commands: mpsc::UnboundedSender<Command>, events: mpsc::UnboundedReceiver<Vec<Event>>) -> Self {
        Self { commands, events }
    }

    /// For the stop.
    pub fn leaving(&self) -> Leaving {
        Leaving(self.commands.clone())
    }

    fn send(&self, command: Command) {
        // The task ends only when the gateway does.
        drop(self.commands.send(command));
    }
}

impl Leaving {
    /// Returns once the store was told; at once where it cannot be.
    pub async fn leave(self) {
        let (left, told) = oneshot::channel();
        drop(self.0.send(Command::Leave(left)));
        drop(told.await);
    }
}

impl Backend for EtcdStore {
    fn write(&mut self, id: WriteId, write: Write) {
        self.send(Command::Write(id, write));
    }

    fn keep(&mut self, change: Change) {
        self.send(Command::Note(change));
    }

    fn renew(&mut self, instance: InstanceRef) {
        self.send(Command::Renew(instance));
    }

    fn departs(&mut self, instance: InstanceRef, live: Arc<InstanceLive>) {
        self.send(Command::Departs(instance, live));
    }

    fn submit(&mut self, _now: std::time::Instant) {}

    fn take_condition(&mut self) -> Option<Result<(), StoreError>> {
        None
    }

    async fn events(&mut self) -> Vec<Event> {
        match self.events.recv().await {
            Some(events) => events,
            None => std::future::pending().await,
        }
    }
}
