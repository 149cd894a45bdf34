//! A seal without cryptography: keys are numbers, and whoever does not use another one's number cannot sign as it.

use std::collections::BTreeMap;

use crate::model::{
    CheckValue, Claim, ClusterId, Digest, Document, Fingerprint, Fnv, Nonce, PublicKey, Record, SecretId, Signature,
    TokenId,
};
use crate::{Body, Event, Opened, Outgoing, Proof, Protect, Refused};

/// A private key, and the public one.
pub(crate) type Key = u64;
/// The bytes of a secret.
pub(crate) type Secret = u64;

pub(crate) fn mix(parts: &[u64]) -> u64 {
    let mut sum = Fnv::default();
    parts.iter().for_each(|part| sum.write(&part.to_be_bytes()));
    sum.finish()
}

fn wide(number: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (at, chunk) in bytes.chunks_mut(8).enumerate() {
        chunk.copy_from_slice(&mix(&[number, at as u64]).to_be_bytes());
    }
    bytes
}

pub(crate) fn fingerprint(key: Key) -> Fingerprint {
    Fingerprint::new(wide(key))
}

pub(crate) fn public(key: Key) -> PublicKey {
    PublicKey::new(&key.to_be_bytes())
}

pub(crate) fn nonce(number: u64) -> Nonce {
    Nonce::new(wide(number))
}

pub(crate) fn token_id(token: u64) -> TokenId {
    TokenId::new(mix(&[token, 1]).to_be_bytes())
}

pub(crate) fn check_of(secret: Secret) -> CheckValue {
    CheckValue::new(mix(&[secret, 2]).to_be_bytes())
}

fn digest_of(text: &str) -> Digest {
    let mut sum = Fnv::default();
    sum.write(text.as_bytes());
    Digest::new(wide(sum.finish()))
}

pub(crate) fn document(text: &str) -> Document {
    Document::try_new(text, digest_of(text)).unwrap()
}

fn signature(key: Key, cluster: ClusterId, claim: &Claim, at_ms: i64) -> Signature {
    let mut sum = Fnv::default();
    sum.write(&key.to_be_bytes());
    sum.write(cluster.0.as_bytes());
    sum.write(&claim.bytes());
    sum.write(&at_ms.to_be_bytes());
    Signature::new(&sum.finish().to_be_bytes())
}

pub(crate) fn sign(key: Key, cluster: ClusterId, claim: Claim, at_ms: i64) -> Record {
    let signature = signature(key, cluster, &claim, at_ms);
    Record { claim, by: fingerprint(key), key: public(key), at_ms, signature }
}

fn is_signed(record: &Record, cluster: ClusterId) -> bool {
    let key = Key::from_be_bytes(record.key.as_bytes().try_into().unwrap());
    record.by == fingerprint(key) && record.signature == signature(key, cluster, &record.claim, record.at_ms)
}

/// A message on the bus.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    /// The key that signed it.
    pub(crate) key: Key,
    pub(crate) out: Outgoing,
    /// The token that its proof was made by.
    pub(crate) token: Option<u64>,
    /// The bytes that it was sealed by.
    pub(crate) sealed: Option<Secret>,
    /// A secret, and the key that it is encrypted for.
    pub(crate) secret: Option<(Fingerprint, Secret)>,
}

/// What a node's seal has.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seal {
    pub(crate) secrets: BTreeMap<SecretId, Secret>,
    pub(crate) tokens: BTreeMap<TokenId, u64>,
}

impl Seal {
    pub(crate) fn seal(&self, key: Key, out: Outgoing) -> Packet {
        let token = match &out.body {
            Body::JoinChallenge { transcript, proof: Proof::Make }
            | Body::JoinProof { transcript, proof: Proof::Make } => self.tokens.get(&transcript.token).copied(),
            _ => None,
        };
        let sealed = match out.protect {
            Protect::Signed => None,
            Protect::Cluster(id) => Some(self.secrets[&id]),
        };
        Packet { key, out, token, sealed, secret: None }
    }

    /// Opens a message at the node with this fingerprint. The secret that came with it, if one did.
    pub(crate) fn open(&self, own: Fingerprint, packet: &Packet) -> (Event, Option<Secret>) {
        let Packet { key, out, token, sealed, secret } = packet;
        if let Protect::Cluster(id) = out.protect
            && self.secrets.get(&id) != sealed.as_ref()
        {
            return (Event::Refused(Refused::Undecipherable), None);
        }
        let mut body = out.body.clone();
        let mut bytes = None;
        let prove = |transcript: &crate::Transcript| match (self.tokens.get(&transcript.token), token) {
            (None, _) => Proof::NoToken,
            (Some(own), Some(theirs)) if own == theirs => Proof::Right,
            (Some(_), _) => Proof::Wrong,
        };
        let records = match &mut body {
            Body::JoinChallenge { transcript, proof } | Body::JoinProof { transcript, proof } => {
                *proof = prove(transcript);
                Vec::new()
            }
            Body::SecretGiven { check, .. } => {
                let Some((whom, secret)) = secret.filter(|(whom, _)| *whom == own) else {
                    return (Event::Refused(Refused::Undecipherable), None);
                };
                assert_eq!(whom, own);
                *check = check_of(secret);
                bytes = Some(secret);
                Vec::new()
            }
            Body::VaultTokenGiven => {
                let Some((_, token)) = secret.filter(|(whom, _)| *whom == own) else {
                    return (Event::Refused(Refused::Undecipherable), None);
                };
                bytes = Some(token);
                Vec::new()
            }
            Body::SettingsCheck(check) => {
                check.document = document(check.document.text());
                Vec::new()
            }
            Body::DocumentGiven { record, document: given, .. } => {
                *given = document(given.text());
                vec![(**record).clone()]
            }
            Body::RecordsGiven(records) | Body::Welcome { records, .. } => records.clone(),
            _ => Vec::new(),
        };
        if !records.iter().all(|record| out.cluster.is_some_and(|cluster| is_signed(record, cluster))) {
            return (Event::Refused(Refused::BadSignature), None);
        }
        let Outgoing { boot, seq, at_ms, to, cluster, .. } = *out;
        let opened = Opened { from: fingerprint(*key), key: public(*key), boot, seq, at_ms, to, cluster, body };
        (Event::Opened(Box::new(opened)), bytes)
    }
}
