//! A node's private key: RSA, made once, kept in a file of its own. It signs all that the node says, and what is encrypted by its
//! public half only it can read.

use std::fmt;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{
    KeyPair, KeySize, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPrivateDecryptingKey, PrivateDecryptingKey,
};
use aws_lc_rs::signature::RSA_PSS_SHA256;
use furt_cluster::model::{Fingerprint, PublicKey};
use zeroize::Zeroizing;

use crate::error::SealError;
use crate::pem;
use crate::public::{KEY_BITS, Rsa};

/// The label of PKCS#8 without a password.
const LABEL: &str = "PRIVATE KEY";

/// Why a text is no key for a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is cut, has something beside the block, or is something else.
    #[error("it is no key in PEM, which begins with \"-----BEGIN PRIVATE KEY-----\"")]
    NotPem,
    /// A block of another kind.
    #[error("it is \"{label}\", and a node needs its private key in PKCS#8 without a password, \"PRIVATE KEY\"{}", hint(.label))]
    WrongLabel {
        /// The block's label.
        label: String,
    },
    /// A key of another kind, or one whose numbers do not belong together.
    #[error("it is no RSA key in PKCS#8, or it is damaged")]
    NotRsa,
    /// A key that other nodes would not take.
    #[error("it is an RSA key of fewer than {} or more than {} bits", KEY_BITS.start(), KEY_BITS.end())]
    WrongSize,
}

fn hint(label: &str) -> &'static str {
    match label {
        "RSA PRIVATE KEY" | "ENCRYPTED PRIVATE KEY" => " (openssl pkcs8 -topk8 -nocrypt converts it)",
        _ => "",
    }
}

/// A node's private key, and the public one. RSA of 2048 to 4096 bits.
pub struct NodeKey {
    signing: KeyPair,
    decrypting: OaepPrivateDecryptingKey,
    public: Rsa,
}

impl NodeKey {
    /// Makes a key of 2048 bits, which takes about a tenth of a second.
    ///
    /// # Errors
    /// [`SealError::Failed`].
    pub fn generate() -> Result<Self, SealError> {
        let failed = |_| SealError::Failed("making a key");
        let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).map_err(failed)?;
        let der = key.as_der().map_err(failed)?;
        Self::from_der(der.as_ref()).map_err(|_| SealError::Failed("making a key"))
    }

    /// Reads a key from PKCS#8 in PEM, without a password.
    ///
    /// # Errors
    /// Anything else, a public key and a key of another size among it.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let (label, der) = pem::read(text).ok_or(KeyError::NotPem)?;
        if label != LABEL {
            return Err(KeyError::WrongLabel { label: label.chars().take(40).collect() });
        }
        Self::from_der(&der)
    }

    fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let rejected = |why: aws_lc_rs::error::KeyRejected| match why.to_string().as_str() {
            "TooSmall" | "TooLarge" => KeyError::WrongSize,
            _ => KeyError::NotRsa,
        };
        let key = PrivateDecryptingKey::from_pkcs8(der).map_err(rejected)?;
        if !KEY_BITS.contains(&key.key_size_bits()) {
            return Err(KeyError::WrongSize);
        }
        let spki = key.public_key().as_der().map_err(|_| KeyError::NotRsa)?;
        Ok(Self {
            signing: KeyPair::from_pkcs8(der).map_err(rejected)?,
            public: Rsa::read(spki.as_ref()).ok_or(KeyError::NotRsa)?,
            decrypting: OaepPrivateDecryptingKey::new(key).map_err(|_| KeyError::NotRsa)?,
        })
    }

    /// The key as PKCS#8 in PEM, to be kept where only the node's user reads it. It is wiped when it is dropped.
    #[allow(clippy::expect_used, reason = "it was read from such a document, or made")]
    pub fn to_pem(&self) -> Zeroizing<String> {
        let der = AsDer::<Pkcs8>::as_der(&self.signing).expect("a key that was read can be written");
        pem::write(LABEL, der.as_ref())
    }

    /// The node's identity: SHA-256 of the SPKI of its public key.
    pub fn fingerprint(&self) -> Fingerprint {
        self.public.fingerprint()
    }

    /// The public key, SPKI in DER.
    pub fn public(&self) -> &PublicKey {
        self.public.spki()
    }

    pub(crate) fn public_pem(&self) -> String {
        self.public.to_pem()
    }

    /// RSA-PSS with SHA-256, and a salt as long as the digest.
    #[allow(clippy::expect_used, reason = "a key whose numbers belong together, as was checked, signs anything")]
    pub(crate) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.signing.public_modulus_len()];
        self.signing
            .sign(&RSA_PSS_SHA256, &SystemRandom::new(), bytes, &mut signature)
            .expect("a key that was checked signs");
        signature
    }

    /// What was encrypted by the public key, among furts. `None`: it was not, or was bent.
    pub(crate) fn decrypt(&self, cipher: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.decrypt_by(&OAEP_SHA256_MGF1SHA256, cipher)
    }

    pub(crate) fn decrypt_by(&self, algorithm: &'static OaepAlgorithm, cipher: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        if cipher.len() != self.decrypting.key_size_bytes() {
            return None;
        }
        let mut plain = Zeroizing::new(vec![0; self.decrypting.min_output_size()]);
        let length = self.decrypting.decrypt(algorithm, cipher, &mut plain, None).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }
}

type Pkcs8 = aws_lc_rs::encoding::Pkcs8V1Der<'static>;

impl fmt::Debug for NodeKey {
    /// The public half alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({})", self.fingerprint())
    }
}
