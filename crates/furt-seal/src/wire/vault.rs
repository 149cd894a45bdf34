//! A token of a Vault on its way: asked for, and given to the one key that can read it. In the form of lex-node's. Among furts it is one
//! that unwraps a token once, and it is encrypted by OAEP with SHA-256.

use aws_lc_rs::rsa::OAEP_SHA256_MGF1SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use furt_cluster::{Body, Refused};

use super::forms::{TokenForm, Wire};
use crate::envelope::Head;
use crate::error::SealError;
use crate::key::NodeKey;
use crate::pem;
use crate::public::Rsa;
use crate::vault::WrappedToken;

/// lex-node's class that takes a token and gives one.
const VAULT: &str = "Legion::Extensions::Node::Runners::Vault";

const WRAPPED: TokenForm = TokenForm { wrapped: true };

/// The queue that a lex-node answers to is named after the node; a furt's is bound to its fingerprint as well.
pub(super) fn write_asked(key: &NodeKey) -> Wire {
    Wire::PushVaultToken {
        node_name: key.fingerprint().to_string(),
        runner_class: VAULT.to_owned(),
        public_key: pem::write_ruby(&key.public_pem()),
        furt: WRAPPED,
    }
}

/// The key and the name must be the sender's: no other is ever answered.
pub(super) fn read_asked(
    name: &str,
    class: &str,
    key: &str,
    furt: &TokenForm,
    sender: (&Head, &Rsa),
) -> Result<Body, Refused> {
    let (head, public) = sender;
    let is_own = name == head.from.to_string() && key == pem::write_ruby(&public.to_pem());
    if is_own && class == VAULT && furt.wrapped { Ok(Body::VaultTokenAsked) } else { Err(Refused::Malformed) }
}

pub(super) fn write_given(own: &NodeKey, token: &WrappedToken, receiver: &Rsa) -> Result<Wire, SealError> {
    let cipher = receiver.encrypt(&OAEP_SHA256_MGF1SHA256, token.text().as_bytes());
    let cipher = cipher.ok_or(SealError::Failed("encrypting a token"))?;
    Ok(Wire::ReceiveVaultToken {
        runner_class: VAULT.to_owned(),
        message: format!("oaep:{}", STANDARD.encode(cipher)),
        public_key: pem::write_ruby(&own.public_pem()),
        furt: WRAPPED,
    })
}

pub(super) fn read_given(
    class: &str,
    message: &str,
    key: &str,
    furt: &TokenForm,
    (own, sender): (&NodeKey, &Rsa),
) -> Result<WrappedToken, Refused> {
    if class != VAULT || key != pem::write_ruby(&sender.to_pem()) || !furt.wrapped {
        return Err(Refused::Malformed);
    }
    let cipher = message.strip_prefix("oaep:").and_then(|base64| STANDARD.decode(base64).ok());
    let text = own.decrypt(&cipher.ok_or(Refused::Malformed)?).ok_or(Refused::Undecipherable)?;
    let token = std::str::from_utf8(&text).ok().and_then(WrappedToken::try_new);
    token.ok_or(Refused::Undecipherable)
}
