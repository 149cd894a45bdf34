//! Values out of their bounds, and those that contradict each other.

use super::check;

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
            "[internal]\nadvertise = 'http://0.0.0.0:8081'",
            &[
                r#"2:13: internal.advertise: is not where clients can find a listener; must be "http://HOST:PORT" or "https://HOST:PORT", with a name or an address that others reach"#,
            ],
        ),
        (
            "[internal]\nadvertise = 'furt:8081'",
            &[
                r#"2:13: internal.advertise: is not where clients can find a listener; must be "http://HOST:PORT" or "https://HOST:PORT", with a name or an address that others reach"#,
            ],
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
        (
            "[acme]\nnames = ['*.a.example', '10.0.0.1', 'a b']",
            &[
                r#"2:10: acme.names: "*.a.example" is not a name for a certificate; must be one full name: an authority gives certificates for wildcards by DNS alone, which furt does not write; a wildcard of your own goes into [[certificates]]"#,
                r#"2:25: acme.names: "10.0.0.1" is not a name for a certificate; must be a name, not an address"#,
                r#"2:37: acme.names: "a b" is not a name for a certificate; must be a host name without a port, such as "shop.example""#,
            ],
        ),
        (
            "[acme]\nfrom_routes = ['*', '*.*.example']",
            &[
                r#"2:16: acme.from_routes: "*" is not a range of hosts; must be a host name without a port, such as "shop.example""#,
                r#"2:21: acme.from_routes: "*.*.example" is not a range of hosts; must be a host name without a port, such as "shop.example""#,
            ],
        ),
        (
            "[acme]\ndirectory = 'https://kid:secret@acme.example/directory'",
            &[
                "2:13: acme.directory: has a user or a password in it; must be without: acme.eab_kid and acme.eab_key_file name an account that the authority wants",
            ],
        ),
        (
            "[acme]\ndirectory = 'http://acme.example/directory'",
            &[
                "2:13: acme.directory: is not a directory; must be the https:// url of an ACME directory, such as \"https://acme-v02.api.letsencrypt.org/directory\"",
            ],
        ),
        (
            "[acme]\ncontact = ['ops', 'mailto:a@example.org?cc=b']\nprofile = ''\neab_kid = 'a b'\ncheck_at = 'host'",
            &[
                r#"2:12: acme.contact: "ops" is not a mail address; must be an address such as "ops@example.org""#,
                r#"2:19: acme.contact: "mailto:a@example.org?cc=b" is not a mail address; must be an address such as "ops@example.org""#,
                r#"3:11: acme.profile: "" is not a profile; must be 1 to 256 characters of ASCII without spaces"#,
                r#"4:11: acme.eab_kid: "a b" is not an id; must be 1 to 256 characters of ASCII without spaces"#,
                r#"5:12: acme.check_at: "host" is not where furt is reached; must be a host and a port, such as "10.0.0.7:80""#,
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
        (
            "[store]\nkind = 'redis'",
            &[r#"2:8: store.kind: "redis" is not a kind of store; must be "disk", "memory" or "etcd""#],
        ),
        (
            "[store]\nkind = 'etcd'",
            &[
                r#"2:8: store.kind: names no member; must be at least one url, such as ["http://127.0.0.1:2379"], with kind = "etcd""#,
            ],
        ),
        (
            "[store]\nkind = 'etcd'\nendpoints = ['10.0.0.5:2379']",
            &[
                r#"3:14: store.endpoints: "10.0.0.5:2379" is not a url of etcd; must be http:// or https:// with a host and a port, such as "https://10.0.0.5:2379""#,
            ],
        ),
        (
            "[store]\nkind = 'etcd'\nendpoints = ['http://h']",
            &[
                r#"3:14: store.endpoints: "http://h" is not a url of etcd; must be http:// or https:// with a host and a port, such as "https://10.0.0.5:2379""#,
            ],
        ),
        (
            "[store]\nkind = 'etcd'\nendpoints = ['http://u:p@h:1']",
            &[
                r#"3:14: store.endpoints: "http://u:p@h:1" is not a url of etcd; must have no user in it: store.user and store.password_file name it"#,
            ],
        ),
        (
            "[store]\nkind = 'etcd'\nendpoints = ['http://h:1']\nnamespace = 'A'\nuser = 'u'\nkey = 'k'\nca = 'c'\npath = 'x'",
            &[
                r#"4:13: store.namespace: "A" is not a namespace; must be 1 to 63 of a-z, 0-9, '.', '_', '-', with a letter or digit at both ends"#,
                "5:8: store.user: is of no use alone; store.password_file must be set as well",
                "6:7: store.key: is of no use alone; store.cert must be set as well",
                "7:6: store.ca: is of no use: no endpoint begins with https://",
                r#"8:8: store.path: stands beside kind = "etcd"; must be left out there"#,
            ],
        ),
        (
            "[store]\nkind = 'memory'\npath = 'x'",
            &[r#"3:8: store.path: stands beside kind = "memory"; must be left out there"#],
        ),
        ("[store]\npath = ''", &[r#"2:8: store.path: "" is not a path; must name a file"#]),
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
fn a_vault_is_reached_in_private_at_a_plain_url() {
    const RIGHT: &str = "is not where a Vault is; must be the https:// url of a Vault without a path, such as \"https://vault.example:8200\"";
    for (url, told) in [
        ("http://vault.example:8200", "would send the token in plain text; must be https:// beyond this host"),
        ("https://vault.example/v1", RIGHT),
        ("https://vault.example?x", RIGHT),
        ("ftp://127.0.0.1", RIGHT),
        ("vault.example:8200", RIGHT),
    ] {
        check(&[(&format!("[vault]\nurl = '{url}'"), &[&format!("2:7: vault.url: {told}")])]);
    }
    for key in ["namespace", "mount"] {
        for name in ["", "/kv", "kv/", "a//b", "..", "a b", "kv?x", "ü"] {
            let column = key.len() + " = '".len();
            let told = format!(
                "2:{column}: vault.{key}: \"{name}\" is not a {key}; must be 1 to 128 of A-Z, a-z, 0-9, '_', '-', '.', and '/' between \
                 them"
            );
            check(&[(&format!("[vault]\n{key} = '{name}'"), &[&told])]);
        }
    }
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
            "[internal]\noperator_token_sha256 = 'vault:hunter2'",
            &[
                "2:25: internal.operator_token_sha256: is not a reference; must be \"vault:PATH#KEY\", such as \"vault:furt/broker#password\"",
            ],
        ),
        (
            "[cluster]\npassword = 'hunter2'",
            &[
                "2:12: cluster.password: is not a reference; must be \"vault:PATH#KEY\", such as \"vault:furt/broker#password\"",
            ],
        ),
        (
            "[cluster]\npassword = 12",
            &["2:12: cluster.password: is an integer; must be a reference in quotes, as \"vault:PATH#KEY\""],
        ),
        (
            "[vault]\nurl = 'https://furt:hunter2@vault.example'",
            &["2:7: vault.url: has a user or a password in it; must be without: vault.token_file has the token"],
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
