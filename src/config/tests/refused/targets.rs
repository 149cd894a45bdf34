//! What furt answers itself: `redirect` and `respond` of static routes.

use super::check;

/// An entry for `GET /a/*` at `a.example`, with these lines.
fn entry(more: &str) -> String {
    format!("[[routes]]\nmethod = 'GET'\nhost = 'a.example'\npath = '/a/*'\n{more}")
}

#[test]
fn a_route_has_one_target_and_it_is_a_table() {
    check(&[
        (
            &entry("url = 'http://10.0.0.1'\nredirect = { host = 'b' }\nrespond = { body = '' }"),
            &[
                "6:12: routes.redirect: stands beside url; must be one of url, service, redirect and respond",
                "7:11: routes.respond: stands beside url; must be one of url, service, redirect and respond",
            ],
        ),
        (
            &entry("redirect = false\nrespond = 'x'"),
            &[
                "5:12: routes.redirect: is of type boolean; must be a table",
                "6:11: routes.respond: is of type string; must be a table",
                "6:11: routes.respond: stands beside redirect; must be one of url, service, redirect and respond",
            ],
        ),
        (
            &entry("redirect = { host = 'b' }\ntls_name = 'b'\nca = '/ca.pem'\nprotocol = 'h2c'"),
            &[
                "6:12: routes.tls_name: has no use without an https url; must be left out",
                "7:6: routes.ca: has no use without an https url; must be left out",
                "8:12: routes.protocol: has no use without a url; must be left out",
            ],
        ),
    ]);
}

#[test]
fn a_redirect_leads_to_another_place() {
    check(&[
        (
            &entry(
                "redirect = { scheme = 'ftp', host = 'b:1', port = 0, strip = '/a/', add = 'x', status = 300, to = '/' }",
            ),
            &[
                r#"5:23: routes.redirect.scheme: "ftp" is not known; must be "http" or "https""#,
                r#"5:37: routes.redirect.host: "b:1" is not a host; must be a host name without a port, such as "shop.example""#,
                "5:51: routes.redirect.port: 0 is out of range; must be a whole number from 1 to 65535",
                r#"5:62: routes.redirect.strip: "/a/" is not a prefix of paths; must be whole segments of a path, such as "/api/v1", without "*" and a slash at the end"#,
                r#"5:75: routes.redirect.add: "x" is not a prefix of paths; must be whole segments of a path, such as "/api/v1", without "*" and a slash at the end"#,
                "5:89: routes.redirect.status: is no status of a redirect; must be 301, 302, 303, 307 or 308",
                "5:94: routes.redirect.to: is not known; known keys: add, host, port, scheme, status, strip",
            ],
        ),
        (
            &entry("redirect = { status = 308 }"),
            &["5:12: routes.redirect: names no other place; must have scheme, host, port, strip or add"],
        ),
        (
            &entry("redirect = { strip = '/b', host = 'b.example' }"),
            &[r#"5:22: routes.redirect.strip: "/b" does not begin the path of the route; must be its first segments"#],
        ),
        (
            &entry("redirect.host = 'A.Example.'"),
            &["5:1: routes.redirect: leads back to the route itself; must lead elsewhere"],
        ),
        (
            &entry("redirect = { strip = '/a', add = '/a' }"),
            &["5:12: routes.redirect: leads back to the route itself; must lead elsewhere"],
        ),
        (
            &entry("redirect = { add = '/a', status = 301 }"),
            &["5:12: routes.redirect: leads back to the route itself; must lead elsewhere"],
        ),
    ]);
}

#[test]
fn a_respond_has_one_body_where_its_status_has_any() {
    let large = "x".repeat(64 * 1024 + 1);
    check(&[
        (
            &entry("respond = { status = 100, type = \"a\\nb\", body = 1, file = '' }"),
            &[
                "5:22: routes.respond.status: 100 is out of range; must be a whole number from 200 to 599",
                r#"5:34: routes.respond.type: "a\nb" is not a type; must be visible ASCII, such as "text/html; charset=utf-8""#,
                "5:49: routes.respond.body: is an integer; must be a body, as a text in quotes",
                "5:59: routes.respond.file: is a string; must be the path of a file",
            ],
        ),
        (&entry("respond = {}"), &["5:11: routes.respond: has no body; must have body or file"]),
        (
            &entry("respond = { body = 'a', file = '/b' }"),
            &["5:32: routes.respond.file: stands beside body; must be one of the two"],
        ),
        (
            &entry("respond = { status = 204, body = '', type = 'text/plain' }"),
            &[
                "5:34: routes.respond.body: has no use with status 204; must be left out",
                "5:45: routes.respond.type: has no use with status 204; must be left out",
            ],
        ),
        (
            &entry("respond = { status = 304, file = '/b' }"),
            &["5:34: routes.respond.file: has no use with status 304; must be left out"],
        ),
        (
            &entry(&format!("respond.body = '{large}'")),
            &[&format!("5:16: routes.respond.body: \"{}…\" is not a body; must have at most 64 KiB", "x".repeat(80))],
        ),
    ]);
}
