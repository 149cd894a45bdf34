//! Looking up instances, as clients do that choose one themselves.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Document, Epoch, Generation, InstanceId, ServiceName, Status};

/// The answer to `GET /internal/instances`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FoundInstances {
    /// By service and id.
    pub instances: Vec<FoundInstance>,
    /// Stands for what `instances` says, on every gateway of the registry alike: as `after` it asks for what differs.
    pub next: String,
    /// The registry's last change.
    pub generation: Generation,
    /// The registry's identity.
    pub epoch: Epoch,
}

/// An instance, with what a client needs to choose it and to call it. Fields are those of
/// [`Instance`](crate::services::Instance).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FoundInstance {
    /// The service's name.
    pub service: ServiceName,
    /// The instance's id.
    pub instance: InstanceId,
    /// Where it is, as it was registered.
    pub url: String,
    /// Where its url leads, as `ADDRESS:PORT`; empty where its name does not resolve.
    pub addresses: Vec<String>,
    /// What it speaks: `http1` or `h2c`.
    pub protocol: String,
    /// The name in its certificate; `null`: that of its url, or no TLS.
    pub tls_name: Option<String>,
    /// Its health.
    pub status: Status,
    /// Whether it gets no new requests.
    pub draining: bool,
    /// Its share beside others, 1 to 255.
    pub weight: u8,
    /// Where it is; `null` where it did not say so.
    pub region: Option<String>,
    /// Where it is, as two letters; `null` where it did not say so.
    pub country: Option<String>,
    /// What it says of itself; absent where it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<Document>,
}
