//! What claims make of a caller.

use std::collections::BTreeMap;

use http::HeaderName;
use serde_json::{Value, json};

use super::super::granted::identity;
use super::signing::{config, rules};
use crate::auth::Identity;
use crate::config::IssuerConfig;

fn identified(config: &IssuerConfig, claims: &Value) -> Identity {
    identity(claims.as_object().unwrap(), "ann".parse().unwrap(), config)
}

#[test]
fn words_are_in_a_text_or_an_array_wherever_the_claim_leads() {
    let own = &["comments:read", "comments:write"][..];
    for (claim, claims, permitted) in [
        ("scope", json!({"scope": "comments:read  comments:write openid"}), own),
        ("scope", json!({"scope": ["comments:read", "comments:write"]}), own),
        ("scope", json!({"scope": ["comments:read", 1, null, ["comments:x"], "comments:write"]}), own),
        // One word with a blank in it is no permission.
        ("scope", json!({"scope": ["comments:read comments:write"]}), &[]),
        ("scope", json!({"scope": "comments:read\tcomments:write"}), &[]),
        ("scope", json!({"scope": {"comments:read": true}}), &[]),
        ("scope", json!({"scope": true}), &[]),
        ("scope", json!({}), &[]),
        ("realm_access.roles", json!({"realm_access": {"roles": ["comments:read", "comments:write"]}}), own),
        (
            "resource_access.my.client.roles",
            json!({"resource_access": {"my.client": {"roles": "comments:read comments:write"}}}),
            own,
        ),
        ("https://example.org/roles", json!({"https://example.org/roles": own}), own),
        // A claim of the whole name comes before what its dots lead to.
        ("a.b", json!({"a": {"b": "comments:x"}, "a.b": own}), own),
        ("a.b.c", json!({"a": {"b": 1}, "a.b": {"c": own}}), own),
        ("a.b", json!({"a": "comments:read"}), &[]),
        ("a..b", json!({"a": {"": {"b": own}}}), own),
        (".", json!({"": {"": own}}), own),
    ] {
        let mut config = config();
        config.grants.claim = Some(claim.to_owned());
        assert_eq!(identified(&config, &claims).permissions, Some(rules(permitted)), "{claim} {claims}");
    }
}

#[test]
fn without_a_claim_to_look_at_nothing_is_permitted() {
    let mut config = config();
    config.grants.claim = None;
    assert_eq!(identified(&config, &json!({"scope": "comments:read"})).permissions, Some(rules(&[])));
}

#[test]
fn claims_are_told_in_headers_where_nobody_can_misread_them() {
    let mut config = config();
    config.headers = BTreeMap::from([("a.b".to_owned(), HeaderName::from_static("x-a"))]);
    let long = "x".repeat(4097);
    for (value, told) in [
        (json!("ann@example.org"), Some("ann@example.org")),
        (json!("a, b"), Some("a, b")),
        (json!(""), Some("")),
        (json!(7), Some("7")),
        (json!(0.5), Some("0.5")),
        (json!(true), Some("true")),
        (json!(["a", "b c"]), Some("a, b c")),
        (json!(["a"]), Some("a")),
        (json!(["a", "b,c"]), None),
        (json!(["a", ""]), None),
        (json!(["a", " b"]), None),
        (json!(["a", 1]), None),
        (json!(["a", "b\nc"]), None),
        (json!([]), None),
        (json!({"b": "c"}), None),
        (json!(null), None),
        (json!("a\r\nX-Auth-Permissions: *"), None),
        (json!(" a"), None),
        (json!("Jörg Ärmel"), Some("Jörg Ärmel")),
        (json!("a\tb"), None),
        (json!("a\u{85}b"), None),
        (json!(long), None),
    ] {
        let headers = identified(&config, &json!({"a": {"b": value}})).headers;
        let expected: Vec<_> =
            told.map(|told| (HeaderName::from_static("x-a"), told.parse().unwrap())).into_iter().collect();
        assert_eq!(headers, expected, "{value}");
    }
    assert!(identified(&config, &json!({})).headers.is_empty());
}
