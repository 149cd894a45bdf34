//! A message's envelope: its headers, and what of it is signed. Everything that decides what a message means is signed as it is on
//! the wire, the body's raw bytes among it; nothing is written anew to be verified.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use furt_bus::{Properties, Value};
use furt_cluster::model::{Boot, ClusterId, Fingerprint, SecretId};
use furt_cluster::{Outgoing, Refused, To};

use crate::error::SealError;
use crate::fields::Fields;
use crate::key::NodeKey;
use crate::public::Rsa;
use crate::token::read_cluster;

pub(crate) const JSON: &str = "application/json";
/// The body is what it says.
pub(crate) const PLAIN: &str = "identity";
/// The body is encrypted by the cluster's secret; lex-node's word.
pub(crate) const ENCRYPTED: &str = "encrypted/cs";

mod header {
    pub(super) const FUNCTION: &str = "function";
    pub(super) const IV: &str = "iv";
    pub(super) const CLUSTER: &str = "furt-cluster";
    pub(super) const FROM: &str = "furt-from";
    pub(super) const KEY: &str = "furt-key";
    pub(super) const BOOT: &str = "furt-boot";
    pub(super) const SEQ: &str = "furt-seq";
    pub(super) const AT: &str = "furt-at";
    pub(super) const TO: &str = "furt-to";
    pub(super) const SECRET: &str = "furt-secret";
    pub(super) const SIGNATURE: &str = "furt-sig";
}

/// How a body is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Protection {
    Plain,
    Encrypted { secret: SecretId, iv: String },
}

/// All of a message but its body, its key of routing and its signature.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) from: Fingerprint,
    pub(crate) boot: Boot,
    pub(crate) seq: u64,
    pub(crate) at_ms: i64,
    pub(crate) to: To,
    pub(crate) cluster: Option<ClusterId>,
    /// AMQP's `type`.
    pub(crate) kind: String,
    /// lex-node's name for what is to be done; a beat has none.
    pub(crate) function: Option<String>,
    pub(crate) protection: Protection,
}

impl Head {
    pub(crate) fn of(message: &Outgoing, from: Fingerprint, kind: &str, function: Option<&str>) -> Self {
        let Outgoing { boot, seq, at_ms, to, cluster, .. } = *message;
        let (kind, function) = (kind.to_owned(), function.map(str::to_owned));
        Self { from, boot, seq, at_ms, to, cluster, kind, function, protection: Protection::Plain }
    }

    /// Signs the message. Gives its properties.
    pub(crate) fn sign(&self, key: &NodeKey, routing_key: &str, body: &[u8]) -> Result<Properties, SealError> {
        let mut headers = self.headers()?;
        headers.insert(header::KEY.to_owned(), Value::Text(STANDARD.encode(key.public().as_bytes())));
        let signature = key.sign(self.signed(key.public().as_bytes(), routing_key, body).bytes());
        headers.insert(header::SIGNATURE.to_owned(), Value::Text(STANDARD.encode(signature)));
        Ok(Properties {
            content_type: Some(JSON.to_owned()),
            content_encoding: Some(self.encoding().to_owned()),
            headers,
            is_persistent: false,
            priority: Some(0),
            expires: None,
            timestamp: u64::try_from(self.at_ms / 1000).ok(),
            kind: Some(self.kind.clone()),
            app_id: Some("furt".to_owned()),
            user_id: None,
        })
    }

    fn headers(&self) -> Result<BTreeMap<String, Value>, SealError> {
        let integer = |number: u64| i64::try_from(number).map(Value::Integer).map_err(|_| SealError::NumberTooLarge);
        let to = match self.to {
            To::All => "*".to_owned(),
            To::Node(node) => node.to_string(),
        };
        let mut headers = vec![
            (header::FROM, Value::Text(self.from.to_string())),
            (header::BOOT, integer(self.boot.0)?),
            (header::SEQ, integer(self.seq)?),
            (header::AT, Value::Integer(self.at_ms)),
            (header::TO, Value::Text(to)),
        ];
        headers.extend(self.function.iter().map(|function| (header::FUNCTION, Value::Text(function.clone()))));
        headers.extend(self.cluster.iter().map(|cluster| (header::CLUSTER, Value::Text(cluster.to_string()))));
        if let Protection::Encrypted { secret, iv } = &self.protection {
            headers.push((header::SECRET, Value::Text(secret_text(secret))));
            headers.push((header::IV, Value::Text(iv.clone())));
        }
        Ok(headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    fn encoding(&self) -> &'static str {
        match self.protection {
            Protection::Plain => PLAIN,
            Protection::Encrypted { .. } => ENCRYPTED,
        }
    }

    fn signed(&self, spki: &[u8], routing_key: &str, body: &[u8]) -> Fields {
        let (secret, iv) = match &self.protection {
            Protection::Plain => (None, None),
            Protection::Encrypted { secret, iv } => (Some(secret_text(secret)), Some(iv.as_bytes())),
        };
        let to = match &self.to {
            To::All => None,
            To::Node(node) => Some(&node.as_bytes()[..]),
        };
        Fields::new("furt message v1")
            .optional(self.cluster.as_ref().map(|cluster| &cluster.0.as_bytes()[..]))
            .field(self.from.as_bytes())
            .field(spki)
            .field(&self.boot.0.to_be_bytes())
            .field(&self.seq.to_be_bytes())
            .field(&self.at_ms.to_be_bytes())
            .optional(to)
            .field(routing_key.as_bytes())
            .field(JSON.as_bytes())
            .field(self.encoding().as_bytes())
            .field(self.kind.as_bytes())
            .optional(self.function.as_deref().map(str::as_bytes))
            .optional(secret.as_deref().map(str::as_bytes))
            .optional(iv)
            .field(body)
    }

    /// Reads and verifies an envelope, what is cheap first: its form, whose it says to be, the signature. Also the sender's key.
    pub(crate) fn open(routing_key: &str, properties: &Properties, body: &[u8]) -> Result<(Self, Rsa), Refused> {
        let headers = Headers(&properties.headers);
        let signature = headers.bytes(header::SIGNATURE)?.ok_or(Refused::Unsigned)?;
        let head = Self::read(properties)?;
        let spki = headers.bytes(header::KEY)?.ok_or(Refused::Malformed)?;
        let key = Rsa::read(&spki).ok_or(Refused::Malformed)?;
        let is_own = key.fingerprint() == head.from;
        if is_own && key.verify(head.signed(&spki, routing_key, body).bytes(), &signature) {
            Ok((head, key))
        } else {
            Err(Refused::BadSignature)
        }
    }

    fn read(properties: &Properties) -> Result<Self, Refused> {
        let headers = Headers(&properties.headers);
        if properties.content_type.as_deref() != Some(JSON) {
            return Err(Refused::Malformed);
        }
        let (secret, iv) = (headers.text(header::SECRET)?, headers.text(header::IV)?);
        let protection = match (properties.content_encoding.as_deref(), secret, iv) {
            (Some(PLAIN), None, None) => Protection::Plain,
            (Some(ENCRYPTED), Some(secret), Some(iv)) => {
                let secret = read_secret(secret).ok_or(Refused::Malformed)?;
                Protection::Encrypted { secret, iv: iv.to_owned() }
            }
            _ => return Err(Refused::Malformed),
        };
        let cluster = headers.text(header::CLUSTER)?;
        let to = match headers.required(header::TO)? {
            "*" => To::All,
            node => To::Node(node.parse().map_err(|_| Refused::Malformed)?),
        };
        Ok(Self {
            from: headers.required(header::FROM)?.parse().map_err(|_| Refused::Malformed)?,
            boot: Boot(headers.natural(header::BOOT)?),
            seq: headers.natural(header::SEQ)?,
            at_ms: headers.integer(header::AT)?,
            to,
            cluster: cluster.map(|text| read_cluster(text).ok_or(Refused::Malformed)).transpose()?,
            kind: properties.kind.clone().ok_or(Refused::Malformed)?,
            function: headers.text(header::FUNCTION)?.map(str::to_owned),
            protection,
        })
    }
}

/// Headers of a message that came. A value of another type than the one that furt writes is refused.
struct Headers<'a>(&'a BTreeMap<String, Value>);

impl<'a> Headers<'a> {
    fn text(&self, name: &str) -> Result<Option<&'a str>, Refused> {
        self.0.get(name).map(|value| value.as_text().ok_or(Refused::Malformed)).transpose()
    }

    fn required(&self, name: &str) -> Result<&'a str, Refused> {
        self.text(name)?.ok_or(Refused::Malformed)
    }

    fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, Refused> {
        self.text(name)?.map(|text| STANDARD.decode(text).map_err(|_| Refused::Malformed)).transpose()
    }

    fn integer(&self, name: &str) -> Result<i64, Refused> {
        match self.0.get(name) {
            Some(Value::Integer(number)) => Ok(*number),
            Some(Value::Text(_) | Value::Bytes(_) | Value::Boolean(_) | Value::Other) | None => Err(Refused::Malformed),
        }
    }

    fn natural(&self, name: &str) -> Result<u64, Refused> {
        self.integer(name)?.try_into().map_err(|_| Refused::Malformed)
    }
}

/// `<generation>:<check value>`.
fn secret_text(id: &SecretId) -> String {
    format!("{}:{}", id.generation, id.check)
}

fn read_secret(text: &str) -> Option<SecretId> {
    let (generation, check) = text.split_once(':')?;
    let id = SecretId { generation: generation.parse().ok()?, check: check.parse().ok()? };
    (secret_text(&id) == text).then_some(id)
}
