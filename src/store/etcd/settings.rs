//! What a store on etcd is told at its start, and what its parts share.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::connection::{Access, Connection};
use super::follow::Vet;
use super::layout::Layout;
use crate::audit::News;
use crate::nodes::Nodes;
use crate::telemetry::SharedStoreMetrics;
use furt_core::model::{Epoch, GatewayName};

pub(super) struct Settings {
    pub(super) endpoints: Vec<String>,
    /// The one that was connected to at the start.
    pub(super) first_endpoint: usize,
    pub(super) access: Access,
    pub(super) layout: Layout,
    /// Of this start of this gateway.
    pub(super) id: String,
    pub(super) name: GatewayName,
    pub(super) epoch: Epoch,
    pub(super) vet: Box<Vet>,
    pub(super) nodes: Nodes,
    pub(super) metrics: Arc<SharedStoreMetrics>,
    /// Told when entries were added to the audit.
    pub(super) audit_news: News,
    /// The connection in use, for what goes beside the link.
    pub(super) connection: ArcSwapOption<Connection>,
}
