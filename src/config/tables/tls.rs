//! `[tls]`: the public listener under TLS.

use std::path::PathBuf;

use super::positive;
use crate::config::key::{DefaultValue, Key, ReloadClass, TableVisitor};
use crate::config::reading::FileTables;
use crate::config::types::{Config, MinTlsVersion, TlsConfig, UnknownTlsName};
use crate::config::value::{addresses, age, boolean, one_of, text};
use furt_core::model::Invalid;

const MIN_VERSIONS: &[(&str, MinTlsVersion)] = &[("1.2", MinTlsVersion::Tls12), ("1.3", MinTlsVersion::Tls13)];
const UNKNOWN_NAMES: &[(&str, UnknownTlsName)] =
    &[("refuse", UnknownTlsName::Refuse), ("first", UnknownTlsName::First)];

pub(super) fn visit(keys: &mut impl TableVisitor) -> TlsConfig {
    keys.table(
        "tls",
        "TLS on the public listener, with the certificates of `[[certificates]]`; [Edge](edge.md) has more. Without \
         `tls.listen` nothing is under TLS.",
    );
    TlsConfig {
        listen: keys.value(
            Key {
                name: "tls.listen",
                default: DefaultValue::Toml("[]"),
                range: "addresses with port",
                reload: ReloadClass::Restart,
                text: "Addresses of the public listener that are under TLS, such as `\"0.0.0.0:443\"`, beside the plain ones \
                       of `server.listen`. With one there must be a certificate, or a name in `[acme]`.",
                ..Key::ROW
            },
            addresses,
            |config| &config.tls.listen,
        ),
        redirect: keys.value(
            Key {
                name: "tls.redirect",
                default: DefaultValue::Toml("true"),
                range: "true, false",
                text: "Whether plain requests are [sent to https](edge.md#redirect), where `tls.listen` is set: 308, or 403 \
                       `tls-required` where an API key came in the clear.",
                ..Key::ROW
            },
            boolean,
            |config| &config.tls.redirect,
        ),
        hsts: keys.value(
            Key {
                name: "tls.hsts",
                default: DefaultValue::Toml(r#""0""#),
                range: "duration up to 3650 days, 0 allowed",
                text: "The `max-age` of `Strict-Transport-Security` on answers under TLS, unless the service sent its own; 0: \
                       none. Set it, `\"365d\"` say, once every host of yours is to be https only: browsers remember it.",
                ..Key::ROW
            },
            age,
            |config| &config.tls.hsts,
        ),
        min_version: keys.value(
            Key {
                name: "tls.min_version",
                default: DefaultValue::Toml(r#""1.2""#),
                range: "`\"1.2\"`, `\"1.3\"`",
                text: "The oldest TLS that is spoken. `\"1.3\"` where no client is old.",
                ..Key::ROW
            },
            one_of(MIN_VERSIONS),
            |config| &config.tls.min_version,
        ),
        unknown_name: keys.value(
            Key {
                name: "tls.unknown_name",
                default: DefaultValue::Toml(r#""refuse""#),
                range: "`\"refuse\"`, `\"first\"`",
                text: "What a client gets that names a host without a certificate, or none: the alert `unrecognized_name`, or \
                       the first certificate.",
                ..Key::ROW
            },
            one_of(UNKNOWN_NAMES),
            |config| &config.tls.unknown_name,
        ),
        handshake_timeout: keys.value(
            Key {
                name: "tls.handshake_timeout",
                default: DefaultValue::Toml("10"),
                range: "duration",
                text: "For a whole handshake. The connection has its place from before it on.",
                ..Key::ROW
            },
            positive,
            |config| &config.tls.handshake_timeout,
        ),
        state: keys.value(
            Key {
                name: "tls.state",
                default: DefaultValue::Toml(r#""tls""#),
                range: "a folder",
                reload: ReloadClass::Restart,
                text: "Where furt keeps its ticket keys, by which clients resume their sessions after a restart, and what it \
                       got by `[acme]`. It is made with mode 0700 where it is absent.",
                ..Key::ROW
            },
            text("a folder", folder),
            |config| &config.tls.state,
        ),
    }
}

fn folder(text: &str) -> Result<PathBuf, Invalid> {
    if text.is_empty() || text.contains('\0') { Err(Invalid::new("must name a folder")) } else { Ok(text.into()) }
}

/// No listener may have the address of another one.
pub(super) fn check(tables: &FileTables<'_, '_>, config: &Config) {
    for (index, address) in config.tls.listen.iter().enumerate().filter(|(_, address)| address.port() != 0) {
        if config.tls.listen[..index].contains(address) {
            tables.refuse("tls.listen", format!("names {address} twice; must name each address once"));
        }
        for (key, others) in [("server.listen", &config.server.listen), ("internal.listen", &config.internal.listen)] {
            let other = others.iter().find(|other| super::internal::is_one_socket(**other, *address));
            if let Some(other) = other.filter(|_| !tables.is_invalid(key)) {
                tables.refuse("tls.listen", format!("{address} is {key} {other} too; must have a port of its own"));
            }
        }
    }
}
