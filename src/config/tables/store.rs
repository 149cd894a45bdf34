//! `[store]`: where the registry is kept.

use std::path::PathBuf;

use crate::config::key::{DefaultValue, Key, ReloadClass, TableVisitor};
use crate::config::reading::FileTables;
use crate::config::types::{Config, StoreConfig};
use crate::config::value::text;
use furt_core::model::Invalid;

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
}

pub(super) fn visit(keys: &mut impl TableVisitor) -> StoreConfig {
    keys.table("store", "Where the registry is kept.");
    let kind = keys.value(
        Key {
            name: "store.kind",
            default: DefaultValue::Toml(r#""disk""#),
            range: "`\"disk\"`, `\"memory\"`",
            reload: ReloadClass::Restart,
            text: "`\"disk\"` keeps everything that was answered over restarts and crashes. `\"memory\"` is lost with \
                   the process; services register again.",
            ..Key::ROW
        },
        text("a kind of store", store_kind),
        |config| match config.store {
            StoreConfig::Memory => &StoreKind::Memory,
            StoreConfig::Disk(_) => &StoreKind::Disk,
        },
    );
    let path = keys.optional(PATH, text("a path", store_path), configured_path);
    match kind {
        StoreKind::Memory => StoreConfig::Memory,
        StoreKind::Disk => StoreConfig::Disk(path.unwrap_or_else(|| PATH.default_value(text("a path", store_path)))),
    }
}

pub(super) fn check(tables: &FileTables<'_, '_>, store: &StoreConfig) {
    if *store == StoreConfig::Memory && tables.is_set("store.path") {
        tables.refuse("store.path", "stands beside kind = \"memory\"; must be left out there");
    }
}

fn configured_path(config: &Config) -> Option<&PathBuf> {
    match &config.store {
        StoreConfig::Disk(path) => Some(path),
        StoreConfig::Memory => None,
    }
}

fn store_kind(text: &str) -> Result<StoreKind, Invalid> {
    match text {
        "memory" => Ok(StoreKind::Memory),
        "disk" => Ok(StoreKind::Disk),
        _ => Err(Invalid::new("must be \"disk\" or \"memory\"")),
    }
}

fn store_path(text: &str) -> Result<PathBuf, Invalid> {
    if text.is_empty() { Err(Invalid::new("must name a file")) } else { Ok(text.into()) }
}
