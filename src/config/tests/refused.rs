//! What is refused, and the exact lines that say so. Each table holds a text and its errors without the file's name.

use super::super::Config;

/// Checks that each text gives exactly these errors, in this order.
fn check(table: &[(&str, &[&str])]) {
    for (text, expected) in table {
        let errors = Config::parse("furt.toml", text, &|_| None).err().map(|errors| errors.to_string());
        let lines: Vec<_> = expected.iter().map(|line| format!("furt.toml:{line}")).collect();
        assert_eq!(errors, Some(lines.join("\n")), "{text}");
    }
}

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
                "1:1: x: is not known; known keys: access_log, api_keys, apps, client, gateway, geo, grants, internal, limits, registration, routes, server, store, upstream",
            ],
        ),
        ("[store]\n\"\" = 1", &["2:1: store.\"\": is not known; known keys: kind, path"]),
        ("[srever]\ngrace = 1", &[r#"1:2: srever: is not known; did you mean "server"?"#]),
        (
            "[server]\ngraec = 1\n  zzz = 2",
            &[
                r#"2:1: server.graec: is not known; did you mean "grace"?"#,
                "3:3: server.zzz: is not known; known keys: grace, listen, max_connections, proxy_headers, threads, trusted_proxies, via",
            ],
        ),
        (
            "[server.tls]\na = 1",
            &[
                "1:9: server.tls: is not known; known keys: grace, listen, max_connections, proxy_headers, threads, trusted_proxies, via",
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
        ("[store]\nfile = 'data/furt.redb'", &["2:1: store.file: is not known; known keys: kind, path"]),
        (
            "[[api_keys]]\nname = 'a'\npermissions = []\nsha256 = 'abababababababababababababababababababababababababababababababab'\nkey = 'a secret'",
            &["5:1: api_keys.key: is not known; known keys: allow_from, burst, name, permissions, rate, sha256"],
        ),
    ]);
}

#[test]
fn a_place_is_a_region_a_file_and_a_header_that_means_nothing_else() {
    check(&[
        (
            "[geo]\nregion = 'EU'\ndatabase = ''\nheader = 'a b'\ncountry = 'DE'",
            &[
                r#"2:10: geo.region: "EU" is not a region; must be 1 to 32 of a-z, 0-9, '-'"#,
                "3:12: geo.database: is a string; must be the path of a file",
                r#"4:10: geo.header: "a b" is not a header for countries; must be the name of a header, such as "CF-IPCountry""#,
                "5:1: geo.country: is not known; known keys: database, header, region",
            ],
        ),
        (
            "[geo]\nheader = ''",
            &[
                r#"2:10: geo.header: "" is not a header for countries; must be the name of a header, such as "CF-IPCountry""#,
            ],
        ),
        (
            "[geo]\nheader = 1\n",
            &["2:10: geo.header: is an integer; must be a header for countries, as a text in quotes"],
        ),
    ]);
    for name in
        ["Connection", "TE", "Host", "Forwarded", "X-Forwarded-Country", "X_Api_Key_Name", "x-request-id", "X-Gateway"]
    {
        let line = format!(
            "2:10: geo.header: \"{name}\" is not a header for countries; \
             must be a header that means nothing else, such as \"CF-IPCountry\""
        );
        check(&[(&format!("[geo]\nheader = '{name}'"), &[&line])]);
    }
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
                "1:16: api_keys.sha256: is missing; every [[api_keys]] needs it",
            ],
        ),
        (
            "server = { grace = 'x', zz = 2 }",
            &[
                r#"1:20: server.grace: "x" is not a duration; must be seconds such as 30 or 0.5, or a text such as "30s", "500ms", "2m" or "1h""#,
                "1:25: server.zz: is not known; known keys: grace, listen, max_connections, proxy_headers, threads, trusted_proxies, via",
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

#[test]
fn listeners_are_addresses_with_ports_of_their_own() {
    check(&[
        (
            "[server]\nlisten = []",
            &[r#"2:10: server.listen: is empty; must be at least one address, such as "0.0.0.0:7811""#],
        ),
        (
            "[server]\nlisten = ''",
            &[r#"2:10: server.listen: is empty; must be at least one address, such as "0.0.0.0:7811""#],
        ),
        (
            "[server]\nlisten = 80",
            &["2:10: server.listen: is an integer; must be an array of texts in quotes, or one text with commas"],
        ),
        (
            "[server]\nlisten = '0.0.0.0'",
            &[
                r#"2:10: server.listen: "0.0.0.0" is not an address to listen on; must be an address with a port, such as "127.0.0.1:7811" or "[::]:7811""#,
            ],
        ),
        (
            "[server]\nlisten = ['0.0.0.0:80',\n  'x', 5, 'localhost:80']",
            &[
                r#"3:3: server.listen: "x" is not an address to listen on; must be an address with a port, such as "127.0.0.1:7811" or "[::]:7811""#,
                "3:8: server.listen: is an integer; must be an address to listen on, as a text in quotes",
                r#"3:11: server.listen: "localhost:80" is not an address to listen on; must be an address with a port, such as "127.0.0.1:7811" or "[::]:7811""#,
            ],
        ),
        (
            "[server]\nlisten = ['0.0.0.0:80', '0.0.0.0:80']",
            &["2:10: server.listen: names 0.0.0.0:80 twice; must name each address once"],
        ),
        (
            "[internal]\nlisten = 1",
            &["2:10: internal.listen: is an integer; must be an array of texts in quotes, or one text with commas"],
        ),
        (
            "[internal]\nlisten = []",
            &[r#"2:10: internal.listen: is empty; must be at least one address, such as "127.0.0.1:8081""#],
        ),
        (
            "[internal]\nlisten = ['127.0.0.1:1', '127.0.0.1:1', '127.0.0.1:2', '0.0.0.0:2', '[::]:2', '[::1]:2']",
            &[
                "2:10: internal.listen: names 127.0.0.1:1 twice; must name each address once",
                "2:10: internal.listen: names 127.0.0.1:2 and 0.0.0.0:2, which overlap; must name one of them, or another port",
                "2:10: internal.listen: names [::]:2 and [::1]:2, which overlap; must name one of them, or another port",
            ],
        ),
        (
            "[internal]\nlisten = ['127.0.0.1:8081', '127.0.0.1:7811', '[::1]:7811']",
            &[
                "2:10: internal.listen: 127.0.0.1:7811 is server.listen 0.0.0.0:7811 too; must have a port of its own",
                "2:10: internal.listen: [::1]:7811 is server.listen 0.0.0.0:7811 too; must have a port of its own",
            ],
        ),
        (
            "[internal]\nlisten = '0.0.0.0:7811'",
            &["2:10: internal.listen: 0.0.0.0:7811 is server.listen 0.0.0.0:7811 too; must have a port of its own"],
        ),
        (
            "[internal]\nlisten = '127.0.0.1:7811'",
            &["2:10: internal.listen: 127.0.0.1:7811 is server.listen 0.0.0.0:7811 too; must have a port of its own"],
        ),
        (
            "[server]\nlisten = '127.0.0.1:8081'",
            &["2:10: server.listen: 127.0.0.1:8081 is internal.listen 127.0.0.1:8081 too; must have a port of its own"],
        ),
        (
            "[server]\nlisten = '[::]:8081'",
            &["2:10: server.listen: [::]:8081 is internal.listen 127.0.0.1:8081 too; must have a port of its own"],
        ),
        (
            "[server]\nlisten = 'x'\n[internal]\nlisten = '0.0.0.0:7811'",
            &[
                r#"2:10: server.listen: "x" is not an address to listen on; must be an address with a port, such as "127.0.0.1:7811" or "[::]:7811""#,
            ],
        ),
    ]);
}

#[test]
fn durations_are_numbers_or_texts_within_bounds() {
    check(&[
        (
            "[server]\ngrace = 'soon'",
            &[
                r#"2:9: server.grace: "soon" is not a duration; must be seconds such as 30 or 0.5, or a text such as "30s", "500ms", "2m" or "1h""#,
            ],
        ),
        (
            "[server]\ngrace = '1w'",
            &[
                r#"2:9: server.grace: "1w" is not a duration; must be seconds such as 30 or 0.5, or a text such as "30s", "500ms", "2m" or "1h""#,
            ],
        ),
        (
            "[server]\ngrace = '-1s'",
            &[
                r#"2:9: server.grace: "-1s" is not a duration; must be seconds such as 30 or 0.5, or a text such as "30s", "500ms", "2m" or "1h""#,
            ],
        ),
        (
            "[server]\ngrace = '1.s'",
            &[
                r#"2:9: server.grace: "1.s" is not a duration; must be seconds such as 30 or 0.5, or a text such as "30s", "500ms", "2m" or "1h""#,
            ],
        ),
        (
            "[server]\ngrace = '.5s'",
            &[
                r#"2:9: server.grace: ".5s" is not a duration; must be seconds such as 30 or 0.5, or a text such as "30s", "500ms", "2m" or "1h""#,
            ],
        ),
        (
            "[server]\ngrace = ''",
            &[
                r#"2:9: server.grace: "" is not a duration; must be seconds such as 30 or 0.5, or a text such as "30s", "500ms", "2m" or "1h""#,
            ],
        ),
        ("[server]\ngrace = '2000h'", &[r#"2:9: server.grace: "2000h" is out of range; must be from 0 to 30 days"#]),
        ("[server]\ngrace = -1", &["2:9: server.grace: -1 is out of range; must be from 0 to 30 days"]),
        (
            "[server]\ngrace = true",
            &[
                r#"2:9: server.grace: is a boolean; must be seconds such as 30 or 0.5, or a text such as "30s", "500ms", "2m" or "1h""#,
            ],
        ),
        ("[server]\ngrace = 1e400", &["2:9: server.grace: 1e400 is out of range; must be from 0 to 30 days"]),
        ("[server]\ngrace = nan", &["2:9: server.grace: nan is out of range; must be from 0 to 30 days"]),
        ("[server]\ngrace = 2592001", &["2:9: server.grace: 2592001 is out of range; must be from 0 to 30 days"]),
        (
            "[server]\ngrace = 99999999999999999999999",
            &["2:9: server.grace: 99999999999999999999999 is out of range; must be from 0 to 30 days"],
        ),
        ("[server]\ngrace = 0.0001", &["2:9: server.grace: 0.0001 is out of range; must be from 0 to 30 days"]),
        (
            "[gateway]\nhealth_check_interval = 0",
            &["2:25: gateway.health_check_interval: 0 is out of range; must be from 1 ms to 30 days"],
        ),
        (
            "[client]\nheader_timeout = '0s'",
            &[r#"2:18: client.header_timeout: "0s" is out of range; must be from 1 ms to 30 days"#],
        ),
        (
            "[registration]\nheartbeat_ttl = 0",
            &["2:17: registration.heartbeat_ttl: 0 is out of range; must be from 1 s to 1 day"],
        ),
        (
            "[registration]\nheartbeat_ttl = '999ms'",
            &[r#"2:17: registration.heartbeat_ttl: "999ms" is out of range; must be from 1 s to 1 day"#],
        ),
        (
            "[registration]\nheartbeat_ttl = 86401",
            &["2:17: registration.heartbeat_ttl: 86401 is out of range; must be from 1 s to 1 day"],
        ),
    ]);
}

#[test]
fn single_values_say_what_would_be_right() {
    check(&[
        (
            "[server]\nmax_connections = 0",
            &["2:19: server.max_connections: 0 is out of range; must be a whole number from 1 to 10000000"],
        ),
        (
            "[server]\nmax_connections = 1.5",
            &["2:19: server.max_connections: is a float; must be a whole number from 1 to 10000000"],
        ),
        (
            "[server]\nthreads = 0x1000",
            &["2:11: server.threads: 0x1000 is out of range; must be a whole number from 1 to 1024"],
        ),
        ("[server]\nthreads = '4'", &["2:11: server.threads: is a string; must be a whole number from 1 to 1024"]),
        (
            "[server]\ntrusted_proxies = ['10.0.0.0/33', 'ok']",
            &[
                r#"2:20: server.trusted_proxies: "10.0.0.0/33" is not a network; must be an address or a network such as "10.0.0.0/8""#,
                r#"2:35: server.trusted_proxies: "ok" is not a network; must be an address or a network such as "10.0.0.0/8""#,
            ],
        ),
        (
            "[server]\ntrusted_proxies = '127.0.0.1, x'",
            &[
                r#"2:19: server.trusted_proxies: "x" is not a network; must be an address or a network such as "10.0.0.0/8""#,
            ],
        ),
        (
            "[server]\ntrusted_proxies = 1",
            &[
                "2:19: server.trusted_proxies: is an integer; must be an array of texts in quotes, or one text with commas",
            ],
        ),
        (
            "[internal]\nhosts = ['a b', 'x:80']",
            &[
                r#"2:10: internal.hosts: "a b" is not a host; must be a host name without a port, such as "shop.example""#,
                r#"2:17: internal.hosts: "x:80" is not a host; must be a host name without a port, such as "shop.example""#,
            ],
        ),
        ("[gateway]\nenabled = 'yes'", &["2:11: gateway.enabled: is a string; must be true or false"]),
        (
            "[gateway]\nmax_consecutive_failures = 0",
            &["2:28: gateway.max_consecutive_failures: 0 is out of range; must be a whole number from 1 to 1000000"],
        ),
        (
            "[gateway]\nallow_registration_from = ['home']",
            &[
                r#"2:28: gateway.allow_registration_from: "home" is not a network; must be an address or a network such as "10.0.0.0/8""#,
            ],
        ),
        (
            "[registration]\nrate = '20/h'",
            &[r#"2:8: registration.rate: "20/h" is not a rate; must be a rate such as "20/s" or "300/m""#],
        ),
        ("[registration]\nrate = 20", &["2:8: registration.rate: is an integer; must be a rate, as a text in quotes"]),
        (
            "[limits]\naddress_rate = 50\naddress_connections = 0\nmax_body = '10MB'",
            &[
                "2:16: limits.address_rate: is an integer; must be a rate, as a text in quotes",
                "3:23: limits.address_connections: 0 is out of range; must be a whole number from 1 to 10000000",
                "4:12: limits.max_body: \"10MB\" is not a size; must be a number of bytes such as 65536, or a text such as \"64KiB\", \"10MiB\" or \"1GiB\", at least 1",
            ],
        ),
        (
            "[registration]\nburst = 0",
            &["2:9: registration.burst: 0 is out of range; must be a whole number from 1 to 1000000"],
        ),
        (
            "[registration]\nunlisted = 'no'",
            &[r#"2:12: registration.unlisted: "no" is not known; must be "loopback" or "allow" or "deny""#],
        ),
        (
            "[registration]\nunlisted = false",
            &[r#"2:12: registration.unlisted: is a boolean; must be "loopback" or "allow" or "deny""#],
        ),
        (
            "[upstream]\nretries = 11",
            &["2:11: upstream.retries: 11 is out of range; must be a whole number from 0 to 10"],
        ),
        (
            "[upstream]\nretries = -1",
            &["2:11: upstream.retries: -1 is out of range; must be a whole number from 0 to 10"],
        ),
        ("[upstream]\nca = ''", &["2:6: upstream.ca: is a string; must be the path of a file"]),
        (
            "[apps]\ndomain = '127.0.0.1'",
            &[r#"2:10: apps.domain: "127.0.0.1" is not a domain; must be a name, not an address"#],
        ),
        ("[access_log]\npath = false", &["2:8: access_log.path: is a boolean; must be a path, as a text in quotes"]),
        ("[store]\nkind = 'etcd'", &[r#"2:8: store.kind: "etcd" is not a kind of store; must be "disk" or "memory""#]),
        (
            "[store]\nkind = 'memory'\npath = 'x'",
            &[r#"3:8: store.path: stands beside kind = "memory"; must be left out there"#],
        ),
        ("[store]\npath = ''", &[r#"2:8: store.path: "" is not a path; must name a file"#]),
    ]);
}

#[test]
fn secrets_are_never_repeated() {
    check(&[
        (
            "[internal]\noperator_token_sha256 = 'hunter2'",
            &[
                "2:25: internal.operator_token_sha256: is not a SHA-256; must be 64 hexadecimal digits, the SHA-256 of the secret",
            ],
        ),
        (
            "[internal]\noperator_token_sha256 = 12",
            &[
                "2:25: internal.operator_token_sha256: is an integer; must be 64 hexadecimal digits in quotes, the SHA-256 of the secret",
            ],
        ),
        (
            "[[grants]]\nservice = 'a'\ntoken_sha256 = 'hunter2'",
            &["3:16: grants.token_sha256: is not a SHA-256; must be 64 hexadecimal digits, the SHA-256 of the secret"],
        ),
        (
            "[[routes]]\nmethod = 'GET'\npath = '/x'\nurl = 'http://user:hunter2@h'",
            &["4:7: routes.url: is not an instance's url; must not carry a user or password"],
        ),
    ]);
}

#[test]
fn values_that_contradict_each_other_are_blamed_on_what_was_set() {
    check(&[
        (
            "[gateway]\nmax_consecutive_failures = 11",
            &[
                "2:28: gateway.max_consecutive_failures: probing would stop after 10 failures, before 11 make an instance DOWN; stop_ping_after_failures must be at least max_consecutive_failures",
            ],
        ),
        (
            "[gateway]\nmax_consecutive_failures = 3\nstop_ping_after_failures = 2",
            &[
                "3:28: gateway.stop_ping_after_failures: probing would stop after 2 failures, before 3 make an instance DOWN; stop_ping_after_failures must be at least max_consecutive_failures",
            ],
        ),
        (
            "[gateway]\nmax_consecutive_failures = 99999999\nstop_ping_after_failures = 2",
            &[
                "2:28: gateway.max_consecutive_failures: 99999999 is out of range; must be a whole number from 1 to 1000000",
            ],
        ),
        (
            "[upstream]\nread_timeout = '2h'",
            &[
                "2:16: upstream.read_timeout: streams would be cut after 3600 s, earlier than other answers after 7200 s; stream_read_timeout must be at least read_timeout",
            ],
        ),
        (
            "[upstream]\nread_timeout = 60\nstream_read_timeout = 59.5",
            &[
                "3:23: upstream.stream_read_timeout: streams would be cut after 59.5 s, earlier than other answers after 60 s; stream_read_timeout must be at least read_timeout",
            ],
        ),
    ]);
}

#[test]
fn entries_need_their_keys_and_are_unique() {
    check(&[
        (
            "[[api_keys]]",
            &[
                "1:1: api_keys.name: is missing; every [[api_keys]] needs it",
                "1:1: api_keys.permissions: is missing; every [[api_keys]] needs it",
                "1:1: api_keys.sha256: is missing; every [[api_keys]] needs it",
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
                "1:1: routes.url: is missing, and so is service; every [[routes]] needs one of the two",
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
            "[[routes]]\nmethod = 'get'\npath = '/a*'\nurl = 'ftp://h'\nservice = 'A'\npermission = 'a b'\nexclusive = 1\ntls_name = '::'\nhost = 'a:1'",
            &[
                r#"2:10: routes.method: "get" is not a method to route; must be "*" or a method in upper case, such as "GET""#,
                r#"3:8: routes.path: "/a*" is not a path pattern; a '*' must be a whole segment"#,
                "4:7: routes.url: is not an instance's url; must begin with http:// or https://",
                r#"5:11: routes.service: "A" is not a service's name; must be 1 to 63 of a-z, 0-9, '.', '_', '-', with a letter or digit at both ends"#,
                "5:11: routes.service: stands beside url; must be one of the two",
                "6:14: routes.permission: \"a b\" is not a permission; must be 1 to 128 visible ASCII characters without '*', '\"' and '\\', such as \"comments:read\"",
                "7:13: routes.exclusive: is an integer; must be true or false",
                r#"8:12: routes.tls_name: "::" is not a certificate's name; must be a host name without a port, such as "shop.example""#,
                r#"9:8: routes.host: "a:1" is not a host; must be a host name without a port, such as "shop.example""#,
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
