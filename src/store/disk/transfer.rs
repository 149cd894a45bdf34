//! A store as JSON, and a look at all of it: for copies, for moves, and for what `furt store` tells.
//!
//! Nothing here changes a file that is there. A store that a furt has open is refused: it would change meanwhile, and that
//! furt exports it itself (`running`).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::contents::{
    check_whole, known, promised, put_definition, put_drain, put_grant, put_instance, put_key, put_maintenance,
    put_split,
};
use super::faults::ImportError;
use super::tables::{FORMAT, OLDEST_FORMAT, WITH_DRAINING, WITHOUT_GRANTS, WITHOUT_MAINTENANCE, WITHOUT_SPLITS};
use super::{Undo, initialize, opening, records, write};
use crate::store::RecordKind;
use furt_core::model::{DrainMark, Epoch, InstanceId, Status};
use furt_core::ports::StoreError;
use furt_core::registry::{Change, Contents, DefinitionRecord, InstanceRecord, InstanceRef, Observation};

/// How much a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Services.
    pub services: usize,
    /// Instances of all of them.
    pub instances: usize,
    /// Those of them that are DOWN.
    pub down: usize,
    /// Those of them that are draining.
    pub draining: usize,
    /// Ids that are held, also those under which nothing is stored.
    pub held: usize,
    /// Runtime keys.
    pub keys: usize,
    /// Names that are in maintenance.
    pub maintenance: usize,
    /// Services with a split.
    pub splits: usize,
    /// Services with a grant of run time.
    pub grants: usize,
}

impl Summary {
    fn of(contents: &Contents) -> Self {
        Self {
            services: contents.definitions.len(),
            instances: contents.instances.len(),
            down: contents.observed.down.len(),
            draining: contents.draining.len() + contents.holds.keys().filter(|held| is_stored(contents, held)).count(),
            held: contents.holds.len(),
            keys: contents.keys.len(),
            maintenance: contents.maintenance.len(),
            splits: contents.splits.len(),
            grants: contents.grants.len(),
        }
    }
}

fn is_stored(contents: &Contents, held: &InstanceRef) -> bool {
    contents.instances.get(&held.id).is_some_and(|record| record.service == held.service)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exported {
    format: u64,
    epoch: String,
    /// So that no generation of the same epoch comes again.
    #[serde(default)]
    starts: u64,
    definitions: Vec<Value>,
    instances: Vec<Value>,
    down: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    up: Vec<String>,
    /// Of format 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    draining: Option<Vec<String>>,
    /// These two: of format 3 and later.
    drains: Option<Vec<Value>>,
    holds: Option<Vec<Value>>,
    /// Of format 4 and later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    maintenance: Option<Vec<Value>>,
    /// Of format 6 and later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    splits: Option<Vec<Value>>,
    /// Of format 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grants: Option<Vec<Value>>,
    /// This and what follows: of format 2 and later.
    ttls_ms: Option<BTreeMap<String, u64>>,
    keys: Option<Vec<Value>>,
}

/// Reads everything that a store holds.
///
/// # Errors
/// A sentence that names the file and what to do.
pub fn check(path: &Path) -> Result<Summary, StoreError> {
    Ok(Summary::of(&opening::examine(path)?))
}

/// Everything that a store holds, the records as they are stored.
///
/// # Errors
/// A sentence that names the file and what to do.
pub fn export(path: &Path) -> Result<Value, StoreError> {
    exported(&opening::examine(path)?)
}

/// What a store holds, as [`export`] gives it.
pub(super) fn exported(contents: &Contents) -> Result<Value, StoreError> {
    let unwritable = |error: serde_json::Error| StoreError::Invalid(format!("a record is no JSON: {error}"));
    let definition = |record: &DefinitionRecord| serde_json::to_value(records::Definition::from_core(record));
    let definitions = contents.definitions.values().map(definition);
    let instance = |record: &InstanceRecord| serde_json::to_value(records::Instance::from_core(record));
    let instances = contents.instances.values().map(instance);
    let keys = contents.keys.values().map(|key| serde_json::to_value(records::Key::from_core(key)));
    let ttl = |(id, ttl): (&InstanceId, &Duration)| (id.to_string(), ttl.as_millis().try_into().unwrap_or(u64::MAX));
    let drains = contents.draining.iter();
    let drains = drains.map(|(id, mark)| serde_json::to_value(records::Drain::of_instance(id, mark)));
    let holds = contents.holds.iter();
    let holds = holds.map(|(held, mark)| serde_json::to_value(records::Drain::of_id(held, mark)));
    let maintenance = contents.maintenance.iter();
    let maintenance = maintenance.map(|(scope, one)| serde_json::to_value(records::Maintenance::from_core(scope, one)));
    let splits = contents.splits.iter();
    let splits = splits.map(|(service, split)| serde_json::to_value(records::Split::from_core(service, split)));
    let grants = contents.grants.iter();
    let grants = grants.map(|(service, grant)| serde_json::to_value(records::Grant::from_core(service, grant)));
    let exported = Exported {
        format: FORMAT,
        epoch: contents.epoch.to_string(),
        starts: contents.starts,
        definitions: definitions.collect::<Result<_, _>>().map_err(unwritable)?,
        instances: instances.collect::<Result<_, _>>().map_err(unwritable)?,
        down: contents.observed.down.iter().map(ToString::to_string).collect(),
        up: contents.observed.up.iter().map(ToString::to_string).collect(),
        draining: None,
        drains: Some(drains.collect::<Result<_, _>>().map_err(unwritable)?),
        holds: Some(holds.collect::<Result<_, _>>().map_err(unwritable)?),
        maintenance: Some(maintenance.collect::<Result<_, _>>().map_err(unwritable)?),
        splits: Some(splits.collect::<Result<_, _>>().map_err(unwritable)?),
        grants: Some(grants.collect::<Result<_, _>>().map_err(unwritable)?),
        ttls_ms: Some(contents.ttls.iter().map(ttl).collect()),
        keys: Some(keys.collect::<Result<_, _>>().map_err(unwritable)?),
    };
    serde_json::to_value(exported).map_err(unwritable)
}

/// Makes a new store at `into` of what [`export`] gave.
///
/// # Errors
/// A sentence that names the record that is wrong, or the file: there is one already, or it cannot be made.
pub fn import(json: &str, into: &Path) -> Result<Summary, StoreError> {
    let contents = parse(json).map_err(|why| StoreError::Invalid(why.to_string()))?;
    // What is noted is noted of a stored instance: `parse` made sure of it.
    let of = |id: &InstanceId| contents.instances.get(id).map(InstanceRecord::instance);
    let note = |status| move |id: &InstanceId| Some(Change::Observe(of(id)?, Observation::Status(status)));
    let down = contents.observed.down.iter().filter_map(note(Status::Down));
    let notes = down.chain(contents.observed.up.iter().filter_map(note(Status::Up)));
    let ttls = contents.ttls.iter().filter_map(|(id, &ttl)| Some(Change::NoteTtl { instance: of(id)?, ttl }));
    let drains = contents.draining.iter().filter_map(|(id, mark)| Some(Change::PutDraining(of(id)?, Arc::clone(mark))));
    let holds = contents.holds.iter().map(|(held, mark)| Change::PutHold(held.clone(), Arc::clone(mark)));
    let drains = drains.chain(holds);
    let keys = contents.keys.values().map(|key| Change::PutKey(Arc::clone(key)));
    let maintenance = contents.maintenance.iter();
    let maintenance = maintenance.map(|(scope, one)| Change::PutMaintenance(scope.clone(), Arc::clone(one)));
    let splits = contents.splits.iter();
    let splits = splits.map(|(service, split)| Change::PutSplit(service.clone(), Arc::clone(split)));
    let grants = contents.grants.iter();
    let grants = grants.map(|(service, grant)| Change::PutGrant(service.clone(), Arc::clone(grant)));
    let definitions = contents.definitions.values().cloned().map(Change::PutDefinition);
    let instances = contents.instances.values().cloned().map(Change::PutInstance);
    let records = definitions.chain(instances).chain(notes).chain(ttls).chain(drains).chain(keys);
    let changes: Vec<_> = records.chain(maintenance).chain(splits).chain(grants).collect();
    drop(opening::create(into, |database| {
        initialize(database, contents.epoch, contents.starts)?;
        // A file that fails is not made.
        write(database, &changes, "", &mut Undo::default())
    })?);
    Ok(Summary::of(&contents))
}

fn parse(json: &str) -> Result<Contents, ImportError> {
    let all: Value = serde_json::from_str(json).map_err(ImportError::NoJson)?;
    let format = match all.get("format").map(Value::as_u64) {
        Some(Some(format @ OLDEST_FORMAT..=FORMAT)) => format,
        Some(Some(found)) => return Err(ImportError::OtherFormat { found, known: FORMAT }),
        Some(None) | None => return Err(ImportError::NoFormat),
    };
    let all: Exported = serde_json::from_value(all).map_err(ImportError::OtherFields)?;
    let epoch = all.epoch.parse().map_err(|_| ImportError::Epoch(all.epoch.clone()))?;
    let mut contents = Contents::new(Epoch(epoch));
    contents.starts = all.starts;
    for (number, record) in all.definitions.iter().enumerate() {
        let name = name(record, "service", "definitions", number)?;
        put_definition(&mut contents, records::Definition::parse(name, record.to_string().as_bytes())?);
        if contents.definitions.len() == number {
            return Err(twice(RecordKind::Service, name));
        }
    }
    for (number, record) in all.instances.iter().enumerate() {
        let name = name(record, "instance", "instances", number)?;
        put_instance(&mut contents, records::Instance::parse(name, record.to_string().as_bytes())?);
        if contents.instances.len() == number {
            return Err(twice(RecordKind::Instance, name));
        }
    }
    for id in &all.down {
        contents.observed.down.insert(known(&contents, id, "DOWN")?);
    }
    for id in &all.up {
        contents.observed.up.insert(known(&contents, id, "UP")?);
    }
    let Lists { draining, drains, holds, ttls, keys, maintenance, splits, grants } = Lists::of(format, all)?;
    for (id, &ms) in &ttls {
        let (id, ttl) = promised(&contents, id, ms)?;
        contents.ttls.insert(id, ttl);
    }
    for id in &draining {
        let id = known(&contents, id, "draining")?;
        contents.draining.insert(id, Arc::new(DrainMark::unknown()));
    }
    for (number, record) in drains.iter().enumerate() {
        let id = name(record, "instance", "drains", number)?;
        put_drain(&mut contents, records::Drain::parse(id, record.to_string().as_bytes())?)?;
        if contents.draining.len() == number {
            return Err(twice(RecordKind::Drain, id));
        }
    }
    for (number, record) in holds.iter().enumerate() {
        let service = name(record, "service", "holds", number)?;
        let key = format!("{service}/{}", name(record, "instance", "holds", number)?);
        let (held, mark) = records::Drain::parse_hold(&key, record.to_string().as_bytes())?;
        if contents.holds.insert(held, mark).is_some() {
            return Err(twice(RecordKind::Hold, &key));
        }
    }
    for (number, record) in keys.iter().enumerate() {
        let name = name(record, "name", "keys", number)?;
        put_key(&mut contents, records::Key::parse(name, record.to_string().as_bytes())?);
        if contents.keys.len() == number {
            return Err(twice(RecordKind::ApiKey, name));
        }
    }
    for (number, record) in maintenance.iter().enumerate() {
        let name = name(record, "service", "maintenance", number)?;
        put_maintenance(&mut contents, records::Maintenance::parse(name, record.to_string().as_bytes())?);
        if contents.maintenance.len() == number {
            return Err(twice(RecordKind::Maintenance, name));
        }
    }
    for (number, record) in splits.iter().enumerate() {
        let name = name(record, "service", "splits", number)?;
        put_split(&mut contents, records::Split::parse(name, record.to_string().as_bytes())?);
        if contents.splits.len() == number {
            return Err(twice(RecordKind::Split, name));
        }
    }
    for (number, record) in grants.iter().enumerate() {
        let name = name(record, "service", "grants", number)?;
        put_grant(&mut contents, records::Grant::parse(name, record.to_string().as_bytes())?);
        if contents.grants.len() == number {
            return Err(twice(RecordKind::Grant, name));
        }
    }
    check_whole(&contents)?;
    Ok(contents)
}

/// The lists that not every format has.
#[derive(Default)]
struct Lists {
    draining: Vec<String>,
    drains: Vec<Value>,
    holds: Vec<Value>,
    ttls: BTreeMap<String, u64>,
    keys: Vec<Value>,
    maintenance: Vec<Value>,
    splits: Vec<Value>,
    grants: Vec<Value>,
}

impl Lists {
    /// # Errors
    /// One that the format has is missing, or one is there that it has not.
    fn of(format: u64, all: Exported) -> Result<Self, ImportError> {
        let Exported { draining, drains, holds, maintenance, splits, grants, ttls_ms, keys, .. } = all;
        let since_2 = format > OLDEST_FORMAT;
        let since_3 = format > WITH_DRAINING;
        let since_4 = format > WITHOUT_MAINTENANCE;
        let since_6 = format > WITHOUT_SPLITS;
        let since_8 = format > WITHOUT_GRANTS;
        let has_others = draining.is_some() && format != WITH_DRAINING
            || (ttls_ms.is_some() || keys.is_some()) && !since_2
            || (drains.is_some() || holds.is_some()) && !since_3
            || maintenance.is_some() && !since_4
            || splits.is_some() && !since_6
            || grants.is_some() && !since_8;
        if has_others {
            return Err(ImportError::ListsOfOtherFormat(format));
        }
        Ok(Self {
            draining: needed(draining, format == WITH_DRAINING, "draining")?,
            drains: needed(drains, since_3, "drains")?,
            holds: needed(holds, since_3, "holds")?,
            ttls: needed(ttls_ms, since_2, "ttls_ms")?,
            keys: needed(keys, since_2, "keys")?,
            maintenance: needed(maintenance, since_4, "maintenance")?,
            splits: needed(splits, since_6, "splits")?,
            grants: needed(grants, since_8, "grants")?,
        })
    }
}

fn needed<T: Default>(list: Option<T>, is_needed: bool, name: &'static str) -> Result<T, ImportError> {
    match list {
        None if is_needed => Err(ImportError::MissingList(name)),
        list => Ok(list.unwrap_or_default()),
    }
}

fn name<'a>(record: &'a Value, key: &'static str, list: &'static str, number: usize) -> Result<&'a str, ImportError> {
    record.get(key).and_then(Value::as_str).ok_or(ImportError::Unnamed { list, number, key })
}

fn twice(kind: RecordKind, key: &str) -> ImportError {
    ImportError::Twice { kind, key: key.to_owned() }
}
