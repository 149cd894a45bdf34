//! Secrets: their form, what is derived from them, and that nothing shows them.

use furt_cluster::model::{CheckValue, SecretId};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use furt_cluster::{Body, Refused};

use super::samples::{SECRET, TOKEN, given, key, opened, seal, secret};
use crate::public::Rsa;
use crate::{JoinToken, NodeKey, Seal, Secret, gcm, pem};

#[test]
fn a_secret_has_lex_nodes_form_and_a_check_value() {
    let secret = secret();
    assert_eq!(secret.text(), SECRET);
    // By HMAC of another library.
    let check = CheckValue::new([0x52, 0x36, 0xac, 0x91, 0x2c, 0x57, 0xcc, 0xad]);
    assert_eq!(secret.id(), SecretId { generation: 3, check });
    let (one, other) = (Secret::draw(1), Secret::draw(1));
    assert_ne!(one.text(), other.text());
    assert_eq!(Secret::from_text(1, one.text()).unwrap().id(), one.id());
    let upper = SECRET.to_uppercase();
    for text in ["", &SECRET[1..], &format!("{SECRET}0"), &upper, &SECRET.replace('7', "g"), &"ä".repeat(32)] {
        let error = Secret::from_text(1, text).unwrap_err();
        assert_eq!(error.to_string(), "a secret has 64 lower-case hexadecimal characters", "{text}");
    }
}

#[test]
fn keys_are_derived_by_label_and_period() {
    let secret = secret();
    let hex = |label, period| furt_cluster::model::Digest::new(*secret.derive(label, period)).to_string();
    // By HKDF of another library.
    assert_eq!(hex("sticky", 0), "376e587f163deae1de32c67a25d2bbbe27f0e96a786b8d212cdc7b8a99d1f646");
    assert_eq!(hex("tickets", 7), "4d52f68884b4ee5dee3356aa9d25dd6cea5903bdcc14cbdc5b68e69ff0d96e4d");
    let other = Secret::from_text(4, SECRET).unwrap();
    assert_eq!(*other.derive("sticky", 0), *secret.derive("sticky", 0), "the generation is a name");
    assert_ne!(*Secret::draw(3).derive("sticky", 0), *secret.derive("sticky", 0));
}

#[test]
fn a_seal_has_what_it_was_given() {
    let mut seal = Seal::new(key(0));
    let id = secret().id();
    assert!(seal.secret(&id).is_none());
    seal.insert_secret(secret());
    assert_eq!(seal.secret(&id).unwrap().text(), SECRET);
    assert!(seal.remove_secret(&id) && seal.secret(&id).is_none());
}

#[test]
fn nothing_shows_a_secret_a_token_or_a_key() {
    let one = seal(0);
    let token: JoinToken = TOKEN.parse().unwrap();
    let shown = format!("{one:?} {:?} {token:?} {:?} {:#?}", secret(), NodeKey::generate().unwrap(), key(0));
    let pem = key(0).to_pem();
    let private: Vec<_> = pem.lines().filter(|line| line.len() > 20 && !line.starts_with("---")).collect();
    assert!(private.len() > 20);
    let random = &TOKEN[TOKEN.len() - 43..];
    for hidden in [&SECRET[..16], &random[..16]].into_iter().chain(private.iter().map(|line| &line[..16])) {
        assert!(!shown.contains(hidden), "{shown}");
    }
    // Neither do the bytes as a list of numbers.
    assert!(!shown.contains("0, 1, 2, 3, 4, 5") && !shown.contains("55, 56, 48"));
    assert!(shown.contains(&secret().id().check.to_string()) && shown.contains(&token.id().to_string()));
}

#[test]
fn a_given_secret_is_tried_before_it_is_taken() {
    use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm};
    let whole: serde_json::Value = serde_json::from_slice(&given(&seal(0)).body).unwrap();
    let opened_with = |pointer: &str, value: &str| {
        let mut json = whole.clone();
        *json.pointer_mut(pointer).unwrap() = value.into();
        opened(Some("receive_cluster_secret"), "task", &json.to_string())
    };
    let id = secret().id();
    assert_eq!(opened_with("/validation_string", "furt"), Ok(Body::SecretGiven { id, check: id.check }));
    let by = |algorithm: &'static OaepAlgorithm, text: &str| {
        let receiver = Rsa::read(key(1).public().as_bytes()).unwrap();
        format!("oaep:{}", STANDARD.encode(receiver.encrypt(algorithm, text.as_bytes()).unwrap()))
    };
    let another = gcm::encrypt(&[0; 32], b"furt").unwrap();
    for (pointer, value, refused) in [
        ("/message", by(&OAEP_SHA1_MGF1SHA1, SECRET), Refused::Undecipherable),
        ("/message", by(&OAEP_SHA256_MGF1SHA256, &SECRET.to_uppercase()), Refused::Undecipherable),
        ("/message", by(&OAEP_SHA256_MGF1SHA256, ""), Refused::Undecipherable),
        ("/message", by(&OAEP_SHA256_MGF1SHA256, Secret::draw(3).text()), Refused::Undecipherable),
        ("/message", format!("oaep:{}", STANDARD.encode([0; 256])), Refused::Undecipherable),
        ("/message", format!("oaep:{}", STANDARD.encode([0; 255])), Refused::Undecipherable),
        ("/message", "oaep:".to_owned(), Refused::Undecipherable),
        ("/message", "oaep:!".to_owned(), Refused::Malformed),
        ("/message", STANDARD.encode([0; 256]), Refused::Malformed),
        ("/validation_string", "legion".to_owned(), Refused::Undecipherable),
        ("/encrypted_string/enciphered_message", another.text, Refused::Undecipherable),
        ("/encrypted_string/iv", another.iv, Refused::Undecipherable),
        ("/runner_class", "Legion::Extensions::Node::Runners::Vault".to_owned(), Refused::Malformed),
        ("/public_key", pem::write_ruby(&key(2).public_pem()), Refused::Malformed),
        ("/public_key", key(0).public_pem(), Refused::Malformed),
    ] {
        assert_eq!(opened_with(pointer, &value), Err(refused), "{pointer} {value:.40}");
    }
}

#[test]
fn a_seal_can_be_used_by_any_thread() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Seal>();
}
