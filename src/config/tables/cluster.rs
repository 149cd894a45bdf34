//! `[cluster]`: the other nodes that this one speaks to.

use std::time::Duration;

use furt_cluster::model::Fingerprint;

use crate::config::allowed::AllowedSettings;
use crate::config::key::{DefaultValue, Key, ReloadClass, TableVisitor};
use crate::config::reading::FileTables;
use crate::config::types::ClusterConfig;
use crate::config::value::{Commas, Parsed, Value, broker, file, list, password, text};
use furt_core::model::Invalid;

/// A row of a key that counts from the start on.
const RESTART: Key = Key { reload: ReloadClass::Restart, ..Key::ROW };

pub(super) fn visit(keys: &mut impl TableVisitor) -> ClusterConfig {
    keys.table(
        "cluster",
        "Other nodes of furt, which this one speaks to over RabbitMQ; [Cluster](cluster.md) has more. Without `cluster.url` there is \
         none of it.",
    );
    ClusterConfig {
        url: keys.optional(
            Key {
                name: "cluster.url",
                default: DefaultValue::absent("no cluster", r#""amqp://furt@127.0.0.1:5672""#),
                range: "an amqp or amqps url",
                text: "The broker, with the user and the virtual host and without a password. Beyond this host it should be \
                       `amqps`.",
                ..RESTART
            },
            broker,
            |config| config.cluster.url.as_ref(),
        ),
        password_file: keys.optional(
            Key {
                name: "cluster.password_file",
                default: DefaultValue::absent("none", r#""/etc/furt/cluster-password""#),
                range: "a file",
                text: "The file with the user's password in its first line. It is read at each connection.",
                ..RESTART
            },
            file,
            |config| config.cluster.password_file.as_ref(),
        ),
        password: keys.optional(
            Key {
                name: "cluster.password",
                default: DefaultValue::absent("none", r#""vault:furt/broker#password""#),
                range: "`vault:PATH#KEY`",
                text: "Where [Vault](vault.md) has the user's password, instead of `cluster.password_file`. It has no place in this file; \
                       the variable `FURT_CLUSTER_PASSWORD` may have the password itself as well.",
                ..RESTART
            },
            password,
            |config| config.cluster.password.as_ref(),
        ),
        ca: keys.optional(
            Key {
                name: "cluster.ca",
                default: DefaultValue::absent("the system's", r#""/etc/furt/cluster-ca.pem""#),
                range: "a PEM file",
                text: "Certificate authorities of an `amqps` broker.",
                ..RESTART
            },
            file,
            |config| config.cluster.ca.as_ref(),
        ),
        cert: keys.optional(
            Key {
                name: "cluster.cert",
                default: DefaultValue::absent("none", r#""/etc/furt/cluster-cert.pem""#),
                range: "a PEM file",
                text: "The certificate that furt shows to an `amqps` broker. It needs `cluster.key`.",
                ..RESTART
            },
            file,
            |config| config.cluster.cert.as_ref(),
        ),
        key: keys.optional(
            Key {
                name: "cluster.key",
                default: DefaultValue::absent("none", r#""/etc/furt/cluster-key.pem""#),
                range: "a PEM file",
                text: "The private key of `cluster.cert`.",
                ..RESTART
            },
            file,
            |config| config.cluster.key.as_ref(),
        ),
        state: keys.value(
            Key {
                name: "cluster.state",
                default: DefaultValue::Toml(r#""data/cluster""#),
                range: "a folder",
                text: "The folder for this node's key and what it knows of its cluster; it is made if need be. One furt has it at a \
                       time. A copy of it is a copy of the node.",
                ..RESTART
            },
            file,
            |config| &config.cluster.state,
        ),
        exchange: keys.value(
            Key {
                name: "cluster.exchange",
                default: DefaultValue::Toml(r#""node""#),
                range: "1 to 60 of A-Z, a-z, 0-9, `_`, `-`, `.`",
                text: "The exchange that the nodes share. The names of all queues begin with it. A second cluster at one broker needs \
                       another one, or another virtual host.",
                ..RESTART
            },
            text("a name of an exchange", exchange),
            |config| &config.cluster.exchange,
        ),
        name: keys.optional(
            Key {
                name: "cluster.name",
                default: DefaultValue::absent("the machine's name", r#""edge-1""#),
                range: "1 to 63 characters",
                text: "What the node is called; the process id follows it. Each character but letters, digits, `_` and `-` becomes \
                       `_`.",
                ..RESTART
            },
            text("a name", name),
            |config| config.cluster.name.as_ref(),
        ),
        token_file: keys.optional(
            Key {
                name: "cluster.token_file",
                default: DefaultValue::absent("none", r#""/etc/furt/join-token""#),
                range: "a file",
                text: "A file with a join token, see `furt cluster token`: the node joins by it at its start, if it has not joined. \
                       One that others than its owner can read is refused.",
                ..RESTART
            },
            file,
            |config| config.cluster.token_file.as_ref(),
        ),
        members: keys.value(
            Key {
                name: "cluster.members",
                default: DefaultValue::Toml("[]"),
                range: "fingerprints",
                text: "Keys of nodes that are approved as members by this file: 64 hexadecimal digits each, as \
                       `furt nodes -o json` shows them.",
                ..Key::ROW
            },
            list(Commas::Split, "a fingerprint", fingerprint),
            |config| &config.cluster.members,
        ),
        commanders: keys.value(
            Key {
                name: "cluster.commanders",
                default: DefaultValue::Toml("[]"),
                range: "fingerprints",
                text: "The same of commanders. A node that has not joined takes a welcome of these alone.",
                ..Key::ROW
            },
            list(Commas::Split, "a fingerprint", fingerprint),
            |config| &config.cluster.commanders,
        ),
        beat_interval: keys.value(
            Key {
                name: "cluster.beat_interval",
                default: DefaultValue::Toml(r#""5s""#),
                range: "1 s to 60 s, whole seconds",
                text: "The time between two messages in which the node says that it is there. After three that are missing it is late.",
                ..Key::ROW
            },
            seconds,
            |config| &config.cluster.beat_interval,
        ),
        heartbeat: keys.value(
            Key {
                name: "cluster.heartbeat",
                default: DefaultValue::Toml(r#""5s""#),
                range: "1 s to 60 s, whole seconds",
                text: "How often the broker and the node say that their connection lives. A broker that is silent for twice as long is \
                       given up.",
                ..RESTART
            },
            seconds,
            |config| &config.cluster.heartbeat,
        ),
        settings: keys.value(
            Key {
                name: "cluster.settings",
                default: DefaultValue::Toml("[]"),
                range: "keys, tables as `limits.*`",
                text: "Keys that commanders of the cluster may set on this node, see `furt settings`. Only those that this reference \
                       calls *pushable* can be among them.",
                ..Key::ROW
            },
            list(Commas::Split, "a setting", AllowedSettings::try_new),
            |config| &config.cluster.settings,
        ),
    }
}

pub(super) fn check(tables: &FileTables<'_, '_>, cluster: &ClusterConfig) {
    if let Some(both) = cluster.members.iter().find(|member| cluster.commanders.contains(member)) {
        let why = format!("names {both}, and so does cluster.commanders; must be in one of them");
        tables.refuse("cluster.members", why);
    }
}

fn exchange(text: &str) -> Result<String, Invalid> {
    let is_name = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    match text {
        _ if !is_name || text.is_empty() || text.len() > 60 => {
            Err(Invalid::new("must be 1 to 60 of A-Z, a-z, 0-9, '_', '-', '.'"))
        }
        _ if text.starts_with("amq.") => {
            Err(Invalid::new("must not begin with \"amq.\", which the broker keeps for itself"))
        }
        _ => Ok(text.to_owned()),
    }
}

fn name(text: &str) -> Result<String, Invalid> {
    let length = text.chars().count();
    if (1..=63).contains(&length) { Ok(text.to_owned()) } else { Err(Invalid::new("must have 1 to 63 characters")) }
}

fn fingerprint(text: &str) -> Result<Fingerprint, Invalid> {
    text.parse()
        .map_err(|_| Invalid::new("must be 64 lower-case hexadecimal digits, as `furt nodes -o json` shows them"))
}

/// The bus and its messages have whole ones.
fn seconds(value: &Value<'_>) -> Parsed<Duration> {
    let duration = super::positive(value)?;
    let bounds = Duration::from_secs(1)..=Duration::from_secs(60);
    if bounds.contains(&duration) && duration.subsec_nanos() == 0 {
        Ok(duration)
    } else {
        value.error("must be 1 s to 60 s in whole seconds".to_owned())
    }
}
