//! An issuer for the tests: keys, its set of them, and tokens that it signs.

use std::time::Duration;

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::super::error::TokenError;
use super::super::key_set::KeySet;
use super::super::verify::{Verified, verify};
use crate::config::{ClaimGrants, IssuerConfig, JwksSource, TokenAlgorithm};
use furt_core::model::{PermissionRule, PermissionSet, ProviderName};

/// The time of the tests, in seconds since the Unix epoch.
pub(super) const NOW: f64 = 1_800_000_000.0;
pub(super) const ISSUER: &str = "https://login.example.org";
pub(super) const AUDIENCE: &str = "https://api.example.org";

/// A private key.
pub(super) enum Pair {
    Rsa(rsa::KeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Pair {
    /// A new one for signatures of this algorithm.
    pub(super) fn new(algorithm: TokenAlgorithm) -> Self {
        match algorithm {
            TokenAlgorithm::Es256 => Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()),
            TokenAlgorithm::Es384 => Self::P384(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap()),
            TokenAlgorithm::EdDsa => Self::Ed25519(Ed25519KeyPair::generate().unwrap()),
            _ => Self::Rsa(rsa::KeyPair::generate(KeySize::Rsa2048).unwrap()),
        }
    }

    /// The cheapest.
    pub(super) fn ed25519() -> Self {
        Self::new(TokenAlgorithm::EdDsa)
    }

    /// Its public key as a JSON Web Key.
    pub(super) fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Rsa(_) => {
                let spki = self.spki();
                let (_, spki) = SubjectPublicKeyInfo::from_der(&spki).unwrap();
                let PublicKey::RSA(key) = spki.parsed().unwrap() else { panic!("not RSA") };
                let modulus = &key.modulus[key.modulus.iter().take_while(|byte| **byte == 0).count()..];
                json!({"kty": "RSA", "kid": kid, "n": base64(modulus), "e": base64(key.exponent)})
            }
            Self::P256(pair) => of_curve("P-256", kid, pair),
            Self::P384(pair) => of_curve("P-384", kid, pair),
            Self::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": base64(pair.public_key().as_ref())})
            }
        }
    }

    /// Its public key in DER, as in a certificate.
    pub(super) fn spki(&self) -> Vec<u8> {
        let der: PublicKeyX509Der<'_> = match self {
            Self::Rsa(pair) => pair.public_key().as_der().unwrap(),
            Self::P256(pair) | Self::P384(pair) => pair.public_key().as_der().unwrap(),
            Self::Ed25519(pair) => pair.public_key().as_der().unwrap(),
        };
        der.as_ref().to_vec()
    }

    /// A signature.
    pub(super) fn sign(&self, algorithm: TokenAlgorithm, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::P256(pair) | Self::P384(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Rsa(pair) => {
                let padding: &'static dyn RsaEncoding = match algorithm {
                    TokenAlgorithm::Rs256 => &RSA_PKCS1_SHA256,
                    TokenAlgorithm::Rs384 => &RSA_PKCS1_SHA384,
                    TokenAlgorithm::Rs512 => &RSA_PKCS1_SHA512,
                    TokenAlgorithm::Ps256 => &RSA_PSS_SHA256,
                    TokenAlgorithm::Ps384 => &RSA_PSS_SHA384,
                    _ => &RSA_PSS_SHA512,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }

    /// A token of these two texts.
    pub(super) fn token_of(&self, algorithm: TokenAlgorithm, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", base64(header.as_bytes()), base64(claims.as_bytes()));
        let signature = self.sign(algorithm, signed.as_bytes());
        format!("{signed}.{}", base64(&signature))
    }

    /// A token by Ed25519.
    pub(super) fn token(&self, header: &Value, claims: &Value) -> String {
        self.token_of(TokenAlgorithm::EdDsa, &header.to_string(), &claims.to_string())
    }
}

fn of_curve(curve: &str, kid: &str, pair: &EcdsaKeyPair) -> Value {
    let point = &pair.public_key().as_ref()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    json!({"kty": "EC", "crv": curve, "kid": kid, "x": base64(x), "y": base64(y)})
}

pub(super) fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The header of a good token.
pub(super) fn header(algorithm: TokenAlgorithm, kid: &str) -> Value {
    json!({"alg": algorithm.as_str(), "typ": "at+jwt", "kid": kid})
}

/// The claims of a good token.
pub(super) fn claims() -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": NOW + 300.0, "iat": NOW - 10.0, "scope": "comments:read openid"})
}

/// The same with another member, or with another value of one.
pub(super) fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

/// The same without a member.
pub(super) fn without(mut object: Value, name: &str) -> Value {
    object.as_object_mut().unwrap().shift_remove(name).unwrap();
    object
}

/// What the operator says of the issuer.
pub(super) fn config() -> IssuerConfig {
    IssuerConfig {
        name: ProviderName::try_new("login").unwrap(),
        issuer: ISSUER.to_owned(),
        audience: vec!["other".to_owned(), AUDIENCE.to_owned()],
        jwks: JwksSource::Url("https://login.example.org/keys".parse().unwrap()),
        ca: None,
        algorithms: TokenAlgorithm::ALL.to_vec(),
        types: vec!["at+jwt".to_owned()],
        keep: None,
        clock_skew: Duration::from_secs(30),
        refresh: Duration::from_secs(600),
        grants: ClaimGrants {
            claim: Some("scope".to_owned()),
            permissions: rules(&["comments:*"]),
            map: Default::default(),
        },
        headers: Default::default(),
    }
}

pub(super) fn rules(rules: &[&str]) -> PermissionSet {
    PermissionSet::new(rules.iter().map(|rule| PermissionRule::try_new(rule).unwrap()).collect())
}

/// A set of these keys.
pub(super) fn document(keys: &[Value]) -> Value {
    json!({ "keys": keys })
}

pub(super) fn set(keys: &[Value]) -> KeySet {
    KeySet::of(&document(keys)).unwrap()
}

/// The verdict on a token at [`NOW`], by this key alone, which is called `k`.
pub(super) fn judged(pair: &Pair, token: &str) -> Result<Verified, TokenError> {
    verify(token, &set(&[pair.jwk("k")]), &config(), NOW)
}

/// Why it is refused.
pub(super) fn refused(pair: &Pair, token: &str) -> TokenError {
    judged(pair, token).map(|verified| verified.identity).unwrap_err()
}
