//! The seal of a node: it signs and encrypts what leaves, verifies and decrypts what arrives.

use std::collections::BTreeMap;
use std::time::Duration;

use furt_bus::{Delivery, Outgoing as Packet, Properties};
use furt_cluster::model::{Claim, ClusterId, Document, Fingerprint, Invalid, PublicKey, Record, SecretId, TokenId};
use furt_cluster::{Bid, Body, MAX_MESSAGE_BYTES, Opened, Outgoing, Protect, Refused, To};
use zeroize::Zeroizing;

use crate::bid;
use crate::envelope::{Head, Protection};
use crate::error::SealError;
use crate::gcm;
use crate::key::NodeKey;
use crate::keyring::Keyring;
use crate::public::{Rsa, digest_of};
use crate::record;
use crate::routing;
use crate::secret::Secret;
use crate::token::JoinToken;
use crate::vault::{Enclosed, WrappedToken};
use crate::wire::{self, Enclosing, Written};

/// How long a queue keeps a beat, as lex-node has it: the next one says more.
const BEAT_EXPIRES: Duration = Duration::from_secs(5);

/// The seal of a node. It has what the driver gave it; what is to outlast the process the driver stores.
#[derive(Debug)]
pub struct Seal(Keyring);

impl Seal {
    /// A seal with this key, and without secrets and tokens.
    pub fn new(key: NodeKey) -> Self {
        Self(Keyring { key, secrets: BTreeMap::new(), tokens: BTreeMap::new() })
    }

    /// The node's identity: the fingerprint of its key.
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.key.fingerprint()
    }

    /// The node's public key, SPKI in DER.
    pub fn public(&self) -> &PublicKey {
        self.0.key.public()
    }

    /// Takes a secret, in the place of one with the same name.
    pub fn insert_secret(&mut self, secret: Secret) {
        self.0.secrets.insert(secret.id(), secret);
    }

    /// Wipes a secret. Whether it was there.
    pub fn remove_secret(&mut self, id: &SecretId) -> bool {
        self.0.secrets.remove(id).is_some()
    }

    /// The secret of that name.
    pub fn secret(&self, id: &SecretId) -> Option<&Secret> {
        self.0.secrets.get(id)
    }

    /// Takes a join token: proofs with it are made and judged from now on.
    pub fn insert_token(&mut self, token: JoinToken) {
        self.0.tokens.insert(token.id(), token);
    }

    /// Wipes a join token. Whether it was there.
    pub fn remove_token(&mut self, id: &TokenId) -> bool {
        self.0.tokens.remove(id).is_some()
    }

    /// The names of the join tokens, in their order.
    pub fn tokens(&self) -> impl Iterator<Item = TokenId> {
        self.0.tokens.keys().copied()
    }

    /// Signs claims, in their order; `at_ms` is in ms since the Unix epoch.
    pub fn sign(&self, cluster: ClusterId, claims: &[Claim], at_ms: i64) -> Vec<Record> {
        claims.iter().map(|claim| record::sign(&self.0.key, cluster, *claim, at_ms)).collect()
    }

    /// Signs a bid, as an entry for the log of the arbiter.
    pub fn bid(&self, cluster: ClusterId, bid: &Bid) -> Vec<u8> {
        bid::write(&self.0.key, cluster, bid)
    }

    /// Signs a message, and encrypts it where it says so. All but [`Body::SecretGiven`] and [`Body::VaultTokenGiven`].
    ///
    /// # Errors
    /// The secret or token that it needs is not there, or the message is none that any node would take.
    pub fn seal(&self, message: &Outgoing) -> Result<Packet, SealError> {
        self.finish(message, wire::write(message, &self.0, None)?)
    }

    /// Encrypts a secret by the key of the message's receiver, and signs the message, a [`Body::SecretGiven`] of that secret to
    /// that one node.
    ///
    /// # Errors
    /// The secret is not there, the key is no RSA key or not the receiver's, or the message is another.
    pub fn give(&self, id: &SecretId, to_key: &PublicKey, message: &Outgoing) -> Result<Packet, SealError> {
        let receiver = receiver(to_key, message)?;
        match &message.body {
            Body::SecretGiven { id: named, .. } if named == id => {}
            _ => return Err(SealError::WrongBody),
        }
        let secret = self.0.secret(*id)?;
        self.finish(message, wire::write(message, &self.0, Some(Enclosing::Secret(secret, &receiver)))?)
    }

    /// Encrypts a token of a Vault by the key of the message's receiver, and signs the message, a [`Body::VaultTokenGiven`] to that one
    /// node.
    ///
    /// # Errors
    /// The key is no RSA key or not the receiver's, or the message is another.
    pub fn give_vault_token(
        &self,
        token: &WrappedToken,
        to_key: &PublicKey,
        message: &Outgoing,
    ) -> Result<Packet, SealError> {
        let receiver = receiver(to_key, message)?;
        self.finish(message, wire::write(message, &self.0, Some(Enclosing::VaultToken(token, &receiver)))?)
    }

    fn finish(&self, message: &Outgoing, written: Written) -> Result<Packet, SealError> {
        self.protect(message, written.kind, written.function, &written.json)
    }

    /// Signs this body in the place of the message's own, and encrypts it where the message says so. Beside this module the fuzz targets
    /// call it, since the owner of an approved key may send any body; no gateway does.
    ///
    /// # Errors
    /// As for [`Seal::seal`].
    #[doc(hidden)]
    pub fn protect(
        &self,
        message: &Outgoing,
        kind: &str,
        function: Option<&str>,
        json: &[u8],
    ) -> Result<Packet, SealError> {
        let mut head = Head::of(message, self.0.key.fingerprint(), kind, function);
        let body = match message.protect {
            Protect::Signed => json.to_vec(),
            Protect::Cluster(id) => {
                let enciphered = gcm::encrypt(&self.0.secret(id)?.cipher_key(), json)?;
                head.protection = Protection::Encrypted { secret: id, iv: enciphered.iv };
                enciphered.text.into_bytes()
            }
        };
        if body.len() > MAX_MESSAGE_BYTES {
            return Err(SealError::TooLarge { bytes: body.len() });
        }
        let key = routing::of(message);
        let mut properties = head.sign(&self.0.key, &key, &body)?;
        properties.expires = matches!(message.body, Body::Beat(_)).then_some(BEAT_EXPIRES);
        Ok(Packet { key, is_mandatory: false, properties, body })
    }

    /// Opens a message that came: see [`Seal::open_parts`].
    ///
    /// # Errors
    /// It is refused; nothing is to be tried again.
    pub fn open(&self, delivery: &Delivery) -> Result<(Opened, Option<Enclosed>), Refused> {
        self.open_parts(&delivery.key, &delivery.properties, &delivery.body)
    }

    /// Opens a message by its routing key, properties and body. The second is the secret that came with [`Body::SecretGiven`], or
    /// the token with [`Body::VaultTokenGiven`].
    ///
    /// # Errors
    /// It is refused, for the first of these reasons: its size, its form, its signature, what it is encrypted by, its content.
    pub fn open_parts(
        &self,
        routing_key: &str,
        properties: &Properties,
        body: &[u8],
    ) -> Result<(Opened, Option<Enclosed>), Refused> {
        if body.len() > MAX_MESSAGE_BYTES {
            return Err(Refused::TooLarge);
        }
        let (head, key) = Head::open(routing_key, properties, body)?;
        let json = match &head.protection {
            Protection::Plain => Zeroizing::new(body.to_vec()),
            Protection::Encrypted { secret, iv } => self.decrypt(secret, iv, body).ok_or(Refused::Undecipherable)?,
        };
        let (body, enclosed) = wire::read(&head, &key, &json, &self.0)?;
        let Head { from, boot, seq, at_ms, to, cluster, .. } = head;
        Ok((Opened { from, key: key.spki().clone(), boot, seq, at_ms, to, cluster, body }, enclosed))
    }

    fn decrypt(&self, secret: &SecretId, iv: &str, body: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let secret = self.0.secrets.get(secret)?;
        gcm::decrypt(&secret.cipher_key(), std::str::from_utf8(body).ok()?, iv)
    }
}

/// The key, where the message is for its owner alone.
fn receiver(key: &PublicKey, message: &Outgoing) -> Result<Rsa, SealError> {
    let receiver = Rsa::read(key.as_bytes()).ok_or(SealError::BadKey)?;
    if message.to == To::Node(receiver.fingerprint()) { Ok(receiver) } else { Err(SealError::WrongReceiver) }
}

/// Whether a record's signature is by the key that it carries, over this cluster, and `by` is the fingerprint of that key. So are
/// stored records verified; those in messages are before they leave [`Seal::open`].
pub fn is_signed(record: &Record, cluster: ClusterId) -> bool {
    record::is_signed(record, cluster)
}

/// A document of settings with the digest of its text, SHA-256.
///
/// # Errors
/// A text longer than [`MAX_DOCUMENT_BYTES`](furt_cluster::model::MAX_DOCUMENT_BYTES).
pub fn document(text: &str) -> Result<Document, Invalid> {
    Document::try_new(text, digest_of(text))
}

/// The fingerprint of a public key, SHA-256 of its SPKI. `None`: it is no RSA key of 2048 to 4096 bits in DER.
pub fn fingerprint(key: &PublicKey) -> Option<Fingerprint> {
    Rsa::read(key.as_bytes()).map(|key| key.fingerprint())
}
