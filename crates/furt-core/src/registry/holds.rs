//! Ids that an operator holds: they drain until that is undone, whoever registers under them, also while nobody does.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::command::DrainCommand;
use super::ids::InstanceRef;
use crate::model::DrainMark;

/// Held ids, each of a service.
#[derive(Debug, Default)]
pub(super) struct Holds(BTreeMap<InstanceRef, Arc<DrainMark>>);

impl Holds {
    pub(super) fn get(&self, instance: &InstanceRef) -> Option<&Arc<DrainMark>> {
        self.0.get(instance)
    }

    /// Holds the id, or holds it no more (`None`). Says whether that is a change.
    pub(super) fn set(&mut self, instance: &InstanceRef, mark: Option<Arc<DrainMark>>) -> bool {
        match mark {
            Some(mark) => {
                self.0.insert(instance.clone(), mark);
                true
            }
            None => self.0.remove(instance).is_some(),
        }
    }

    /// Those that a command is about.
    pub(super) fn of(&self, command: &DrainCommand) -> impl Iterator<Item = &InstanceRef> {
        let is_meant = |held: &&InstanceRef| {
            held.service == command.service && command.instance.as_ref().is_none_or(|wanted| *wanted == held.id)
        };
        self.0.keys().filter(is_meant)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&InstanceRef, &Arc<DrainMark>)> {
        self.0.iter()
    }
}
