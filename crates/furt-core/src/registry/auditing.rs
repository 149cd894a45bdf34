//! What of operators' commands goes to the audit: with the change, in the same write.
//!
//! Services' own commands are events, and no part of it. An operator without credentials, who is one by an address alone,
//! counts as one where nothing else gives the right.

use std::net::IpAddr;
use std::sync::Arc;

use super::answer::Answer;
use super::audits::{WaitingEntry, audit};
use super::caller::Asker;
use super::change::Change;
use super::command::Source;
use super::directory::InstanceEntry;
use super::dispatch::Registry;
use super::effects::Effects;
use super::grants::RegistrationPolicy;
use super::ids::InstanceRef;
use super::now::Now;
use super::refusal::Refusal;
use super::service_write::Registering;
use super::write::Write;
use crate::model::{AuditAction, AuditEntry, ServiceName};

/// The most entries that wait for the store and belong to no other change.
const MAX_WAITING: usize = 256;

impl RegistrationPolicy {
    /// Whether `source` acts as an operator on what `registered_from` registered.
    pub(super) fn is_operators(&self, service: &ServiceName, registered_from: Option<IpAddr>, source: &Source) -> bool {
        let Some(operator) = &source.operator else { return false };
        operator.name.is_some() || registered_from.is_none_or(|from| self.needs_operator(service, from, source))
    }

    /// Whether nobody but an operator may speak for what `registered_from` registered, and `source` is one.
    fn needs_operator(&self, service: &ServiceName, registered_from: IpAddr, source: &Source) -> bool {
        let without = || Source { operator: None, ..source.clone() };
        source.operator.is_some() && self.check_owner(service, registered_from, &without()).is_err()
    }
}

impl Registry {
    /// What the audit keeps of a registration: where it takes what another registrant has, which nobody but an operator may. Any
    /// other one is an event, whoever sends it.
    pub(super) fn audited_registration(&self, registering: &Registering, now: Now) -> Option<Change> {
        let Registering { command, definition_owner, replaces, .. } = registering;
        let (service, source) = (&command.definition.service, &command.source);
        let entry = self.directory.service(service)?;
        let is_others = |from| self.settings.policy.needs_operator(service, from, source);
        let instances = std::iter::once(&command.instance.id).chain(replaces);
        let owners = instances.filter_map(|id| entry.instances().get(id)).map(InstanceEntry::registered_from);
        let definition = definition_owner.map(|_| entry.registered_from());
        if !owners.chain(definition).any(is_others) {
            return None;
        }
        let action = AuditAction::Register {
            service: service.clone(),
            instance: command.instance.id.clone(),
            is_defined: definition_owner.is_some(),
            replaces: replaces.clone(),
        };
        Some(audit(action, &source.actor(), now.unix_ms))
    }

    /// The same of one that changes nothing and ends a drain.
    pub(super) fn audited_return(&self, instance: &InstanceRef, source: &Source, now: Now) -> Option<Change> {
        let installed = self.directory.instance(instance)?;
        if !self.settings.policy.needs_operator(&instance.service, installed.registered_from(), source) {
            return None;
        }
        let (service, instances) = (instance.service.clone(), vec![instance.id.clone()]);
        Some(audit(AuditAction::EndDrain { service, instances }, &source.actor(), now.unix_ms))
    }

    /// Something is done that changes nothing else in the store: its entry is stored by itself.
    pub(super) fn handle_audit(&mut self, action: AuditAction, asker: Asker, now: Now, effects: &mut Effects) {
        if let Some(refusal) = self.store_refusal() {
            return effects.reply(asker.caller.reply, Err(refusal));
        }
        if self.audits.len() >= MAX_WAITING {
            return effects.reply(asker.caller.reply, Err(Refusal::Busy));
        }
        let entry = Arc::new(AuditEntry { at_ms: now.unix_ms, by: asker.by.clone(), action });
        self.submit_audit(WaitingEntry { entry, asker }, effects);
    }

    fn submit_audit(&mut self, waiting: WaitingEntry, effects: &mut Effects) {
        let id = self.write_ids.next();
        let changes = vec![Change::Audit(Arc::clone(&waiting.entry))];
        self.audits.insert(id, waiting);
        effects.write(id, Write::new(changes, self.revision, Vec::new()));
    }

    pub(super) fn finish_audit(&self, waiting: &WaitingEntry, outcome: Result<(), &str>, effects: &mut Effects) {
        let outcome = outcome.map(|()| Answer::Audited).map_err(|why| Refusal::StoreFailed(why.to_owned()));
        effects.reply(waiting.asker.caller.reply, outcome);
    }

    /// Another gateway of the same name added to the chain meanwhile.
    pub(super) fn rejudge_audit(&mut self, waiting: WaitingEntry, effects: &mut Effects) {
        match waiting.asker.again() {
            Some(asker) => self.submit_audit(WaitingEntry { asker, ..waiting }, effects),
            None => effects.reply(waiting.asker.caller.reply, Err(Refusal::Busy)),
        }
    }
}
