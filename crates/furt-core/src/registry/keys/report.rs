//! What the driver logs and counts of API keys: names only.

use std::sync::Arc;

use super::super::refusal::Refusal;
use crate::model::{Actor, KeyName};

/// What is logged and counted of keys; names only.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyReport {
    /// A key was made.
    Created {
        /// The name of the key.
        name: KeyName,
        /// Who gave the command; `None`: another gateway took it.
        by: Option<Actor>,
    },
    /// A key has another digest.
    Rotated {
        /// The name of the key.
        name: KeyName,
        /// Who gave the command; `None`: another gateway took it.
        by: Option<Actor>,
    },
    /// A key may do something else than before.
    Changed {
        /// The name of the key.
        name: KeyName,
        /// Who gave the command; `None`: another gateway took it.
        by: Option<Actor>,
    },
    /// A key was revoked.
    Revoked {
        /// The name of the key.
        name: KeyName,
        /// Who gave the command; `None`: another gateway took it.
        by: Option<Actor>,
    },
    /// A key came to its end.
    Expired(KeyName),
    /// A command was refused.
    Refused {
        /// The name of the key.
        name: KeyName,
        /// Who gave the command.
        by: Actor,
        /// Why it was refused.
        refusal: Refusal,
    },
    /// A key is suspended: kept but not used, since the configuration has its name or digest.
    Suspended {
        /// The name of the key.
        name: KeyName,
        /// The reason, in words.
        why: Arc<str>,
    },
    /// The end of keys could not be stored and will be tried again.
    RemovalFailed {
        /// The names of the keys.
        names: Vec<KeyName>,
        /// The reason, in words.
        why: String,
    },
}
