//! A token that unwraps a token of a Vault, once. Wiped when it is dropped, never shown.

use std::fmt;

use zeroize::Zeroizing;

use crate::secret::Secret;

/// What RSA with 2,048 bits encrypts by OAEP with SHA-256 (RFC 8017 §7.1.1). Tokens that wrap have some hundred characters.
const MAX_BYTES: usize = 256 - 2 * 32 - 2;

/// Such a token.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedToken(Zeroizing<String>);

impl WrappedToken {
    /// 1 to 190 characters of ASCII, without spaces.
    pub fn try_new(text: &str) -> Option<Self> {
        let fits = (1..=MAX_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The token itself.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for WrappedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WrappedToken(…)")
    }
}

/// What came with a message for this node alone. The driver keeps it where the core says so, and drops it otherwise.
#[derive(Debug)]
pub enum Enclosed {
    /// With `SecretGiven`.
    Secret(Secret),
    /// With `VaultTokenGiven`.
    VaultToken(WrappedToken),
}
