//! What differs between two configurations, and that every key of the file is known to the comparison.

use std::collections::BTreeMap;

use super::{FURT_TOML, parse, uncommented};
use crate::config::{Config, ReloadClass, SourceLocation, Table, TableKind, reference};

/// A value other than the default for each key of the single tables.
const OTHERS: [(&str, &str); 131] = [
    ("server.listen", "['127.0.0.1:1']"),
    ("server.grace", "1"),
    ("server.trusted_proxies", "['192.0.2.1']"),
    ("server.proxy_protocol_from", "['192.0.2.1']"),
    ("server.proxy_headers", "['x-real-ip']"),
    ("server.via", "''"),
    ("server.max_connections", "1"),
    ("server.max_requests", "1"),
    ("server.http2", "false"),
    ("server.max_streams", "1"),
    ("server.max_connection_age", "1"),
    ("server.upgrade_grace", "1"),
    ("server.threads", "1023"),
    ("tls.listen", "['127.0.0.1:3']"),
    ("tls.redirect", "false"),
    ("tls.hsts", "'365d'"),
    ("tls.min_version", "'1.3'"),
    ("tls.unknown_name", "'first'"),
    ("tls.handshake_timeout", "1"),
    ("tls.state", "'other'"),
    ("acme.names", "['a.example']"),
    ("acme.from_routes", "['*.example']"),
    ("acme.directory", "'https://acme.example/directory'"),
    ("acme.contact", "['ops@example.org']"),
    ("acme.profile", "'shortlived'"),
    ("acme.eab_kid", "'kid'"),
    ("acme.eab_key_file", "'/eab'"),
    ("acme.ca", "'/ca.pem'"),
    ("acme.agree_terms", "true"),
    ("acme.check_at", "'10.0.0.7:80'"),
    ("internal.listen", "'127.0.0.1:2'"),
    ("internal.advertise", "'http://furt'"),
    ("internal.operators_from", "['192.0.2.1']"),
    ("internal.operator_token_sha256", "'abababababababababababababababababababababababababababababababab'"),
    ("internal.hosts", "['furt']"),
    ("internal.dashboard", "false"),
    ("internal.backends_api", "false"),
    ("internal.etcd_v2_api", "false"),
    ("internal.tls_cert", "'/cert.pem'"),
    ("internal.tls_key", "'/key.pem'"),
    ("internal.tls_client_ca", "'/ca.pem'"),
    ("geo.region", "'eu'"),
    ("geo.database", "'x.mmdb'"),
    ("geo.header", "'x-country'"),
    ("gateway.enabled", "false"),
    ("gateway.health_check_interval", "1"),
    ("gateway.health_check_interval_down", "1"),
    ("gateway.health_check_timeout", "1"),
    ("gateway.max_consecutive_failures", "1"),
    ("gateway.stop_ping_after_failures", "11"),
    ("gateway.health_check_min_interval", "2"),
    ("gateway.startup_time", "0"),
    ("gateway.outage_hold", "0"),
    ("gateway.allow_registration_from", "['192.0.2.1']"),
    ("registration.rate", "'1/s'"),
    ("registration.burst", "1"),
    ("registration.unlisted", "'deny'"),
    ("registration.upstreams", "['192.0.2.1']"),
    ("registration.heartbeat_ttl", "1"),
    ("client.header_timeout", "1"),
    ("client.body_timeout", "1"),
    ("client.body_min_rate", "1"),
    ("client.body_min_rate_window", "1"),
    ("client.body_total_timeout", "1"),
    ("client.keepalive_timeout", "1"),
    ("client.write_timeout", "1"),
    ("keys.accept", "['header', 'bearer']"),
    ("limits.address_rate", "'1/s'"),
    ("limits.address_burst", "1"),
    ("limits.address_connections", "1"),
    ("limits.max_body", "1"),
    ("limits.share", "true"),
    ("pages.error", "'/error.html'"),
    ("pages.maintenance", "'/down.html'"),
    ("compression.encodings", "['br', 'gzip']"),
    ("compression.min_size", "'2KiB'"),
    ("compression.types", "['text/*']"),
    ("compression.max_memory", "'2MiB'"),
    ("upstream.connect_timeout", "1"),
    ("upstream.read_timeout", "1"),
    ("upstream.stream_read_timeout", "60"),
    ("upstream.idle_timeout", "1"),
    ("upstream.retries", "1"),
    ("upstream.ca", "'/ca.pem'"),
    ("upstream.cert", "'/cert.pem'"),
    ("upstream.key", "'/key.pem'"),
    ("apps.domain", "'apps.example'"),
    ("access_log.path", "'-'"),
    ("access_log.share", "'5%'"),
    ("log.format", "'json'"),
    ("tracing.endpoint", "'http://127.0.0.1:4318'"),
    ("tracing.share", "'5%'"),
    ("tracing.incoming", "'continue'"),
    ("tracing.ca", "'/ca.pem'"),
    ("store.kind", "'memory'"),
    ("store.path", "'other'"),
    ("store.endpoints", "['http://10.0.0.5:2379']"),
    ("store.namespace", "'other'"),
    ("store.user", "'furt'"),
    ("store.password_file", "'/password'"),
    ("store.ca", "'/ca.pem'"),
    ("store.cert", "'/cert.pem'"),
    ("store.key", "'/key.pem'"),
    ("cluster.url", "'amqp://furt@10.0.0.5'"),
    ("cluster.password_file", "'/password'"),
    ("cluster.password", "'vault:furt/broker#password'"),
    ("cluster.ca", "'/ca.pem'"),
    ("cluster.cert", "'/cert.pem'"),
    ("cluster.key", "'/key.pem'"),
    ("cluster.state", "'other'"),
    ("cluster.exchange", "'other'"),
    ("cluster.name", "'edge'"),
    ("cluster.token_file", "'/token'"),
    ("cluster.members", "['abababababababababababababababababababababababababababababababab']"),
    ("cluster.commanders", "['abababababababababababababababababababababababababababababababab']"),
    ("cluster.beat_interval", "1"),
    ("cluster.heartbeat", "1"),
    ("cluster.settings", "['limits.*']"),
    ("vault.url", "'https://vault.example:8200'"),
    ("vault.ca", "'/ca.pem'"),
    ("vault.namespace", "'edge'"),
    ("vault.token_file", "'/token'"),
    ("vault.mount", "'kv'"),
    ("vault.policies", "['furt']"),
    ("vault.period", "60"),
    ("update.public_key", "'RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3'"),
    ("update.folder", "'/releases'"),
    ("update.url", "'https://releases.example/'"),
    ("update.ca", "'/ca.pem'"),
    ("update.state", "'other'"),
    ("update.in_container", "true"),
];

const ENTRIES: [(&str, &str); 9] = [
    (
        "operators",
        "[[operators]]\nname = 'a'\nrole = 'read'\ntoken_sha256 = '0000000000000000000000000000000000000000000000000000000000000001'",
    ),
    ("client_auth", "[[client_auth]]\nhosts = ['a.example']\nca = 'ca.pem'"),
    ("certificates", "[[certificates]]\ncert = 'a.pem'\nkey = 'a.key'"),
    (
        "api_keys",
        "[[api_keys]]\nname = 'a'\nsha256 = 'abababababababababababababababababababababababababababababababab'\npermissions = []",
    ),
    ("forward_auth", "[[forward_auth]]\nname = 'login'\nurl = 'http://127.0.0.1:9091/verify'"),
    ("issuers", "[[issuers]]\nname = 'a'\nissuer = 'a'\naudience = ['a']\njwks = '/a.json'"),
    ("grants", "[[grants]]\nservice = 'a'"),
    ("routes", "[[routes]]\nmethod = 'GET'\npath = '/a'\nservice = 'a'"),
    ("rules", "[[rules]]\ncors = false"),
];

/// The reload class of every key of the single tables, and of every array of tables as a whole.
fn classes() -> BTreeMap<&'static str, ReloadClass> {
    let classes = |table: Table| match table.kind {
        TableKind::Single => table.keys.iter().map(|key| (key.name, key.reload)).collect(),
        TableKind::Array => vec![(table.name, ReloadClass::Reload)],
    };
    reference().into_iter().flat_map(classes).collect()
}

fn differences(before: &Config, after: &Config) -> Vec<(&'static str, ReloadClass)> {
    let of = |class| before.changed(after, class).into_iter().map(move |key| (key, class));
    of(ReloadClass::Reload).chain(of(ReloadClass::Restart)).collect()
}

#[test]
fn each_key_that_changes_is_named_and_no_other() {
    let default = Config::default();
    assert_eq!(differences(&default, &default.clone()), []);
    let classes = classes();
    assert_eq!(classes.len(), OTHERS.len() + ENTRIES.len());
    let texts = OTHERS.iter().map(|(key, value)| (*key, format!("{key} = {value}")));
    for (key, text) in texts.chain(ENTRIES.iter().map(|(key, text)| (*key, (*text).to_owned()))) {
        let changed = parse(&text);
        assert_eq!(differences(&default, &changed), [(key, classes[key])], "{text}");
        assert_eq!(differences(&changed, &default), [(key, classes[key])], "{text}");
        let kept = changed.clone().until_restart(&default);
        let expected = if classes[key] == ReloadClass::Restart { &default } else { &changed };
        assert_eq!(kept, *expected, "{text}");
    }
}

#[test]
fn every_key_of_the_shipped_file_is_compared_and_marked_by_when_it_takes_effect() {
    let classes: BTreeMap<_, _> = classes().into_iter().map(|(key, class)| (key.to_owned(), class)).collect();
    let mut seen = BTreeMap::new();
    let (mut table, mut is_marked) = (String::new(), false);
    let text = uncommented(FURT_TOML);
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("[[").and_then(|rest| rest.strip_suffix("]]")) {
            table.clear();
            seen.insert(name.to_owned(), ReloadClass::Reload);
        } else if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            table = name.to_owned();
        } else if let Some(remark) = line.strip_prefix("# ") {
            is_marked |= remark.starts_with("[restart] ");
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !table.is_empty()) {
            let class = if std::mem::take(&mut is_marked) { ReloadClass::Restart } else { ReloadClass::Reload };
            seen.insert(format!("{table}.{key}"), class);
        }
    }
    assert_eq!(seen, classes);
}

#[test]
fn values_are_known_by_where_they_stand() {
    let text = "[server]\ngrace = 1\n[[routes]]\nmethod = 'GET'\npath = '/a'\nservice = 'a'\n\
                [[routes]]\nmethod = 'GET'\npath = '/b'\nurl = 'http://10.0.0.1'\n";
    let env = |name: &str| (name == "FURT_SERVER_THREADS").then(|| "1".to_owned());
    let (_, locations) = Config::parse_with_locations("furt.toml", text, &env).unwrap();
    let at = |line, column| Some(SourceLocation::Position { file: "furt.toml".to_owned(), line, column });
    assert_eq!(locations.get("server.grace").cloned(), at(2, 9));
    assert_eq!(locations.get("routes[1].url").cloned(), at(10, 7));
    let variable = SourceLocation::Variable { name: "FURT_SERVER_THREADS".to_owned() };
    assert_eq!(locations.get("server.threads"), Some(&variable));
    assert_eq!((locations.get("server.listen"), locations.get("routes[0].url")), (None, None));
}
