//! Public keys: RSA of 2048 to 4096 bits, as SPKI in DER and in one form only, so that a key has one fingerprint.

use std::fmt;
use std::ops::RangeInclusive;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{OaepAlgorithm, OaepPublicEncryptingKey, PublicEncryptingKey};
use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use furt_cluster::model::{Digest, Fingerprint, PublicKey};

use crate::pem;

/// The sizes of a key in bits: below it is too weak, beyond it costs a receiver too much.
pub(crate) const KEY_BITS: RangeInclusive<usize> = 2048..=4096;
/// The SPKI of such keys in bytes; what is shorter or longer is not even parsed.
const SPKI_BYTES: RangeInclusive<usize> = 256..=640;

/// A public key that was read and is one of RSA.
pub(crate) struct Rsa {
    spki: PublicKey,
    key: OaepPublicEncryptingKey,
}

impl Rsa {
    /// `None`: it is no such key, or not in the one form that DER has for it.
    pub(crate) fn read(spki: &[u8]) -> Option<Self> {
        if !SPKI_BYTES.contains(&spki.len()) {
            return None;
        }
        let key = PublicEncryptingKey::from_der(spki).ok()?;
        let is_canonical = key.as_der().is_ok_and(|der| der.as_ref() == spki);
        if !is_canonical || !KEY_BITS.contains(&key.key_size_bits()) {
            return None;
        }
        Some(Self { spki: PublicKey::new(spki), key: OaepPublicEncryptingKey::new(key).ok()? })
    }

    /// Reads it from PEM, as lex-node writes it.
    pub(crate) fn read_pem(text: &str) -> Option<Self> {
        let (label, der) = pem::read(text)?;
        if label == "PUBLIC KEY" { Self::read(&der) } else { None }
    }

    pub(crate) fn spki(&self) -> &PublicKey {
        &self.spki
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        fingerprint(&self.spki)
    }

    pub(crate) fn to_pem(&self) -> String {
        pem::write("PUBLIC KEY", self.spki.as_bytes()).to_string()
    }

    /// Whether the signature over these bytes is by this key.
    pub(crate) fn verify(&self, bytes: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, self.spki.as_bytes()).verify(bytes, signature).is_ok()
    }

    /// Encrypts a few bytes so that only the owner of this key reads them. `None`: they are too many.
    pub(crate) fn encrypt(&self, algorithm: &'static OaepAlgorithm, plain: &[u8]) -> Option<Vec<u8>> {
        let mut cipher = vec![0; self.key.ciphertext_size()];
        let length = self.key.encrypt(algorithm, plain, &mut cipher, None).ok()?.len();
        cipher.truncate(length);
        Some(cipher)
    }
}

impl fmt::Debug for Rsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rsa({})", self.fingerprint())
    }
}

/// SHA-256 of a key's SPKI.
pub(crate) fn fingerprint(spki: &PublicKey) -> Fingerprint {
    Fingerprint::new(sha256(spki.as_bytes()))
}

/// SHA-256 of a text, as documents of settings are named.
pub(crate) fn digest_of(text: &str) -> Digest {
    Digest::new(sha256(text.as_bytes()))
}

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    sum.copy_from_slice(digest(&SHA256, bytes).as_ref());
    sum
}
