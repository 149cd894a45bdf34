//! `[vault]`: where values are that do not stand in the file.

use std::net::IpAddr;
use std::time::Duration;

use crate::config::key::{DefaultValue, Key, ReloadClass, TableVisitor};
use crate::config::types::VaultConfig;
use crate::config::value::{Commas, Parsed, Value, file, list, text};
use furt_core::model::Invalid;

/// A row of a key that counts from the start on.
const RESTART: Key = Key { reload: ReloadClass::Restart, ..Key::ROW };
const URL: &str = "must be the https:// url of a Vault without a path, such as \"https://vault.example:8200\"";
const NAME: &str = "must be 1 to 128 of A-Z, a-z, 0-9, '_', '-', '.', and '/' between them";

pub(super) fn visit(keys: &mut impl TableVisitor) -> VaultConfig {
    keys.table(
        "vault",
        "A server with HashiCorp Vault's API, such as OpenBao, that has values for this file: a key that takes a reference, as \
         `vault:PATH#KEY`, gets its value there; [Vault](vault.md) has more. Without `vault.url` there is none of it.",
    );
    VaultConfig {
        url: keys.optional(
            Key {
                name: "vault.url",
                default: DefaultValue::absent("no Vault", r#""https://vault.example:8200""#),
                range: "an https url; http on loopback",
                text: "The server, or a load balancer before several.",
                ..RESTART
            },
            url,
            |config| config.vault.url.as_ref(),
        ),
        ca: keys.optional(
            Key {
                name: "vault.ca",
                default: DefaultValue::absent("the system's", r#""/etc/furt/vault-ca.pem""#),
                range: "a PEM file",
                text: "Certificate authorities of the server.",
                ..RESTART
            },
            file,
            |config| config.vault.ca.as_ref(),
        ),
        namespace: keys.optional(
            Key {
                name: "vault.namespace",
                default: DefaultValue::absent("none", r#""edge""#),
                range: "a name, with `/` between its parts",
                text: "The namespace in which the token, the mount and the paths are, where the server has namespaces.",
                ..RESTART
            },
            text("a namespace", name),
            |config| config.vault.namespace.as_ref(),
        ),
        token_file: keys.optional(
            Key {
                name: "vault.token_file",
                default: DefaultValue::absent("none", r#""/etc/furt/vault-token""#),
                range: "a file",
                text: "The file with this node's token; without it the node asks its cluster for one. One that others than its owner can read is refused. It is read at the start, at each \
                       reload, and whenever the server refuses the token. furt renews the token and never writes the file.",
                ..RESTART
            },
            file,
            |config| config.vault.token_file.as_ref(),
        ),
        mount: keys.value(
            Key {
                name: "vault.mount",
                default: DefaultValue::Toml(r#""secret""#),
                range: "a name, with `/` between its parts",
                text: "Where the secrets engine (KV, version 2) is mounted. Paths of references are below it.",
                ..RESTART
            },
            text("a mount", name),
            |config| &config.vault.mount,
        ),
        policies: keys.value(
            Key {
                name: "vault.policies",
                default: DefaultValue::Toml("[]"),
                range: "names of policies",
                text: "Policies of the tokens that this node has made for other nodes of its cluster that have none. Empty: it makes none. \
                       Its own token must be allowed to make them.",
                ..Key::ROW
            },
            list(Commas::Split, "a policy", policy),
            |config| &config.vault.policies,
        ),
        period: keys.value(
            Key {
                name: "vault.period",
                default: DefaultValue::Toml(r#""24h""#),
                range: "1 m to 30 days, whole seconds",
                text: "How long those tokens live after each renewal.",
                ..Key::ROW
            },
            period,
            |config| &config.vault.period,
        ),
    }
}

/// Errors do not repeat the text: it may have a password.
fn url(value: &Value<'_>) -> Parsed<String> {
    let given = text("a url", |text| Ok(text.to_owned()))(value)?;
    let Ok(url) = url::Url::parse(&given) else { return value.error(format!("is not a url; {URL}")) };
    if !url.username().is_empty() || url.password().is_some() {
        return value
            .error("has a user or a password in it; must be without: vault.token_file has the token".to_owned());
    }
    let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    let is_loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(url::Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" if is_bare && url.host().is_some() => Ok(given.trim_end_matches('/').to_owned()),
        "http" if is_bare && is_loopback => Ok(given.trim_end_matches('/').to_owned()),
        "http" if is_bare => {
            value.error("would send the token in plain text; must be https:// beyond this host".to_owned())
        }
        _ => value.error(format!("is not where a Vault is; {URL}")),
    }
}

fn name(text: &str) -> Result<String, Invalid> {
    let is_part = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
    };
    if text.len() <= 128 && text.split('/').all(is_part) { Ok(text.to_owned()) } else { Err(Invalid::new(NAME)) }
}

fn policy(text: &str) -> Result<String, Invalid> {
    let is_name = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte));
    match text {
        "root" => Err(Invalid::new("must not be \"root\", which may do everything")),
        _ if is_name && (1..=128).contains(&text.len()) => Ok(text.to_owned()),
        _ => Err(Invalid::new("must be 1 to 128 of A-Z, a-z, 0-9, '_', '-', '.', '/'")),
    }
}

/// Vault has whole seconds.
fn period(value: &Value<'_>) -> Parsed<Duration> {
    let duration = super::positive(value)?;
    if duration >= Duration::from_secs(60) && duration.subsec_nanos() == 0 {
        Ok(duration)
    } else {
        value.error("must be at least 1 m, in whole seconds".to_owned())
    }
}
