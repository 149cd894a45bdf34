//! Messages of a lex-node. It signs nothing, so nothing of it is taken: [`Seal::open`](crate::Seal::open) refuses it as unsigned.
//! Here an operator gets to know what it looked like. All of it is a stranger's word.

use furt_bus::{Properties, Value};
use furt_cluster::MAX_MESSAGE_BYTES;
use furt_cluster::model::Fingerprint;
use serde_json::{Map, Value as Json};

use crate::envelope::{ENCRYPTED, JSON, PLAIN};
use crate::pem;
use crate::public::Rsa;

/// The longest name that is shown, in bytes: a host of DNS (RFC 1035, 2.3.4) and a process id.
const LONGEST_NAME: usize = 264;

/// What an unsigned message looked like. A name is of letters, digits and `._-`; `None`: it has another one, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A beat.
    Beat {
        /// The host before 0.3.0, host and process id since.
        name: Option<String>,
        /// Of its framework; none before 0.3.0.
        version: Option<String>,
    },
    /// It tells its public key.
    PublicKey {
        /// Its name.
        name: Option<String>,
        /// Of the key; `None`: it cannot be read.
        fingerprint: Option<Fingerprint>,
    },
    /// It wants to be told public keys.
    KeysAsked,
    /// It wants the cluster's secret.
    SecretAsked {
        /// Its name.
        name: Option<String>,
        /// Of the key that the secret is to be encrypted by; lex-node's own request has none.
        fingerprint: Option<Fingerprint>,
    },
    /// It gives a secret.
    SecretGiven,
    /// It wants a token of Vault's.
    TokenAsked {
        /// Its name.
        name: Option<String>,
        /// Of the key that the token is to be encrypted by.
        fingerprint: Option<Fingerprint>,
    },
    /// It gives a token of Vault's.
    TokenGiven,
    /// It changes settings.
    Settings,
    /// It tells how a change went.
    UpdateResult {
        /// Its name.
        name: Option<String>,
    },
    /// Something that is encrypted by a secret of its cluster.
    Encrypted,
}

/// What an unsigned message looks like. `None`: nothing that a lex-node says, or too long.
pub fn recognise(properties: &Properties, body: &[u8]) -> Option<Heard> {
    if body.len() > MAX_MESSAGE_BYTES || properties.content_type.as_deref() != Some(JSON) {
        return None;
    }
    match properties.content_encoding.as_deref() {
        Some(PLAIN) => {}
        Some(ENCRYPTED) => return Some(Heard::Encrypted),
        _ => return None,
    }
    let fields = Fields(serde_json::from_slice(body).ok()?);
    let name = |field| fields.name(field);
    if properties.kind.as_deref() == Some("heartbeat") {
        return Some(Heard::Beat { name: name("name"), version: name("version") });
    }
    // lex-node reads headers over the payload.
    let function = properties.headers.get("function").and_then(Value::as_text).or_else(|| fields.text("function"));
    Some(match function {
        Some("update_public_key") => Heard::PublicKey { name: name("name"), fingerprint: fields.fingerprint() },
        Some("push_public_key") => Heard::KeysAsked,
        Some("push_cluster_secret") => {
            Heard::SecretAsked { name: name("node_name"), fingerprint: fields.fingerprint() }
        }
        Some("receive_cluster_secret") => Heard::SecretGiven,
        Some("push_vault_token") => Heard::TokenAsked { name: name("node_name"), fingerprint: fields.fingerprint() },
        Some("receive_vault_token") => Heard::TokenGiven,
        Some("update_settings") => Heard::Settings,
        None if fields.text("action").is_some() => Heard::UpdateResult { name: name("node") },
        Some(_) | None => return None,
    })
}

struct Fields(Map<String, Json>);

impl Fields {
    fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field)?.as_str()
    }

    /// A text that can be shown: a stranger's could be anything.
    fn name(&self, field: &str) -> Option<String> {
        let is_shown = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let text = self.text(field)?;
        let fits = (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(is_shown);
        fits.then(|| text.to_owned())
    }

    /// Of the public key: its PEM, or since 0.3.0 base64 of that.
    fn fingerprint(&self) -> Option<Fingerprint> {
        let text = self.text("public_key")?;
        let key = match pem::read_ruby(text) {
            Some(pem) => Rsa::read_pem(&pem),
            None => Rsa::read_pem(text),
        };
        key.map(|key| key.fingerprint())
    }
}
