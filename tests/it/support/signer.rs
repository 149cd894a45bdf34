//! An issuer's key, and tokens that it signs.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ED25519};
use serde_json::{Value, json};

use super::answers::{Answers, Reply};
use super::with;

/// What the issuer of tests is called in its tokens.
pub(crate) const ISSUER: &str = "https://login.example/";

/// A key of Ed25519 with an id.
pub(crate) struct Signer {
    kid: String,
    pair: KeyPair,
}

impl Signer {
    pub(crate) fn new(kid: &str) -> Self {
        Self { kid: kid.to_owned(), pair: KeyPair::generate_for(&PKCS_ED25519).unwrap() }
    }

    /// The public key, as a member of a set.
    fn jwk(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key_raw());
        json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": self.kid, "x": x})
    }

    /// A token of furt's audience, good for an hour, with `claims` over it.
    pub(crate) fn token(&self, claims: Value) -> String {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let usual = json!({"iss": ISSUER, "aud": "furt", "sub": "ann", "iat": now, "exp": now + 3600});
        let header =
            Header { typ: Some("at+jwt".to_owned()), kid: Some(self.kid.clone()), ..Header::new(Algorithm::EdDSA) };
        let key = EncodingKey::from_ed_der(&self.pair.serialize_der());
        jsonwebtoken::encode(&header, &with(usual, claims), &key).unwrap()
    }
}

/// A server with the set of these keys.
pub(crate) async fn key_server(signers: &[&Signer]) -> Answers {
    let set = key_set(signers);
    Answers::start(move |_| {
        Reply::With(200, vec![("content-type", "application/jwk-set+json".to_owned())], set.clone())
    })
    .await
}

/// The set of these keys.
pub(crate) fn key_set(signers: &[&Signer]) -> String {
    json!({"keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>()}).to_string()
}
