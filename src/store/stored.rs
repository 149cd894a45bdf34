//! A change as a store keeps it, without a store: for whoever checks that what is stored is what was meant.
//!
//! The fuzz targets hold records and damaged files against it. No request and no start comes here.

use super::disk;
use super::records::{self, RecordError};
use furt_core::registry::Change;

/// The longest piece of a file that was asked for since the last question, in bytes; of any file.
pub fn longest_read() -> usize {
    disk::LONGEST_READ.swap(0, std::sync::atomic::Ordering::Relaxed)
}

/// A change after it was stored and read again; `None` for one that has no record.
///
/// # Errors
/// Names the record and what is wrong with it.
pub fn stored(change: &Change) -> Option<Result<Change, RecordError>> {
    match change {
        Change::PutDefinition(put) => {
            let record = records::Definition::from_core(put).to_json();
            Some(records::Definition::parse(put.definition.service.as_str(), &record).map(Change::PutDefinition))
        }
        Change::PutInstance(put) => {
            let record = records::Instance::from_core(put).to_json();
            Some(records::Instance::parse(put.spec.id.as_str(), &record).map(Change::PutInstance))
        }
        Change::PutKey(key) => {
            let record = records::Key::from_core(key).to_json();
            Some(records::Key::parse(key.name().as_str(), &record).map(Change::PutKey))
        }
        Change::PutDraining(instance, mark) => {
            let record = records::Drain::of_instance(&instance.id, mark).to_json();
            let read = records::Drain::parse(instance.id.as_str(), &record);
            Some(read.map(|(id, mark)| Change::PutDraining(instance.sibling(&id), mark)))
        }
        Change::PutHold(held, mark) => {
            let record = records::Drain::of_id(held, mark).to_json();
            let read = records::Drain::parse_hold(&held.to_string(), &record);
            Some(read.map(|(held, mark)| Change::PutHold(held, mark)))
        }
        Change::PutMaintenance(scope, maintenance) => {
            let record = records::Maintenance::from_core(scope, maintenance).to_json();
            let read = records::Maintenance::parse(&scope.to_string(), &record);
            Some(read.map(|(scope, maintenance)| Change::PutMaintenance(scope, maintenance)))
        }
        Change::PutSplit(service, split) => {
            let record = records::Split::from_core(service, split).to_json();
            let read = records::Split::parse(service.as_str(), &record);
            Some(read.map(|(service, split)| Change::PutSplit(service, split)))
        }
        Change::PutGrant(service, grant) => {
            let record = records::Grant::from_core(service, grant).to_json();
            let read = records::Grant::parse(service.as_str(), &record);
            Some(read.map(|(service, grant)| Change::PutGrant(service, grant)))
        }
        Change::RemoveInstance(_)
        | Change::RemoveService { .. }
        | Change::Observe(..)
        | Change::NoteTtl { .. }
        | Change::RemoveDraining(_)
        | Change::RemoveHold(_)
        | Change::RemoveKey(_)
        | Change::RemoveMaintenance(_)
        | Change::RemoveSplit(_)
        | Change::RemoveGrant(_)
        // Nobody reads it as a change again.
        | Change::Audit(_) => None,
    }
}
