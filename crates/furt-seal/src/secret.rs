//! A cluster's secret: what all of its nodes share. Its form is lex-node's, so that either could use it.

use std::fmt;

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::hmac;
use furt_cluster::model::{CheckValue, SecretId};
use zeroize::Zeroizing;

use crate::public::sha256;
use crate::random;

/// The characters of a secret: 32 random bytes in hexadecimal.
const CHARACTERS: usize = 64;
/// What a check value is computed over.
const CHECKED: &[u8] = b"furt-kcv";

/// A text is no secret: it is not of 64 lower-case hexadecimal characters. The text is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret has {CHARACTERS} lower-case hexadecimal characters")]
pub struct NoSecretText;

/// A secret of a cluster, and its generation. It is wiped when it is dropped, and shown by nothing but [`Secret::text`].
#[derive(Clone)]
pub struct Secret {
    text: Zeroizing<String>,
    id: SecretId,
}

impl Secret {
    /// Draws a secret from the system's generator.
    pub fn draw(generation: u64) -> Self {
        let bytes = random::bytes::<{ CHARACTERS / 2 }>();
        // Never longer than its capacity: what grows leaves a copy behind.
        let mut text = Zeroizing::new(String::with_capacity(CHARACTERS));
        for byte in *bytes {
            text.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0')));
        }
        Self::new(generation, text)
    }

    /// Takes the text that [`Secret::text`] gave.
    ///
    /// # Errors
    /// Any other text.
    pub fn from_text(generation: u64, text: &str) -> Result<Self, NoSecretText> {
        let is_hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() == CHARACTERS && text.bytes().all(is_hex) {
            Ok(Self::new(generation, Zeroizing::new(text.to_owned())))
        } else {
            Err(NoSecretText)
        }
    }

    fn new(generation: u64, text: Zeroizing<String>) -> Self {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes()), CHECKED);
        let mut check = [0; 8];
        check.copy_from_slice(&tag.as_ref()[..8]);
        Self { id: SecretId { generation, check: CheckValue::new(check) }, text }
    }

    /// The secret itself: 64 lower-case hexadecimal characters, to be stored where only the node's user reads it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Names it: its generation, and `HMAC-SHA256(text, "furt-kcv")[..8]`, which gives nothing away.
    pub fn id(&self) -> SecretId {
        self.id
    }

    /// A key that all gateways with this secret have alike: HKDF-SHA256 of the text, without a salt, with `label`, a zero byte and
    /// `period` (highest byte first) as info. A label stands for one use, such as `sticky`; the period is the use's own count of
    /// time or versions, 0 where it has none. Another label or period gives a key that tells nothing of this one.
    pub fn derive(&self, label: &str, period: u64) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        let period = period.to_be_bytes();
        let info = [label.as_bytes(), &[0], &period];
        let whole = Salt::new(HKDF_SHA256, &[]).extract(self.text.as_bytes());
        let filled = whole.expand(&info, Length).and_then(|whole| whole.fill(&mut *key));
        // HKDF fails beyond 255 blocks of the hash (RFC 5869, 2.3), and this is one.
        assert!(filled.is_ok(), "one block of HKDF");
        key
    }

    /// The key of AES-256: as lex-node has it, SHA-256 of the text, not the 32 bytes that the text stands for.
    pub(crate) fn cipher_key(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(sha256(self.text.as_bytes()))
    }
}

/// The length of a derived key in bytes.
struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        32
    }
}

impl fmt::Debug for Secret {
    /// Its name alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret(generation {}, check value {})", self.id.generation, self.id.check)
    }
}
