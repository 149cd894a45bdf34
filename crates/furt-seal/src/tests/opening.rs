//! What is refused, and as what. Each part of an envelope is signed.

use std::collections::BTreeMap;

use furt_bus::{Outgoing as Packet, Properties, Value};
use furt_cluster::{Body, MAX_MESSAGE_BYTES, Protect, Refused, To};

use super::samples::{AT_MS, bodies, given, key, message, refusal, seal, secret};
use crate::envelope::Head;
use crate::{Seal, Secret};

fn sealed(protect: Protect) -> Packet {
    seal(0).seal(&message(To::Node(key(1).fingerprint()), protect, Body::RecordsAsked)).unwrap()
}

fn with(packet: &Packet, change: impl FnOnce(&mut Packet)) -> Option<Refused> {
    let mut packet = packet.clone();
    change(&mut packet);
    refusal(&seal(1), &packet)
}

fn with_header(packet: &Packet, name: &str, value: Value) -> Option<Refused> {
    with(packet, |packet| {
        packet.properties.headers.insert(name.to_owned(), value);
    })
}

fn text(value: impl Into<String>) -> Value {
    Value::Text(value.into())
}

#[test]
fn a_change_of_any_part_breaks_the_signature() {
    let packet = sealed(Protect::Cluster(secret().id()));
    assert_eq!(refusal(&seal(1), &packet), None);
    let other = sealed(Protect::Cluster(secret().id()));
    let other_header = |name: &str| other.properties.headers[name].clone();
    for (name, value) in [
        ("function", text("beats_asked")),
        ("iv", other_header("iv")),
        ("furt-cluster", text("0191f0a2-7b1c-4d3e-8f90-112233445567")),
        ("furt-from", text(key(2).fingerprint().to_string())),
        ("furt-boot", Value::Integer(1)),
        ("furt-seq", Value::Integer(43)),
        ("furt-at", Value::Integer(AT_MS + 1)),
        ("furt-to", text("*")),
        ("furt-to", text(key(2).fingerprint().to_string())),
        ("furt-secret", text(format!("4:{}", secret().id().check))),
        ("furt-sig", other_header("furt-sig")),
    ] {
        assert_eq!(with_header(&packet, name, value), Some(Refused::BadSignature), "{name}");
    }
    for name in ["function", "furt-cluster"] {
        let without = with(&packet, |packet| {
            packet.properties.headers.remove(name);
        });
        assert_eq!(without, Some(Refused::BadSignature), "{name}");
    }
    let changes: [fn(&mut Packet); 4] = [
        |packet| packet.key = "node.all".to_owned(),
        |packet| packet.properties.kind = Some("heartbeat".to_owned()),
        |packet| packet.body[10] ^= 1,
        |packet| packet.body.push(b' '),
    ];
    for change in changes {
        assert_eq!(with(&packet, change), Some(Refused::BadSignature));
    }
    // Encrypted or not is signed as well: the plain body of another message is none of this one.
    let plain = sealed(Protect::Signed);
    let changed = with(&packet, |packet| {
        packet.properties.content_encoding = plain.properties.content_encoding.clone();
        packet.properties.headers.remove("iv");
        packet.properties.headers.remove("furt-secret");
        packet.body = plain.body.clone();
    });
    assert_eq!(changed, Some(Refused::BadSignature));
}

#[test]
fn a_key_signs_for_itself_alone() {
    let (packet, other) = (sealed(Protect::Signed), seal(2));
    let stranger = other.seal(&message(To::All, Protect::Signed, Body::RecordsAsked)).unwrap();
    let header = |name: &str| stranger.properties.headers[name].clone();
    assert_eq!(with_header(&packet, "furt-key", header("furt-key")), Some(Refused::BadSignature));
    let both = with(&packet, |packet| {
        for name in ["furt-key", "furt-from"] {
            packet.properties.headers.insert(name.to_owned(), header(name));
        }
    });
    assert_eq!(both, Some(Refused::BadSignature));
}

#[test]
fn nobody_signs_in_the_name_of_another_key() {
    // All of it is right but whose it says to be.
    let (thief, named) = (key(2), key(0).fingerprint());
    let out = message(To::All, Protect::Signed, Body::RecordsAsked);
    let body = br#"{"function":"records_asked"}"#;
    let opened = |named| {
        let properties = Head::of(&out, named, "task", Some("records_asked")).sign(&thief, "node.all", body).unwrap();
        seal(1).open_parts("node.all", &properties, body).map(|(opened, _)| opened.from)
    };
    assert_eq!(opened(thief.fingerprint()), Ok(thief.fingerprint()));
    assert_eq!(opened(named), Err(Refused::BadSignature));
}

#[test]
fn what_furt_does_not_read_may_change_on_the_way() {
    let changed = with(&sealed(Protect::Signed), |packet| {
        packet.properties.headers.insert("x-legion-version".to_owned(), text("1.9.43"));
        packet.properties.headers.insert("x-death".to_owned(), Value::Other);
        packet.properties.priority = None;
        packet.properties.user_id = Some("furt".to_owned());
        packet.properties.timestamp = Some(1);
    });
    assert_eq!(changed, None);
}

#[test]
fn headers_of_another_form_are_refused() {
    let packet = sealed(Protect::Cluster(secret().id()));
    let fingerprint = key(0).fingerprint().to_string();
    let check = secret().id().check;
    for (name, values) in [
        ("furt-from", vec![text(""), text(fingerprint.to_uppercase()), text(&fingerprint[1..]), Value::Integer(1)]),
        ("furt-key", vec![text(""), text("!"), text("AAAA"), Value::Bytes(key(0).public().as_bytes().to_vec())]),
        ("furt-boot", vec![Value::Integer(-1), text("1"), Value::Boolean(true), Value::Other]),
        ("furt-seq", vec![Value::Integer(i64::MIN), text("42")]),
        ("furt-at", vec![text(AT_MS.to_string()), Value::Other]),
        ("furt-to", vec![text(""), text("**"), text("all"), Value::Bytes(vec![b'*'])]),
        (
            "furt-cluster",
            vec![
                text(""),
                text("0191F0A2-7B1C-4D3E-8F90-112233445566"),
                text("0191f0a27b1c4d3e8f90112233445566"),
                text("{0191f0a2-7b1c-4d3e-8f90-112233445566}"),
            ],
        ),
        (
            "furt-secret",
            vec![text(""), text("3"), text(format!("03:{check}")), text(format!("+3:{check}")), text("3:00")],
        ),
        ("furt-sig", vec![text("!"), Value::Bytes(vec![1]), Value::Integer(1)]),
        ("iv", vec![Value::Integer(1)]),
        ("function", vec![Value::Bytes(b"records_asked".to_vec())]),
    ] {
        for value in values {
            let refused = with_header(&packet, name, value.clone());
            assert_eq!(refused, Some(Refused::Malformed), "{name} {value:?}");
        }
    }
    for name in ["furt-from", "furt-key", "furt-boot", "furt-seq", "furt-at", "furt-to", "furt-secret", "iv"] {
        let without = with(&packet, |packet| {
            packet.properties.headers.remove(name);
        });
        assert_eq!(without, Some(Refused::Malformed), "{name}");
    }
    assert_eq!(with_header(&packet, "furt-sig", text("AAAA")), Some(Refused::BadSignature));
    let properties: [fn(&mut Properties); 4] = [
        |properties| properties.content_type = None,
        |properties| properties.content_type = Some("application/json; charset=utf-8".to_owned()),
        |properties| properties.content_encoding = Some("gzip".to_owned()),
        |properties| properties.kind = None,
    ];
    for change in properties {
        assert_eq!(with(&packet, |packet| change(&mut packet.properties)), Some(Refused::Malformed));
    }
}

#[test]
fn what_is_not_signed_is_unsigned_whatever_else_it_is() {
    let removed = with(&sealed(Protect::Signed), |packet| {
        packet.properties.headers.remove("furt-sig");
    });
    assert_eq!(removed, Some(Refused::Unsigned));
    let stranger = Packet { body: b"hello".to_vec(), ..Packet::default() };
    assert_eq!(refusal(&seal(1), &stranger), Some(Refused::Unsigned));
    let cleared = with(&sealed(Protect::Signed), |packet| packet.properties.headers = BTreeMap::new());
    assert_eq!(cleared, Some(Refused::Unsigned));
}

#[test]
fn the_size_goes_before_all_else() {
    let long = Packet { body: vec![b' '; MAX_MESSAGE_BYTES + 1], ..Packet::default() };
    assert_eq!(refusal(&seal(1), &long), Some(Refused::TooLarge));
    let just = Packet { body: vec![b' '; MAX_MESSAGE_BYTES], ..Packet::default() };
    assert_eq!(refusal(&seal(1), &just), Some(Refused::Unsigned));
}

#[test]
fn another_secret_opens_nothing() {
    let packet = sealed(Protect::Cluster(secret().id()));
    let mut without = seal(1);
    assert!(without.remove_secret(&secret().id()) && !without.remove_secret(&secret().id()));
    assert_eq!(refusal(&without, &packet), Some(Refused::Undecipherable));
    without.insert_secret(Secret::draw(3));
    assert_eq!(refusal(&without, &packet), Some(Refused::Undecipherable));
    without.insert_secret(secret());
    assert_eq!(refusal(&without, &packet), None);
}

#[test]
fn a_secret_for_another_node_is_undecipherable() {
    let packet = given(&seal(0));
    assert_eq!(refusal(&seal(1), &packet), None);
    assert_eq!(refusal(&Seal::new(key(2)), &packet), Some(Refused::Undecipherable));
}

#[test]
fn a_node_opens_what_it_said_itself() {
    // The core tells by the boot whether it was this process.
    let one = seal(0);
    let packet = one.seal(&message(To::All, Protect::Signed, bodies().swap_remove(0))).unwrap();
    assert_eq!(refusal(&one, &packet), None);
}
