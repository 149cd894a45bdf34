//! What a file has: reading it, each record checked, and putting it together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable};

use super::faults::ContentsError;
use super::tables::{
    DEFINITIONS, DOWN, DRAINING, DRAINS, GRANTS, HOLDS, INSTANCES, KEYS, MAINTENANCE, META, OLDEST_FORMAT, SPLITS,
    TTLS, UP, WITH_DRAINING, WITHOUT_GRANTS, WITHOUT_MAINTENANCE, WITHOUT_SPLITS,
};
use super::{MAX_STARTS, format_of, present, secret_of};
use crate::store::records;
use furt_core::model::{
    DrainMark, Epoch, InstanceId, KeyName, MAX_DURATION, Maintenance, MaintenanceScope, RuntimeGrant, RuntimeKey,
    ServiceName, Split,
};
use furt_core::registry::{Contents, DefinitionRecord, InstanceRecord};

/// Everything, each record checked and of what is there.
pub(super) fn read(database: &Database) -> Result<Contents, ContentsError> {
    read_commit(&database.begin_read().map_err(redb::Error::from)?)
}

/// The same of one commit.
pub(super) fn read_commit(read: &ReadTransaction) -> Result<Contents, ContentsError> {
    let tables = || -> Result<_, redb::Error> {
        let format = format_of(read)?;
        let keys = if format == Some(OLDEST_FORMAT) { None } else { Some(read.open_table(KEYS)?) };
        let drains = match format {
            Some(OLDEST_FORMAT) => StoredDrains::None,
            Some(WITH_DRAINING) => StoredDrains::Ids(read.open_table(DRAINING)?),
            _ => StoredDrains::Records(read.open_table(DRAINS)?, read.open_table(HOLDS)?),
        };
        let since = |last_without| format.is_some_and(|format| format > last_without);
        let maintenance = if since(WITHOUT_MAINTENANCE) { Some(read.open_table(MAINTENANCE)?) } else { None };
        let splits = if since(WITHOUT_SPLITS) { Some(read.open_table(SPLITS)?) } else { None };
        let grants = if since(WITHOUT_GRANTS) { Some(read.open_table(GRANTS)?) } else { None };
        let (definitions, instances) = (read.open_table(DEFINITIONS)?, read.open_table(INSTANCES)?);
        let (ttls, up) = (present(read.open_table(TTLS))?, present(read.open_table(UP))?);
        let down = read.open_table(DOWN)?;
        Ok((
            read.open_table(META)?,
            definitions,
            instances,
            down,
            up,
            ttls,
            drains,
            keys,
            maintenance,
            (splits, grants),
        ))
    };
    let (meta, definitions, instances, down, up, ttls, drains, keys, maintenance, (splits, grants)) = tables()?;
    let text = |key: &'static str| -> Result<String, ContentsError> {
        let value = meta.get(key)?.ok_or(ContentsError::Missing(key))?;
        String::from_utf8(value.value().to_owned()).map_err(|_| ContentsError::NoText(key))
    };
    let epoch = text("epoch")?.parse().map_err(ContentsError::Epoch)?;
    let mut contents = Contents::new(Epoch(epoch));
    // Who looks at a file is told, too.
    secret_of(&meta)?;
    contents.starts = text("starts")?.parse().map_err(ContentsError::Starts)?;
    for entry in definitions.iter()? {
        let (name, record) = entry?;
        put_definition(&mut contents, records::Definition::parse(name.value(), record.value())?);
    }
    for entry in instances.iter()? {
        let (id, record) = entry?;
        put_instance(&mut contents, records::Instance::parse(id.value(), record.value())?);
    }
    for entry in down.iter()? {
        let id = known(&contents, entry?.0.value(), "DOWN")?;
        contents.observed.down.insert(id);
    }
    if let Some(table) = &up {
        for entry in table.iter()? {
            contents.observed.up.extend(known(&contents, entry?.0.value(), "UP").ok());
        }
    }
    if let Some(table) = &ttls {
        for entry in table.iter()? {
            let (id, ms) = entry?;
            let (id, ttl) = promised(&contents, id.value(), ms.value())?;
            contents.ttls.insert(id, ttl);
        }
    }
    drains.read(&mut contents)?;
    if let Some(keys) = keys {
        for entry in keys.iter()? {
            let (name, record) = entry?;
            put_key(&mut contents, records::Key::parse(name.value(), record.value())?);
        }
    }
    if let Some(maintenance) = maintenance {
        for entry in maintenance.iter()? {
            let (name, record) = entry?;
            put_maintenance(&mut contents, records::Maintenance::parse(name.value(), record.value())?);
        }
    }
    if let Some(splits) = splits {
        for entry in splits.iter()? {
            let (name, record) = entry?;
            put_split(&mut contents, records::Split::parse(name.value(), record.value())?);
        }
    }
    if let Some(grants) = grants {
        for entry in grants.iter()? {
            let (name, record) = entry?;
            put_grant(&mut contents, records::Grant::parse(name.value(), record.value())?);
        }
    }
    check_whole(&contents)?;
    Ok(contents)
}

type RecordsTable = ReadOnlyTable<&'static str, &'static [u8]>;

/// Drains, as the formats have them.
enum StoredDrains {
    None,
    Ids(ReadOnlyTable<&'static str, ()>),
    /// Of instances, and of ids.
    Records(RecordsTable, RecordsTable),
}

impl StoredDrains {
    fn read(&self, contents: &mut Contents) -> Result<(), ContentsError> {
        match self {
            Self::None => {}
            Self::Ids(table) => {
                for entry in table.iter()? {
                    let id = known(contents, entry?.0.value(), "draining")?;
                    contents.draining.insert(id, Arc::new(DrainMark::unknown()));
                }
            }
            Self::Records(drains, holds) => {
                for entry in drains.iter()? {
                    let (id, record) = entry?;
                    put_drain(contents, records::Drain::parse(id.value(), record.value())?)?;
                }
                for entry in holds.iter()? {
                    let (held, record) = entry?;
                    let (held, mark) = records::Drain::parse_hold(held.value(), record.value())?;
                    contents.holds.insert(held, mark);
                }
            }
        }
        Ok(())
    }
}

pub(super) fn put_drain(
    contents: &mut Contents,
    (id, mark): (InstanceId, Arc<DrainMark>),
) -> Result<(), ContentsError> {
    let id = known(contents, id.as_str(), "draining")?;
    contents.draining.insert(id, mark);
    Ok(())
}

/// What is noted is noted of an instance.
pub(super) fn known(contents: &Contents, id: &str, noted: &'static str) -> Result<InstanceId, ContentsError> {
    let known = InstanceId::try_new(id).ok().filter(|id| contents.instances.contains_key(id));
    known.ok_or_else(|| ContentsError::NotedOfNone { id: id.to_owned(), noted })
}

/// A TTL that an instance was promised, if it is one that a configuration may have.
pub(super) fn promised(contents: &Contents, id: &str, ms: u64) -> Result<(InstanceId, Duration), ContentsError> {
    let known = known(contents, id, "held to a TTL")?;
    let ttl = Some(Duration::from_millis(ms)).filter(|ttl| !ttl.is_zero() && *ttl <= MAX_DURATION);
    match ttl {
        Some(ttl) => Ok((known, ttl)),
        None => Err(ContentsError::TtlOutOfRange { id: known, ms }),
    }
}

pub(super) fn put_definition(contents: &mut Contents, record: DefinitionRecord) {
    contents.definitions.insert(record.definition.service.clone(), record);
}

pub(super) fn put_instance(contents: &mut Contents, record: InstanceRecord) {
    contents.instances.insert(record.spec.id.clone(), record);
}

pub(super) fn put_key(contents: &mut Contents, key: Arc<RuntimeKey>) {
    contents.keys.insert(key.name().clone(), key);
}

pub(super) fn put_maintenance(contents: &mut Contents, (scope, maintenance): (MaintenanceScope, Arc<Maintenance>)) {
    contents.maintenance.insert(scope, maintenance);
}

pub(super) fn put_split(contents: &mut Contents, (service, split): (ServiceName, Arc<Split>)) {
    contents.splits.insert(service, split);
}

pub(super) fn put_grant(contents: &mut Contents, (service, grant): (ServiceName, Arc<RuntimeGrant>)) {
    contents.grants.insert(service, grant);
}

/// An instance comes with its definition and goes with it, a digest is of one key, and one more start can be counted.
pub(super) fn check_whole(contents: &Contents) -> Result<(), ContentsError> {
    if contents.starts > MAX_STARTS {
        return Err(ContentsError::TooManyStarts(contents.starts));
    }
    let mut holders = BTreeMap::new();
    for (sha256, name) in contents.keys.values().flat_map(|key| key.digests().map(|sha256| (sha256, key.name()))) {
        if let Some(other) = holders.insert(sha256, name) {
            return Err(ContentsError::SameDigest(KeyName::clone(other), name.clone()));
        }
    }
    contents.instances.iter().try_for_each(|(id, InstanceRecord { service, .. })| {
        if contents.definitions.contains_key(service) {
            return Ok(());
        }
        Err(ContentsError::NoService { id: id.clone(), service: service.clone() })
    })
}
