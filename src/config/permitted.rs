//! Which keys of a layer are taken: those whose rows are `pushable`, and that the local file allows by `cluster.settings`. Arrays of
//! tables, which say where traffic goes and who may do what, never are.

use toml::de::{DeTable, DeValue};

use super::allowed::AllowedSettings;
use super::errors::Fault;
use super::key::Key;
use super::layers::{Disallowed, ParsedLayer};
use super::nearest::nearest;
use super::printable::printable;
use super::reference::{TableKind, reference};

/// Keys that can be set from elsewhere.
pub fn pushable_keys() -> Vec<Key> {
    single_keys().into_iter().filter(|key| key.pushable).collect()
}

fn single_keys() -> Vec<Key> {
    reference().into_iter().filter(|table| table.kind == TableKind::Single).flat_map(|table| table.keys).collect()
}

/// What can be allowed and means nothing.
pub(super) fn useless(allowed: &[AllowedSettings]) -> Option<String> {
    let keys = pushable_keys();
    let useless = allowed.iter().find(|one| !keys.iter().any(|key| one.allows(key.table(), key.key())))?;
    Some(format!(
        "has \"{useless}\", which is no key that can be set from elsewhere; the reference marks those that can be"
    ))
}

/// Judges every key of a layer. Faults are with their places.
pub(super) fn judge<'a>(
    table: &'a DeTable<'a>,
    allowed: &[AllowedSettings],
    disallowed: Disallowed,
) -> (ParsedLayer<'a>, Vec<(usize, Fault)>) {
    let known = single_keys();
    let (mut taken, mut passed_over, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    let mut fault = |at: usize, key: &str, message: String| {
        faults.push((at, Fault { key: printable(key), message }));
    };
    for (name, value) in table {
        let DeValue::Table(keys) = value.get_ref() else {
            let why = "cannot be set from elsewhere; must be a table with keys, such as [limits]";
            fault(name.span().start, name.get_ref(), why.to_owned());
            continue;
        };
        for (key, _) in keys {
            let full = format!("{}.{}", name.get_ref(), key.get_ref());
            let at = key.span().start;
            match known.iter().find(|one| one.name == full) {
                None => {
                    let near = nearest(&full, known.iter().filter(|one| one.pushable).map(|one| one.name));
                    let hint = near.map_or_else(String::new, |near| format!("; did you mean \"{near}\"?"));
                    fault(at, &full, format!("is not known{hint}"));
                }
                Some(row) if !row.pushable => {
                    fault(at, row.name, "can be set by a node's own file and environment alone".to_owned());
                }
                Some(row) if allowed.iter().any(|one| one.allows(row.table(), row.key())) => taken.push(row.name),
                Some(row) if disallowed == Disallowed::Refused => {
                    let why = "this node's file does not allow it; its cluster.settings names what may be set";
                    fault(at, row.name, why.to_owned());
                }
                Some(row) => passed_over.push(row.name),
            }
        }
    }
    (ParsedLayer { table, taken, passed_over }, faults)
}
