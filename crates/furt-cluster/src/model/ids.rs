//! Identifiers. All of them are opaque to the core: it compares them and gives them on.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Invalid;

macro_rules! opaque {
    ($(#[$doc:meta])* $type:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type([u8; $length]);

        impl $type {
            /// Takes the bytes as they are.
            pub const fn new(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl std::str::FromStr for $type {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                let is_lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                let mut bytes = [0; $length];
                if is_lower && const_hex::decode_to_slice(text, &mut bytes).is_ok() {
                    Ok(Self(bytes))
                } else {
                    Err(Invalid(concat!("must be ", $length, " bytes in lower-case hexadecimal")))
                }
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

opaque! {
    /// A node's identity: SHA-256 of its public key's SPKI in DER. The seal computes it from the key that a message carries.
    Fingerprint, 32
}
opaque! {
    /// SHA-256 of a document's text. The seal computes it from the text; it is never read from the wire.
    Digest, 32
}
opaque! {
    /// The check value of a secret, `HMAC(secret, "furt-kcv")[..8]`. It says which secret is meant and gives nothing away.
    CheckValue, 8
}
opaque! {
    /// A random number that is used once.
    Nonce, 32
}
opaque! {
    /// Names a join token. The seal derives it from the token; the token itself never reaches the core.
    TokenId, 8
}

impl Fingerprint {
    /// The first eight characters of the fingerprint in hex, as lists show it.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(8);
        text
    }
}

macro_rules! bytes {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<[u8]>);

        impl $type {
            /// Takes the bytes as they are.
            pub fn new(bytes: &[u8]) -> Self {
                Self(bytes.into())
            }

            /// The bytes.
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({} bytes)", stringify!($type), self.0.len())
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&STANDARD.encode(&self.0))
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let bytes = STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)?;
                Ok(Self::new(&bytes))
            }
        }
    };
}

bytes! {
    /// A public key, SPKI in DER: what is encrypted for a node is encrypted by it.
    PublicKey
}
bytes! {
    /// A signature over a record. The seal makes and verifies it; the core carries it.
    Signature
}

/// A cluster's id, drawn once by `furt cluster init`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterId(pub uuid::Uuid);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A start of a node. A later start has a greater one: ms since the Unix epoch at the start, and at least one more than the
/// boot that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Boot(pub u64);

/// Names a cluster secret. The core never has its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretId {
    /// Which one it is: 1 is made by `init`, each rotation takes a greater one.
    pub generation: u64,
    /// What tells it from another secret of the same generation.
    pub check: CheckValue,
}

#[cfg(test)]
mod tests {
    use super::CheckValue;

    #[test]
    fn an_id_is_read_as_it_is_written_and_in_no_other_way() {
        let id = CheckValue::new([0, 1, 0xab, 3, 4, 5, 6, 0xff]);
        assert_eq!(id.to_string(), "0001ab03040506ff");
        assert_eq!("0001ab03040506ff".parse(), Ok(id));
        for text in
            ["", "0001ab03040506f", "0001ab03040506fff0", "0001AB03040506FF", "0x01ab03040506ff", "0001ab03040506fg"]
        {
            assert!(text.parse::<CheckValue>().is_err(), "{text}");
        }
    }
}
