//! `[store]`: where the registry is kept.

use std::path::PathBuf;

use crate::config::key::{DefaultValue, Key, ReloadClass, TableVisitor};
use crate::config::reading::FileTables;
use crate::config::types::{Config, EtcdConfig, StoreConfig};
use crate::config::value::{Commas, file, list, text};
use furt_core::model::{Invalid, ServiceName};

const PATH: Key = Key {
    name: "store.path",
    default: DefaultValue::Toml(r#""data/furt.redb""#),
    range: "a path",
    reload: ReloadClass::Restart,
    text: "The file of `\"disk\"`, relative to the folder where furt was started (the systemd unit: \
           `/var/lib/furt`); its folder is made if need be. One furt has it at a time. Not allowed with `\"memory\"`.",
    ..Key::ROW
};

/// `store.kind`
#[derive(Clone, Copy, PartialEq)]
enum StoreKind {
    Memory,
    Disk,
    Etcd,
}

pub(super) fn visit(keys: &mut impl TableVisitor) -> StoreConfig {
    keys.table("store", "Where the registry is kept.");
    let kind = keys.value(
        Key {
            name: "store.kind",
            default: DefaultValue::Toml(r#""disk""#),
            range: "`\"disk\"`, `\"memory\"`, `\"etcd\"`",
            reload: ReloadClass::Restart,
            text: "`\"disk\"` keeps everything that was answered over restarts and crashes. `\"memory\"` is lost with \
                   the process; services register again. `\"etcd\"` is shared by any number of gateways: [etcd.md](etcd.md).",
            ..Key::ROW
        },
        text("a kind of store", store_kind),
        |config| match config.store {
            StoreConfig::Memory => &StoreKind::Memory,
            StoreConfig::Disk(_) => &StoreKind::Disk,
            StoreConfig::Etcd => &StoreKind::Etcd,
        },
    );
    let path = keys.optional(PATH, text("a path", store_path), configured_path);
    match kind {
        StoreKind::Memory => StoreConfig::Memory,
        StoreKind::Disk => StoreConfig::Disk(path.unwrap_or_else(|| PATH.default_value(text("a path", store_path)))),
        StoreKind::Etcd => StoreConfig::Etcd,
    }
}

/// A row of a key that counts with `kind = "etcd"`.
const fn etcd_key(name: &'static str, default: DefaultValue, range: &'static str, text: &'static str) -> Key {
    Key { name, default, range, reload: ReloadClass::Restart, text, ..Key::ROW }
}

/// The keys of the table that count with `kind = "etcd"`.
pub(super) fn visit_etcd(keys: &mut impl TableVisitor) -> EtcdConfig {
    EtcdConfig {
        endpoints: keys.value(
            etcd_key(
                "store.endpoints",
                DefaultValue::Toml("[]"),
                "urls",
                "With `\"etcd\"`: its members, such as `[\"https://10.0.0.5:2379\"]`. One is used at a time, and the next \
                 one where it fails.",
            ),
            list(Commas::Split, "a url of etcd", endpoint),
            |config| &config.etcd.endpoints,
        ),
        namespace: keys.value(
            etcd_key(
                "store.namespace",
                DefaultValue::Toml(r#""default""#),
                "as a service's name",
                "With `\"etcd\"`: all keys are below `/furt/<namespace>/`. Gateways with the same namespace share one \
                 registry.",
            ),
            text("a namespace", namespace),
            |config| &config.etcd.namespace,
        ),
        user: keys.optional(
            etcd_key(
                "store.user",
                DefaultValue::absent("none", r#""furt""#),
                "a name",
                "With `\"etcd\"`: the user that furt is there. It needs `store.password_file`.",
            ),
            text("a name", user),
            |config| config.etcd.user.as_ref(),
        ),
        password_file: keys.optional(
            etcd_key(
                "store.password_file",
                DefaultValue::absent("none", r#""/etc/furt/etcd-password""#),
                "a file",
                "With `\"etcd\"`: the file with the user's password. It is read at each new connection.",
            ),
            file,
            |config| config.etcd.password_file.as_ref(),
        ),
        ca: keys.optional(
            etcd_key(
                "store.ca",
                DefaultValue::absent("the system's", r#""/etc/furt/etcd-ca.pem""#),
                "a PEM file",
                "With `\"etcd\"`: certificate authorities for https endpoints.",
            ),
            file,
            |config| config.etcd.ca.as_ref(),
        ),
        cert: keys.optional(
            etcd_key(
                "store.cert",
                DefaultValue::absent("none", r#""/etc/furt/etcd-cert.pem""#),
                "a PEM file",
                "With `\"etcd\"`: the certificate that furt shows to https endpoints. It needs `store.key`.",
            ),
            file,
            |config| config.etcd.cert.as_ref(),
        ),
        key: keys.optional(
            etcd_key(
                "store.key",
                DefaultValue::absent("none", r#""/etc/furt/etcd-key.pem""#),
                "a PEM file",
                "With `\"etcd\"`: the private key of `store.cert`.",
            ),
            file,
            |config| config.etcd.key.as_ref(),
        ),
    }
}

pub(super) fn check(tables: &FileTables<'_, '_>, config: &Config) {
    let name = match config.store {
        StoreConfig::Memory => "memory",
        StoreConfig::Etcd => "etcd",
        StoreConfig::Disk(_) => return,
    };
    if tables.is_set("store.path") {
        tables.refuse("store.path", format!("stands beside kind = \"{name}\"; must be left out there"));
    }
    if config.store == StoreConfig::Etcd {
        check_etcd(tables, &config.etcd);
    }
}

fn check_etcd(tables: &FileTables<'_, '_>, etcd: &EtcdConfig) {
    if etcd.endpoints.is_empty() {
        const WHY: &str =
            "names no member; must be at least one url, such as [\"http://127.0.0.1:2379\"], with kind = \"etcd\"";
        tables.refuse_together(&["store.endpoints", "store.kind"], WHY);
    }
    for (one, other) in [("store.user", "store.password_file"), ("store.cert", "store.key")] {
        for (set, missing) in [(one, other), (other, one)] {
            if tables.is_set(set) && !tables.is_set(missing) {
                tables.refuse(set, format!("is of no use alone; {missing} must be set as well"));
            }
        }
    }
    let has_tls = etcd.endpoints.iter().any(|endpoint| endpoint.starts_with("https:"));
    for key in ["store.ca", "store.cert"] {
        if !has_tls && tables.is_set(key) {
            tables.refuse(key, "is of no use: no endpoint begins with https://");
        }
    }
}

fn configured_path(config: &Config) -> Option<&PathBuf> {
    match &config.store {
        StoreConfig::Disk(path) => Some(path),
        StoreConfig::Memory | StoreConfig::Etcd => None,
    }
}

fn store_kind(text: &str) -> Result<StoreKind, Invalid> {
    match text {
        "memory" => Ok(StoreKind::Memory),
        "disk" => Ok(StoreKind::Disk),
        "etcd" => Ok(StoreKind::Etcd),
        _ => Err(Invalid::new("must be \"disk\", \"memory\" or \"etcd\"")),
    }
}

/// A url without anything that etcd has no use for.
fn endpoint(text: &str) -> Result<String, Invalid> {
    const RULE: &str = "must be http:// or https:// with a host and a port, such as \"https://10.0.0.5:2379\"";
    let url = url::Url::parse(text).map_err(|_| Invalid::new(RULE))?;
    let has_more = url.path() != "/" || url.query().is_some() || url.fragment().is_some();
    let has_user = !url.username().is_empty() || url.password().is_some();
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || has_more {
        return Err(Invalid::new(RULE));
    }
    if has_user {
        return Err(Invalid::new("must have no user in it: store.user and store.password_file name it"));
    }
    let has_port = text.trim_end_matches('/').rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port { Ok(text.trim_end_matches('/').to_owned()) } else { Err(Invalid::new(RULE)) }
}

/// A service's name follows the same rule.
fn namespace(text: &str) -> Result<String, Invalid> {
    ServiceName::try_new(text).map(|name| name.to_string())
}

fn user(text: &str) -> Result<String, Invalid> {
    if text.is_empty() { Err(Invalid::new("must not be empty")) } else { Ok(text.to_owned()) }
}

fn store_path(text: &str) -> Result<PathBuf, Invalid> {
    if text.is_empty() { Err(Invalid::new("must name a file")) } else { Ok(text.into()) }
}
