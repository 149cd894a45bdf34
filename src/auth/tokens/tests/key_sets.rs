//! Sets of keys with odd members, and the choice of a key.

use serde_json::{Value, json};

use super::super::error::{Misfit, TokenError};
use super::super::key_set::{KeySet, KeySetError};
use super::signing::{Pair, base64, document, set, with, without};
use crate::config::TokenAlgorithm;

const ED: TokenAlgorithm = TokenAlgorithm::EdDsa;

fn chosen(keys: &KeySet, kid: Option<&str>, algorithm: TokenAlgorithm) -> Result<(), TokenError> {
    keys.choose(kid, algorithm).map(|_| ())
}

#[test]
fn what_is_no_set_of_usable_keys_is_refused() {
    let pair = Pair::ed25519();
    let many = |count: usize| document(&(0..count).map(|number| pair.jwk(&number.to_string())).collect::<Vec<_>>());
    for (text, expected) in [
        ("", KeySetError::NotJson),
        ("<html>", KeySetError::NotJson),
        ("[]", KeySetError::NoSet),
        ("{}", KeySetError::NoSet),
        (r#"{"keys": {}}"#, KeySetError::NoSet),
        (&pair.jwk("k").to_string(), KeySetError::NoSet),
        (r#"{"keys": []}"#, KeySetError::Empty),
        (r#"{"keys": [1, null, "x", {}, {"kty": "oct", "k": "AAAA"}]}"#, KeySetError::NoneUsable(5)),
        (&many(65).to_string(), KeySetError::TooMany(65)),
    ] {
        assert_eq!(KeySet::read(text.as_bytes()).map(|_| ()), Err(expected), "{text}");
    }
    let (set, read) = KeySet::read(many(64).to_string().as_bytes()).unwrap();
    assert_eq!((set.usable(), read), (64, many(64)));
}

#[test]
fn keys_that_cannot_be_used_are_skipped_and_say_why() {
    let (ed, p256, rsa) = (Pair::ed25519(), Pair::new(TokenAlgorithm::Es256), Pair::new(TokenAlgorithm::Rs256));
    let (ed, p256, rsa) = (|| ed.jwk("k"), || p256.jwk("k"), || rsa.jwk("k"));
    let (es256, rs256) = (TokenAlgorithm::Es256, TokenAlgorithm::Rs256);
    let modulus = |bytes: usize, first: u8| {
        let mut modulus = vec![0x55; bytes];
        modulus[0] = first;
        with(rsa(), "n", json!(base64(&modulus)))
    };
    let point = p256();
    for (jwk, algorithm, expected) in [
        (with(ed(), "kty", json!("oct")), ED, Misfit::Kind),
        (without(ed(), "kty"), ED, Misfit::Kind),
        (with(ed(), "crv", json!("X25519")), ED, Misfit::Kind),
        (with(ed(), "crv", json!("Ed448")), ED, Misfit::Kind),
        (with(p256(), "crv", json!("P-521")), es256, Misfit::Kind),
        (with(p256(), "crv", json!("secp256k1")), es256, Misfit::Kind),
        (with(ed(), "use", json!("enc")), ED, Misfit::Use),
        (with(ed(), "use", json!(["sig"])), ED, Misfit::Use),
        (with(ed(), "key_ops", json!(["sign"])), ED, Misfit::Operations),
        (with(ed(), "key_ops", json!("verify")), ED, Misfit::Operations),
        (with(ed(), "alg", json!("ES256")), ED, Misfit::Algorithm),
        (with(ed(), "alg", json!(1)), ED, Misfit::Algorithm),
        (with(rsa(), "alg", json!("RSA-OAEP")), rs256, Misfit::Algorithm),
        (with(ed(), "x", json!("AAAA")), ED, Misfit::Broken),
        (with(ed(), "x", json!(1)), ED, Misfit::Broken),
        (with(ed(), "x", json!(format!("{}=", ed()["x"].as_str().unwrap()))), ED, Misfit::Broken),
        (without(p256(), "y"), es256, Misfit::Broken),
        (with(p256(), "y", json!(base64(&[0; 33]))), es256, Misfit::Broken),
        // Not on the curve.
        (with(p256(), "y", point["x"].clone()), es256, Misfit::Broken),
        (without(rsa(), "e"), rs256, Misfit::Broken),
        (with(rsa(), "e", json!("AQ")), rs256, Misfit::Broken),
        (with(rsa(), "e", json!("AAAAAQ")), rs256, Misfit::Broken),
        (with(rsa(), "e", json!("Ag")), rs256, Misfit::Broken),
        (with(rsa(), "e", json!("")), rs256, Misfit::Broken),
        (with(rsa(), "e", json!("AQAAAAE")), rs256, Misfit::Broken),
        (with(rsa(), "n", json!("")), rs256, Misfit::Size),
        (modulus(128, 0xff), rs256, Misfit::Size),
        (modulus(256, 0x7f), rs256, Misfit::Size),
        (modulus(257, 0x00), rs256, Misfit::Size),
        (modulus(1025, 0x01), rs256, Misfit::Size),
    ] {
        let spare = Pair::ed25519().jwk("spare");
        let keys = set(&[jwk.clone(), spare]);
        assert_eq!((keys.usable(), keys.skipped()), (1, 1), "{jwk}");
        assert_eq!(chosen(&keys, Some("k"), algorithm), Err(TokenError::Key(expected)), "{jwk}");
    }
    // A name that is none belongs to no token.
    let nameless = set(&[with(ed(), "kid", json!(7)), p256()]);
    assert_eq!(chosen(&nameless, Some("7"), ED), Err(TokenError::UnknownKey));
    assert_eq!(chosen(&nameless, None, ED), Err(TokenError::NoKey));
}

#[test]
fn what_a_key_says_of_its_use_narrows_it() {
    let (ed, rsa) = (Pair::ed25519().jwk("k"), Pair::new(TokenAlgorithm::Rs256).jwk("k"));
    let good: Vec<(Value, TokenAlgorithm)> = vec![
        (with(ed.clone(), "use", json!("sig")), ED),
        (with(ed.clone(), "key_ops", json!(["sign", "verify"])), ED),
        (with(ed.clone(), "alg", json!("EdDSA")), ED),
        (with(ed.clone(), "alg", json!("Ed25519")), ED),
        (with(ed, "x5c", json!(["not looked at"])), ED),
        (with(rsa.clone(), "alg", json!("PS256")), TokenAlgorithm::Ps256),
        (rsa.clone(), TokenAlgorithm::Rs512),
    ];
    for (jwk, algorithm) in good {
        assert_eq!(chosen(&set(std::slice::from_ref(&jwk)), Some("k"), algorithm), Ok(()), "{jwk}");
    }
    let narrow = set(&[with(rsa.clone(), "alg", json!("PS256"))]);
    assert_eq!(chosen(&narrow, Some("k"), TokenAlgorithm::Rs256), Err(TokenError::Key(Misfit::Algorithm)));
    // Some issuers write a zero before the modulus.
    let modulus = rsa["n"].as_str().unwrap();
    let bytes = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, modulus).unwrap();
    let padded = with(rsa, "n", json!(base64(&[&[0], &bytes[..]].concat())));
    assert_eq!(chosen(&set(&[padded]), Some("k"), TokenAlgorithm::Rs256), Ok(()));
}

#[test]
fn a_key_is_chosen_by_its_name_or_by_being_the_only_one_that_fits() {
    let (one, two, p256) = (Pair::ed25519(), Pair::ed25519(), Pair::new(TokenAlgorithm::Es256));
    let es256 = TokenAlgorithm::Es256;
    let two_kinds = set(&[one.jwk("a"), p256.jwk("b")]);
    for (kid, algorithm, expected) in [
        (Some("a"), ED, Ok(())),
        (Some("b"), es256, Ok(())),
        (Some("a"), es256, Err(TokenError::Key(Misfit::Kind))),
        (Some("c"), ED, Err(TokenError::UnknownKey)),
        (None, ED, Ok(())),
        (None, es256, Ok(())),
        (None, TokenAlgorithm::Rs256, Err(TokenError::NoKey)),
    ] {
        assert_eq!(chosen(&two_kinds, kid, algorithm), expected, "{kid:?} {algorithm:?}");
    }
    let two_of_a_kind = set(&[one.jwk("a"), two.jwk("b")]);
    assert_eq!(chosen(&two_of_a_kind, None, ED), Err(TokenError::AmbiguousKey));
    assert_eq!(chosen(&two_of_a_kind, Some("a"), ED), Ok(()));
    // Without a name a key can still be the only one.
    let nameless = set(&[without(one.jwk("a"), "kid")]);
    assert_eq!(chosen(&nameless, None, ED), Ok(()));
    assert_eq!(chosen(&nameless, Some("a"), ED), Err(TokenError::UnknownKey));
}

#[test]
fn keys_of_one_name_are_told_apart_by_kind_and_otherwise_refused() {
    let (one, two, p256) = (Pair::ed25519(), Pair::ed25519(), Pair::new(TokenAlgorithm::Es256));
    let keys = set(&[one.jwk("k"), two.jwk("k"), p256.jwk("k")]);
    assert_eq!(chosen(&keys, Some("k"), ED), Err(TokenError::AmbiguousKey), "a guess could be the wrong one");
    assert_eq!(chosen(&keys, Some("k"), TokenAlgorithm::Es256), Ok(()));
    let same_twice = set(&[one.jwk("k"), one.jwk("k")]);
    assert_eq!((chosen(&same_twice, Some("k"), ED), same_twice.usable()), (Ok(()), 1));
    let other_use = set(&[one.jwk("k"), with(two.jwk("k"), "use", json!("enc"))]);
    assert_eq!(chosen(&other_use, Some("k"), ED), Ok(()), "a key for something else is no choice");
}
