//! One public key of an issuer, from a JSON Web Key (RFC 7517): what it can check, or why it cannot be used.
//!
//! It is parsed once, for each algorithm that it may have, by `aws-lc-rs`; a token never says how its key is understood.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::error::Misfit;
use crate::config::TokenAlgorithm;

/// A key of a set.
#[derive(Debug)]
pub(super) struct Key {
    /// What tokens call it.
    pub(super) kid: Option<String>,
    /// What it can check.
    usable: Result<Usable, Misfit>,
}

#[derive(Debug)]
struct Usable {
    kind: Kind,
    /// By each algorithm that it may have.
    by: Vec<(TokenAlgorithm, ParsedPublicKey)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Key {
    /// From a member of `keys`.
    pub(super) fn new(jwk: &Value) -> Self {
        let Value::Object(jwk) = jwk else { return Self { kid: None, usable: Err(Misfit::Broken) } };
        match jwk.get("kid") {
            None => Self { kid: None, usable: usable(jwk) },
            Some(Value::String(kid)) => Self { kid: Some(kid.clone()), usable: usable(jwk) },
            Some(_) => Self { kid: None, usable: Err(Misfit::Broken) },
        }
    }

    /// Whether it can check anything.
    pub(super) fn is_usable(&self) -> bool {
        self.usable.is_ok()
    }

    /// The key for signatures of this algorithm.
    ///
    /// # Errors
    /// It is not for them.
    pub(super) fn checking(&self, algorithm: TokenAlgorithm) -> Result<&ParsedPublicKey, Misfit> {
        let usable = self.usable.as_ref().map_err(|why| *why)?;
        match usable.by.iter().find(|(one, _)| *one == algorithm) {
            Some((_, key)) => Ok(key),
            None if usable.kind.algorithms().contains(&algorithm) => Err(Misfit::Algorithm),
            None => Err(Misfit::Kind),
        }
    }
}

impl Kind {
    fn of(jwk: &Map<String, Value>) -> Option<Self> {
        match (text(jwk, "kty")?, text(jwk, "crv")) {
            ("RSA", _) => Some(Self::Rsa),
            ("EC", Some("P-256")) => Some(Self::P256),
            ("EC", Some("P-384")) => Some(Self::P384),
            ("OKP", Some("Ed25519")) => Some(Self::Ed25519),
            _ => None,
        }
    }

    fn algorithms(self) -> &'static [TokenAlgorithm] {
        use TokenAlgorithm::{EdDsa, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        match self {
            Self::Rsa => &[Rs256, Rs384, Rs512, Ps256, Ps384, Ps512],
            Self::P256 => &[Es256],
            Self::P384 => &[Es384],
            Self::Ed25519 => &[EdDsa],
        }
    }
}

fn usable(jwk: &Map<String, Value>) -> Result<Usable, Misfit> {
    let kind = Kind::of(jwk).ok_or(Misfit::Kind)?;
    match jwk.get("use") {
        None => {}
        Some(Value::String(purpose)) if purpose == "sig" => {}
        Some(_) => return Err(Misfit::Use),
    }
    match jwk.get("key_ops") {
        None => {}
        Some(Value::Array(operations)) if operations.iter().any(|one| one == "verify") => {}
        Some(_) => return Err(Misfit::Operations),
    }
    let algorithms: Vec<_> = match jwk.get("alg") {
        None => kind.algorithms().to_vec(),
        Some(named) => kind.algorithms().iter().copied().filter(|one| is_named(*one, named)).collect(),
    };
    if algorithms.is_empty() {
        return Err(Misfit::Algorithm);
    }
    let parse = parser(kind, jwk)?;
    let by = algorithms.into_iter().map(|one| parse(one).map(|key| (one, key)).ok_or(Misfit::Broken));
    Ok(Usable { kind, by: by.collect::<Result<_, _>>()? })
}

/// RFC 9864 calls EdDSA by Ed25519 by that name alone.
fn is_named(algorithm: TokenAlgorithm, named: &Value) -> bool {
    named == algorithm.as_str() || algorithm == TokenAlgorithm::EdDsa && named == "Ed25519"
}

/// Makes the key for an algorithm of its kind.
type Parse = Box<dyn Fn(TokenAlgorithm) -> Option<ParsedPublicKey>>;

fn parser(kind: Kind, jwk: &Map<String, Value>) -> Result<Parse, Misfit> {
    let of_curve = |algorithm: &'static dyn VerificationAlgorithm, bytes: Vec<u8>| -> Parse {
        Box::new(move |_| ParsedPublicKey::new(algorithm, &bytes).ok())
    };
    match kind {
        Kind::Rsa => rsa(jwk),
        Kind::P256 => Ok(of_curve(&ECDSA_P256_SHA256_FIXED, point(jwk, 32)?)),
        Kind::P384 => Ok(of_curve(&ECDSA_P384_SHA384_FIXED, point(jwk, 48)?)),
        Kind::Ed25519 => Ok(of_curve(&ED25519, bytes(jwk, "x", 32)?)),
    }
}

fn rsa(jwk: &Map<String, Value>) -> Result<Parse, Misfit> {
    let (n, e) = (number(jwk, "n")?, number(jwk, "e")?);
    let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
    if !(2048..=8192).contains(&bits) {
        return Err(Misfit::Size);
    }
    let is_odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
    // By an exponent of 1 everything would be a signature.
    if !is_odd(&n) || !is_odd(&e) || e == [1] || e.len() > 4 {
        return Err(Misfit::Broken);
    }
    Ok(Box::new(move |algorithm| {
        let components = RsaPublicKeyComponents { n: &n, e: &e };
        components.to_parsed_public_key(rsa_parameters(algorithm)?).ok()
    }))
}

fn rsa_parameters(algorithm: TokenAlgorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        TokenAlgorithm::Rs256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        TokenAlgorithm::Rs384 => Some(&RSA_PKCS1_2048_8192_SHA384),
        TokenAlgorithm::Rs512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        TokenAlgorithm::Ps256 => Some(&RSA_PSS_2048_8192_SHA256),
        TokenAlgorithm::Ps384 => Some(&RSA_PSS_2048_8192_SHA384),
        TokenAlgorithm::Ps512 => Some(&RSA_PSS_2048_8192_SHA512),
        TokenAlgorithm::Es256 | TokenAlgorithm::Es384 | TokenAlgorithm::EdDsa => None,
    }
}

/// A point that is not compressed (SEC 1 §2.3.3).
fn point(jwk: &Map<String, Value>, length: usize) -> Result<Vec<u8>, Misfit> {
    let (x, y) = (bytes(jwk, "x", length)?, bytes(jwk, "y", length)?);
    Ok([&[4], &x[..], &y[..]].concat())
}

fn text<'j>(jwk: &'j Map<String, Value>, name: &str) -> Option<&'j str> {
    jwk.get(name).and_then(Value::as_str)
}

fn decoded(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, Misfit> {
    text(jwk, name).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).ok_or(Misfit::Broken)
}

fn bytes(jwk: &Map<String, Value>, name: &str, length: usize) -> Result<Vec<u8>, Misfit> {
    decoded(jwk, name).and_then(|bytes| if bytes.len() == length { Ok(bytes) } else { Err(Misfit::Broken) })
}

/// Some issuers write a zero before the first bit.
fn number(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, Misfit> {
    let bytes = decoded(jwk, name)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    Ok(bytes[zeros..].to_vec())
}
