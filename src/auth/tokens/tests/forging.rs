//! Tokens that were never signed by the issuer, or not as they say.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::super::error::{Misfit, TokenError};
use super::super::verify::verify;
use super::signing::{NOW, Pair, base64, claims, config, header, judged, refused, set, with};
use crate::config::TokenAlgorithm;

/// What is signed of a token.
fn signed(header: &Value) -> String {
    format!("{}.{}", base64(header.to_string().as_bytes()), base64(claims().to_string().as_bytes()))
}

#[test]
fn a_public_key_is_no_shared_secret() {
    let pair = Pair::new(TokenAlgorithm::Rs256);
    let (jwk, spki) = (pair.jwk("k"), pair.spki());
    let pkcs1 = SubjectPublicKeyInfo::from_der(&spki).unwrap().1.subject_public_key.data.to_vec();
    let pem = |label: &str, der: &[u8], end: &str| {
        let body = STANDARD.encode(der);
        let lines: Vec<_> = body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----{end}", lines.join("\n")).into_bytes()
    };
    let secrets = [
        pem("PUBLIC KEY", &spki, "\n"),
        pem("PUBLIC KEY", &spki, ""),
        pem("RSA PUBLIC KEY", &pkcs1, "\n"),
        spki,
        pkcs1,
        jwk.to_string().into_bytes(),
        jwk["n"].as_str().unwrap().as_bytes().to_vec(),
        Vec::new(),
    ];
    for secret in secrets {
        for (named, algorithm) in [
            ("HS256", hmac::HMAC_SHA256),
            ("HS384", hmac::HMAC_SHA384),
            ("HS512", hmac::HMAC_SHA512),
            ("RS256", hmac::HMAC_SHA256),
        ] {
            let signed = signed(&with(header(TokenAlgorithm::Rs256, "k"), "alg", json!(named)));
            let tag = hmac::sign(&hmac::Key::new(algorithm, &secret), signed.as_bytes());
            let expected = if named == "RS256" { TokenError::Signature } else { TokenError::Algorithm };
            assert_eq!(refused(&pair, &format!("{signed}.{}", base64(tag.as_ref()))), expected, "{named}");
        }
    }
}

#[test]
fn a_shared_secret_in_the_set_checks_nothing() {
    let pair = Pair::ed25519();
    let secret = json!({"kty": "oct", "kid": "s", "alg": "HS256", "k": base64(b"secret")});
    let keys = set(&[pair.jwk("k"), secret]);
    for (named, expected) in [("HS256", TokenError::Algorithm), ("EdDSA", TokenError::Key(Misfit::Kind))] {
        let signed = signed(&json!({"alg": named, "typ": "at+jwt", "kid": "s"}));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"secret"), signed.as_bytes());
        let token = format!("{signed}.{}", base64(tag.as_ref()));
        assert_eq!(verify(&token, &keys, &config(), NOW).map(|_| ()), Err(expected), "{named}");
    }
}

#[test]
fn none_is_no_algorithm_however_it_is_spelled() {
    let pair = Pair::ed25519();
    let kept = pair.token(&header(TokenAlgorithm::EdDsa, "k"), &claims());
    let signature = kept.rsplit('.').next().unwrap();
    for none in ["none", "None", "NONE", "nOnE"] {
        let signed = signed(&with(header(TokenAlgorithm::EdDsa, "k"), "alg", json!(none)));
        assert_eq!(refused(&pair, &format!("{signed}.")), TokenError::Parts, "{none}");
        assert_eq!(refused(&pair, &format!("{signed}.AA")), TokenError::Algorithm, "{none}");
        assert_eq!(refused(&pair, &format!("{signed}.{signature}")), TokenError::Algorithm, "{none}");
    }
}

#[test]
fn a_key_that_a_token_brings_along_is_not_read() {
    let (pair, thief) = (Pair::ed25519(), Pair::ed25519());
    let good = || header(TokenAlgorithm::EdDsa, "k");
    for (name, value) in [
        ("jwk", thief.jwk("k")),
        ("jku", json!("https://thief.example/keys")),
        ("x5u", json!("https://thief.example/certificate")),
        ("x5c", json!([STANDARD.encode(thief.spki())])),
        ("x5t", json!("AAAA")),
    ] {
        let header = with(good(), name, value);
        assert_eq!(refused(&pair, &thief.token(&header, &claims())), TokenError::Signature, "{name}");
        assert!(judged(&pair, &pair.token(&header, &claims())).is_ok(), "{name} is not read");
    }
    let unknown = with(with(good(), "kid", json!("thief")), "jwk", thief.jwk("thief"));
    assert_eq!(refused(&pair, &thief.token(&unknown, &claims())), TokenError::UnknownKey);
}

#[test]
fn a_signature_of_ecdsa_is_two_numbers_of_fixed_length() {
    let pair = Pair::new(TokenAlgorithm::Es256);
    let Pair::P256(own) = &pair else { panic!("not P-256") };
    let signed = signed(&header(TokenAlgorithm::Es256, "k"));
    let pkcs8 = own.to_pkcs8v1().unwrap();
    let in_der = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref()).unwrap();
    let in_der = in_der.sign(&SystemRandom::new(), signed.as_bytes()).unwrap().as_ref().to_vec();
    let good = pair.sign(TokenAlgorithm::Es256, signed.as_bytes());
    let doubled = [&[0; 16], &good[..32], &[0; 16], &good[32..]].concat();
    for (bad, what) in [
        (in_der, "DER"),
        (good[..63].to_vec(), "63 bytes"),
        ([&good[..], &[0]].concat(), "65 bytes"),
        (good[..32].to_vec(), "half"),
        (doubled, "the length of P-384"),
        (vec![0; 64], "zeros"),
        ([[0; 32], good[32..].try_into().unwrap()].concat(), "r is 0"),
    ] {
        assert_eq!(refused(&pair, &format!("{signed}.{}", base64(&bad))), TokenError::Signature, "{what}");
    }
    assert!(judged(&pair, &format!("{signed}.{}", base64(&good))).is_ok());
}

#[test]
fn a_key_of_another_kind_or_curve_checks_nothing() {
    let all = [TokenAlgorithm::Rs256, TokenAlgorithm::Es256, TokenAlgorithm::Es384, TokenAlgorithm::EdDsa];
    let pairs = all.map(|one| (one, Pair::new(one)));
    for (own, pair) in &pairs {
        for (named, _) in pairs.iter().filter(|(one, _)| one != own) {
            let token = pair.token_of(*own, &header(*named, "k").to_string(), &claims().to_string());
            assert_eq!(refused(pair, &token), TokenError::Key(Misfit::Kind), "{named:?} by a key for {own:?}");
        }
    }
}

#[test]
fn an_rsa_key_is_not_too_short_whoever_names_it() {
    let pair = Pair::new(TokenAlgorithm::Rs256);
    let mut modulus = [0xa5; 128];
    modulus[127] = 1;
    let short = json!({"kty": "RSA", "kid": "short", "n": base64(&modulus), "e": "AQAB"});
    let keys = set(&[pair.jwk("k"), short]);
    let token = pair.token_of(
        TokenAlgorithm::Rs256,
        &header(TokenAlgorithm::Rs256, "short").to_string(),
        &claims().to_string(),
    );
    assert_eq!(verify(&token, &keys, &config(), NOW).map(|_| ()), Err(TokenError::Key(Misfit::Size)));
}
