use super::*;

const SECRET: [u8; 32] = [7; 32];
const OTHER: [u8; 32] = [8; 32];
/// The start of some period.
const START: i64 = 40_000 * PERIOD_MS;

fn source() -> KeySource {
    KeySource::new(AffinitySecret(SECRET), START)
}

/// The age of a cookie by which it is taken; `None`: it is not.
fn age(keys: &AffinityKeys, cookie: &hmac::Tag) -> Option<Age> {
    if keys.sign(b"a").as_ref() == cookie.as_ref() {
        return Some(Age::Present);
    }
    keys.also_good(b"a").find(|(tag, _)| tag.as_ref() == cookie.as_ref()).map(|(_, age)| age)
}

#[test]
fn a_cookie_is_good_for_its_own_period_two_more_and_the_one_before() {
    let source = source();
    let cookie = source.at(START).sign(b"a");
    for (periods, expected) in [
        (-3, None),
        (-2, None),
        (-1, Some(Age::Present)),
        (0, Some(Age::Present)),
        (1, Some(Age::Past)),
        (2, Some(Age::Past)),
        (3, None),
        (1_000_000, None),
    ] {
        for within in [0, PERIOD_MS - 1] {
            let keys = source.at(START + periods * PERIOD_MS + within);
            assert_eq!(age(&keys, &cookie), expected, "{periods} periods and {within} ms later");
        }
    }
    assert_eq!(age(&source.at(START), &cookie), Some(Age::Present), "the clock was set back");
    assert_eq!(age(&source.at(START), &source.at(START).sign(b"b")), None, "it is about something else");
}

#[test]
fn keys_are_those_of_rfc_5869() {
    // By another implementation, Python's hmac and hashlib: HKDF with an empty salt, then HMAC of "a".
    let expected = "396053be8de30d162353515f259cb28572658f43e7506b074d4a6c25101e09d5";
    let expected: [u8; 32] = const_hex::decode_to_array(expected).unwrap();
    assert_eq!(source().at(START).sign(b"a").as_ref(), expected);
}

#[test]
fn the_same_period_has_the_same_keys_and_derives_nothing() {
    let source = source();
    let keys = source.at(START);
    assert!(Arc::ptr_eq(&keys, &source.at(START + PERIOD_MS - 1)));
    let next = source.at(START + PERIOD_MS);
    assert!(!Arc::ptr_eq(&keys, &next) && Arc::ptr_eq(&next, &source.clone().at(START + PERIOD_MS)));
}

#[test]
fn cookies_of_the_secret_before_are_good_for_two_more_periods() {
    let source = source();
    let cookie = source.at(START).sign(b"a");
    source.set(&OTHER, START);
    let made = source.at(START).sign(b"a");
    assert_ne!(made.as_ref(), cookie.as_ref());
    assert_eq!(age(&source.at(START), &made), Some(Age::Present));
    for (periods, expected) in [(0, Some(Age::Past)), (1, Some(Age::Past)), (2, Some(Age::Past)), (3, None)] {
        assert_eq!(age(&source.at(START + periods * PERIOD_MS), &cookie), expected, "{periods}");
    }
    assert_eq!(age(&source.at(START), &cookie), None, "it is forgotten, also where the clock is set back");
}

#[test]
fn two_sources_with_one_secret_take_each_others_cookies_and_others_do_not() {
    let (one, other) = (source(), KeySource::new(AffinitySecret(OTHER), START));
    let cookie = one.at(START).sign(b"a");
    assert_eq!(age(&other.at(START), &cookie), None);
    let late = one.at(START - 1).sign(b"a");
    other.set(&SECRET, START);
    assert_eq!((age(&other.at(START), &cookie), age(&other.at(START), &late)), (Some(Age::Present), Some(Age::Past)));
    let keys = other.at(START);
    other.set(&SECRET, START);
    assert!(Arc::ptr_eq(&keys, &other.at(START)), "the same secret is set again");
}

#[test]
fn a_secret_is_read_as_it_was_written_and_never_shown() {
    let secret = AffinitySecret::random().unwrap();
    assert_eq!(AffinitySecret::from_hex(secret.to_hex().as_bytes()), Some(secret.clone()));
    assert_ne!(secret, AffinitySecret::random().unwrap());
    assert_eq!(format!("{secret:?}"), "AffinitySecret(..)");
    let (short, long, other) = ("0".repeat(63), "0".repeat(66), "g".repeat(64));
    for text in ["", &short, &long, &other, "\u{e9}"] {
        assert_eq!(AffinitySecret::from_hex(text.as_bytes()), None, "{text}");
    }
    assert_eq!(AffinitySecret::from_hex(&[0xff; 64]), None);
}
