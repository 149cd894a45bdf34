//! Keys of nodes: what is one, and what is said of what is none.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use furt_cluster::model::PublicKey;

use super::lexnode::THROW_AWAY;
use super::samples::key;
use crate::pem;
use crate::{KeyError, NodeKey, fingerprint};

/// Of 1024 bits, by `openssl genpkey`.
const SHORT: &str = include_str!("short_key.pem");

#[test]
fn a_key_is_read_as_it_is_written() {
    let one = key(0);
    let text = one.to_pem();
    assert!(text.starts_with("-----BEGIN PRIVATE KEY-----\nMII") && text.lines().all(|line| line.len() <= 64));
    for text in [text.to_string(), text.replace('\n', "\r\n"), format!("\n{}  \n", text.trim())] {
        assert_eq!(NodeKey::from_pem(&text).unwrap().fingerprint(), one.fingerprint());
    }
    assert_eq!(fingerprint(one.public()), Some(one.fingerprint()));
    assert_ne!(one.fingerprint(), key(1).fingerprint());
}

fn error(text: &str) -> String {
    NodeKey::from_pem(text).unwrap_err().to_string()
}

#[test]
fn what_is_no_key_is_told_in_words() {
    let text = key(0).to_pem();
    let lines: Vec<_> = text.lines().collect();
    let cut = lines[..lines.len() - 1].join("\n");
    let not_pem = error("");
    for text in ["hello", &cut, &format!("x{}", *text), &format!("{0}{0}", *text), &text.replace("END", "FIN")] {
        assert_eq!(error(text), not_pem, "{text}");
    }
    let damaged = error(&[lines[0], lines[1], lines[lines.len() - 1]].join("\n"));
    assert_eq!(damaged, "it is no RSA key in PKCS#8, or it is damaged");
    let curve = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new()).unwrap();
    assert_eq!(error(&pem::write("PRIVATE KEY", curve.as_ref())), damaged);
    assert_eq!(
        error(THROW_AWAY),
        "it is \"RSA PRIVATE KEY\", and a node needs its private key in PKCS#8 without a password, \"PRIVATE KEY\" \
         (openssl pkcs8 -topk8 -nocrypt converts it)"
    );
    assert_eq!(
        error(&key(0).public_pem()),
        "it is \"PUBLIC KEY\", and a node needs its private key in PKCS#8 without a password, \"PRIVATE KEY\""
    );
}

#[test]
fn a_key_has_2048_to_4096_bits() {
    assert_eq!(NodeKey::from_pem(SHORT).unwrap_err(), KeyError::WrongSize);
    assert_eq!(KeyError::WrongSize.to_string(), "it is an RSA key of fewer than 2048 or more than 4096 bits");
    let of = |size| {
        let der = PrivateDecryptingKey::generate(size).unwrap().as_der().unwrap();
        NodeKey::from_pem(&pem::write("PRIVATE KEY", der.as_ref()))
    };
    let middle = of(KeySize::Rsa3072).unwrap();
    assert_eq!(fingerprint(middle.public()), Some(middle.fingerprint()));
}

#[test]
fn a_longer_key_than_4096_bits_is_none() {
    let spki = include_str!("long_public_key.pem");
    let (label, der) = pem::read(spki).unwrap();
    assert_eq!((label, der.len()), ("PUBLIC KEY", 551));
    assert_eq!(fingerprint(&PublicKey::new(&der)), None);
}

#[test]
fn a_public_key_has_one_form() {
    let spki = key(0).public().as_bytes().to_vec();
    let bare = &spki[24..];
    let mut trailing = spki.clone();
    trailing.push(0);
    // The length of the outer sequence in four bytes instead of two.
    let long_form = [&[0x30, 0x83, 0, 1, 0x22], &spki[4..]].concat();
    let curve = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let curve: PublicKeyX509Der<'static> = curve.public_key().as_der().unwrap();
    for other in [bare, &trailing, &spki[..spki.len() - 1], &long_form, curve.as_ref(), &[], &[0x30; 300]] {
        assert_eq!(fingerprint(&PublicKey::new(other)), None, "{} bytes", other.len());
    }
    for at in 0..spki.len() {
        let mut bent = spki.clone();
        bent[at] ^= 1;
        // Some are keys, and then other ones.
        assert_ne!(fingerprint(&PublicKey::new(&bent)), Some(key(0).fingerprint()));
    }
    assert!(fingerprint(&PublicKey::new(&STANDARD.decode(STANDARD.encode(&spki)).unwrap())).is_some());
}
