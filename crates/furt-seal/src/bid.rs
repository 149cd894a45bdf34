//! Bids in the log of an arbiter: who wants which generation for what.

use furt_cluster::Bid;
use furt_cluster::model::{ClusterId, Fingerprint, PublicKey, Scope, SecretId, SettingsId, Signature};
use serde::{Deserialize, Serialize};

use crate::fields::Fields;
use crate::key::NodeKey;
use crate::public::Rsa;

/// A bid whose signature is by the key of `by`, over the cluster and the bid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedBid {
    /// The cluster.
    pub cluster: ClusterId,
    /// What is wanted.
    pub bid: Bid,
    /// Who wants it.
    pub by: Fingerprint,
}

/// As it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    cluster: ClusterId,
    bid: Wanted,
    key: PublicKey,
    signature: Signature,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Wanted {
    Secret(SecretId),
    Settings { scope: Scope, id: SettingsId },
}

fn signed(cluster: ClusterId, bid: &Bid, by: Fingerprint) -> Fields {
    let fields = Fields::new("furt bid v1").field(cluster.0.as_bytes()).field(by.as_bytes());
    match bid {
        Bid::Secret(id) => fields.field(b"secret").field(&id.generation.to_be_bytes()).field(id.check.as_bytes()),
        Bid::Settings(scope, id) => {
            let node = if let Scope::Node(node) = scope { Some(node.as_bytes().as_slice()) } else { None };
            let fields = fields.field(b"settings").optional(node);
            fields.field(&id.generation.to_be_bytes()).field(id.digest.as_bytes())
        }
    }
}

pub(crate) fn write(key: &NodeKey, cluster: ClusterId, bid: &Bid) -> Vec<u8> {
    let signature = Signature::new(&key.sign(signed(cluster, bid, key.fingerprint()).bytes()));
    let wanted = match *bid {
        Bid::Secret(id) => Wanted::Secret(id),
        Bid::Settings(scope, id) => Wanted::Settings { scope, id },
    };
    let written = Written { cluster, bid: wanted, key: key.public().clone(), signature };
    // Texts and numbers alone: nothing of it can fail to be written.
    serde_json::to_vec(&written).unwrap_or_default()
}

/// Reads an entry of a log; `None`: it is no bid, or not signed by the key that it has.
pub fn read_bid(bytes: &[u8]) -> Option<SignedBid> {
    let Written { cluster, bid, key, signature } = serde_json::from_slice(bytes).ok()?;
    let bid = match bid {
        Wanted::Secret(id) => Bid::Secret(id),
        Wanted::Settings { scope, id } => Bid::Settings(scope, id),
    };
    let key = Rsa::read(key.as_bytes())?;
    let by = key.fingerprint();
    key.verify(signed(cluster, &bid, by).bytes(), signature.as_bytes()).then_some(SignedBid { cluster, bid, by })
}

#[cfg(test)]
mod tests {
    use furt_cluster::model::{CheckValue, Digest};

    use super::*;

    #[test]
    fn a_bid_is_read_as_it_was_made_and_a_bent_one_is_none() {
        let (key, cluster) = (NodeKey::generate().unwrap(), ClusterId(uuid::Uuid::from_u128(7)));
        let secret = SecretId { generation: 2, check: CheckValue::new([1; 8]) };
        let settings = SettingsId { generation: 3, digest: Digest::new([2; 32]) };
        for bid in [
            Bid::Secret(secret),
            Bid::Settings(Scope::Cluster, settings),
            Bid::Settings(Scope::Node(key.fingerprint()), settings),
        ] {
            let bytes = write(&key, cluster, &bid);
            assert_eq!(read_bid(&bytes), Some(SignedBid { cluster, bid, by: key.fingerprint() }));
            let text = String::from_utf8(bytes).unwrap();
            for (from, to) in [
                ("\"generation\":", "\"generation\":1"),
                ("0000-0000", "0000-0001"),
                ("{\"cluster\"", "{\"x\":1,\"cluster\""),
            ] {
                assert!(text.contains(from), "{from}");
                assert_eq!(read_bid(text.replacen(from, to, 1).as_bytes()), None, "{from}");
            }
        }
        assert_eq!(read_bid(b"{}"), None);
    }
}
