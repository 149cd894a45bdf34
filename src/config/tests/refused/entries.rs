//! Entries of lists: keys, grants, static routes.

use super::check;

#[test]
fn entries_need_their_keys_and_are_unique() {
    check(&[
        (
            "[[api_keys]]",
            &[
                "1:1: api_keys.name: is missing; every [[api_keys]] needs it",
                "1:1: api_keys.permissions: is missing; every [[api_keys]] needs it",
                "1:1: api_keys.sha256: is missing; every [[api_keys]] needs it, or certificate_sha256",
            ],
        ),
        (
            "[[grants]]\npublic = 1",
            &[
                "1:1: grants.service: is missing; every [[grants]] needs it",
                "2:10: grants.public: is an integer; must be true or false",
            ],
        ),
        (
            "[[routes]]",
            &[
                "1:1: routes.method: is missing; every [[routes]] needs it",
                "1:1: routes.path: is missing; every [[routes]] needs it",
                "1:1: routes.url: is missing; every [[routes]] needs a url, or service, redirect or respond",
            ],
        ),
        (
            "[[api_keys]]\nname = 'a'\nsha256 = 'abababababababababababababababababababababababababababababababab'\npermissions = []\n[[api_keys]]\nname = 'a'\nsha256 = 'ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB'\npermissions = []",
            &[
                r#"6:8: api_keys.name: "a" is the key in line 2 already; must be unique"#,
                "7:10: api_keys.sha256: is the same secret as in line 3; must be unique",
            ],
        ),
        (
            "[[grants]]\nservice = 'a'\n[[grants]]\nservice = 'a'",
            &[r#"4:11: grants.service: "a" has the grant in line 2 already; must have one grant"#],
        ),
        (
            "[[grants]]\nservice = 'a'\npaths = '/a,/b'\npermissions = ['a*']\nupstreams = 1\nhosts = [1]",
            &[
                "3:9: grants.paths: is a string; must be an array of texts in quotes",
                "4:16: grants.permissions: \"a*\" is not a permission; must be 1 to 128 visible ASCII characters without '*', '\"' and '\\', such as \"comments:read\", or \"comments:*\", or \"*\"",
                "5:13: grants.upstreams: is an integer; must be an array of texts in quotes, or one text with commas",
                "6:10: grants.hosts: is an integer; must be a host, as a text in quotes",
            ],
        ),
        (
            "[[api_keys]]\nname = 'a b'\nsha256 = 'x'\npermissions = ['*:a']\nallow_from = 'x'\nrate = '1'",
            &[
                r#"2:8: api_keys.name: "a b" is not a name; must be 1 to 63 of A-Z, a-z, 0-9, '.', '_', ':', '@', '-', and not "." or "..""#,
                "3:10: api_keys.sha256: is not a SHA-256; must be 64 hexadecimal digits, the SHA-256 of the secret",
                "4:16: api_keys.permissions: \"*:a\" is not a permission; must be 1 to 128 visible ASCII characters without '*', '\"' and '\\', such as \"comments:read\", or \"comments:*\", or \"*\"",
                r#"5:14: api_keys.allow_from: "x" is not a network; must be an address or a network such as "10.0.0.0/8""#,
                r#"6:8: api_keys.rate: "1" is not a rate; must be a rate such as "20/s" or "300/m""#,
            ],
        ),
    ]);
}

#[test]
fn static_routes_lead_somewhere_and_claim_nothing_twice() {
    check(&[
        (
            "[[routes]]\nmethod = 'get'\npath = '/a*'\nurl = 'ftp://h'\nservice = 'A'\npermission = 'a b'\nexclusive = 1\ntls_name = '::'\nhost = 'a:1'\nprotocol = 'h2'",
            &[
                r#"2:10: routes.method: "get" is not a method to route; must be "*" or a method in upper case, such as "GET""#,
                r#"3:8: routes.path: "/a*" is not a path pattern; a '*' must be a whole segment"#,
                "4:7: routes.url: is not an instance's url; must begin with http:// or https://",
                r#"5:11: routes.service: "A" is not a service's name; must be 1 to 63 of a-z, 0-9, '.', '_', '-', with a letter or digit at both ends"#,
                "5:11: routes.service: stands beside url; must be one of url, service, redirect and respond",
                "6:14: routes.permission: \"a b\" is not a permission; must be 1 to 128 visible ASCII characters without '*', '\"' and '\\', such as \"comments:read\"",
                "7:13: routes.exclusive: is an integer; must be true or false",
                r#"8:12: routes.tls_name: "::" is not a certificate's name; must be a host name without a port, such as "shop.example""#,
                r#"9:8: routes.host: "a:1" is not a host; must be a host name without a port, such as "shop.example""#,
                r#"10:12: routes.protocol: "h2" is not a protocol; must be "http1" or "h2c""#,
                "10:12: routes.protocol: has no use beside service, whose instances say what they speak; must be left out",
            ],
        ),
        (
            "[[routes]]\nmethod = 'GET'\npath = '/x'\nservice = 'a'\nprotocol = 'h2c'",
            &[
                "5:12: routes.protocol: has no use beside service, whose instances say what they speak; must be left out",
            ],
        ),
        (
            "[[routes]]\nmethod = 'CONNECT'\npath = '/internal'\nservice = 'a'",
            &[
                r#"2:10: routes.method: "CONNECT" is not a method to route; CONNECT cannot be routed"#,
                r#"3:8: routes.path: "/internal" is furt's own; must not be /health, nor lie at or below /internal"#,
            ],
        ),
        (
            "[[routes]]\nmethod = 'GET'\npath = '/%69nternal/x'\nservice = 'a'",
            &[r#"3:8: routes.path: "/internal/x" is furt's own; must not be /health, nor lie at or below /internal"#],
        ),
        (
            "[[routes]]\nmethod = 'GET'\npath = '/health'\nservice = 'a'\ntls_name = 'b'",
            &[
                r#"3:8: routes.path: "/health" is furt's own; must not be /health, nor lie at or below /internal"#,
                "5:12: routes.tls_name: has no use without an https url; must be left out",
            ],
        ),
        (
            "[[routes]]\nmethod = 'GET'\npath = '/x'\nurl = 'https://10.0.0.1'",
            &["4:7: routes.url: is https by bare address; must have a tls_name, for which the certificate is checked"],
        ),
        (
            "[[routes]]\nmethod = 'GET'\npath = '/x'\nurl = 'http://10.0.0.1'\ntls_name = 'b'",
            &["5:12: routes.tls_name: has no use without an https url; must be left out"],
        ),
        (
            "[[routes]]\nmethod = 'GET'\npath = '/x'\nurl = 'https://10.0.0.1'\ntls_name = '10.0.0.1'",
            &[r#"5:12: routes.tls_name: "10.0.0.1" is not a certificate's name; must be a name, not an address"#],
        ),
        (
            "[[routes]]\nmethod = 'GET'\npath = '/x'\nurl = 'http://127.0.0.1:8081'",
            &["4:7: routes.url: leads to furt's own listener 127.0.0.1:8081; must lead elsewhere"],
        ),
        (
            "internal.listen = ['127.0.0.1:1', '127.0.0.1:2']\n[[routes]]\nmethod = 'GET'\npath = '/x'\nurl = 'http://127.0.0.1:2'",
            &["5:7: routes.url: leads to furt's own listener 127.0.0.1:2; must lead elsewhere"],
        ),
        (
            "[[routes]]\nmethod = 'GET'\npath = '/x'\nurl = 'http://[::1]:7811'",
            &["4:7: routes.url: leads to furt's own listener 0.0.0.0:7811; must lead elsewhere"],
        ),
        (
            "[[routes]]\nmethod = 'GET'\npath = '/x'\nurl = 'http://169.254.169.254'",
            &["4:7: routes.url: leads to 169.254.169.254; must not be an unspecified, link-local or metadata address"],
        ),
        (
            "[[routes]]\nmethod = 'GET'\npath = '/x/*'\nservice = 'a'\n[[routes]]\nmethod = 'GET'\npath = '/%78/*'\nservice = 'b'\n[[routes]]\nhost = 'h'\nmethod = 'GET'\npath = '/x/*'\nservice = 'b'\n[[routes]]\nmethod = '*'\npath = '/x/*'\nservice = 'c'",
            &[r#"7:8: routes.path: "GET /x/*" is claimed in line 3 already; must differ in host, method or path"#],
        ),
    ]);
}
