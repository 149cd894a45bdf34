//! Issuers of tokens.

use std::time::Duration;

use super::super::parse;
use super::check;
use crate::config::{JwksSource, TokenAlgorithm};

/// An entry that is good but for what comes after it.
const GOOD: &str = "[[issuers]]\nname = 'a'\nissuer = 'i'\naudience = ['x']\njwks = '/a'\n";
/// The same with a url, in line 5.
const AT_URL: &str = "[[issuers]]\nname = 'a'\nissuer = 'i'\naudience = ['x']\njwks = 'https://h/k'\n";

#[test]
fn an_issuer_needs_four_keys_and_has_usual_values_for_the_others() {
    check(&[(
        "[[issuers]]",
        &[
            "1:1: issuers.audience: is missing; every [[issuers]] needs it",
            "1:1: issuers.issuer: is missing; every [[issuers]] needs it",
            "1:1: issuers.jwks: is missing; every [[issuers]] needs it",
            "1:1: issuers.name: is missing; every [[issuers]] needs it",
        ],
    )]);
    let issuer = parse(GOOD).issuers.remove(0);
    assert_eq!((issuer.name.as_str(), issuer.issuer.as_str(), &issuer.audience[..]), ("a", "i", &["x".to_owned()][..]));
    assert_eq!(issuer.jwks, JwksSource::File("/a".into()));
    assert_eq!(issuer.algorithms, [TokenAlgorithm::Rs256, TokenAlgorithm::Es256, TokenAlgorithm::EdDsa]);
    assert_eq!(issuer.types, ["at+jwt"]);
    assert_eq!((issuer.clock_skew, issuer.refresh), (Duration::from_secs(30), Duration::from_secs(600)));
    assert_eq!((issuer.ca, issuer.keep, issuer.headers.len()), (None, None, 0));
    assert_eq!(issuer.grants.claim.as_deref(), Some("scope"));
    assert!(issuer.grants.permissions.rules().is_empty() && issuer.grants.map.is_empty());
}

#[test]
fn values_of_an_issuer_are_what_is_written() {
    let text = format!(
        "{AT_URL}ca = 'ca.pem'\nkeep = 'k'\nalgorithms = ['PS512']\ntypes = ['application/AT+JWT', 'JWT']\nclock_skew = 0\n\
         refresh = '1d'\nclaim = 'a.b'\npermissions = ['a:*']\nmap = {{ admin = ['*'], none = [] }}\nheaders = {{ email = 'X-Email' }}"
    );
    let issuer = parse(&text).issuers.remove(0);
    assert_eq!(issuer.jwks, JwksSource::Url("https://h/k".parse().unwrap()));
    assert_eq!((issuer.ca, issuer.keep), (Some("ca.pem".into()), Some("k".into())));
    assert_eq!(
        (&issuer.algorithms[..], &issuer.types[..]),
        (&[TokenAlgorithm::Ps512][..], &["at+jwt", "jwt"].map(str::to_owned)[..])
    );
    assert_eq!((issuer.clock_skew, issuer.refresh), (Duration::ZERO, Duration::from_secs(86_400)));
    assert_eq!((issuer.grants.claim.as_deref(), issuer.grants.map.len()), (Some("a.b"), 2));
    assert_eq!(issuer.headers["email"], "x-email");
    for url in ["http://localhost/k", "http://127.0.0.1:8080/k?a=b", "http://[::1]/k", "https://h:1/"] {
        let issuer = parse(&GOOD.replace("/a'", &format!("{url}'"))).issuers.remove(0);
        assert_eq!(issuer.jwks, JwksSource::Url(url.parse().unwrap()), "{url}");
    }
}

#[test]
fn names_and_issuers_are_unique_and_bounded_in_number() {
    let entry = |number: usize| GOOD.replace("'a'", &format!("'a{number}'")).replace("'i'", &format!("'i{number}'"));
    let entries = |count: usize| (0..count).map(entry).collect::<String>();
    assert_eq!(parse(&entries(16)).issuers.len(), 16);
    check(&[
        (&entries(17), &["81:1: issuers: is one too many; must be at most 16 issuers"]),
        (
            &GOOD.repeat(2),
            &[
                r#"7:8: issuers.name: "a" is the issuer in line 2 already; must be unique"#,
                "8:10: issuers.issuer: is the same as in line 3; must be unique",
            ],
        ),
        (
            &[AT_URL, "keep = '/k'\n", &AT_URL.replace("'a'", "'b'").replace("'i'", "'j'"), "keep = '/k'"].concat(),
            &["12:8: issuers.keep: is the file of line 6 already; must be a file of its own"],
        ),
    ]);
}

#[test]
fn what_no_issuer_can_be_is_told() {
    let long = "x".repeat(513);
    let after = |text: &str| format!("{GOOD}{text}");
    check(&[
        (
            "[[issuers]]\nname = 'key'\nissuer = 'a b'\naudience = []\njwks = 'keys'",
            &[
                r#"2:8: issuers.name: "key" is not a name; must not be "key", which stands for API keys"#,
                r#"3:10: issuers.issuer: "a b" is not an issuer; must be 1 to 512 visible ASCII characters, as the claim iss has them"#,
                "4:12: issuers.audience: is empty; must be 1 to 32 audiences",
                "5:8: issuers.jwks: is neither a url nor an absolute path; must be an https:// url such as \"https://login.example.org/keys\", or the absolute path of a file",
            ],
        ),
        (
            &format!("[[issuers]]\nname = 'a'\nissuer = ''\naudience = ['', 1, '{long}']\njwks = 1"),
            &[
                r#"3:10: issuers.issuer: "" is not an issuer; must be 1 to 512 visible ASCII characters, as the claim iss has them"#,
                r#"4:13: issuers.audience: "" is not an audience; must be 1 to 512 bytes without control characters"#,
                "4:17: issuers.audience: is an integer; must be an audience, as a text in quotes",
                &format!(
                    r#"4:20: issuers.audience: "{}…" is not an audience; must be 1 to 512 bytes without control characters"#,
                    "x".repeat(80)
                ),
                "5:8: issuers.jwks: is an integer; must be a url or a path, as a text in quotes",
            ],
        ),
        (
            &GOOD.replace("['x']", &format!("[{}]", "'x',".repeat(33))),
            &["4:12: issuers.audience: has 33 elements; must be 1 to 32 audiences"],
        ),
        (
            &after("types = ['', 'a b']\nclock_skew = '301s'\nrefresh = '9s'\nclaim = ''\nca = 'c'\nkeep = 'k'"),
            &[
                r#"6:10: issuers.types: "" is not a type; must be 1 to 64 visible ASCII characters, such as "at+jwt" or "jwt""#,
                r#"6:14: issuers.types: "a b" is not a type; must be 1 to 64 visible ASCII characters, such as "at+jwt" or "jwt""#,
                "7:14: issuers.clock_skew: is too far; must be from 0 to 5 m",
                "8:11: issuers.refresh: is out of range; must be from 10 s to 1 day",
                r#"9:9: issuers.claim: "" is not a claim; must be 1 to 256 bytes without control characters, such as "scope""#,
                "10:6: issuers.ca: has no use without an https url in jwks; must be left out",
                "11:8: issuers.keep: has no use where jwks is a file; must be left out",
            ],
        ),
        (&after("refresh = '25h'"), &["6:11: issuers.refresh: is out of range; must be from 10 s to 1 day"]),
        (
            &after(&format!("types = [{}]", "'a',".repeat(9))),
            &["6:9: issuers.types: has 9 elements; must be 1 to 8 types"],
        ),
        (&after("types = []"), &["6:9: issuers.types: is empty; must be 1 to 8 types"]),
        (&after("algorithms = []"), &["6:14: issuers.algorithms: is empty; must be 1 to 9 algorithms"]),
    ]);
}

#[test]
fn algorithms_by_a_shared_secret_and_none_do_not_exist() {
    let right = "must be one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA; those by a shared secret (HS256 and its \
                 like) and none do not exist here";
    for bad in ["HS256", "HS384", "HS512", "none", "None", "rs256", "ES512", ""] {
        let expected = format!(r#"6:15: issuers.algorithms: "{bad}" is not an algorithm; {right}"#);
        check(&[(&format!("{GOOD}algorithms = ['{bad}']"), &[&expected])]);
    }
}

#[test]
fn keys_come_from_where_nobody_on_the_way_can_change_them() {
    let right = "must be an https:// url such as \"https://login.example.org/keys\", or the absolute path of a file";
    let plain = "would take keys from whoever is on the way; must be https:// beyond this host";
    for (bad, told) in [
        ("http://login.example.org/k", plain),
        ("http://10.0.0.1/k", plain),
        ("http://localhost.example.org/k", plain),
        ("https://user@h/k", "has a user or a password in it; must be without"),
        ("https://:hunter2@h/k", "has a user or a password in it; must be without"),
        ("https://h/k#f", "has a fragment (#), which no server sees; must be without"),
        ("ftp://h/k", &format!("is not where keys can be fetched; {right}")),
        ("file:///k", &format!("is not where keys can be fetched; {right}")),
        ("./k", &format!("is neither a url nor an absolute path; {right}")),
    ] {
        check(&[(&AT_URL.replace("https://h/k", bad), &[&format!("5:8: issuers.jwks: {told}")])]);
    }
    let plain = AT_URL.replace("https://h/k", "http://localhost/k") + "ca = 'c'";
    check(&[(&plain, &["6:6: issuers.ca: has no use without an https url in jwks; must be left out"])]);
}

#[test]
fn tables_of_an_issuer_are_told_element_by_element() {
    let many: String = (0..33).map(|number| format!("c{number} = 'x-{number}',")).collect();
    let after = |text: &str| format!("{GOOD}{text}");
    check(&[
        (
            &after("map = 1\nheaders = 'x'"),
            &[
                "6:7: issuers.map: is no table; must be a table of words and their permissions, such as { moderator = [\"comments:*\"] }",
                "7:11: issuers.headers: is no table; must be a table of claims and names of headers, such as { email = \"X-User-Email\" }",
            ],
        ),
        (
            &after("map = { a = 'x', b = ['*'], c = ['a*'] }"),
            &[
                "6:13: issuers.map: is a string; must be an array of texts in quotes",
                "6:34: issuers.map: \"a*\" is not a permission; must be 1 to 128 visible ASCII characters without '*', '\"' and '\\', such as \"comments:read\", or \"comments:*\", or \"*\"",
            ],
        ),
        (
            &after(
                "headers = { a = 1, b = 'X-B', c = 'x-b', d = 'X-Auth-Subject', e = 'x-auth-issuer', f = 'X_Auth_Permissions', g = 'Host', h = 'a b' }",
            ),
            &[
                r#"6:17: issuers.headers: "a": must have the name of a header in quotes"#,
                r#"6:35: issuers.headers: "c": has the header of b; must have its own"#,
                r#"6:46: issuers.headers: "d": is furt's own to set; must be another header"#,
                r#"6:68: issuers.headers: "e": is furt's own to set; must be another header"#,
                r#"6:89: issuers.headers: "f": is furt's own to set; must be another header"#,
                r#"6:115: issuers.headers: "g": is furt's own to set; must be another header"#,
                r#"6:127: issuers.headers: "h": must be the name of a header, such as "Remote-Groups""#,
            ],
        ),
        (&after(&format!("headers = {{ {many} }}")), &["6:11: issuers.headers: has 33 headers; must be at most 32"]),
    ]);
}
