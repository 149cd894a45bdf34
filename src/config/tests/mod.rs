//! What configuration means: the shipped files, the environment, and every kind of value. `refused` has what is
//! refused, `changes` what a reload compares, `reference` the rows and what is written from them. No process environment is read and, but for `load`, no file.

mod changes;
mod cluster;
mod forward_auth;
mod layers;
mod reference;
mod refused;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::{AccessLogTarget, Config, ConfigErrors, StaticTarget, Unlisted};
use furt_core::model::{CidrSet, Permission};

const FURT_TOML: &str = include_str!("../../../conf/furt.toml");
const DOCKER_TOML: &str = include_str!("../../../conf/examples/docker.toml");
const KUBERNETES_YAML: &str = include_str!("../../../conf/examples/kubernetes.yaml");

fn parse_with(text: &str, env: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let env: BTreeMap<_, _> = env.iter().copied().collect();
    Config::parse("furt.toml", text, &|name| env.get(name).map(|&text| text.to_owned()))
}

fn parse(text: &str) -> Config {
    parse_with(text, &[]).unwrap_or_else(|errors| panic!("{text}\n{errors}"))
}

/// Removes the `#` in front of what is an example rather than a remark.
fn uncommented(text: &str) -> String {
    let example = |rest: &str| rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase());
    let lines = text.lines().map(|line| line.strip_prefix('#').filter(|rest| example(rest)).unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn an_empty_file_and_the_shipped_one_give_the_defaults() {
    assert_eq!(parse(""), Config::default());
    assert_eq!(parse(FURT_TOML), Config::default());
}

#[test]
fn the_examples_of_the_shipped_file_parse_when_uncommented() {
    let config = parse(&uncommented(FURT_TOML));
    assert_eq!((config.api_keys.len(), config.grants.len(), config.routes.len()), (1, 1, 1));
    assert_eq!(config.server.threads, 4);
    assert!(config.internal.operator_token_sha256.is_some());
    assert_eq!(config.routes[0].tls_name.as_deref(), Some("mail.example"));
    assert_eq!(config.geo.header.unwrap(), "cf-ipcountry");
}

#[test]
fn the_shipped_file_shows_every_key() {
    let uncommented = uncommented(FURT_TOML);
    let shown = uncommented.parse::<toml::Table>().unwrap();
    for (table, keys) in &shown {
        // The error about a key that nothing resembles lists the known ones.
        let (header, keys) = match keys {
            toml::Value::Array(entries) => (format!("[[{table}]]"), entries[0].as_table().unwrap()),
            keys => (format!("[{table}]"), keys.as_table().unwrap()),
        };
        let errors = parse_with(&format!("{header}\nqqqqqqqqqqqq = 1"), &[]).unwrap_err().to_string();
        let known = errors.lines().find_map(|line| line.split_once("known keys: ")).unwrap().1.to_owned();
        for key in known.split(", ") {
            // A route leads to one of four targets, and an API key is a secret or a certificate.
            let others = [
                ("routes", "service"),
                ("routes", "redirect"),
                ("routes", "respond"),
                ("api_keys", "certificate_sha256"),
            ];
            let other = others.contains(&(table.as_str(), key));
            assert!(keys.contains_key(key) || other, "{table}.{key}");
        }
    }
    let tables = parse_with("qqqqqqqqqqqq = 1", &[]).unwrap_err().to_string();
    for table in tables.split_once("known keys: ").unwrap().1.split(", ") {
        assert!(shown.contains_key(table), "{table}");
    }
}

#[test]
fn the_container_file_serves_the_container_network() {
    let config = parse(DOCKER_TOML);
    assert_eq!(config.internal.listen, ["0.0.0.0:8081".parse().unwrap()]);
    assert_eq!(config.internal.hosts[0].as_str(), "furt");
    assert_eq!(config.access_log.path, AccessLogTarget::Stdout);
    for address in ["127.0.0.1", "172.18.0.3", "fd00::2"] {
        assert!(config.gateway.allow_registration_from.contains(address.parse().unwrap()), "{address}");
    }
    let operates = |address: &str| config.internal.operators_from.contains(address.parse().unwrap());
    assert!(operates("127.0.0.1") && operates("::1") && !operates("172.18.0.3") && !operates("fd00::2"));
    assert_eq!(parse(&uncommented(DOCKER_TOML)).grants.len(), 1);
}

/// The file in the ConfigMap, whose lines are indented.
fn of_config_map(manifest: &str) -> String {
    let below = manifest.split("furt.toml: |\n").nth(1).unwrap();
    let lines = below.lines().take_while(|line| *line != "---");
    lines.map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line))).collect()
}

#[test]
fn the_file_for_kubernetes_serves_pods() {
    let config = parse(&of_config_map(KUBERNETES_YAML));
    assert_eq!(config.internal.listen, ["0.0.0.0:8081".parse().unwrap()]);
    let hosts: Vec<_> = config.internal.hosts.iter().map(|host| host.as_str()).collect();
    assert_eq!(hosts, ["furt", "furt-0.furt"]);
    assert_eq!((config.grants.len(), config.access_log.path), (1, AccessLogTarget::Stdout));
    assert!(config.gateway.allow_registration_from.contains("10.244.0.7".parse().unwrap()));
    assert!(!config.internal.operators_from.contains("10.244.0.7".parse().unwrap()));
}

#[test]
fn durations_are_seconds_or_carry_a_unit() {
    for (text, ms) in [
        ("0", 0),
        ("0.0", 0),
        ("1", 1_000),
        ("1_0", 10_000),
        ("0x10", 16_000),
        ("0.25", 250),
        ("0.001", 1),
        ("2.5e1", 25_000),
        ("2592000", 2_592_000_000),
        ("'30'", 30_000),
        ("'30s'", 30_000),
        ("' 30 s '", 30_000),
        ("'0s'", 0),
        ("'500ms'", 500),
        ("'1.5s'", 1_500),
        ("'2m'", 120_000),
        ("'0.1m'", 6_000),
        ("'1h'", 3_600_000),
        ("'720h'", 2_592_000_000),
    ] {
        assert_eq!(parse(&format!("server.grace = {text}")).server.grace, Duration::from_millis(ms), "{text}");
    }
}

#[test]
fn sizes_are_bytes_or_carry_a_unit() {
    for (text, bytes) in [("1", 1), ("65536", 65536), ("'64KiB'", 1 << 16), ("'10 MiB'", 10 << 20), ("'1GiB'", 1 << 30)]
    {
        assert_eq!(parse(&format!("limits.max_body = {text}")).limits.max_body, Some(bytes), "{text}");
    }
    for text in ["0", "-1", "''", "'MiB'", "'1MB'", "'1.5MiB'", "'99999999999GiB'", "1.5", "true"] {
        assert!(parse_with(&format!("limits.max_body = {text}"), &[]).is_err(), "{text}");
    }
}

#[test]
fn lists_are_arrays_or_one_text_with_commas() {
    let expected = CidrSet::try_new(&["127.0.0.1", "10.0.0.0/8"]).unwrap();
    for text in ["['127.0.0.1', '10.0.0.0/8']", "'127.0.0.1, 10.0.0.0/8'", "'127.0.0.1,10.0.0.0/8'"] {
        assert_eq!(
            parse(&format!("gateway.allow_registration_from = {text}")).gateway.allow_registration_from,
            expected
        );
    }
    assert!(parse("internal.operators_from = ''").internal.operators_from.is_empty());
    let listen: Vec<SocketAddr> = vec!["0.0.0.0:80".parse().unwrap(), "[::]:80".parse().unwrap()];
    for text in ["['0.0.0.0:80', '[::]:80']", "'0.0.0.0:80, [::]:80'"] {
        assert_eq!(parse(&format!("server.listen = {text}")).server.listen, listen, "{text}");
        assert_eq!(parse(&format!("internal.listen = {text}")).internal.listen, listen, "{text}");
    }
}

#[test]
fn listeners_on_free_ports_or_other_addresses_do_not_clash() {
    for text in [
        "server.listen = '127.0.0.1:0'\ninternal.listen = '127.0.0.1:0'",
        "server.listen = '127.0.0.2:80'\ninternal.listen = '127.0.0.1:80'",
        "server.listen = ['127.0.0.1:0', '127.0.0.1:0']",
        "internal.listen = ['127.0.0.1:0', '127.0.0.1:0', '127.0.0.1:8081', '10.0.0.1:8081', '127.0.0.1:8082']",
    ] {
        parse(text);
    }
}

#[test]
fn an_access_log_is_off_or_goes_to_stdout_or_a_file() {
    for (path, target) in [
        ("", AccessLogTarget::Off),
        ("-", AccessLogTarget::Stdout),
        ("/var/log/furt.log", AccessLogTarget::File("/var/log/furt.log".into())),
    ] {
        assert_eq!(parse(&format!("access_log.path = '{path}'")).access_log.path, target);
    }
}

#[test]
fn entries_take_their_defaults_from_what_they_leave_out() {
    let digest = "ab".repeat(32);
    let config = parse(&format!(
        "api_keys = [{{ name = 'website', sha256 = '{digest}', permissions = ['comments:*'] }}]\n\
         [[grants]]\nservice = 'sagjan'\n\
         [[routes]]\nmethod = '*'\npath = '/blog/*'\nservice = 'blog'\n\
         [[routes]]\nmethod = 'GET'\npath = '/blog/feed'\nurl = 'https://blog.example'\n\
         [[routes]]\nmethod = 'HEAD'\npath = '/blog/feed'\nurl = 'https://10.0.0.1'\ntls_name = 'Blog.Example'\n\
         [[routes]]\nhost = 'a.example'\nmethod = 'GET'\npath = '/blog/feed'\nservice = 'a'\nexclusive = false\n"
    ));
    let key = &config.api_keys[0];
    assert!(key.permissions.allows(&Permission::try_new("comments:read").unwrap()));
    assert_eq!((key.allow_from.is_empty(), key.rate), (true, None));
    let grant = &config.grants[0].grant;
    assert!(grant.permissions.rules().is_empty() && grant.paths.is_empty() && grant.hosts.is_empty());
    assert_eq!((&grant.upstreams, grant.public, grant.token), (&None, false, None));
    let exclusive: Vec<_> = config.routes.iter().map(|route| route.exclusive).collect();
    assert_eq!(exclusive, [false, true, true, false]);
    assert!(matches!(&config.routes[0].target, StaticTarget::Service(service) if service.as_str() == "blog"));
    assert_eq!(config.routes[2].tls_name.as_deref(), Some("blog.example"));
    assert!(config.routes.iter().all(|route| route.permission.is_none()));
}

#[test]
fn a_static_route_may_be_answered_by_furt_itself() {
    let text = "[[routes]]\nmethod = '*'\nhost = 'www.example.org'\npath = '/old/*'\n\
                redirect = { host = 'example.org', strip = '/old', status = 308 }\n\
                [[routes]]\nmethod = 'GET'\npath = '/robots.txt'\nrespond.body = 'x'\n\
                [[routes]]\nmethod = 'GET'\npath = '/gone'\nrespond = { status = 410, type = 'text/html', file = '/gone' }\n\
                [[routes]]\nmethod = 'GET'\npath = '/none'\nrespond.status = 204\n";
    let (config, locations) = Config::parse_with_locations("furt.toml", text, &|_| None).unwrap();
    let StaticTarget::Redirect(redirect) = &config.routes[0].target else { panic!("{:?}", config.routes[0]) };
    assert_eq!(redirect.to_string(), "308: host example.org, strips /old");
    let shown = config.routes[1..].iter().map(|route| match &route.target {
        StaticTarget::Respond(respond) => (respond.answer.to_string(), respond.file.clone()),
        other => panic!("{other:?}"),
    });
    let expected = [
        ("200: 1 bytes of text/plain; charset=utf-8", None),
        ("410: 0 bytes of text/html", Some("/gone".into())),
        ("204", None),
    ];
    assert_eq!(shown.collect::<Vec<_>>(), expected.map(|(shown, file)| (shown.to_owned(), file)));
    assert_eq!(locations.get("routes[2].respond.file").map(ToString::to_string).as_deref(), Some("furt.toml:13:54"));
}

#[test]
fn the_environment_beats_the_file() {
    let file = "[server]\nlisten = '0.0.0.0:80'\ngrace = 5\n[internal]\nlisten = '127.0.0.1:81'";
    let env = [
        ("FURT_SERVER_LISTEN", "127.0.0.1:90, [::1]:90"),
        ("FURT_SERVER_MAX_CONNECTIONS", "7"),
        ("FURT_SERVER_TRUSTED_PROXIES", "10.0.0.1"),
        ("FURT_GATEWAY_ENABLED", "false"),
        ("FURT_GATEWAY_HEALTH_CHECK_INTERVAL", "500ms"),
        ("FURT_REGISTRATION_RATE", "3/m"),
        ("FURT_REGISTRATION_UNLISTED", "deny"),
        ("FURT_ACCESS_LOG_PATH", "-"),
        ("FURT_APPS_DOMAIN", "apps.example"),
        ("FURT_INTERNAL_HOSTS", ""),
        ("FURT_GEO_REGION", "sa"),
        ("EDGEPROXY_HEARTBEAT_TTL_SECS", "45"),
        ("EDGEPROXY_API_LISTEN_ADDR", "127.0.0.1:82"),
        ("FURT_URL", "for somebody else"),
    ];
    let config = parse_with(file, &env).unwrap();
    assert_eq!(config.server.listen, ["127.0.0.1:90".parse().unwrap(), "[::1]:90".parse().unwrap()]);
    assert_eq!((config.server.grace, config.server.max_connections), (Duration::from_secs(5), 7));
    assert!(config.server.trusted_proxies.contains("10.0.0.1".parse().unwrap()));
    assert!(!config.gateway.enabled);
    assert_eq!(config.gateway.health_check_interval, Duration::from_millis(500));
    assert_eq!((config.registration.rate.to_string().as_str(), config.registration.unlisted), ("3/m", Unlisted::Deny));
    assert_eq!((config.access_log.path, config.apps_domain.as_str()), (AccessLogTarget::Stdout, "apps.example"));
    assert_eq!(config.registration.heartbeat_ttl, Duration::from_secs(45));
    assert_eq!(config.geo.region.unwrap().as_str(), "sa");
    assert_eq!(config.internal.listen, ["127.0.0.1:82".parse().unwrap()]);

    let own = [("FURT_INTERNAL_LISTEN", "127.0.0.1:83"), ("EDGEPROXY_API_LISTEN_ADDR", "not looked at")];
    assert_eq!(parse_with(file, &own).unwrap().internal.listen, ["127.0.0.1:83".parse().unwrap()]);
    let two = [("FURT_INTERNAL_LISTEN", "127.0.0.1:83, 127.0.0.1:84")];
    let expected: [SocketAddr; 2] = ["127.0.0.1:83", "127.0.0.1:84"].map(|address| address.parse().unwrap());
    assert_eq!(parse_with(file, &two).unwrap().internal.listen, expected);
}

#[test]
fn errors_of_the_environment_name_the_variable() {
    let file = "[server]\ngrace = 'soon'\n[gateway]\nmax_consecutive_failures = 5";
    let env = [
        ("FURT_SERVER_GRACE", "5"),
        ("FURT_SERVER_THREADS", "all"),
        ("FURT_GATEWAY_ENABLED", "yes"),
        ("FURT_GATEWAY_STOP_PING_AFTER_FAILURES", "4"),
        ("FURT_INTERNAL_OPERATOR_TOKEN_SHA256", "hunter2"),
        ("FURT_INTERNAL_OPERATORS_FROM", "a, 10.0.0.1, b"),
        ("EDGEPROXY_HEARTBEAT_TTL_SECS", "0"),
    ];
    let errors = parse_with(file, &env).unwrap_err().to_string();
    let expected = [
        r#"furt.toml:2:9: server.grace: "soon" is not a duration; must be seconds such as 30 or 0.5, or a text such as "30s", "500ms", "2m" or "1h""#,
        r#"EDGEPROXY_HEARTBEAT_TTL_SECS: registration.heartbeat_ttl: "0" is out of range; must be from 1 s to 1 day"#,
        r#"FURT_GATEWAY_ENABLED: gateway.enabled: "yes" does not fit; must be true or false"#,
        "FURT_GATEWAY_STOP_PING_AFTER_FAILURES: gateway.stop_ping_after_failures: probing would stop after 4 failures, \
         before 5 make an instance DOWN; stop_ping_after_failures must be at least max_consecutive_failures",
        r#"FURT_INTERNAL_OPERATORS_FROM: internal.operators_from: "a" is not a network; must be an address or a network such as "10.0.0.0/8""#,
        r#"FURT_INTERNAL_OPERATORS_FROM: internal.operators_from: "b" is not a network; must be an address or a network such as "10.0.0.0/8""#,
        "FURT_INTERNAL_OPERATOR_TOKEN_SHA256: internal.operator_token_sha256: is not a SHA-256; \
         must be 64 hexadecimal digits, the SHA-256 of the secret",
        r#"FURT_SERVER_THREADS: server.threads: "all" does not fit; must be a whole number from 1 to 1024"#,
    ];
    assert_eq!(errors.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn all_errors_of_a_file_are_told_in_its_order() {
    let text =
        "[upstream]\nretries = 99\n[server]\nnope = 1\nlisten = 'x'\n[[routes]]\nmethod = 'GET'\n[apps]\ndomain = ''";
    let errors = parse_with(text, &[]).unwrap_err();
    let locations: Vec<_> = errors.iter().map(|error| (error.location.to_string(), error.key.as_str())).collect();
    let expected = [
        ("furt.toml:2:11", "upstream.retries"),
        ("furt.toml:4:1", "server.nope"),
        ("furt.toml:5:10", "server.listen"),
        ("furt.toml:6:1", "routes.path"),
        ("furt.toml:6:1", "routes.url"),
        ("furt.toml:9:10", "apps.domain"),
    ];
    assert_eq!(locations, expected.map(|(location, key)| (location.to_owned(), key)));
}

#[test]
fn a_file_is_loaded_or_the_reason_is_told_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("furt.toml");
    let missing = Config::load(&path, &|_| None).unwrap_err().to_string();
    assert!(missing.starts_with(&format!("{}: file: cannot be read (", path.display())), "{missing}");
    assert!(Config::load(folder.path(), &|_| None).is_err());

    std::fs::write(&path, "server.grace = 3").unwrap();
    assert_eq!(Config::load(&path, &|_| None).unwrap().server.grace, Duration::from_secs(3));
    std::fs::write(&path, b"# \xc3\xa9\n# \xc3\xa9 \xff").unwrap();
    let binary = Config::load(&path, &|_| None).unwrap_err().to_string();
    assert_eq!(binary, format!("{}:2:5: TOML: is not UTF-8; must be text in UTF-8", path.display()));
}

#[test]
fn a_large_file_full_of_errors_is_told_whole() {
    let routes = "[[routes]]\nmethod = 'GET'\npath = '/a'\nservice = 'a'\n".repeat(20_000);
    assert_eq!(parse_with(&routes, &[]).unwrap_err().iter().count(), 19_999);
}

#[test]
fn a_long_line_full_of_errors_is_told_whole() {
    let text = format!("server.listen = ['é',{}]", "'é',".repeat(50_000));
    let errors = parse_with(&text, &[]).unwrap_err();
    let locations: Vec<_> = errors.iter().map(|error| error.location.to_string()).collect();
    assert_eq!(locations.len(), 50_001);
    assert_eq!((locations[0].as_str(), locations[50_000].as_str()), ("furt.toml:1:18", "furt.toml:1:200018"));
}
