//! Names and numbers that identify something, one type each, so that they cannot be mixed.
//!
//! furt checks names when it reads a body; these types take any text, since an answer is not checked again.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $pattern:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(#[schemars(regex(pattern = $pattern))] String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

names! {
    /// The name of a service: 1 to 63 of `a-z`, `0-9`, `.`, `_`, `-`, a letter or digit at both ends.
    ServiceName = "^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$";
    /// The id of an instance, unique among all services: 1 to 63 of `A-Z`, `a-z`, `0-9`, `.`, `_`, `:`, `-`, neither `.` nor
    /// `..`.
    InstanceId = "^[A-Za-z0-9._:-]{1,63}$";
    /// The name of an API key, which services are told in `X-API-Key-Name`.
    KeyName = "^[A-Za-z0-9._:@-]{1,63}$";
    /// The identity of a registry, a UUID. It stays over restarts as long as the store does; another one means that all
    /// registrations are gone.
    Epoch = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$";
}

/// The number of a change of the registry; it grows with each published change and begins again with each start of furt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
