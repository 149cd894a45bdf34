//! The body of `POST /internal/apply`: every field, its rule and its default.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::super::fields::{FieldError, Fields, text};
use super::super::grants::{AuthFault, read_fields as grant};
use super::super::keys::read_rules as key_rules;
use super::super::splits::read_fields as split;
use crate::clock;
use furt_core::model::{
    CidrSet, Invalid, KeyName, MAX_MAINTENANCE_NETWORKS, MAX_OLD_DIGESTS, MaintenanceMessage, MaintenanceScope,
    OldDigest, RuntimeKey, ServiceName, Sha256Digest,
};
use furt_core::registry::{DesiredKey, DesiredMaintenance, DesiredState};

/// Records of one collection: as many keys as there may be.
const MAX_RECORDS: usize = 100_000;
/// Errors that are told: the first of them show what is wrong with a file.
const MAX_ERRORS: usize = 100;

/// What a body says.
///
/// # Errors
/// Every field that is wrong or unknown, at most a hundred of them.
pub(super) fn read(body: Value, auth_fault: AuthFault<'_>) -> Result<DesiredState, Vec<FieldError>> {
    let mut errors = Vec::new();
    let read = Fields::open(String::new(), body, &mut errors).map(|mut fields| {
        let grants = collection(&mut fields, "grants", "service", |fields| {
            let service = fields.require("service", text(ServiceName::try_new));
            let grant = grant(fields, auth_fault);
            Some((service?, Arc::new(grant?)))
        });
        let keys = collection(&mut fields, "keys", "name", read_key);
        let maintenance = collection(&mut fields, "maintenance", "service", read_maintenance);
        let splits = collection(&mut fields, "splits", "service", |fields| {
            let service = fields.require("service", text(ServiceName::try_new));
            let split = split(fields);
            Some((service?, split))
        });
        fields.finish();
        DesiredState { grants, keys, maintenance, splits }
    });
    errors.truncate(MAX_ERRORS);
    read.filter(|_| errors.is_empty()).ok_or(errors)
}

/// A list of objects, each with a name of its own; `name`: the field that has it.
fn collection<K: Ord, T>(
    fields: &mut Fields<'_>,
    list: &str,
    name: &str,
    mut read: impl FnMut(&mut Fields<'_>) -> Option<(K, T)>,
) -> Option<BTreeMap<K, T>> {
    let pointer = fields.pointer_to(list);
    let records = match fields.take(list)? {
        Value::Array(records) if records.len() <= MAX_RECORDS => records,
        _ => {
            fields.refuse(list, format!("must be a list of at most {MAX_RECORDS} objects"));
            return None;
        }
    };
    let mut all = BTreeMap::new();
    for (at, record) in records.into_iter().enumerate() {
        let pointer = format!("{pointer}/{at}");
        let read = Fields::open(pointer.clone(), record, fields.errors()).and_then(|mut own| {
            let read = read(&mut own);
            own.finish();
            read
        });
        let Some((key, value)) = read else { continue };
        if all.insert(key, value).is_some() {
            let detail = "is there twice".to_owned();
            fields.errors().push(FieldError { pointer: format!("{pointer}/{name}"), detail });
        }
    }
    Some(all)
}

fn read_key(fields: &mut Fields<'_>) -> Option<(KeyName, DesiredKey)> {
    let sha256 = fields.require("sha256", text(Sha256Digest::try_from_hex));
    let rules = key_rules(fields);
    let expires_ms = fields.optional("expires", text(time));
    let old = fields.has_value("old").then(|| read_old(fields));
    let spec = rules?.spec(sha256?);
    let old = match old {
        Some(old) => Some(old?),
        None => None,
    };
    // What no field alone is wrong with, such as a digest that is there twice.
    if let Err(why) = RuntimeKey::try_new(spec.clone(), 0, expires_ms, old.clone().unwrap_or_default()) {
        fields.refuse_whole(why.to_string());
    }
    Some((spec.name.clone(), DesiredKey { spec, expires_ms, old }))
}

fn read_old(fields: &mut Fields<'_>) -> Option<Vec<OldDigest>> {
    let pointer = fields.pointer_to("old");
    let list = match fields.take("old")? {
        Value::Array(list) if list.len() <= MAX_OLD_DIGESTS => list,
        _ => {
            fields.refuse("old", format!("must be a list of at most {MAX_OLD_DIGESTS} objects"));
            return None;
        }
    };
    let one = |(at, value): (usize, Value)| {
        let mut own = Fields::open(format!("{pointer}/{at}"), value, fields.errors())?;
        let sha256 = own.require("sha256", text(Sha256Digest::try_from_hex));
        let until_ms = own.require("until", text(time));
        own.finish();
        Some(OldDigest { sha256: sha256?, until_ms: until_ms? })
    };
    list.into_iter().enumerate().map(one).collect()
}

fn read_maintenance(fields: &mut Fields<'_>) -> Option<(MaintenanceScope, DesiredMaintenance)> {
    let scope = fields.require("service", text(MaintenanceScope::from_name));
    let network = |text: &str| CidrSet::try_new(&[text]).map(|_| text.to_owned());
    let allow_from = fields.list("allow_from", MAX_MAINTENANCE_NETWORKS, network).unwrap_or_default();
    let message = fields.optional("message", text(MaintenanceMessage::try_new));
    let ends_ms = fields.optional("until", text(time));
    // Each of them was good.
    let allow_from = CidrSet::try_new(&allow_from).unwrap_or_default();
    Some((scope?, DesiredMaintenance { allow_from, message, ends_ms }))
}

fn time(text: &str) -> Result<i64, Invalid> {
    clock::parse_rfc3339(text).ok_or_else(|| Invalid::new("must be a time such as \"2030-01-31T12:00:00Z\""))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pointers(body: Value) -> String {
        match read(body, &|_| None) {
            Ok(DesiredState { grants, keys, maintenance, splits }) => {
                let counts = [
                    grants.map(|all| all.len()),
                    keys.map(|all| all.len()),
                    maintenance.map(|all| all.len()),
                    splits.map(|all| all.len()),
                ];
                counts.map(|count| count.map_or_else(|| "-".to_owned(), |count| count.to_string())).join(" ")
            }
            Err(errors) => {
                let mut pointers: Vec<_> = errors.into_iter().map(|error| error.pointer).collect();
                pointers.sort();
                pointers.join(" ")
            }
        }
    }

    fn key(name: &str) -> Value {
        json!({"name": name, "sha256": Sha256Digest::of(name.as_bytes()).to_string(), "permissions": ["*"]})
    }

    #[test]
    fn a_collection_is_there_or_is_not_said() {
        assert_eq!(pointers(json!({})), "- - - -");
        let all = json!({
            "grants": [{"service": "a", "paths": ["/a/*"]}],
            "keys": [key("a"), key("b")],
            "maintenance": [{"service": "*", "until": "2020-01-01T00:00:00Z"}, {"service": "a"}],
            "splits": [],
        });
        assert_eq!(pointers(all), "1 2 2 0");
    }

    #[test]
    fn every_wrong_field_is_told_at_once() {
        let mut old = key("c");
        old["old"] = json!([{"sha256": old["sha256"], "until": "2030-01-01T00:00:00Z"}]);
        let body = json!({
            "grants": [{"paths": ["a"]}, {"service": "a", "colour": 1}],
            "keys": [key("a"), key("a"), {"name": "b", "permissions": []}, old, {"name": "d", "sha256": "0".repeat(64),
                "permissions": ["*"], "burst": 5, "expires": "soon", "old": [{}]}, 7],
            "maintenance": [{"service": "A b", "message": ""}],
            "splits": [{"service": "a", "versions": {"stable": 1}}, {"service": "a", "versions": {"2": 1}}],
            "services": [],
        });
        let expected = "/grants/0/paths/0 /grants/0/service /grants/1/colour /keys/1/name /keys/2/permissions \
                        /keys/2/sha256 /keys/3 /keys/4/burst /keys/4/expires /keys/4/old/0/sha256 \
                        /keys/4/old/0/until /keys/5 /maintenance/0/message /maintenance/0/service /services \
                        /splits/0/versions/stable /splits/1/service";
        assert_eq!(pointers(body), expected);
        assert_eq!(
            pointers(json!({"splits": vec![json!({"service": "a", "versions": {"2": 1}}); 2]})),
            "/splits/1/service"
        );
        assert_eq!(pointers(json!({"keys": {}})), "/keys");
        assert_eq!(pointers(json!([])), "");
    }

    #[test]
    fn errors_are_bounded() {
        let many = json!({"keys": vec![json!(1); 1000]});
        assert_eq!(read(many, &|_| None).unwrap_err().len(), MAX_ERRORS);
    }
}
