//! What a real lex-node wrote: captured from its classes under Ruby, with a key that was made for it and thrown away.
//!
//! The primitives are those by which furts speak, so these vectors prove them by what others wrote. What only lex-node does, giving by
//! SHA-1 and signing settings, is written here: no furt does it.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::hmac;
use aws_lc_rs::rsa::{KeyPair, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use furt_bus::{Outgoing as Packet, Properties, Value};
use furt_cluster::Refused;
use serde_json::{Map, Value as Json, json};

use super::samples::{SECRET, key, refusal, seal, secret};
use crate::lexnode::{Heard, recognise};
use crate::public::Rsa;
use crate::{NodeKey, Secret, gcm, pem};

/// In PKCS#1, as Ruby's OpenSSL writes it.
pub(super) const THROW_AWAY: &str = "\
-----BEGIN RSA PRIVATE KEY-----
MIIEogIBAAKCAQEAxVZqz7wo7vAglz4Tt7hsjQcOXGHU/SSPIKkI1CNFxZFW2hAl
qB+Z8kXrcbAIhSwaQSXusVULiklOkUk2FIKKQlglNTOD0XiOj4RxZRXy+aBFSIWg
+Qpv1Q+iOTGBoL1zS56xv52JJPo02sMzknA518N2Kgy4fMTBCtfmrwIZMEaywyX4
NmarWR7YDvWk+843Lw8PanTwElWXh9dQohDK4eXI9du/7zAnmC/2Q1Ee7JYS29Nh
MCIaNwo+kCmOnFSi4Mt+t3YPtnO2xHnSAIQ8B3eI9B7JYAeR9Eut3069sctQgsr3
7hj62rz7EA8Iz/HSNCcB/WKn3AG5fLRo9hkKPQIDAQABAoIBAAm69p5SoVQSzBCZ
E4DSG6wihm9Ata9bv6D1JMXNDXIt9fHfrPOqxzz+fJsI+oqSf6Lpu2jMEDsb3T9l
tEBzpVybGw6SATRxdNoXxj2dRPNRF0l5qVPOU3BWioG2crVZ0hcO9qXDn1EO8088
I81bMkb00N1G7kvcqcYemjXT7SkHpRHK8g/EUifuDSSM0PwXPjPQMdUhOuJIbER6
JmIzrjJRmOXxSDfxtC/XavINy4Q3qI5oHkWlShOJpLnxaM8ZU+h8NhUnIeFaAcAU
D/l47McHwoJyj4n+aJRUAa2rFhEEs1QWmiyMiITGtvk/BiMcE13yWS92VElPA/aL
phDYiVECgYEA/baXNSoanv4sIKHGzGuCjT4McEAzpPUu8Phm8aQudYVD1PVNfWsc
Cjc2VKsoWV+Tv+i+mGn06vP3dg6m1o8v+TeRPulftQeE6p3yTLCWtzDLll02F3KW
q+mlCkEUZQjYXLnrHp5ud8IdX8HASGGAVDtW7ezxs8oszETlILNOEoUCgYEAxx2/
S7nCSl1jNBJH9LvZPyXv/lKIlyoKIJtePZy3Kp9kV55O8zz8D6FplhHw9JtLYgkr
d3krbJeVecES9XxlqY6Zn/00z8/HTFJupDSQsVMBOZgNVd6NQO2SAHNFBb9tKVqv
RCCsDTEpyVX9/vcUzmsSIzXU/SEjDkmgGQvOUlkCgYBBN0Qa6F27bL5PDQaa2S/P
uplb6UTdLCEK0+8yQe+nScAr53opuPSWM6cFkJFol8bU17DWYLYSBvAfKpj8IgZE
22G8eCSf1fT2ke8Mg3/aSvKqDf+ve0b7na1Mu3nQlrt26ltjnXnr0rvWN2mDsXxZ
Kn+n3PYsLtXhE/yJsU1qOQKBgBLz0+eDUOj/JpgoPU0gLDeEhulwNawdxkUAROIc
bprR/R0R5nXkkiFyvbgZERRXS7+TG94NXILDkui55fIT2yFef2TpFwPIxTGQjxN2
JWebfPxcariHrG5HrqP4VNONOvi6twAHFBlVWqLdWoXQQty6+Ej9sL4/TzTm8SQx
KXxRAoGAdaHjgBYaT+zKMaSXzYQ9UFmI501egHazMMq5fXA3ISDE1+xjIDmjy9al
kSdg0zajeRpt8dQIAeyQoP3qYD3KPXy4FzELGjnNVIr8l6bFKTLpB/hSPI6xFPwN
I0CtGst9wJSk29bEDsMT6YzqlAs15H/nFL3uvpTNh/ksyqPDO9M=
-----END RSA PRIVATE KEY-----
";
const PUSH_CLUSTER_SECRET: &str = r#"{"function":"receive_cluster_secret","runner_class":"Legion::Extensions::Node::Runners::Crypt","message":"oaep:bcp5ynU7zZTMznhrilzEkQNI/M10GmNivrJxlMCjfmCTDeitlSg94Vd5USUV8y2fm5OoL5YdVvCtp2uQaKPqD5LDrDdw8Am+/JHxAeQOL+hpcL/e4N85f5S03EKsZvXe+AAkkgwm+m8pYOehJk4hDBgyb2lYR0C3h5FbEwxeP4ABgj+C0BgTxwdSmI8HvUIXEMEOhFCdKON1bECmGOF3Ya+4Fg05OwplGCSu/CNkBrmhDthjCNbnmM1pw5yp6RW2Bhpt0Y0MBPydqNwkA2hwEB3eDUPNc9GXctD1L64BU1YTFkvsEm9eqi3P84Q7oBo7pxSuleqkBwCtt8kYw/M8Yg==","validation_string":"legion","encrypted_string":{"enciphered_message":"gcm:8oOo7pVW:C9t9lSFE/dQ9d93jzDbTBg==","iv":"ZKuuqBEdIvoNEJQ7"},"public_key":"LS0tLS1CRUdJTiBQVUJMSUMg…"}"#;
const VAULT_TOKEN: &str = "oaep:wLb2yDpa9ocBregHVkuDR1O95AOxmarp1SLVbzJjNw+QFggUZ4SqyV9fb+DIoI/txzRCwLp0eiROJ3/hxEk9OfsUOUonhaNmk/g8wE8gzOA8SPSaUZoQg4V4YeS4K0trTmvJW/Qs68faHBBVjz2VFJftKOMuZLhHyPjV6BJzzBNCCs/E3M8MbU6SidJZJJBZrxoOywPq0HK9Hx1dWX7jXkcm6fQKZlulF6geCAmyNIadSxdf2RFO9kSn5Gb2HLu0WRGiaE4b3D1R4lho3N2U7PRaHgua45+MdLt/VHvW6wBubg3XZPBOcaAeYoIH/CJsbW4kwRf6PI56cIe+XnUwuA==";
const ENCRYPTED: &str =
    "gcm:IQYOnSD5kraE4QAzgxfbb+JMuvnGgSJ/EFTcTVzP7k2XJi2Eoiy0MuNxrWGkF4nDmIqVbjIitg5P8XQ=:FhAgkBB+Qv11hje6QVmfYw==";
const ENCRYPTED_IV: &str = "Gn0mSHsmKtiRoI23";
const CLUSTER_SETTINGS: &str = r#"{"function":"update_settings","settings":{"cluster":{"color":"green"}},"restart":false,"control":{"sender":"vm_one.4711","timestamp":1795818211,"nonce":"a811b9e1e5aa5ab4b0c2320aaec779e7","signature":"a567d384db80beb1b217dccadcc07b0d7b2539f8431e0ae2e64aacea33e29c80"}}"#;

fn throw_away() -> NodeKey {
    let (label, der) = pem::read(THROW_AWAY).unwrap();
    assert_eq!(label, "RSA PRIVATE KEY");
    let pkcs8: aws_lc_rs::encoding::Pkcs8V1Der<'static> = KeyPair::from_der(&der).unwrap().as_der().unwrap();
    NodeKey::from_pem(&pem::write("PRIVATE KEY", pkcs8.as_ref())).unwrap()
}

fn oaep(message: &str) -> String {
    let cipher = STANDARD.decode(message.strip_prefix("oaep:").unwrap()).unwrap();
    // By SHA-256, which it is not, there is nothing to be read.
    assert!(throw_away().decrypt_by(&OAEP_SHA256_MGF1SHA256, &cipher).is_none());
    let plain = throw_away().decrypt_by(&OAEP_SHA1_MGF1SHA1, &cipher).unwrap();
    String::from_utf8(plain.to_vec()).unwrap()
}

fn parsed(json: &str) -> Json {
    serde_json::from_str(json).unwrap()
}

/// The text of a string of JSON.
fn text<'a>(json: &'a Json, pointer: &str) -> &'a str {
    json.pointer(pointer).unwrap().as_str().unwrap()
}

/// What a lex-node takes from `PushClusterSecret`: the secret, if what it is tried at comes out.
fn taken(given: &Json, decrypt: impl Fn(&str) -> String) -> Option<Secret> {
    let secret = Secret::from_text(1, &decrypt(text(given, "/message"))).ok()?;
    let (enciphered, iv) = (text(given, "/encrypted_string/enciphered_message"), text(given, "/encrypted_string/iv"));
    let tried = gcm::decrypt(&secret.cipher_key(), enciphered, iv)?;
    (*tried == text(given, "/validation_string").as_bytes()).then_some(secret)
}

#[test]
fn a_secret_that_a_lex_node_gave_is_read() {
    let given = parsed(PUSH_CLUSTER_SECRET);
    let secret = taken(&given, oaep).unwrap();
    assert_eq!(secret.text(), SECRET);
    let mut bent = given.clone();
    bent["validation_string"] = json!("legionx");
    assert!(taken(&bent, oaep).is_none());
    let key = pem::read_ruby(&pem::write_ruby(&throw_away().public_pem())).unwrap();
    assert_eq!(Rsa::read_pem(&key).unwrap().fingerprint(), throw_away().fingerprint());
    // Of the vector's own key only the beginning is kept.
    let beginning = text(&given, "/public_key").trim_end_matches('…').to_owned();
    assert!(pem::write_ruby(&throw_away().public_pem()).starts_with(&beginning));
}

#[test]
fn a_lex_node_reads_a_secret_in_the_same_form() {
    let receiver = Rsa::read(throw_away().public().as_bytes()).unwrap();
    let cipher = receiver.encrypt(&OAEP_SHA1_MGF1SHA1, secret().text().as_bytes()).unwrap();
    let tried = gcm::encrypt(&secret().cipher_key(), b"legion").unwrap();
    let given = json!({
        "function": "receive_cluster_secret",
        "runner_class": "Legion::Extensions::Node::Runners::Crypt",
        "message": format!("oaep:{}", STANDARD.encode(cipher)),
        "validation_string": "legion",
        "encrypted_string": { "enciphered_message": tried.text, "iv": tried.iv },
        "public_key": pem::write_ruby(&key(0).public_pem()),
    });
    assert_eq!(taken(&given, oaep).unwrap().text(), SECRET);
    let names = |json: &Json| json.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&given), names(&parsed(PUSH_CLUSTER_SECRET)));
}

#[test]
fn a_token_of_vaults_is_read() {
    assert_eq!(oaep(VAULT_TOKEN), "s.abcdefghijklmnopqrstuvwx");
}

#[test]
fn what_a_lex_node_encrypted_by_the_secret_is_read_and_the_other_way_round() {
    let key = secret().cipher_key();
    let plain = r#"{"function":"x","name":"n","public_key":"k","encrypt":true}"#;
    assert_eq!(**gcm::decrypt(&key, ENCRYPTED, ENCRYPTED_IV).unwrap(), *plain.as_bytes());
    let own = gcm::encrypt(&key, plain.as_bytes()).unwrap();
    assert_eq!((own.text.len(), own.iv.len()), (ENCRYPTED.len(), ENCRYPTED_IV.len()));
    assert_eq!(**gcm::decrypt(&key, &own.text, &own.iv).unwrap(), *plain.as_bytes());
    let (other, _) = ENCRYPTED.rsplit_once(':').unwrap();
    let cut = format!("{other}:{}", STANDARD.encode([0; 15]));
    let bent = format!("{other}:{}", STANDARD.encode([0; 16]));
    for text in ["", "gcm:", "gcm::", other, &cut, &bent, &ENCRYPTED["gcm:".len()..], &format!("{ENCRYPTED}:")] {
        assert!(gcm::decrypt(&key, text, ENCRYPTED_IV).is_none(), "{text}");
    }
    for iv in ["", "AAAA", "Gn0mSHsmKtiRoI24", "Gn0mSHsmKtiRoI23AAAA"] {
        assert!(gcm::decrypt(&key, ENCRYPTED, iv).is_none(), "{iv}");
    }
    assert!(gcm::decrypt(&[0; 32], ENCRYPTED, ENCRYPTED_IV).is_none());
}

/// Sorted by key at all depths, compact.
fn canonical(json: &Json) -> Json {
    match json {
        Json::Object(fields) => {
            let mut names: Vec<_> = fields.keys().collect();
            names.sort();
            Json::Object(names.into_iter().map(|name| (name.clone(), canonical(&fields[name]))).collect::<Map<_, _>>())
        }
        Json::Array(all) => Json::Array(all.iter().map(canonical).collect()),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => json.clone(),
    }
}

fn control_signature(settings: &Json, secret: &str) -> String {
    let mut unsigned = settings.clone();
    unsigned["control"].as_object_mut().unwrap().remove("signature");
    let tag =
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), canonical(&unsigned).to_string().as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_control_signature_is_by_the_text_of_the_secret() {
    let mut settings = parsed(CLUSTER_SETTINGS);
    let signature = text(&settings, "/control/signature").to_owned();
    assert_eq!(control_signature(&settings, SECRET), signature);
    settings["settings"]["cluster"]["color"] = json!("red");
    assert_ne!(control_signature(&settings, SECRET), signature);
}

fn properties(kind: &str, function: Option<&str>) -> Properties {
    let mut headers = std::collections::BTreeMap::from([
        ("legion_protocol_version".to_owned(), Value::from("2.0")),
        ("x-legion-version".to_owned(), Value::from("1.9.43")),
    ]);
    headers.extend(function.map(|function| ("function".to_owned(), Value::from(function))));
    Properties {
        content_type: Some("application/json".to_owned()),
        content_encoding: Some("identity".to_owned()),
        headers,
        priority: Some(0),
        timestamp: Some(1_795_818_211),
        kind: Some(kind.to_owned()),
        app_id: Some("legion".to_owned()),
        ..Properties::default()
    }
}

/// All that a lex-node says: its `type`, the function where that is a header, the payload, and what an operator hears of it.
fn all() -> Vec<(&'static str, Option<&'static str>, String, Heard)> {
    let (pem, own) = (throw_away().public_pem(), Some(throw_away().fingerprint()));
    let name = || Some("vm_one.4711".to_owned());
    let escaped = pem.replace('\n', "\\n");
    let ruby = pem::write_ruby(&pem).replace('\n', "\\n");
    let public_key = |key: &str| {
        format!(
            r#"{{"function":"update_public_key","public_key":"{key}","hostname":"vm","address":"192.0.2.2","name":"vm_one.4711","ready":false}}"#
        )
    };
    let vault = |key: &str| {
        format!(
            r#"{{"function":"push_vault_token","node_name":"vm_one.4711","runner_class":"Legion::Extensions::Node::Runners::Vault","public_key":"{key}"}}"#
        )
    };
    vec![
        (
            "heartbeat",
            None,
            r#"{"name":"vm","pid":29020,"timestamp":"2026-11-27 22:22:47 +0000","status":"healthy"}"#.to_owned(),
            Heard::Beat { name: Some("vm".to_owned()), version: None },
        ),
        (
            "heartbeat",
            None,
            r#"{"name":"vm_one.4711","pid":4711,"timestamp":"2026-11-27 22:22:47 +0000","status":"healthy","version":"1.9.43","metrics":{"memory_rss_mb":0.0,"cpu_user_seconds":0.39,"cpu_system_seconds":0.07,"thread_count":4,"loaded_extensions":0,"uptime_seconds":0},"hosted_worker_ids":[]}"#.to_owned(),
            Heard::Beat { name: name(), version: Some("1.9.43".to_owned()) },
        ),
        ("task", Some("update_public_key"), public_key(&escaped), Heard::PublicKey { name: name(), fingerprint: own }),
        ("task", Some("update_public_key"), public_key(&ruby), Heard::PublicKey { name: name(), fingerprint: own }),
        ("task", Some("push_public_key"), r#"{"function":"push_public_key"}"#.to_owned(), Heard::KeysAsked),
        (
            "task",
            None,
            r#"{"function":"push_cluster_secret","node_name":"vm_one.4711"}"#.to_owned(),
            Heard::SecretAsked { name: name(), fingerprint: None },
        ),
        (
            "task",
            None,
            format!(
                r#"{{"function":"push_cluster_secret","node_name":"vm_one.4711","queue_name":"node.vm_one.4711","runner_class":"Legion::Extensions::Node::Runners::Crypt","public_key":"{escaped}"}}"#
            ),
            Heard::SecretAsked { name: name(), fingerprint: own },
        ),
        ("task", None, PUSH_CLUSTER_SECRET.to_owned(), Heard::SecretGiven),
        ("task", None, vault(&escaped), Heard::TokenAsked { name: name(), fingerprint: own }),
        ("task", None, vault(&ruby), Heard::TokenAsked { name: name(), fingerprint: own }),
        (
            "task",
            None,
            format!(
                r#"{{"function":"receive_vault_token","runner_class":"Legion::Extensions::Node::Runners::Vault","message":"{VAULT_TOKEN}","public_key":"{ruby}"}}"#
            ),
            Heard::TokenGiven,
        ),
        (
            "task",
            None,
            r#"{"action":"update_settings","status":"success","detail":"keys: cluster","error":null,"node":"vm_one.4711","timestamp":"2026-11-27T22:23:31Z"}"#.to_owned(),
            Heard::UpdateResult { name: name() },
        ),
        ("task", None, CLUSTER_SETTINGS.to_owned(), Heard::Settings),
    ]
}

#[test]
fn nothing_of_a_lex_node_is_taken_and_an_operator_hears_what_it_was() {
    for (kind, function, payload, heard) in all() {
        let properties = properties(kind, function);
        assert_eq!(recognise(&properties, payload.as_bytes()), Some(heard), "{payload}");
        let packet = Packet { key: "status".to_owned(), properties, body: payload.into(), ..Packet::default() };
        assert_eq!(refusal(&seal(1), &packet), Some(Refused::Unsigned));
    }
    let mut encrypted = properties("task", Some("x"));
    encrypted.content_encoding = Some("encrypted/cs".to_owned());
    encrypted.headers.insert("iv".to_owned(), ENCRYPTED_IV.into());
    assert_eq!(recognise(&encrypted, ENCRYPTED.as_bytes()), Some(Heard::Encrypted));
    let packet = Packet { properties: encrypted, body: ENCRYPTED.into(), ..Packet::default() };
    assert_eq!(refusal(&seal(1), &packet), Some(Refused::Unsigned));
}

#[test]
fn a_stranger_that_is_no_lex_node_is_not_taken_for_one() {
    let task = properties("task", None);
    for body in ["", "[]", "{}", "null", r#"{"function":"x"}"#, r#"{"function":1}"#, &"[".repeat(100_000)] {
        assert_eq!(recognise(&task, body.as_bytes()), None, "{body:.40}");
    }
    let mut text = properties("task", None);
    text.content_type = Some("text/plain".to_owned());
    assert_eq!(recognise(&text, CLUSTER_SETTINGS.as_bytes()), None);
    let long = format!(r#"{{"name":"{}"}}"#, "a".repeat(furt_cluster::MAX_MESSAGE_BYTES));
    assert_eq!(recognise(&properties("heartbeat", None), long.as_bytes()), None);
    // A name that would do something to a terminal or a log is not repeated.
    for name in ["", "a b", "\\u001b[2J", "a\\nb", "ä", &"a".repeat(265)] {
        let body = format!(r#"{{"name":"{name}"}}"#);
        let heard = recognise(&properties("heartbeat", None), body.as_bytes());
        assert_eq!(heard, Some(Heard::Beat { name: None, version: None }), "{name}");
    }
}
