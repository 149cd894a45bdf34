//! Fields for which `null` says something else than their absence.

use serde::{Deserialize, Deserializer};

/// `None`: the field is absent, which its `default` says; `Some(None)`: it is `null`.
pub(crate) fn null_or<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}
