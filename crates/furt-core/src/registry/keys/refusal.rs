//! Why a command about an API key was not granted.

use crate::model::KeyName;

/// The most runtime keys: one each for 100,000 clients, some 130 MiB; operators that make more have lost their script.
pub(in crate::registry) const MAX_KEYS: usize = 100_000;

/// Why a [`KeyCommand`](super::KeyCommand) was not granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    /// 404: there is none.
    #[error("there is no API key \"{0}\"")]
    Unknown(KeyName),
    /// 409: it is the configuration's.
    #[error("the API key \"{0}\" is in the configuration: change it there, and let furt read it again")]
    Configured(KeyName),
    /// 409: the name or the digest is another key's.
    #[error("the {what} is taken: {holder} has it")]
    Taken {
        /// `name "…"` or `digest`.
        what: String,
        /// The key that has it, and where that is.
        holder: String,
    },
    /// 409: too many digests before are good still.
    #[error(
        "the API key \"{name}\" has {count} earlier keys that are good still, and no more are kept; the first ends in {seconds} s; with a grace of 0 all end at once"
    )]
    TooManyOld {
        /// The name of the key.
        name: KeyName,
        /// How many earlier digests are good still.
        count: usize,
        /// Seconds until the first of them ends.
        seconds: u64,
    },
    /// 409: there are too many keys.
    #[error("there are {MAX_KEYS} runtime keys, and no more are kept: revoke some")]
    TooMany,
    /// 503: it is revoked, and the store has it still.
    #[error(
        "the API key \"{name}\" is refused from now on, but the store could not be told, and after a restart it would be good again; furt goes on trying: {why}"
    )]
    NotForgotten {
        /// The name of the key.
        name: KeyName,
        /// The error of the store.
        why: String,
    },
}
