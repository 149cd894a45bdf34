//! AES-256-GCM as lex-node writes it: `gcm:<ciphertext>:<tag of 16 bytes>` in base64, the nonce of 12 bytes beside it, no additional
//! data. What is beside the text is therefore no part of what the tag protects; the signature covers it.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::error::SealError;
use crate::random;

const TAG_BYTES: usize = 16;

/// A text that is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Enciphered {
    /// `gcm:…:…`.
    pub(crate) text: String,
    /// The nonce in base64; lex-node calls it `iv`.
    pub(crate) iv: String,
}

/// Encrypts by a nonce that is drawn for it.
pub(crate) fn encrypt(key: &[u8; 32], plain: &[u8]) -> Result<Enciphered, SealError> {
    let iv = *random::bytes::<NONCE_LEN>();
    let mut text = plain.to_vec();
    let tag = cipher(key)
        .and_then(|cipher| {
            cipher.seal_in_place_separate_tag(Nonce::assume_unique_for_key(iv), Aad::empty(), &mut text).ok()
        })
        .ok_or(SealError::Failed("encrypting"))?;
    let text = format!("gcm:{}:{}", STANDARD.encode(&text), STANDARD.encode(tag.as_ref()));
    Ok(Enciphered { text, iv: STANDARD.encode(iv) })
}

/// `None`: it was not encrypted by this key, was bent, or is something else.
pub(crate) fn decrypt(key: &[u8; 32], text: &str, iv: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (cipher_text, tag) = text.strip_prefix("gcm:")?.split_once(':')?;
    let iv: [u8; NONCE_LEN] = STANDARD.decode(iv).ok()?.try_into().ok()?;
    let tag = STANDARD.decode(tag).ok().filter(|tag| tag.len() == TAG_BYTES)?;
    let mut bytes = Zeroizing::new(STANDARD.decode(cipher_text).ok()?);
    bytes.extend(tag);
    let nonce = Nonce::assume_unique_for_key(iv);
    let length = cipher(key)?.open_in_place(nonce, Aad::empty(), &mut bytes).ok()?.len();
    bytes.truncate(length);
    Some(bytes)
}

fn cipher(key: &[u8; 32]) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, key).ok().map(LessSafeKey::new)
}
