//! A store as JSON, and a look at all of it: for copies, for moves, and for what `furt store` tells.
//!
//! Nothing here changes a file that is there. A store that a furt has open is refused: it would change meanwhile.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::faults::{ImportError, RecordKind};
use super::{
    FORMAT, OLDEST_FORMAT, Undo, check_whole, initialize, key_record, known, opening, promised, put_definition,
    put_instance, put_key, records, write,
};
use furt_core::model::{Epoch, InstanceId, Status};
use furt_core::ports::StoreError;
use furt_core::registry::{Change, Contents, DefinitionRecord, InstanceRecord, Observation};

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
    /// Runtime keys.
    pub keys: usize,
}

impl Summary {
    fn of(contents: &Contents) -> Self {
        Self {
            services: contents.definitions.len(),
            instances: contents.instances.len(),
            down: contents.observed.down.len(),
            draining: contents.draining.len(),
            keys: contents.keys.len(),
        }
    }
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
    /// This and what follows: of format 2 and later.
    draining: Option<Vec<String>>,
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
    let contents = opening::examine(path)?;
    let unwritable = |error: serde_json::Error| StoreError::Invalid(format!("a record is no JSON: {error}"));
    let definition = |record: &DefinitionRecord| serde_json::to_value(records::Definition::from_core(record));
    let definitions = contents.definitions.values().map(definition);
    let instance = |record: &InstanceRecord| serde_json::to_value(records::Instance::from_core(record));
    let instances = contents.instances.values().map(instance);
    let keys = contents.keys.values().map(|key| serde_json::to_value(key_record::Key::from_core(key)));
    let ttl = |(id, ttl): (&InstanceId, &Duration)| (id.to_string(), ttl.as_millis().try_into().unwrap_or(u64::MAX));
    let exported = Exported {
        format: FORMAT,
        epoch: contents.epoch.to_string(),
        starts: contents.starts,
        definitions: definitions.collect::<Result<_, _>>().map_err(unwritable)?,
        instances: instances.collect::<Result<_, _>>().map_err(unwritable)?,
        down: contents.observed.down.iter().map(ToString::to_string).collect(),
        up: contents.observed.up.iter().map(ToString::to_string).collect(),
        draining: Some(contents.draining.iter().map(ToString::to_string).collect()),
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
    let note = |status| move |id: &InstanceId| Change::Observe(id.clone(), Observation::Status(status));
    let down = contents.observed.down.iter().map(note(Status::Down));
    let notes = down.chain(contents.observed.up.iter().map(note(Status::Up)));
    let ttls = contents.ttls.iter().map(|(id, &ttl)| Change::NoteTtl { instance: id.clone(), ttl });
    let draining = contents.draining.iter().cloned().map(Change::PutDraining);
    let keys = contents.keys.values().map(|key| Change::PutKey(Arc::clone(key)));
    let definitions = contents.definitions.values().cloned().map(Change::PutDefinition);
    let instances = contents.instances.values().cloned().map(Change::PutInstance);
    let changes: Vec<_> = definitions.chain(instances).chain(notes).chain(ttls).chain(draining).chain(keys).collect();
    drop(opening::create(into, |database| {
        initialize(database, contents.epoch, contents.starts)?;
        // A file that fails is not made.
        write(database, &changes, &mut Undo::default())
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
    let epoch = all.epoch.parse().map_err(|_| ImportError::Epoch(all.epoch))?;
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
    let (draining, ttls, keys) = match (format, all.draining, all.ttls_ms, all.keys) {
        (OLDEST_FORMAT, None, None, None) => Default::default(),
        (OLDEST_FORMAT, ..) => return Err(ImportError::ListsOfLaterFormat),
        (_, Some(draining), Some(ttls), Some(keys)) => (draining, ttls, keys),
        (_, draining, ttls, _) => {
            let missing = match (draining, ttls) {
                (None, _) => "draining",
                (Some(_), None) => "ttls_ms",
                (Some(_), Some(_)) => "keys",
            };
            return Err(ImportError::MissingList(missing));
        }
    };
    for (id, &ms) in &ttls {
        let (id, ttl) = promised(&contents, id, ms)?;
        contents.ttls.insert(id, ttl);
    }
    for id in &draining {
        contents.draining.insert(known(&contents, id, "draining")?);
    }
    for (number, record) in keys.iter().enumerate() {
        let name = name(record, "name", "keys", number)?;
        put_key(&mut contents, key_record::Key::parse(name, record.to_string().as_bytes())?);
        if contents.keys.len() == number {
            return Err(twice(RecordKind::ApiKey, name));
        }
    }
    check_whole(&contents)?;
    Ok(contents)
}

fn name<'a>(record: &'a Value, key: &'static str, list: &'static str, number: usize) -> Result<&'a str, ImportError> {
    record.get(key).and_then(Value::as_str).ok_or(ImportError::Unnamed { list, number, key })
}

fn twice(kind: RecordKind, key: &str) -> ImportError {
    ImportError::Twice { kind, key: key.to_owned() }
}
