//! Each body arrives as it was.

use furt_cluster::model::{Boot, MAX_DOCUMENT_BYTES, PublicKey};
use furt_cluster::{Body, MAX_MESSAGE_BYTES, Opened, Outgoing, Proof, Protect, To};

use super::samples::{bodies, cluster, given, key, message, open, seal, secret};
use crate::{SealError, document};

/// What the other node makes of a body.
fn arrived(body: Body) -> Body {
    match body {
        Body::JoinChallenge { transcript, .. } => Body::JoinChallenge { transcript, proof: Proof::Right },
        Body::JoinProof { transcript, .. } => Body::JoinProof { transcript, proof: Proof::Right },
        other => other,
    }
}

#[test]
fn every_body_arrives_as_it_was_signed_and_encrypted() {
    let (one, other) = (seal(0), seal(1));
    for body in bodies() {
        for protect in [Protect::Signed, Protect::Cluster(secret().id())] {
            for to in [To::All, To::Node(other.fingerprint())] {
                let message = message(to, protect, body.clone());
                let packet = one.seal(&message).unwrap();
                assert_eq!(packet.check(), Ok(()), "{body:?}");
                let (opened, secret) = open(&other, &packet).unwrap();
                let Outgoing { boot, seq, at_ms, to, cluster, body, .. } = message;
                let expected = Opened {
                    from: one.fingerprint(),
                    key: one.public().clone(),
                    boot,
                    seq,
                    at_ms,
                    to,
                    cluster,
                    body: arrived(body),
                };
                assert_eq!(opened, expected);
                assert!(secret.is_none());
            }
        }
    }
}

#[test]
fn a_secret_arrives_at_the_one_it_is_for() {
    let (one, other) = (seal(0), crate::Seal::new(key(1)));
    let (opened, came) = open(&other, &given(&one)).unwrap();
    let id = secret().id();
    assert_eq!(opened.body, Body::SecretGiven { id, check: id.check });
    let came = came.unwrap();
    assert_eq!((came.text(), came.id()), (secret().text(), id));
}

#[test]
fn the_check_value_is_that_of_the_secret_that_came() {
    use crate::Secret;
    // The giver names one secret and has another one of that name: the core hears what came.
    let mut one = seal(0);
    let other = Secret::draw(3);
    one.insert_secret(other.clone());
    let message = message(
        To::Node(key(1).fingerprint()),
        Protect::Signed,
        Body::SecretGiven { id: other.id(), check: secret().id().check },
    );
    let packet = one.give(&other.id(), key(1).public(), &message).unwrap();
    let (opened, came) = open(&seal(1), &packet).unwrap();
    assert_eq!(opened.body, Body::SecretGiven { id: other.id(), check: other.id().check });
    assert_eq!(came.unwrap().text(), other.text());
}

#[test]
fn a_node_without_a_cluster_says_so() {
    let mut message = message(To::All, Protect::Signed, bodies().swap_remove(0));
    message.cluster = None;
    let packet = seal(0).seal(&message).unwrap();
    assert!(!packet.properties.headers.contains_key("furt-cluster"));
    assert_eq!(open(&seal(1), &packet).unwrap().0.cluster, None);
}

#[test]
fn the_longest_document_fits_into_a_message_whatever_is_in_it() {
    let one = seal(0);
    let record = one.sign(cluster(), &super::samples::claims(), i64::MIN).swap_remove(8);
    for text in ["\u{1}", "\"", "\\", "ä", "a"] {
        let text = text.repeat(MAX_DOCUMENT_BYTES / text.len());
        let document = document(&text).unwrap();
        let body = Body::DocumentGiven {
            record: Box::new(record.clone()),
            document,
            request: Some(super::samples::request()),
        };
        let packet = one.seal(&message(To::All, Protect::Cluster(secret().id()), body.clone())).unwrap();
        assert!(packet.body.len() <= MAX_MESSAGE_BYTES, "{}", packet.body.len());
        assert_eq!(open(&seal(1), &packet).unwrap().0.body, body);
    }
}

#[test]
fn what_cannot_be_sealed_says_why() {
    let one = seal(0);
    let id = secret().id();
    let sealed = |protect, body| one.seal(&message(To::All, protect, body)).unwrap_err();
    let missing = furt_cluster::model::SecretId { generation: 9, ..id };
    assert_eq!(sealed(Protect::Cluster(missing), Body::BeatsAsked), SealError::NoSecret(missing));
    assert_eq!(sealed(Protect::Signed, Body::SecretGiven { id, check: id.check }), SealError::WrongBody);
    let mut transcript = super::samples::transcript();
    for proof in [Proof::Right, Proof::Wrong, Proof::NoToken] {
        assert_eq!(sealed(Protect::Signed, Body::JoinProof { transcript, proof }), SealError::WrongBody);
    }
    transcript.token = furt_cluster::model::TokenId::new([0; 8]);
    let body = Body::JoinChallenge { transcript, proof: Proof::Make };
    assert_eq!(sealed(Protect::Signed, body), SealError::NoToken(transcript.token));
    let errors = vec!["e".repeat(MAX_MESSAGE_BYTES).into()];
    let body = Body::SettingsChecked {
        request: super::samples::request(),
        scope: furt_cluster::model::Scope::Cluster,
        outcome: Err(furt_cluster::CheckFailure::Wrong(errors)),
    };
    assert!(matches!(sealed(Protect::Signed, body), SealError::TooLarge { bytes } if bytes > MAX_MESSAGE_BYTES));
    let mut large = message(To::All, Protect::Signed, Body::BeatsAsked);
    large.boot = Boot(u64::MAX);
    assert_eq!(one.seal(&large).unwrap_err(), SealError::NumberTooLarge);
}

#[test]
fn a_secret_is_given_to_the_receiver_of_the_message_and_nobody_else() {
    let one = seal(0);
    let (to, id) = (key(1), secret().id());
    let body = Body::SecretGiven { id, check: id.check };
    let give = |id, to: To, key: &PublicKey, body: &Body| {
        one.give(&id, key, &message(to, Protect::Signed, body.clone())).unwrap_err()
    };
    let node = To::Node(to.fingerprint());
    assert_eq!(give(id, To::All, to.public(), &body), SealError::WrongReceiver);
    assert_eq!(give(id, node, key(2).public(), &body), SealError::WrongReceiver);
    assert_eq!(give(id, node, &PublicKey::new(b"no key"), &body), SealError::BadKey);
    assert_eq!(give(id, node, to.public(), &Body::BeatsAsked), SealError::WrongBody);
    let missing = furt_cluster::model::SecretId { generation: 9, ..id };
    assert_eq!(give(missing, node, to.public(), &body), SealError::WrongBody);
    let body = Body::SecretGiven { id: missing, check: id.check };
    assert_eq!(give(missing, node, to.public(), &body), SealError::NoSecret(missing));
}
