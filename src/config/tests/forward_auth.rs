//! What an entry of `[[forward_auth]]` means.

use std::time::Duration;

use super::parse;
use furt_core::model::{PermissionRule, PermissionSet};

fn set(rules: &[&str]) -> PermissionSet {
    PermissionSet::new(rules.iter().map(|rule| PermissionRule::try_new(rule).unwrap()).collect())
}

#[test]
fn an_entry_of_a_name_and_a_url_has_defaults() {
    let config = parse("[[forward_auth]]\nname = 'login'\nurl = 'https://auth.example:8443/verify?rd=1'");
    let entry = &config.forward_auth[0];
    assert_eq!((entry.name.as_str(), entry.url.as_str()), ("login", "https://auth.example:8443/verify?rd=1"));
    assert_eq!((entry.timeout, &entry.ca, &entry.user), (Duration::from_secs(2), &None, &None));
    assert_eq!(entry.request_headers, ["cookie", "authorization", "accept"]);
    assert!(entry.copy.is_empty() && entry.grants == Default::default());
}

#[test]
fn an_entry_says_all_that_it_can() {
    let config = parse(
        "[[forward_auth]]\nname = 'login'\nurl = 'https://auth.example'\nca = '/ca.pem'\ntimeout = '30s'\nrequest_headers = ['X-API-Key']\n\
         copy = ['X-Auth-Request-Email', 'Remote-User']\nuser = 'remote-user'\nclaim = 'X-Auth-Request-Groups'\n\
         permissions = ['mail:*']\nmap = { admins = ['*'], 'group:a' = [] }",
    );
    let entry = &config.forward_auth[0];
    assert_eq!((entry.timeout, entry.ca.as_ref().unwrap().to_str()), (Duration::from_secs(30), Some("/ca.pem")));
    assert_eq!(entry.request_headers, ["x-api-key"]);
    assert_eq!(entry.copy, ["x-auth-request-email", "remote-user"]);
    assert_eq!(entry.user.as_ref().unwrap(), "remote-user");
    assert_eq!(entry.grants.claim.as_deref(), Some("x-auth-request-groups"));
    assert_eq!(entry.grants.permissions, set(&["mail:*"]));
    assert_eq!(entry.grants.map, [("admins".to_owned(), set(&["*"])), ("group:a".to_owned(), set(&[]))].into());
}

#[test]
fn the_header_of_the_user_is_copied_whether_it_is_named_or_not() {
    let config =
        parse("[[forward_auth]]\nname = 'a'\nurl = 'http://a'\ncopy = ['x-b']\nuser = 'x-a'\nrequest_headers = []");
    assert_eq!(config.forward_auth[0].copy, ["x-b", "x-a"]);
    assert!(config.forward_auth[0].request_headers.is_empty());
}
