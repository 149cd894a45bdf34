//! What a good token is, and what each check refuses.

use serde_json::{Value, json};

use super::super::claimed_issuer;
use super::super::error::TokenError;
use super::super::verify::verify;
use super::signing::{
    AUDIENCE, ISSUER, NOW, Pair, base64, claims, config, header, judged, refused, rules, set, with, without,
};
use crate::config::TokenAlgorithm;

const ED: TokenAlgorithm = TokenAlgorithm::EdDsa;

#[test]
fn a_token_of_each_algorithm_is_good_by_its_key_and_by_no_other() {
    let rsa = Pair::new(TokenAlgorithm::Rs256);
    let others = [TokenAlgorithm::Es256, TokenAlgorithm::Es384, ED].map(|one| (one, Pair::new(one)));
    let pair = |algorithm| others.iter().find(|(one, _)| *one == algorithm).map_or(&rsa, |(_, pair)| pair);
    let keys = set(&[
        rsa.jwk("k"),
        pair(TokenAlgorithm::Es256).jwk("k"),
        pair(TokenAlgorithm::Es384).jwk("k"),
        pair(ED).jwk("k"),
    ]);
    for algorithm in TokenAlgorithm::ALL {
        let token = pair(algorithm).token_of(algorithm, &header(algorithm, "k").to_string(), &claims().to_string());
        let verified = verify(&token, &keys, &config(), NOW).unwrap_or_else(|why| panic!("{algorithm:?}: {why}"));
        assert_eq!(verified.identity.provider.as_str(), "login");
        assert_eq!(verified.identity.subject.unwrap(), "ann");
        assert_eq!(verified.identity.permissions, Some(rules(&["comments:read"])));
        assert!((verified.expires - (NOW + 300.0)).abs() < f64::EPSILON);
        let stranger = set(&[Pair::new(algorithm).jwk("k")]);
        assert_eq!(verify(&token, &stranger, &config(), NOW).map(|_| ()), Err(TokenError::Signature), "{algorithm:?}");
        let mut narrow = config();
        narrow.algorithms.retain(|one| *one != algorithm);
        assert_eq!(verify(&token, &keys, &narrow, NOW).map(|_| ()), Err(TokenError::Algorithm), "{algorithm:?}");
        // A signature of the same key by another algorithm, under this one's name.
        let other = if algorithm == TokenAlgorithm::Rs256 { TokenAlgorithm::Ps256 } else { TokenAlgorithm::Rs256 };
        let signed_otherwise = rsa.token_of(other, &header(algorithm, "k").to_string(), &claims().to_string());
        assert_eq!(
            verify(&signed_otherwise, &keys, &config(), NOW).map(|_| ()),
            Err(TokenError::Signature),
            "{algorithm:?}"
        );
    }
}

#[test]
fn a_token_that_another_library_signs_is_good() {
    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
    let pair = rcgen::KeyPair::generate().unwrap();
    let point = &pair.public_key_raw()[1..];
    let (x, y) = point.split_at(32);
    let keys = set(&[json!({"kty": "EC", "crv": "P-256", "kid": "k", "x": base64(x), "y": base64(y)})]);
    let mut header = Header::new(Algorithm::ES256);
    (header.kid, header.typ) = (Some("k".to_owned()), Some("at+jwt".to_owned()));
    let token = encode(&header, &claims(), &EncodingKey::from_ec_der(&pair.serialize_der())).unwrap();
    assert!(verify(&token, &keys, &config(), NOW).is_ok());
}

#[test]
fn each_check_of_the_header_refuses_by_its_own_error() {
    let pair = Pair::ed25519();
    let good = || header(ED, "k");
    for (header, expected) in [
        (without(good(), "alg"), TokenError::Header("alg")),
        (with(good(), "alg", json!(["EdDSA"])), TokenError::Header("alg")),
        (with(good(), "alg", json!(null)), TokenError::Header("alg")),
        (with(good(), "alg", json!("eddsa")), TokenError::Algorithm),
        (with(good(), "alg", json!("ES512")), TokenError::Algorithm),
        (with(good(), "crit", json!(["exp"])), TokenError::Critical),
        (with(good(), "crit", json!([])), TokenError::Critical),
        (with(good(), "crit", json!(null)), TokenError::Critical),
        (with(good(), "typ", json!("JWT")), TokenError::Type),
        (with(good(), "typ", json!("")), TokenError::Type),
        (with(good(), "typ", json!("application/application/at+jwt")), TokenError::Type),
        (with(good(), "typ", json!(7)), TokenError::Header("typ")),
        (without(good(), "typ"), TokenError::Type),
        (with(good(), "kid", json!("K")), TokenError::UnknownKey),
        (with(good(), "kid", json!("")), TokenError::UnknownKey),
        (with(good(), "kid", json!(7)), TokenError::Header("kid")),
    ] {
        assert_eq!(refused(&pair, &pair.token(&header, &claims())), expected, "{header}");
    }
    for typ in ["AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
        let token = pair.token(&with(good(), "typ", json!(typ)), &claims());
        assert!(judged(&pair, &token).is_ok(), "{typ}");
    }
}

#[test]
fn tokens_without_a_type_are_taken_where_plain_ones_are() {
    let pair = Pair::ed25519();
    let keys = set(&[pair.jwk("k")]);
    let mut config = config();
    config.types = vec!["jwt".to_owned()];
    for (header, is_good) in [
        (without(header(ED, "k"), "typ"), true),
        (with(header(ED, "k"), "typ", json!("JWT")), true),
        (header(ED, "k"), false),
    ] {
        let token = pair.token(&header, &claims());
        assert_eq!(verify(&token, &keys, &config, NOW).map(|_| ()).ok().is_some(), is_good, "{header}");
    }
}

#[test]
fn each_check_of_the_claims_refuses_by_its_own_error() {
    let pair = Pair::ed25519();
    let long = "x".repeat(257);
    for (name, value, expected) in [
        ("iss", json!("https://login.example.org/"), TokenError::Issuer),
        ("iss", json!("HTTPS://login.example.org"), TokenError::Issuer),
        ("iss", json!(""), TokenError::Issuer),
        ("iss", json!([ISSUER]), TokenError::Claim("iss")),
        ("aud", json!("https://api.example.org/"), TokenError::Audience),
        ("aud", json!([]), TokenError::Audience),
        ("aud", json!(["a", "b"]), TokenError::Audience),
        ("aud", json!([AUDIENCE, 1]), TokenError::Claim("aud")),
        ("aud", json!({AUDIENCE: 1}), TokenError::Claim("aud")),
        ("aud", json!(null), TokenError::Claim("aud")),
        ("exp", json!("1900000000"), TokenError::Claim("exp")),
        ("exp", json!(-1), TokenError::Claim("exp")),
        ("exp", json!(-0.5), TokenError::Claim("exp")),
        ("exp", json!(null), TokenError::Claim("exp")),
        ("exp", json!([1_900_000_000]), TokenError::Claim("exp")),
        ("exp", json!(true), TokenError::Claim("exp")),
        ("exp", json!(0), TokenError::Expired),
        ("exp", json!(NOW - 30.0), TokenError::Expired),
        ("exp", json!(NOW - 30.001), TokenError::Expired),
        ("nbf", json!(NOW + 30.001), TokenError::NotYet),
        ("nbf", json!(1e300), TokenError::NotYet),
        ("nbf", json!("0"), TokenError::Claim("nbf")),
        ("nbf", json!(null), TokenError::Claim("nbf")),
        ("iat", json!(NOW + 30.001), TokenError::FromFuture),
        ("iat", json!({}), TokenError::Claim("iat")),
        ("iat", json!(-1), TokenError::Claim("iat")),
        ("sub", json!(""), TokenError::Claim("sub")),
        ("sub", json!(7), TokenError::Claim("sub")),
        ("sub", json!(long), TokenError::Claim("sub")),
        ("sub", json!("a\r\nX-Auth-Permissions: *"), TokenError::Claim("sub")),
        ("sub", json!("a\u{0}"), TokenError::Claim("sub")),
        ("sub", json!(" ann"), TokenError::Claim("sub")),
        ("sub", json!("a\tb"), TokenError::Claim("sub")),
        ("sub", json!("a\u{85}b"), TokenError::Claim("sub")),
        ("sub", json!("ä".repeat(129)), TokenError::Claim("sub")),
    ] {
        let token = pair.token(&header(ED, "k"), &with(claims(), name, value.clone()));
        assert_eq!(refused(&pair, &token), expected, "{name}: {value}");
    }
    for name in ["iss", "aud", "exp", "sub"] {
        let token = pair.token(&header(ED, "k"), &without(claims(), name));
        assert_eq!(refused(&pair, &token), TokenError::Claim(name), "{name}");
    }
}

#[test]
fn claims_are_good_up_to_their_bounds() {
    let pair = Pair::ed25519();
    let longest = "x".repeat(256);
    for (name, value) in [
        ("aud", json!([AUDIENCE])),
        ("aud", json!(["a", "other"])),
        ("exp", json!(NOW - 29.999)),
        ("exp", json!(NOW + 0.5)),
        ("exp", json!(1_900_000_000_i64)),
        ("exp", json!(u64::MAX)),
        ("exp", json!(1e300)),
        ("nbf", json!(NOW + 30.0)),
        ("nbf", json!(0)),
        ("iat", json!(NOW + 30.0)),
        ("sub", json!(longest)),
        ("sub", json!("auth0|a b, c")),
        ("sub", json!("ä".repeat(128))),
    ] {
        let token = pair.token(&header(ED, "k"), &with(claims(), name, value.clone()));
        assert!(judged(&pair, &token).is_ok(), "{name}: {value}");
    }
    assert!(judged(&pair, &pair.token(&header(ED, "k"), &without(claims(), "iat"))).is_ok());
    // What no JSON library would write.
    let exp = |text: &str| {
        let claims = claims().to_string().replace("1800000300.0", text);
        assert!(claims.contains(&format!("\"exp\":{text}")), "{claims}");
        pair.token_of(ED, &header(ED, "k").to_string(), &claims)
    };
    for (text, expected) in [
        ("1e400", TokenError::NotJson),
        ("NaN", TokenError::NotJson),
        ("Infinity", TokenError::NotJson),
        ("01900000000", TokenError::NotJson),
        ("-1e400", TokenError::NotJson),
        ("1e-400", TokenError::Expired),
        ("-0.0", TokenError::Expired),
    ] {
        assert_eq!(refused(&pair, &exp(text)), expected, "{text}");
    }
    for text in ["1.9e9", "19E8", "1900000000.75"] {
        assert!(judged(&pair, &exp(text)).is_ok(), "{text}");
    }
}

#[test]
fn the_first_thing_that_is_wrong_is_told() {
    let (pair, stranger) = (Pair::ed25519(), Pair::ed25519());
    let mut header = json!({"alg": "none", "crit": [], "typ": "x", "kid": "x"});
    let mut claims = json!({"iss": "x", "aud": "x", "exp": 1, "nbf": 1e12, "iat": 1e12, "sub": ""});
    let told = |signer: &Pair, header: &Value, claims: &Value| refused(&pair, &signer.token(header, claims));
    assert_eq!(told(&stranger, &header, &claims), TokenError::Algorithm);
    header["alg"] = json!("EdDSA");
    assert_eq!(told(&stranger, &header, &claims), TokenError::Critical);
    header = without(header, "crit");
    assert_eq!(told(&stranger, &header, &claims), TokenError::Type);
    header["typ"] = json!("at+jwt");
    assert_eq!(told(&stranger, &header, &claims), TokenError::UnknownKey);
    header["kid"] = json!("k");
    assert_eq!(told(&stranger, &header, &claims), TokenError::Signature);
    for (name, expected, good) in [
        ("iss", TokenError::Issuer, json!(ISSUER)),
        ("aud", TokenError::Audience, json!(AUDIENCE)),
        ("exp", TokenError::Expired, json!(NOW + 1.0)),
        ("nbf", TokenError::NotYet, json!(NOW)),
        ("iat", TokenError::FromFuture, json!(NOW)),
        ("sub", TokenError::Claim("sub"), json!("ann")),
    ] {
        assert_eq!(told(&pair, &header, &claims), expected);
        claims[name] = good;
    }
    assert!(judged(&pair, &pair.token(&header, &claims)).is_ok());
}

#[test]
fn a_token_is_three_parts_of_base64url_with_objects_whose_members_are_there_once() {
    let pair = Pair::ed25519();
    let (head, body) = (header(ED, "k").to_string(), claims().to_string());
    let good = pair.token_of(ED, &head, &body);
    let parts: Vec<_> = good.split('.').collect();
    let [one, two, three] = parts[..] else { panic!("{good}") };
    let padded = |text: &str| format!("{text}{}", "=".repeat((4 - text.len() % 4) % 4));
    // 64 bytes leave two bits over in their last sign.
    let last = three.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let next = alphabet.chars().nth(alphabet.find(last).unwrap() + 1).unwrap();
    let loose = format!("{}{next}", &three[..three.len() - 1]);
    let long = pair.token(&header(ED, "k"), &with(claims(), "more", json!("x".repeat(8 * 1024))));
    for (token, expected) in [
        (long, TokenError::TooLong),
        (String::new(), TokenError::Parts),
        ("a".to_owned(), TokenError::Parts),
        ("..".to_owned(), TokenError::Parts),
        (format!("{one}.{two}"), TokenError::Parts),
        (format!("{one}.{two}."), TokenError::Parts),
        (format!(".{two}.{three}"), TokenError::Parts),
        (format!("{one}..{three}"), TokenError::Parts),
        (format!("{good}."), TokenError::Parts),
        (format!("{good}.{three}"), TokenError::Parts),
        (format!("{one}.{two}.{}", padded(three)), TokenError::Encoding),
        (format!("{one}.{two}.{loose}"), TokenError::Encoding),
        (format!("{one}.{two}.{three} "), TokenError::Encoding),
        (format!(" {good}"), TokenError::Encoding),
        (format!("{one}.{two}.{}", three.replacen(|_| true, "+", 1)), TokenError::Encoding),
        (format!("{one}.{two}.{}", three.replacen(|_| true, "ä", 1)), TokenError::Encoding),
    ] {
        assert_eq!(refused(&pair, &token), expected, "{token}");
        assert_eq!(claimed_issuer(&token), None, "{token}");
    }
    for (head, body, expected) in [
        ("[]", &*body, TokenError::NotJson),
        ("", &body, TokenError::Parts),
        ("\"alg\"", &body, TokenError::NotJson),
        (&format!("{head}x"), &body, TokenError::NotJson),
        (&format!("{head}{head}"), &body, TokenError::NotJson),
        (&head, "null", TokenError::NotJson),
        (&head, "[{}]", TokenError::NotJson),
        (&head, &body.replace("ann", "\u{7}"), TokenError::NotJson),
        (&head.replacen('{', r#"{"alg":"EdDSA","#, 1), &body, TokenError::Duplicate),
        (&head.replacen('{', r#"{"\u0061lg":"none","#, 1), &body, TokenError::Duplicate),
        (&head.replacen('{', r#"{"x":1,"x":1,"#, 1), &body, TokenError::Duplicate),
        (&head, &body.replacen('{', r#"{"sub":"root","#, 1), TokenError::Duplicate),
        (&head, &body.replacen('{', r#"{"x":1,"x":1,"#, 1), TokenError::Duplicate),
    ] {
        assert_eq!(refused(&pair, &pair.token_of(ED, head, body)), expected, "{head} {body}");
    }
    assert!(judged(&pair, &good).is_ok());
}

#[test]
fn the_longest_token_is_of_8_kib() {
    let pair = Pair::ed25519();
    let of_length = |more: usize| pair.token(&header(ED, "k"), &with(claims(), "more", json!("x".repeat(more))));
    let longest = (5_000..8_000).map(of_length).find(|token| token.len() >= 8 * 1024 - 1).unwrap();
    assert!(longest.len() <= 8 * 1024 && judged(&pair, &longest).is_ok());
}

#[test]
fn a_token_with_any_one_bit_flipped_is_refused() {
    for algorithm in [ED, TokenAlgorithm::Es256, TokenAlgorithm::Rs256, TokenAlgorithm::Ps256] {
        let pair = Pair::new(algorithm);
        let keys = set(&[pair.jwk("k")]);
        let good = pair.token_of(algorithm, &header(algorithm, "k").to_string(), &claims().to_string());
        assert!(verify(&good, &keys, &config(), NOW).is_ok());
        let mut flipped = 0;
        for (at, bit) in (0..good.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut bytes = good.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            // A header's value is text.
            let Ok(token) = String::from_utf8(bytes) else { continue };
            assert!(verify(&token, &keys, &config(), NOW).is_err(), "bit {bit} of byte {at} of {good}");
            flipped += 1;
        }
        assert_eq!(flipped, good.len() * 7, "every bit of ASCII but the eighth");
    }
}

#[test]
fn the_claimed_issuer_is_read_of_tokens_alone_and_believes_nothing() {
    let (pair, of) = (Pair::ed25519(), |header: &Value, claims: &Value| Pair::ed25519().token(header, claims));
    assert_eq!(claimed_issuer(&pair.token(&header(ED, "k"), &claims())).as_deref(), Some(ISSUER));
    // Signed by a stranger, long expired, by whatever algorithm.
    let strange = of(&json!({"alg": "HS256"}), &json!({"iss": "x", "exp": 0}));
    assert_eq!(claimed_issuer(&strange).as_deref(), Some("x"));
    for (header, claims) in [
        (json!({}), claims()),
        (json!({"alg": 1}), claims()),
        (header(ED, "k"), json!({})),
        (header(ED, "k"), json!({"iss": 1})),
    ] {
        assert_eq!(claimed_issuer(&of(&header, &claims)), None, "{header} {claims}");
    }
    for text in ["furt_0123456789abcdef", "a.b.c", "eyJhbGciOiJub25lIn0.e30."] {
        assert_eq!(claimed_issuer(text), None, "{text}");
    }
}

#[test]
fn what_clients_are_told_fits_into_a_header() {
    for (fault, text) in [
        (TokenError::Header("kid"), "the kid in the header of the token is missing or has a wrong type"),
        (TokenError::Claim("exp"), "the claim exp of the token is missing or has a wrong type"),
        (TokenError::Expired, "the token has expired"),
        (TokenError::Key(super::super::Misfit::Size), "the key of the token has not 2048 to 8192 bits"),
    ] {
        assert_eq!(fault.to_string(), text);
        assert!(text.bytes().all(|byte| (0x20..0x7f).contains(&byte) && !b"\"\\".contains(&byte)), "RFC 6750 §3");
    }
}
