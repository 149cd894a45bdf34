//! `mirror` in rules.

use super::super::parse;
use super::check;
use furt_core::model::{MAX_MIRROR_BODY, Said};

fn rule(mirror: &str) -> String {
    format!("[[rules]]\nmirror = {mirror}")
}

#[test]
fn everything_that_is_wrong_with_a_mirror_is_told_at_once() {
    check(&[
        (
            &rule("{ service = 'a b', share = '0%', methods = ['get', 'CONNECT', '*', 5], max_body = '2MiB', x = 1 }"),
            &[
                "2:22: rules.mirror.service: \"a b\" is not a service's name; must be 1 to 63 of a-z, 0-9, '.', '_', '-', with a letter or digit at both ends",
                r#"2:37: rules.mirror.share: "0%" is not a share; must be "0.01%" to "100%", such as "10%""#,
                r#"2:54: rules.mirror.methods: "get" is not a method; must be a method in upper case that is not CONNECT, such as "GET""#,
                r#"2:61: rules.mirror.methods: "CONNECT" is not a method; must be a method in upper case that is not CONNECT, such as "GET""#,
                r#"2:72: rules.mirror.methods: "*" is not a method; must be a method in upper case that is not CONNECT, such as "GET""#,
                "2:77: rules.mirror.methods: is an integer; must be a method, as a text in quotes",
                r#"2:92: rules.mirror.max_body: is out of range; must be 1 byte to "1MiB""#,
                "2:100: rules.mirror.x: is not known; known keys: max_body, methods, service, share",
            ],
        ),
        (&rule("{ share = '10%' }"), &["2:10: rules.mirror.service: is missing; every rules.mirror needs it"]),
        (&rule("{ service = 'a', methods = [] }"), &["2:37: rules.mirror.methods: must have 1 to 16 methods"]),
        (
            &rule("{ service = 'a', share = 0.1, max_body = 0 }"),
            &[
                "2:35: rules.mirror.share: is a float; must be a share, as a text in quotes",
                r#"2:51: rules.mirror.max_body: 0 is not a size; must be a number of bytes such as 65536, or a text such as "64KiB", "10MiB" or "1GiB", at least 1"#,
            ],
        ),
        (
            &rule("{ service = 'a', max_body = 1048577 }"),
            &[r#"2:38: rules.mirror.max_body: is out of range; must be 1 byte to "1MiB""#],
        ),
        (
            "[[rules]]\nservice = 'a'\nmirror = { service = 'a' }\n[[rules]]\nservice = 'b'\n[rules.mirror]\nservice = 'b'",
            &[
                "3:10: rules.mirror: copies requests of \"a\" to itself; must name another service",
                "6:1: rules.mirror: copies requests of \"b\" to itself; must name another service",
            ],
        ),
        (&rule("true"), &["2:10: rules.mirror: is of type boolean; must be a table, or false"]),
    ]);
}

#[test]
fn a_mirror_has_defaults_and_can_be_taken_away() {
    let said = |mirror: &str| parse(&rule(mirror)).rules.remove(0).rule.options.mirror;
    let Said::Is(mirror) = said("{ service = 'search-next' }") else { panic!("it is said") };
    assert_eq!(
        (mirror.service.as_str(), mirror.share.to_string(), mirror.max_body),
        ("search-next", "100%".to_owned(), 65_536)
    );
    assert_eq!(mirror.methods.iter().map(http::Method::as_str).collect::<Vec<_>>(), ["GET", "HEAD"]);
    let full = "{ service = 'b', share = '0.5%', methods = ['POST'], max_body = '1MiB' }";
    let Said::Is(mirror) = said(full) else { panic!("it is said") };
    assert_eq!((mirror.share.to_string(), mirror.max_body), ("0.5%".to_owned(), MAX_MIRROR_BODY));
    assert_eq!(mirror.methods.iter().map(http::Method::as_str).collect::<Vec<_>>(), ["POST"]);
    assert_eq!(said("false"), Said::Off);
}
