//! Tokens of a Vault: who can read one, what is refused, and that nothing shows it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use furt_bus::Outgoing as Packet;
use furt_cluster::model::PublicKey;
use furt_cluster::{Body, Outgoing, Protect, Refused, To};

use super::samples::{bodies, key, message, opened, refusal, seal};
use crate::public::Rsa;
use crate::{Enclosed, Seal, SealError, WrappedToken, pem};

const TOKEN: &str = "hvs.CAESIHunter2";

fn token() -> WrappedToken {
    WrappedToken::try_new(TOKEN).unwrap()
}

/// One for the second node.
fn given(from: &Seal) -> Packet {
    let message = message(To::Node(key(1).fingerprint()), Protect::Signed, Body::VaultTokenGiven);
    from.give_vault_token(&token(), key(1).public(), &message).unwrap()
}

#[test]
fn a_token_arrives_at_the_one_it_is_for_and_at_nobody_else() {
    let packet = given(&seal(0));
    assert!(!String::from_utf8_lossy(&packet.body).contains("Hunter2"), "it is encrypted");
    let (opened, enclosed) = seal(1).open_parts(&packet.key, &packet.properties, &packet.body).unwrap();
    assert_eq!(opened.body, Body::VaultTokenGiven);
    let Some(Enclosed::VaultToken(came)) = enclosed else { panic!("{enclosed:?}") };
    assert_eq!((came.text(), format!("{came:?}").as_str()), (TOKEN, "WrappedToken(…)"));
    assert_eq!(refusal(&Seal::new(key(2)), &packet), Some(Refused::Undecipherable));
}

#[test]
fn a_token_leaves_for_its_receiver_with_its_own_message_alone() {
    let one = seal(0);
    let right = message(To::Node(key(1).fingerprint()), Protect::Signed, Body::VaultTokenGiven);
    let give = |key: &PublicKey, message: &Outgoing| one.give_vault_token(&token(), key, message).err();
    assert_eq!(give(key(2).public(), &right), Some(SealError::WrongReceiver));
    let to_all = message(To::All, Protect::Signed, Body::VaultTokenGiven);
    assert_eq!(give(key(1).public(), &to_all), Some(SealError::WrongReceiver));
    for body in bodies() {
        let other = message(To::Node(key(1).fingerprint()), Protect::Signed, body);
        assert_eq!(give(key(1).public(), &other), Some(SealError::WrongBody), "{:?}", other.body);
    }
    assert_eq!(one.seal(&right).err(), Some(SealError::WrongBody), "never without its token");
}

#[test]
fn what_is_not_a_wrapping_token_is_none() {
    for text in ["", "a b", "a\n", "ä", &"x".repeat(191)] {
        assert_eq!(WrappedToken::try_new(text), None, "{text}");
    }
    let longest = "x".repeat(190);
    let message = message(To::Node(key(1).fingerprint()), Protect::Signed, Body::VaultTokenGiven);
    let longest = WrappedToken::try_new(&longest).unwrap();
    seal(0).give_vault_token(&longest, key(1).public(), &message).unwrap();
}

#[test]
fn a_given_token_is_refused_where_anything_of_it_is_another() {
    use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm};
    let whole: serde_json::Value = serde_json::from_slice(&given(&seal(0)).body).unwrap();
    let opened_with = |pointer: &str, value: serde_json::Value| {
        let mut json = whole.clone();
        *json.pointer_mut(pointer).unwrap() = value;
        opened(Some("receive_vault_token"), "task", &json.to_string())
    };
    let by = |algorithm: &'static OaepAlgorithm, text: &str| {
        let receiver = Rsa::read(key(1).public().as_bytes()).unwrap();
        format!("oaep:{}", STANDARD.encode(receiver.encrypt(algorithm, text.as_bytes()).unwrap()))
    };
    assert_eq!(opened_with("/furt/wrapped", true.into()), Ok(Body::VaultTokenGiven));
    for (pointer, value, refused) in [
        ("/message", by(&OAEP_SHA1_MGF1SHA1, TOKEN).into(), Refused::Undecipherable),
        ("/message", by(&OAEP_SHA256_MGF1SHA256, "").into(), Refused::Undecipherable),
        ("/message", by(&OAEP_SHA256_MGF1SHA256, "two words").into(), Refused::Undecipherable),
        ("/message", format!("oaep:{}", STANDARD.encode([0; 256])).into(), Refused::Undecipherable),
        ("/message", "oaep:!".into(), Refused::Malformed),
        ("/message", STANDARD.encode([0; 256]).into(), Refused::Malformed),
        ("/message", TOKEN.into(), Refused::Malformed),
        ("/furt/wrapped", false.into(), Refused::Malformed),
        ("/furt", serde_json::json!({}), Refused::Malformed),
        ("/runner_class", "Legion::Extensions::Node::Runners::Crypt".into(), Refused::Malformed),
        ("/public_key", pem::write_ruby(&key(2).public_pem()).into(), Refused::Malformed),
    ] {
        assert_eq!(opened_with(pointer, value), Err(refused), "{pointer}");
    }
}

#[test]
fn a_question_names_its_sender_and_nobody_else() {
    let one = seal(0);
    let packet = one.seal(&message(To::Node(key(1).fingerprint()), Protect::Signed, Body::VaultTokenAsked)).unwrap();
    let whole: serde_json::Value = serde_json::from_slice(&packet.body).unwrap();
    let opened_with = |field: &str, value: serde_json::Value| {
        let mut json = whole.clone();
        json[field] = value;
        opened(Some("push_vault_token"), "task", &json.to_string())
    };
    let class = "Legion::Extensions::Node::Runners::Vault";
    assert_eq!(opened_with("runner_class", class.into()), Ok(Body::VaultTokenAsked));
    for (field, value) in [
        ("node_name", key(2).fingerprint().to_string().into()),
        ("node_name", "vm_one.4711".into()),
        ("public_key", pem::write_ruby(&key(2).public_pem()).into()),
        ("runner_class", "Legion::Extensions::Node::Runners::Crypt".into()),
        ("furt", serde_json::json!({"wrapped": false})),
        ("furt", serde_json::Value::Null),
    ] {
        assert_eq!(opened_with(field, value), Err(Refused::Malformed), "{field}");
    }
}

#[test]
fn a_lex_node_would_read_the_form() {
    let asked: serde_json::Value = {
        let message = message(To::All, Protect::Signed, Body::VaultTokenAsked);
        serde_json::from_slice(&seal(0).seal(&message).unwrap().body).unwrap()
    };
    let given: serde_json::Value = serde_json::from_slice(&given(&seal(0)).body).unwrap();
    let fields = |json: &serde_json::Value| json.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let mut expected = ["function", "node_name", "runner_class", "public_key", "furt"].map(str::to_owned).to_vec();
    let mut found = fields(&asked);
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    let mut expected = ["function", "runner_class", "message", "public_key", "furt"].map(str::to_owned).to_vec();
    let mut found = fields(&given);
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    assert_eq!((&asked["function"], &given["function"]), (&"push_vault_token".into(), &"receive_vault_token".into()));
    assert!(given["message"].as_str().unwrap().starts_with("oaep:"));
}
