//! Tokens, and proofs that one side's is never the other's.

use furt_cluster::model::{Boot, ClusterId, Nonce};
use furt_cluster::{Body, Proof, Protect, To, Transcript};

use super::samples::{TOKEN, cluster, fingerprint, message, open, seal, transcript};
use crate::token::{JoinToken, Side, TokenError};

fn token() -> JoinToken {
    TOKEN.parse().unwrap()
}

#[test]
fn a_token_is_read_as_it_is_written() {
    let token = token();
    assert_eq!(token.text(), TOKEN);
    assert_eq!(token.cluster().to_string(), "0191f0a2-7b1c-4d3e-8f90-112233445566");
    // By HMAC of another library.
    assert_eq!(token.id().to_string(), "c0e126fc572e7280");
    let (one, other) = (JoinToken::draw(cluster(), fingerprint(3)), JoinToken::draw(cluster(), fingerprint(3)));
    assert_eq!(one.text().parse::<JoinToken>().unwrap().id(), one.id());
    assert_ne!(one.id(), other.id());
}

#[test]
fn any_other_text_is_no_token_and_is_not_repeated() {
    let cluster = cluster();
    let (maker, random) = (fingerprint(3), &TOKEN[TOKEN.len() - 43..]);
    for (text, error) in [
        (String::new(), TokenError::NoToken),
        (format!("furtc2.{cluster}.{maker}.{random}"), TokenError::NoToken),
        (format!(" {TOKEN}"), TokenError::NoToken),
        (format!("{TOKEN}."), TokenError::NoToken),
        (format!("furtc1.{cluster}.{random}"), TokenError::NoToken),
        (format!("furtc1..{maker}.{random}"), TokenError::NoCluster),
        (format!("furtc1.{}.{maker}.{random}", cluster.to_string().to_uppercase()), TokenError::NoCluster),
        (format!("furtc1.{}.{maker}.{random}", cluster.to_string().replace('-', "")), TokenError::NoCluster),
        (format!("furtc1.{cluster}..{random}"), TokenError::NoMaker),
        (format!("furtc1.{cluster}.{}.{random}", fingerprint(0xab).to_string().to_uppercase()), TokenError::NoMaker),
        (format!("furtc1.{cluster}.{maker}."), TokenError::NoRandom),
        (format!("{TOKEN}="), TokenError::NoRandom),
        (format!("{TOKEN}\n"), TokenError::NoRandom),
        (TOKEN[..TOKEN.len() - 1].to_owned(), TokenError::NoRandom),
        (format!("{TOKEN}AA"), TokenError::NoRandom),
        // The last character has two bits that mean nothing.
        (format!("{}9", &TOKEN[..TOKEN.len() - 1]), TokenError::NoRandom),
    ] {
        let refused = text.parse::<JoinToken>().unwrap_err();
        assert_eq!(refused, error, "{text}");
        assert!(!refused.to_string().contains("AAEC"));
    }
}

#[test]
fn a_proof_is_over_all_of_the_transcript_and_for_one_side() {
    // By HMAC of another library.
    let token = token();
    let known = Transcript { token: furt_cluster::model::TokenId::new([9; 8]), ..transcript() };
    for (side, proof) in [
        (Side::Maker, "9653bdcef272f0300474dfdf8e01be3af152768f8247a03c392d3ee37be07229"),
        (Side::Joiner, "67fccb18a6640c292d906a1d079aa918a72b60d6c430081b31bc2ec5bfdcb4b2"),
    ] {
        assert_eq!(fingerprint_text(token.prove(side, &known)), proof);
    }
    let transcript = transcript();
    for (side, other) in [(Side::Maker, Side::Joiner), (Side::Joiner, Side::Maker)] {
        let proof = token.prove(side, &transcript);
        assert_eq!(token.judge(side, &transcript, &proof), Proof::Right);
        assert_eq!(token.judge(other, &transcript, &proof), Proof::Wrong);
        for wrong in [&proof[..31], &[][..], &[0; 32]] {
            assert_eq!(token.judge(side, &transcript, wrong), Proof::Wrong);
        }
        for bent in [
            Transcript { cluster: ClusterId(uuid::Uuid::nil()), ..transcript },
            Transcript { token: furt_cluster::model::TokenId::new([0; 8]), ..transcript },
            Transcript { joiner: fingerprint(9), ..transcript },
            Transcript { joiner_boot: Boot(9), ..transcript },
            Transcript { joiner_nonce: Nonce::new([9; 32]), ..transcript },
            Transcript { maker: fingerprint(9), ..transcript },
            Transcript { maker_boot: Boot(9), ..transcript },
            Transcript { maker_nonce: Nonce::new([9; 32]), ..transcript },
            // What is swapped is another transcript.
            Transcript { joiner: transcript.maker, maker: transcript.joiner, ..transcript },
        ] {
            assert_eq!(token.judge(side, &bent, &proof), Proof::Wrong, "{bent:?}");
        }
        assert_eq!(JoinToken::draw(cluster(), fingerprint(3)).judge(side, &transcript, &proof), Proof::Wrong);
    }
    // A token leads to its own cluster, whatever a transcript says.
    let foreign = Transcript { cluster: ClusterId(uuid::Uuid::nil()), ..transcript };
    assert_eq!(token.judge(Side::Maker, &foreign, &token.prove(Side::Maker, &foreign)), Proof::Wrong);
}

#[test]
fn who_has_a_token_and_did_not_make_it_lets_nobody_in() {
    let token = token();
    for maker in [fingerprint(9), transcript().joiner] {
        let posed = Transcript { maker, ..transcript() };
        for side in [Side::Maker, Side::Joiner] {
            assert_eq!(token.judge(side, &posed, &token.prove(side, &posed)), Proof::Wrong);
        }
    }
}

fn fingerprint_text(proof: [u8; 32]) -> String {
    furt_cluster::model::Fingerprint::new(proof).to_string()
}

#[test]
fn a_receiver_judges_the_proof_by_its_own_token() {
    let (one, mut other) = (seal(0), seal(1));
    let body = Body::JoinProof { transcript: transcript(), proof: Proof::Make };
    let packet = one.seal(&message(To::All, Protect::Signed, body)).unwrap();
    let proof_at = |seal: &crate::Seal| match open(seal, &packet).unwrap().0.body {
        Body::JoinProof { proof, .. } => proof,
        body => panic!("{body:?}"),
    };
    assert_eq!(proof_at(&other), Proof::Right);
    assert!(other.remove_token(&token().id()) && !other.remove_token(&token().id()));
    assert_eq!(proof_at(&other), Proof::NoToken);
}

#[test]
fn a_challenge_sent_back_as_a_proof_is_wrong() {
    use furt_bus::Value;
    // The joiner does not know the token, and signs the maker's proof as its own.
    let maker = seal(0);
    let challenge = Body::JoinChallenge { transcript: transcript(), proof: Proof::Make };
    let packet = maker.seal(&message(To::All, Protect::Signed, challenge)).unwrap();
    let body = String::from_utf8(packet.body).unwrap().replace("join_challenge", "join_proof");
    let thief = super::samples::key(2);
    let out = message(To::All, Protect::Signed, Body::BeatsAsked);
    let head = crate::envelope::Head::of(&out, thief.fingerprint(), "task", Some("join_proof"));
    let properties = head.sign(&thief, "node.all", body.as_bytes()).unwrap();
    assert_eq!(properties.headers["function"], Value::from("join_proof"));
    let opened = maker.open_parts("node.all", &properties, body.as_bytes()).unwrap().0;
    assert_eq!(opened.body, Body::JoinProof { transcript: transcript(), proof: Proof::Wrong });
}
