//! Who acts on the gateway itself, and on what others registered.

use std::fmt;
use std::net::IpAddr;

use super::OperatorName;

/// Who gave a command, as it is told and kept with what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The address that the command came from; an IPv4 address is written as one.
    pub address: IpAddr,
    /// The operator whose token or certificate came with it. `None`: there was none, or the operator is one by its address
    /// alone.
    pub operator: Option<OperatorName>,
}

impl From<IpAddr> for Actor {
    fn from(address: IpAddr) -> Self {
        Self { address, operator: None }
    }
}

/// The address, after the operator's name where it is known.
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.operator {
            Some(name) => write!(f, "{name} at {}", self.address),
            None => self.address.fmt(f),
        }
    }
}

/// A caller that is an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// What logs and answers call it. `None`: its address alone makes it an operator.
    pub name: Option<OperatorName>,
    /// What it may do.
    pub role: Role,
}

/// What an operator may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// To look at what is registered, routed and counted.
    Read,
    /// The same, and to look at API keys, make and revoke them.
    Keys,
    /// As `Read`, and to act on services and instances of others.
    Operate,
    /// All of it, and to act on the gateway itself.
    Admin,
}

impl Role {
    /// Whether who has this role may do what `least` may.
    pub const fn includes(self, least: Self) -> bool {
        match (self, least) {
            (Self::Admin, _) | (_, Self::Read) => true,
            (Self::Keys, least) => matches!(least, Self::Keys),
            (Self::Operate, least) => matches!(least, Self::Operate),
            (Self::Read, _) => false,
        }
    }

    /// As it is written in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Keys => "keys",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Role::{Admin, Keys, Operate, Read};

    #[test]
    fn a_role_includes_those_below_it_and_none_beside_it() {
        for (role, included) in [
            (Read, &[Read][..]),
            (Keys, &[Read, Keys]),
            (Operate, &[Read, Operate]),
            (Admin, &[Read, Keys, Operate, Admin]),
        ] {
            for least in [Read, Keys, Operate, Admin] {
                assert_eq!(role.includes(least), included.contains(&least), "{role:?} {least:?}");
            }
        }
    }
}
