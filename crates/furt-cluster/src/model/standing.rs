//! What a key may do.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What an approval allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Beats, the secret, settings, tokens of its own. It commands nothing.
    Member,
    /// The same, and it approves, revokes, makes join tokens, sets settings and rotates the secret.
    Commander,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Member => "member",
            Self::Commander => "commander",
        })
    }
}

/// How a key stands in the cluster, as far as a node knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Nobody approved it. It may beat and ask to join.
    Pending,
    /// It is approved.
    Approved(Role),
    /// It was revoked, for ever: a machine that is to come back makes a new key.
    Revoked,
}

impl Standing {
    /// The role, where there is one.
    pub fn role(self) -> Option<Role> {
        match self {
            Self::Approved(role) => Some(role),
            Self::Pending | Self::Revoked => None,
        }
    }

    /// Whether the key is approved, in whatever role.
    pub fn is_approved(self) -> bool {
        self.role().is_some()
    }

    /// Whether the key may command.
    pub fn is_commander(self) -> bool {
        self.role() == Some(Role::Commander)
    }
}
