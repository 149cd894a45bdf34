//! Records are verified by themselves, and so is each one in a message.

use furt_cluster::model::{ClusterId, Fingerprint, PublicKey, Record, Signature};
use furt_cluster::{Body, MAX_MESSAGE_BYTES, MAX_RECORDS_A_MESSAGE, Protect, Refused, To};

use super::samples::{AT_MS, claims, cluster, key, message, open, refusal, seal, secret};
use crate::fields::Fields;
use crate::is_signed;

#[test]
fn a_record_is_signed_over_all_of_it_and_its_cluster() {
    let one = seal(0);
    let records = one.sign(cluster(), &claims(), AT_MS);
    assert_eq!(records.iter().map(|record| record.claim).collect::<Vec<_>>(), claims());
    let other_cluster = ClusterId(uuid::Uuid::from_u128(1));
    for (at, record) in records.iter().enumerate() {
        assert!(is_signed(record, cluster()) && !is_signed(record, other_cluster));
        for (other, claim) in claims().into_iter().enumerate() {
            assert_eq!(is_signed(&Record { claim, ..record.clone() }, cluster()), at == other);
        }
        let stranger = key(2);
        for bent in [
            Record { at_ms: AT_MS + 1, ..record.clone() },
            Record { by: stranger.fingerprint(), ..record.clone() },
            Record { key: stranger.public().clone(), ..record.clone() },
            Record { key: stranger.public().clone(), by: stranger.fingerprint(), ..record.clone() },
            Record { key: PublicKey::new(&[]), ..record.clone() },
            Record { signature: Signature::new(&[]), ..record.clone() },
            Record { signature: Signature::new(&[0; 256]), ..record.clone() },
        ] {
            assert!(!is_signed(&bent, cluster()), "{bent:?}");
        }
    }
}

#[test]
fn nobody_signs_a_record_in_the_name_of_another_key() {
    // All of it is right but whose it says to be. The fields are written out here: no record that was signed may ever be read otherwise.
    let (thief, claim) = (key(2), claims().swap_remove(2));
    let record = |by: Fingerprint| {
        let signed = Fields::new("furt record v1")
            .field(cluster().0.as_bytes())
            .field(&[&[2][..], &[1; 32]].concat())
            .field(by.as_bytes())
            .field(&AT_MS.to_be_bytes());
        let signature = Signature::new(&thief.sign(signed.bytes()));
        Record { claim, by, key: thief.public().clone(), at_ms: AT_MS, signature }
    };
    assert!(is_signed(&record(thief.fingerprint()), cluster()));
    assert!(!is_signed(&record(key(0).fingerprint()), cluster()));
}

#[test]
fn one_bent_record_refuses_the_message() {
    let (one, other) = (seal(0), seal(1));
    let mut records = one.sign(cluster(), &claims(), AT_MS);
    records[8].at_ms += 1;
    let record = Box::new(records[8].clone());
    for body in [
        Body::RecordsGiven(records.clone()),
        Body::Welcome { transcript: None, founder: key(0).fingerprint(), records: records.clone() },
        Body::DocumentGiven { record, document: crate::document("").unwrap(), request: None },
    ] {
        let packet = one.seal(&message(To::All, Protect::Signed, body)).unwrap();
        assert_eq!(refusal(&other, &packet), Some(Refused::BadSignature));
    }
    // A record is one of its cluster: whoever belongs to none brings none.
    let records = one.sign(cluster(), &claims(), AT_MS);
    for other_cluster in [None, Some(ClusterId(uuid::Uuid::from_u128(1)))] {
        let mut message = message(To::All, Protect::Signed, Body::RecordsGiven(records.clone()));
        message.cluster = other_cluster;
        assert_eq!(refusal(&other, &one.seal(&message).unwrap()), Some(Refused::BadSignature));
    }
}

#[test]
fn as_many_records_as_a_message_may_have_fit_and_no_more() {
    let (one, other) = (seal(0), seal(1));
    let largest = claims().swap_remove(8);
    let records = one.sign(cluster(), &[largest; MAX_RECORDS_A_MESSAGE + 1], i64::MIN);
    let given = |count: usize| {
        let body = Body::RecordsGiven(records[..count].to_vec());
        one.seal(&message(To::All, Protect::Cluster(secret().id()), body)).unwrap()
    };
    let packet = given(MAX_RECORDS_A_MESSAGE);
    // Keys of 4096 bits make a record about 700 bytes longer in base64, and that is sealed in base64 again.
    assert!(packet.body.len() + MAX_RECORDS_A_MESSAGE * 700 * 4 / 3 < MAX_MESSAGE_BYTES, "{}", packet.body.len());
    assert!(open(&other, &packet).is_ok());
    assert_eq!(refusal(&other, &given(MAX_RECORDS_A_MESSAGE + 1)), Some(Refused::Malformed));
}
