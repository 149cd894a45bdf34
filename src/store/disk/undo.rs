//! What was stored before a batch, so that a commit that failed can be taken back.
//!
//! redb may report that a commit failed although the file has it: where the header was written and only the sync after
//! it failed. Whoever waited was told that nothing is stored, and the core goes on from there; so the first transaction
//! of the file that is opened again puts back what each touched record was. Where the commit is not in the file, that
//! changes nothing.

use std::collections::BTreeMap;

use redb::{AccessGuard, Database, ReadableTable as _, StorageError, Table, TableDefinition, WriteTransaction};

use super::tables::{
    AUDIT, AUDIT_HEADS, DEFINITIONS, DOWN, DRAINS, GRANTS, HOLDS, INSTANCES, IdTable, KEYS, MAINTENANCE, SPLITS, TTLS,
    UP,
};
use furt_core::model::InstanceId;
use furt_core::registry::{Change, DefinitionRecord, InstanceRecord};

/// Records by their key; `None`: there was none.
type Records = BTreeMap<String, Option<Vec<u8>>>;
type RecordTable = TableDefinition<'static, &'static str, &'static [u8]>;

/// The records that a batch touches, as they were before it.
#[derive(Debug, Default)]
pub(super) struct Undo {
    definitions: Records,
    instances: Records,
    keys: Records,
    drains: Records,
    holds: Records,
    maintenance: Records,
    splits: Records,
    grants: Records,
    /// Where the audit ended before the batch, where that adds entries. The oldest one that had to go for it stays away.
    audit: Option<AuditEnd>,
    /// What was noted of the instances.
    notes: BTreeMap<String, Notes>,
}

/// The place of the last entry, and the last one of each gateway.
#[derive(Debug)]
struct AuditEnd {
    place: u64,
    heads: Vec<(String, Vec<u8>)>,
}

impl AuditEnd {
    fn of(transaction: &WriteTransaction) -> Result<Self, redb::Error> {
        let place = transaction.open_table(AUDIT)?.last()?.map_or(0, |(place, _)| place.value());
        let table = transaction.open_table(AUDIT_HEADS)?;
        let head = |entry: Result<(AccessGuard<'_, &str>, AccessGuard<'_, &[u8]>), StorageError>| {
            entry.map(|(gateway, head)| (gateway.value().to_owned(), head.value().to_vec()))
        };
        let heads = table.iter()?.map(head).collect::<Result<_, _>>()?;
        Ok(Self { place, heads })
    }
}

#[derive(Debug)]
struct Notes {
    is_down: bool,
    is_up: bool,
    ttl_ms: Option<u64>,
}

impl Undo {
    /// Keeps what `change` is about to touch, if an earlier change of the batch has not.
    pub(super) fn keep(&mut self, transaction: &WriteTransaction, change: &Change) -> Result<(), redb::Error> {
        match change {
            Change::PutDefinition(DefinitionRecord { definition, .. }) => {
                keep(&mut self.definitions, transaction, DEFINITIONS, definition.service.as_str())
            }
            Change::PutInstance(InstanceRecord { spec, .. }) => self.keep_instance(transaction, &spec.id),
            Change::RemoveInstance(instance)
            | Change::PutDraining(instance, _)
            | Change::RemoveDraining(instance)
            | Change::Observe(instance, _)
            | Change::NoteTtl { instance, .. } => self.keep_instance(transaction, &instance.id),
            Change::RemoveService { service, instances } => {
                keep(&mut self.definitions, transaction, DEFINITIONS, service.as_str())?;
                instances.iter().try_for_each(|id| self.keep_instance(transaction, id))
            }
            Change::PutHold(held, _) | Change::RemoveHold(held) => {
                keep(&mut self.holds, transaction, HOLDS, &held.to_string())
            }
            Change::PutKey(key) => keep(&mut self.keys, transaction, KEYS, key.name().as_str()),
            Change::RemoveKey(name) => keep(&mut self.keys, transaction, KEYS, name.as_str()),
            Change::PutMaintenance(scope, _) | Change::RemoveMaintenance(scope) => {
                keep(&mut self.maintenance, transaction, MAINTENANCE, &scope.to_string())
            }
            Change::Audit(_) => {
                if self.audit.is_none() {
                    self.audit = Some(AuditEnd::of(transaction)?);
                }
                Ok(())
            }
            Change::PutSplit(service, _) | Change::RemoveSplit(service) => {
                keep(&mut self.splits, transaction, SPLITS, service.as_str())
            }
            Change::PutGrant(service, _) | Change::RemoveGrant(service) => {
                keep(&mut self.grants, transaction, GRANTS, service.as_str())
            }
        }
    }

    fn keep_instance(&mut self, transaction: &WriteTransaction, id: &InstanceId) -> Result<(), redb::Error> {
        let id = id.as_str();
        if self.notes.contains_key(id) {
            return Ok(());
        }
        keep(&mut self.instances, transaction, INSTANCES, id)?;
        keep(&mut self.drains, transaction, DRAINS, id)?;
        let is_in = |table: IdTable| Ok::<_, redb::Error>(transaction.open_table(table)?.get(id)?.is_some());
        let ttl_ms = transaction.open_table(TTLS)?.get(id)?.map(|ms| ms.value());
        let (is_down, is_up) = (is_in(DOWN)?, is_in(UP)?);
        self.notes.insert(id.to_owned(), Notes { is_down, is_up, ttl_ms });
        Ok(())
    }

    /// Puts all of it back.
    pub(super) fn apply(&self, database: &Database) -> Result<(), redb::Error> {
        let transaction = super::begin(database)?;
        let records = [
            (DEFINITIONS, &self.definitions),
            (INSTANCES, &self.instances),
            (KEYS, &self.keys),
            (DRAINS, &self.drains),
            (HOLDS, &self.holds),
            (MAINTENANCE, &self.maintenance),
            (SPLITS, &self.splits),
            (GRANTS, &self.grants),
        ];
        for (table, records) in records {
            let mut table = transaction.open_table(table)?;
            for (key, record) in records {
                match record {
                    Some(record) => table.insert(key.as_str(), record.as_slice())?,
                    None => table.remove(key.as_str())?,
                };
            }
        }
        {
            let (mut down, mut up) = (transaction.open_table(DOWN)?, transaction.open_table(UP)?);
            let mut ttls = transaction.open_table(TTLS)?;
            for (id, notes) in &self.notes {
                set(&mut down, id, notes.is_down)?;
                set(&mut up, id, notes.is_up)?;
                match notes.ttl_ms {
                    Some(ms) => ttls.insert(id.as_str(), ms)?,
                    None => ttls.remove(id.as_str())?,
                };
            }
        }
        if let Some(AuditEnd { place, heads }) = &self.audit {
            transaction.open_table(AUDIT)?.retain_in(place + 1.., |_, _| false)?;
            let mut table = transaction.open_table(AUDIT_HEADS)?;
            table.retain(|_, _| false)?;
            for (gateway, head) in heads {
                table.insert(gateway.as_str(), head.as_slice())?;
            }
        }
        Ok(transaction.commit()?)
    }
}

fn keep(
    records: &mut Records,
    transaction: &WriteTransaction,
    table: RecordTable,
    key: &str,
) -> Result<(), redb::Error> {
    if !records.contains_key(key) {
        let record = transaction.open_table(table)?.get(key)?.map(|record| record.value().to_vec());
        records.insert(key.to_owned(), record);
    }
    Ok(())
}

fn set(table: &mut Table<'_, &'static str, ()>, id: &str, holds: bool) -> Result<(), redb::Error> {
    if holds {
        table.insert(id, ())?;
    } else {
        table.remove(id)?;
    }
    Ok(())
}
