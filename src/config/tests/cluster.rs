//! `[cluster]`: what its keys take and what they refuse.

use super::parse;
use crate::config::Config;

fn refused(line: &str) -> String {
    let parsed = Config::parse("furt.toml", &format!("[cluster]\n{line}"), &|_| None);
    parsed.map(|_| ()).unwrap_err().to_string()
}

#[test]
fn a_broker_is_a_url_without_a_password() {
    let url = |text: &str| parse(&format!("[cluster]\nurl = '{text}'")).cluster.url.unwrap();
    let plain = url("amqp://furt@10.0.0.5");
    assert_eq!((plain.host(), plain.port(), plain.user(), plain.vhost()), ("10.0.0.5", 5672, "furt", "/"));
    assert!(plain.warning().is_some() && url("amqps://furt@10.0.0.5").warning().is_none());
    for (text, why) in [
        ("http://a", "scheme"),
        ("amqp://u:secret@a", "no password"),
        ("amqp://", "no host"),
        ("amqp://a/b/c", "virtual host"),
        ("amqp://a?x=1", "options"),
        ("a", "no url"),
        ("", "no url"),
    ] {
        let told = refused(&format!("url = '{text}'"));
        assert!(told.contains(why) && told.contains("cluster.url") && !told.contains("secret"), "{text}: {told}");
    }
}

#[test]
fn names_fingerprints_and_times_have_bounds() {
    let key = "ab".repeat(32);
    let config = parse(&format!(
        "[cluster]\nexchange = 'n.1_-'\nname = 'edge 1'\nmembers = ['{key}']\nbeat_interval = '60s'\nheartbeat = 1"
    ));
    assert_eq!((config.cluster.members.len(), config.cluster.beat_interval.as_secs()), (1, 60));
    for line in [
        "exchange = ''",
        "exchange = 'a b'",
        "exchange = 'amq.topic'",
        &format!("exchange = '{}'", "e".repeat(61)),
        "name = ''",
        &format!("name = '{}'", "n".repeat(64)),
        "members = ['ab']",
        &format!("members = ['{}']", key.to_uppercase()),
        &format!("members = ['{key}']\ncommanders = ['{key}']"),
        "beat_interval = '61s'",
        "beat_interval = '500ms'",
        "beat_interval = '1500ms'",
        "heartbeat = 0",
        "state = ''",
    ] {
        let told = refused(line);
        assert!(told.contains("furt.toml:2:") && told.contains("cluster."), "{line}: {told}");
    }
}
