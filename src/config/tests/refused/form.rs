//! What a file may not be: text, keys, tables.

use super::check;

#[test]
fn what_is_not_toml_is_told_line_by_line() {
    check(&[
        ("[server\ngrace = 1", &["1:8: TOML: unclosed table; expected `]`"]),
        (
            "[server]\ngrace = \n[internal]\nlisten = 'a\n[gateway]\nmax_consecutive_failures = 0",
            &[
                "2:9: TOML: string values must be quoted; expected literal string",
                "4:12: TOML: invalid literal string; expected `'`",
            ],
        ),
        ("hosts = [1,\n", &["1:12: TOML: unclosed array; expected `]`"]),
        ("=", &["1:1: TOML: unquoted keys cannot be empty; expected letters, numbers, `-`, `_`"]),
        (
            &format!("[a\n{}b = 1", "a.".repeat(200)),
            &["1:1: TOML: recursion limit, at a place that is not told", "1:3: TOML: unclosed table; expected `]`"],
        ),
        ("a b = 1", &["1:3: TOML: key with no value; expected `=`"]),
        ("[server]\r\ngrace = 'é\r\n", &["2:12: TOML: invalid literal string; expected `'`"]),
        (
            "[[api_keys]]\nname = 'a'\nsha256 = 'abababababababababababababababababababababababababababababababab'\npermissions = []\nburst = 1",
            &["5:9: api_keys.burst: stands without rate; must be left out"],
        ),
        ("\u{feff}\u{feff}", &["1:1: TOML: a second byte order mark; must be at most one"]),
        ("\u{feff}x = y", &["1:5: TOML: string values must be quoted; expected literal string"]),
        ("[server]\ngrace = 1\ngrace = 'x'", &["3:1: grace: is set twice; must be set once"]),
        (
            "[server]\n[server]\ngrace = 'x'",
            &[
                "2:2: server: is set twice; must be set once",
                r#"3:9: server.grace: "x" is not a duration; must be seconds such as 30 or 0.5, or a text such as "30s", "500ms", "2m" or "1h""#,
            ],
        ),
    ]);
}

#[test]
fn unknown_keys_name_the_nearest_or_all_known_ones() {
    check(&[
        (
            "x = 1",
            &[
                "1:1: x: is not known; known keys: access_log, acme, api_keys, apps, certificates, client, client_auth, cluster, compression, forward_auth, gateway, geo, grants, internal, issuers, keys, limits, log, operators, pages, registration, routes, rules, server, store, tls, tracing, update, upstream, vault",
            ],
        ),
        (
            "[store]\n\"\" = 1",
            &[
                "2:1: store.\"\": is not known; known keys: ca, cert, endpoints, key, kind, namespace, password_file, path, user",
            ],
        ),
        ("[srever]\ngrace = 1", &[r#"1:2: srever: is not known; did you mean "server"?"#]),
        (
            "[server]\ngraec = 1\n  zzz = 2",
            &[
                r#"2:1: server.graec: is not known; did you mean "grace"?"#,
                "3:3: server.zzz: is not known; known keys: grace, http2, listen, max_connection_age, max_connections, max_requests, max_streams, \
                 proxy_headers, proxy_protocol_from, threads, trusted_proxies, upgrade_grace, via",
            ],
        ),
        (
            "[server.tls]\na = 1",
            &[
                "1:9: server.tls: is not known; known keys: grace, http2, listen, max_connection_age, max_connections, max_requests, max_streams, \
                 proxy_headers, proxy_protocol_from, threads, trusted_proxies, upgrade_grace, via",
            ],
        ),
        ("[server]\n\"gra\\nce\" = 1", &["2:1: server.gra\\nce: is not known; did you mean \"grace\"?"]),
        (
            "[gateway]\nhealth-check-interval = 5",
            &[r#"2:1: gateway.health-check-interval: is not known; did you mean "health_check_interval"?"#],
        ),
        (
            "[client]\nkeepalive = 5",
            &[
                "2:1: client.keepalive: is not known; known keys: body_min_rate, body_min_rate_window, body_timeout, body_total_timeout, header_timeout, keepalive_timeout, write_timeout",
            ],
        ),
        (
            "[store]\nfile = 'data/furt.redb'",
            &[
                "2:1: store.file: is not known; known keys: ca, cert, endpoints, key, kind, namespace, password_file, path, user",
            ],
        ),
        (
            "[[api_keys]]\nname = 'a'\npermissions = []\nsha256 = 'abababababababababababababababababababababababababababababababab'\nkey = 'a secret'",
            &[
                "5:1: api_keys.key: is not known; known keys: allow_from, burst, certificate_sha256, name, permissions, rate, sha256",
            ],
        ),
    ]);
}

#[test]
fn tables_and_arrays_of_tables_are_told_apart() {
    check(&[
        ("server = 5", &["1:10: server: is of type integer; must be a table, written as [server]"]),
        ("[[server]]\ngrace=1", &["1:1: server: is of type array; must be a table, written as [server]"]),
        (
            "[api_keys]\nname = 'a'",
            &["1:1: api_keys: is of type table; must be an array of tables, each written as [[api_keys]]"],
        ),
        (
            "api_keys = [1, {name='a'}]",
            &[
                "1:13: api_keys: is of type integer; must be an array of tables, each written as [[api_keys]]",
                "1:16: api_keys.permissions: is missing; every [[api_keys]] needs it",
                "1:16: api_keys.sha256: is missing; every [[api_keys]] needs it, or certificate_sha256",
            ],
        ),
        (
            "server = { grace = 'x', zz = 2 }",
            &[
                r#"1:20: server.grace: "x" is not a duration; must be seconds such as 30 or 0.5, or a text such as "30s", "500ms", "2m" or "1h""#,
                "1:25: server.zz: is not known; known keys: grace, http2, listen, max_connection_age, max_connections, max_requests, max_streams, \
                 proxy_headers, proxy_protocol_from, threads, trusted_proxies, upgrade_grace, via",
            ],
        ),
        (
            "server.proxy_headers = ['X-Real-IP', 'a b', '', '_x', 'Host', 'content_length', 7]",
            &[
                r#"1:38: server.proxy_headers: "a b" is not a header that a proxy sets; must be the name of a header, such as "X-Real-IP""#,
                r#"1:45: server.proxy_headers: "" is not a header that a proxy sets; must be the name of a header, such as "X-Real-IP""#,
                r#"1:49: server.proxy_headers: "_x" is not a header that a proxy sets; must be the name of a header, such as "X-Real-IP""#,
                r#"1:55: server.proxy_headers: "Host" is not a header that a proxy sets; must not be one that the message itself needs"#,
                r#"1:63: server.proxy_headers: "content_length" is not a header that a proxy sets; must not be one that the message itself needs"#,
                "1:81: server.proxy_headers: is an integer; must be a header that a proxy sets, as a text in quotes",
            ],
        ),
        (
            "server.via = 'a b'",
            &[
                r#"1:14: server.via: "a b" is not a name in Via; must be 1 to 63 of letters, digits and signs such as "-" and ".""#,
            ],
        ),
        (
            "server.grace = 'x'",
            &[
                r#"1:16: server.grace: "x" is not a duration; must be seconds such as 30 or 0.5, or a text such as "30s", "500ms", "2m" or "1h""#,
            ],
        ),
    ]);
}
