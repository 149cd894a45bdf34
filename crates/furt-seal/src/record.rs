//! The signatures of records: what a commander says, over the cluster that it is said in.

use furt_cluster::model::{Claim, ClusterId, Fingerprint, Record, Signature};

use crate::fields::Fields;
use crate::key::NodeKey;
use crate::public::Rsa;

fn signed(cluster: ClusterId, claim: &Claim, by: Fingerprint, at_ms: i64) -> Fields {
    Fields::new("furt record v1")
        .field(cluster.0.as_bytes())
        .field(&claim.bytes())
        .field(by.as_bytes())
        .field(&at_ms.to_be_bytes())
}

pub(crate) fn sign(key: &NodeKey, cluster: ClusterId, claim: Claim, at_ms: i64) -> Record {
    let by = key.fingerprint();
    let signature = Signature::new(&key.sign(signed(cluster, &claim, by, at_ms).bytes()));
    Record { claim, by, key: key.public().clone(), at_ms, signature }
}

pub(crate) fn is_signed(record: &Record, cluster: ClusterId) -> bool {
    let Record { claim, by, key, at_ms, signature } = record;
    Rsa::read(key.as_bytes()).is_some_and(|key| {
        key.fingerprint() == *by && key.verify(signed(cluster, claim, *by, *at_ms).bytes(), signature.as_bytes())
    })
}
