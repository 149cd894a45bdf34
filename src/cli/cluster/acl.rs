//! `cluster acl`: the least rights of a node's user at RabbitMQ, as commands.
//!
//! Each node has a user of its own. It may make and read its own queue alone, publish what nodes publish, and bind its own keys. It
//! may not bind `#`, with which it would see every message, nor make the queue of another node, with which it would take its place.
//! RabbitMQ searches for each pattern within a name, so all begin with `^` and end with `$`.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::cli::output::{print, quoted};
use furt_cluster::model::{Fingerprint, NodeName};

#[derive(Args)]
pub(in crate::cli) struct AclArgs {
    /// The user at the broker, one for each node
    #[arg(long, value_parser = user)]
    user: String,
    /// The node's name without its process id: cluster.name, or what its machine is called
    #[arg(long)]
    host: String,
    /// The virtual host
    #[arg(long, default_value = "/", value_parser = vhost)]
    vhost: String,
    /// The exchange, cluster.exchange
    #[arg(long, default_value = "node", value_parser = exchange)]
    exchange: String,
    /// The node's fingerprint, as furt nodes -o json shows it; without it the user may bind every node's
    #[arg(long, value_name = "KEY", value_parser = fingerprint)]
    fingerprint: Option<Fingerprint>,
}

/// Any process id.
const PID: &str = "[0-9]+";
/// Any node's fingerprint.
const KEY: &str = "[0-9a-f]{64}";

pub(super) fn run(args: &AclArgs) -> Result<()> {
    print(&commands(args))
}

fn commands(AclArgs { user, host, vhost, exchange, fingerprint }: &AclArgs) -> String {
    let host = NodeName::of(host, 1);
    let host = host.as_str().trim_end_matches(".1");
    let name = escaped(exchange);
    let own_queue = format!(r"{name}\.{host}\.{PID}");
    let own_key = fingerprint.map_or_else(|| KEY.to_owned(), |key| key.to_string());
    let anyone = format!(r"[A-Za-z0-9_-]+\.{PID}|{KEY}|all");
    let own = format!(r"{host}\.{PID}|{own_key}|all");
    let log = furt_bus::log_of(exchange);
    let bytes = |bytes: u64| json!(bytes);
    let arguments = json!({"x-queue-type": "stream", "x-max-length-bytes": bytes(furt_bus::LOG_BYTES),
        "x-stream-max-segment-size-bytes": bytes(furt_bus::LOG_SEGMENT_BYTES)});
    let definitions = json!({
        "exchanges": [{"name": exchange, "vhost": vhost, "type": "topic", "durable": true, "auto_delete": false,
            "internal": false, "arguments": {}}],
        "queues": [{"name": log, "vhost": vhost, "durable": true, "auto_delete": false, "arguments": arguments}],
        "bindings": [{"source": exchange, "vhost": vhost, "destination": log, "destination_type": "queue",
            "routing_key": log, "arguments": {}}]});
    let log = escaped(&log);
    let [user, vhost, exchange] = [user, vhost, exchange].map(|text| quoted(text));
    [
        "# The exchange and the log, once for all nodes: their users may make neither.".to_owned(),
        format!("printf '%s' {} | rabbitmqctl import_definitions", quoted(&definitions.to_string())),
        "# The user; the password is read from stdin.".to_owned(),
        format!("rabbitmqctl add_user {user}"),
        "# It makes its own queue; it writes to that, the log and the exchange, which is what binding asks for; it reads them."
            .to_owned(),
        format!(
            "rabbitmqctl set_permissions -p {vhost} {user} {} {both} {both}",
            quoted(&format!("^{own_queue}$")),
            both = quoted(&format!("^({name}|{own_queue}|{log})$")),
        ),
        "# It publishes to nodes and the log, and binds its own keys.".to_owned(),
        format!(
            "rabbitmqctl set_topic_permissions -p {vhost} {user} {exchange} {} {}",
            quoted(&format!(r"^(status|node\.({anyone})|{log})$")),
            quoted(&format!(r"^(status|node\.({own})|{log})$")),
        ),
    ]
    .map(|line| line + "\n")
    .concat()
}

/// The name of an exchange as a pattern that it alone matches: nothing but dots means something in one.
fn escaped(text: &str) -> String {
    text.replace('.', r"\.")
}

fn user(text: &str) -> Result<String, String> {
    match text {
        "" => Err("must not be empty".to_owned()),
        _ if text.starts_with('-') => {
            Err("must not begin with \"-\", which rabbitmqctl takes for an option".to_owned())
        }
        text => vhost(text),
    }
}

fn vhost(text: &str) -> Result<String, String> {
    let is_name = (1..=255).contains(&text.len()) && !text.contains(char::is_control);
    if is_name { Ok(text.to_owned()) } else { Err("must be 1 to 255 bytes without control characters".to_owned()) }
}

fn exchange(text: &str) -> Result<String, String> {
    let is_name = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    let is_name = is_name && (1..=60).contains(&text.len()) && !text.starts_with(['-', '.']);
    if is_name { Ok(text.to_owned()) } else { Err("must be 1 to 60 of A-Z, a-z, 0-9, '_', '-', '.'".to_owned()) }
}

fn fingerprint(text: &str) -> Result<Fingerprint, String> {
    text.to_ascii_lowercase().parse().map_err(|_| "must be the 64 hexadecimal digits of a fingerprint".to_owned())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn args(user: &str, host: &str, exchange: &str) -> AclArgs {
        let [user, host, exchange] = [user, host, exchange].map(str::to_owned);
        AclArgs { user, host, vhost: "/".to_owned(), exchange, fingerprint: None }
    }

    #[test]
    fn a_node_gets_its_own_queue_and_keys_alone() {
        let key = Fingerprint::new([0xab; 32]);
        let text = commands(&AclArgs { fingerprint: Some(key), ..args("edge-1", "edge-1.example", "node") });
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(lines[1], "rabbitmqctl add_user edge-1");
        let queue = r"node\.edge-1_example\.[0-9]+";
        let expected = format!(
            "rabbitmqctl set_permissions -p / edge-1 '^{queue}$' '^(node|{queue}|node\\.control)$' '^(node|{queue}|node\\.control)$'"
        );
        assert_eq!(lines[2], expected);
        let write = r"^(status|node\.([A-Za-z0-9_-]+\.[0-9]+|[0-9a-f]{64}|all)|node\.control)$";
        let read = format!(r"^(status|node\.(edge-1_example\.[0-9]+|{key}|all)|node\.control)$");
        assert_eq!(lines[3], format!("rabbitmqctl set_topic_permissions -p / edge-1 node '{write}' '{read}'"));
        assert_eq!(lines.len(), 4);
        assert!(!text.contains(|c: char| !c.is_ascii()));
    }

    /// What a shell makes of the words.
    #[test]
    fn a_shell_runs_nothing_that_a_name_says() {
        let odd = AclArgs { vhost: "a b'$(touch x)".to_owned(), ..args("it's \"$HOME\"`id`;", "h'; id #", "n.1_-") };
        let script = format!("rabbitmqctl() {{ printf '<%s>' \"$@\"; printf '\\n'; }}\n{}", commands(&odd));
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines[..2], ["<import_definitions>", "<add_user><it's \"$HOME\"`id`;>"], "{said}");
        let queue = r"n\.1_-\.h___id__\.[0-9]+";
        let expected = format!(
            "<set_permissions><-p><a b'$(touch x)><it's \"$HOME\"`id`;><^{queue}$><^(n\\.1_-|{queue}|n\\.1_-\\.control)$>"
        );
        assert!(lines[2].starts_with(&expected), "{}", lines[2]);
    }

    #[test]
    fn names_that_no_broker_takes_are_misuse() {
        for bad in ["", "-p", "a\nb", &"u".repeat(256)] {
            assert!(user(bad).is_err(), "{bad:?}");
        }
        assert!(vhost("/").is_ok() && vhost("").is_err() && vhost("a\u{0}").is_err());
        for bad in ["", "a b", "#", "-a", ".a", &"e".repeat(61)] {
            assert!(exchange(bad).is_err(), "{bad:?}");
        }
        assert!(fingerprint(&"AB".repeat(32)).is_ok() && fingerprint("abab").is_err());
    }
}
