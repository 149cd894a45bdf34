//! A secret on its way: asked for, and given to the one key that can read it. In the form of lex-node's, and among furts by OAEP with
//! SHA-256.

use aws_lc_rs::rsa::OAEP_SHA256_MGF1SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use furt_cluster::model::SecretId;
use furt_cluster::{Body, Refused};

use super::forms::{CRYPT, EncipheredForm, Named, Wire};
use crate::envelope::Head;
use crate::error::SealError;
use crate::gcm;
use crate::key::NodeKey;
use crate::pem;
use crate::public::Rsa;
use crate::routing;
use crate::secret::Secret;

/// What a given secret is tried at.
const VALIDATION: &str = "furt";

pub(super) fn write_asked(key: &NodeKey, secret: SecretId) -> Wire {
    Wire::PushClusterSecret {
        queue_name: routing::of_node(&key.fingerprint()),
        runner_class: CRYPT.to_owned(),
        public_key: key.public_pem(),
        furt: Named { secret },
    }
}

/// The key and the queue that it names must be the sender's: no other is ever answered.
pub(super) fn read_asked(
    queue: &str,
    class: &str,
    pem: &str,
    furt: &Named,
    sender: (&Head, &Rsa),
) -> Result<Body, Refused> {
    let (head, key) = sender;
    let is_own = queue == routing::of_node(&head.from) && pem == key.to_pem();
    if is_own && class == CRYPT { Ok(Body::SecretAsked(furt.secret)) } else { Err(Refused::Malformed) }
}

pub(super) fn write_given(own: &NodeKey, secret: &Secret, receiver: &Rsa) -> Result<Wire, SealError> {
    let cipher = receiver.encrypt(&OAEP_SHA256_MGF1SHA256, secret.text().as_bytes());
    let cipher = cipher.ok_or(SealError::Failed("encrypting a secret"))?;
    let validation = gcm::encrypt(&secret.cipher_key(), VALIDATION.as_bytes())?;
    Ok(Wire::ReceiveClusterSecret {
        runner_class: CRYPT.to_owned(),
        message: format!("oaep:{}", STANDARD.encode(cipher)),
        validation_string: VALIDATION.to_owned(),
        encrypted_string: EncipheredForm { enciphered_message: validation.text, iv: validation.iv },
        public_key: pem::write_ruby(&own.public_pem()),
        furt: Named { secret: secret.id() },
    })
}

/// A given secret as it is written.
pub(super) struct Given {
    pub(super) runner_class: String,
    pub(super) message: String,
    pub(super) validation_string: String,
    pub(super) encrypted_string: EncipheredForm,
    pub(super) public_key: String,
}

/// Decrypts it. The secret has the generation of its name and the check value of its text; whether that is the name's, the core
/// decides.
pub(super) fn read_given(given: &Given, id: SecretId, own: &NodeKey, sender: &Rsa) -> Result<Secret, Refused> {
    if given.runner_class != CRYPT || given.public_key != pem::write_ruby(&sender.to_pem()) {
        return Err(Refused::Malformed);
    }
    let cipher = given.message.strip_prefix("oaep:").and_then(|base64| STANDARD.decode(base64).ok());
    let text = own.decrypt(&cipher.ok_or(Refused::Malformed)?).ok_or(Refused::Undecipherable)?;
    let secret = std::str::from_utf8(&text).ok().and_then(|text| Secret::from_text(id.generation, text).ok());
    let secret = secret.ok_or(Refused::Undecipherable)?;
    let EncipheredForm { enciphered_message, iv } = &given.encrypted_string;
    match gcm::decrypt(&secret.cipher_key(), enciphered_message, iv) {
        Some(text) if *text == given.validation_string.as_bytes() => Ok(secret),
        Some(_) | None => Err(Refused::Undecipherable),
    }
}
