//! Why the seal cannot make what it was asked for.

use furt_cluster::MAX_MESSAGE_BYTES;
use furt_cluster::model::{SecretId, TokenId};

/// Why a message is not sealed, or a secret, key or record not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The message would be refused by every receiver.
    #[error("the message has {bytes} bytes, and at most {MAX_MESSAGE_BYTES} are sent")]
    TooLarge {
        /// Those of the sealed body.
        bytes: usize,
    },
    /// The secret that is to protect the message, or to be given, is not there.
    #[error("there is no secret of generation {} with the check value {}", .0.generation, .0.check)]
    NoSecret(SecretId),
    /// The token that a proof is to be made by is not there.
    #[error("there is no join token {0}")]
    NoToken(TokenId),
    /// [`Seal::seal`](crate::Seal::seal) never sends a secret, and [`Seal::give`](crate::Seal::give) nothing else; a proof is to be made.
    #[error("the message is none that can be sealed in this way")]
    WrongBody,
    /// The receiver's key is no RSA key of 2048 to 4096 bits.
    #[error("the receiver's key is no RSA key of 2048 to 4096 bits")]
    BadKey,
    /// The key that a secret is to be encrypted by is not the receiver's.
    #[error("the key is not the one of the message's receiver")]
    WrongReceiver,
    /// A boot, a number or a time is beyond what a header carries.
    #[error("a number of the message is greater than {}", i64::MAX)]
    NumberTooLarge,
    /// A library of cryptography or of JSON failed, which neither does while there is memory.
    #[error("{0} failed")]
    Failed(&'static str),
}
