//! What the driver logs and counts of API keys: names only.

use std::net::IpAddr;
use std::sync::Arc;

use super::super::refusal::Refusal;
use crate::model::KeyName;

/// What is logged and counted of keys; names only.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyReport {
    /// A key was made.
    Created {
        /// Which.
        name: KeyName,
        /// From where.
        from: IpAddr,
    },
    /// A key has another digest.
    Rotated {
        /// Which.
        name: KeyName,
        /// From where.
        from: IpAddr,
    },
    /// A key was revoked.
    Revoked {
        /// Which.
        name: KeyName,
        /// From where.
        from: IpAddr,
    },
    /// A key came to its end.
    Expired(KeyName),
    /// A command was refused.
    Refused {
        /// Of which key.
        name: KeyName,
        /// From where.
        from: IpAddr,
        /// Why.
        refusal: Refusal,
    },
    /// A key is kept but not used: the configuration stands against it.
    Blocked {
        /// Which.
        name: KeyName,
        /// Why.
        why: Arc<str>,
    },
    /// The end of keys could not be stored and will be tried again.
    RemovalFailed {
        /// Of which.
        names: Vec<KeyName>,
        /// Why.
        why: String,
    },
}
