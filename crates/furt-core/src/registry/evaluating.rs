//! Services are evaluated: after they came, after an instance came or went, and under another configuration.

use std::collections::BTreeSet;

use super::directory::{InstanceEntry, ServiceEntry};
use super::dispatch::Registry;
use super::effects::Effects;
use super::eligibility::{Evaluated, Outcome, effective};
use super::ids::InstanceRef;
use super::now::Now;
use super::refusal::Refusal;
use super::report::Report;
use crate::model::{Definition, ServiceName};

/// Whose routes a definition may not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rivals {
    /// Installed services'.
    Installed,
    /// The same, and those of definitions on their way to the store.
    All,
}

impl Registry {
    /// Puts a service's routes into the table, or takes them out, by whether it is eligible today. One that is being
    /// removed has none there; its claims are evaluated all the same, since its removal may fail.
    pub(super) fn re_evaluate(&mut self, service: &ServiceName, effects: &mut Effects) {
        let why = self.evaluate(service).err().map(|refusal| refusal.to_string().into());
        let apps_domain = &self.settings.policy.apps_domain;
        let Some(entry) = self.directory.service_mut(service) else { return };
        let evaluated = entry.evaluated(why, apps_domain);
        let Some(Evaluated { before, outcome }) = evaluated else { return };
        let after = entry.eligibility().effective();
        if !entry.is_being_removed() {
            self.publisher.replace_routes(entry.index(), Some(&before), Some(after));
            self.publisher.touch(entry.index(), service);
        }
        // In a shared store a service keeps its routes from others while it is suspended: another gateway may route it.
        if !self.settings.sharing.is_shared() {
            self.claims.remove(&before);
            self.claims.add(after, entry.added());
        }
        match outcome {
            Outcome::Suspended(why) => effects.report(Report::Suspended { service: service.clone(), why }),
            Outcome::Reinstated => effects.report(Report::Reinstated(service.clone())),
            Outcome::Eligible => {}
        }
    }

    /// The same after an instance came, or came anew. Where the service is eligible, only that instance can make it
    /// ineligible: so ten thousand instances are not looked at for each that joins them.
    pub(super) fn re_evaluate_joined(&mut self, instance: &InstanceRef, effects: &mut Effects) {
        let Some(entry) = self.directory.service(&instance.service) else { return };
        let policy = &self.settings.policy;
        let may_be =
            |installed: &InstanceEntry| policy.check_addresses(&instance.service, installed.addresses()).is_ok();
        if !entry.eligibility().is_eligible() || !entry.instances().get(&instance.id).is_some_and(may_be) {
            self.re_evaluate(&instance.service, effects);
        }
    }

    /// A service that is suspended registered again: the rules may allow it by now.
    pub(super) fn re_evaluate_suspended(&mut self, service: &ServiceName, now: Now, effects: &mut Effects) {
        if self.directory.service(service).is_some_and(|entry| !entry.eligibility().is_eligible()) {
            self.re_evaluate(service, effects);
            self.publisher.advance();
            self.refresh(service, now, effects);
        }
    }

    /// Services that are suspended and stay registered are reinstated where they may be. Of two that want one route the
    /// first by name gets it, as after a restart; where a third holds it by now, both stay suspended.
    pub(super) fn reinstate(&mut self, effects: &mut Effects) {
        self.re_evaluate_where(|entry| !entry.eligibility().is_eligible() && !entry.is_being_removed(), effects);
    }

    /// Services that claim a route of `service`, and `rivals`, who claim one that it gave up, are routed or not by who is older.
    /// There are none unless a stranger wrote into a shared store.
    pub(super) fn re_evaluate_rivals(
        &mut self,
        service: &ServiceName,
        mut rivals: BTreeSet<ServiceName>,
        effects: &mut Effects,
    ) {
        if let Some(entry) = self.directory.service(service).filter(|_| self.settings.sharing.is_shared()) {
            let claimed = self.claimed(entry);
            rivals.append(&mut self.claims.others(&claimed));
        }
        if !rivals.is_empty() {
            rivals.iter().for_each(|rival| self.re_evaluate(rival, effects));
            self.publisher.advance();
        }
    }

    pub(super) fn re_evaluate_where(&mut self, is_meant: impl Fn(&ServiceEntry) -> bool, effects: &mut Effects) {
        for service in &self.directory.names_where(is_meant) {
            self.re_evaluate(service, effects);
        }
    }

    /// Whether a service may be routed under the rules of today.
    ///
    /// # Errors
    /// The first rule against it.
    fn evaluate(&self, service: &ServiceName) -> Result<(), Refusal> {
        let Some(entry) = self.directory.service(service) else { return Ok(()) };
        if let Some(why) = entry.suspended() {
            return Err(Refusal::beyond(why.to_string()));
        }
        let policy = &self.settings.policy;
        policy.check_definition(entry.definition(), entry.registered_from())?;
        entry.instances().values().try_for_each(|instance| match instance.suspended() {
            Some(why) => Err(Refusal::beyond(why.to_string())),
            None => policy.check_addresses(service, instance.addresses()),
        })?;
        // What is on its way to a shared store may never come there: what is there goes before it.
        let rivals = if self.settings.sharing.is_shared() { Rivals::Installed } else { Rivals::All };
        self.check_conflicts(entry.definition(), rivals)
    }

    /// Whether no static route and no other service has a route of the definition.
    ///
    /// # Errors
    /// [`Refusal::Taken`], naming who has it.
    pub(super) fn check_conflicts(&self, definition: &Definition, rivals: Rivals) -> Result<(), Refusal> {
        let effective = effective(definition, &self.settings.policy.apps_domain);
        self.settings.policy.check_static_routes(definition, &effective)?;
        for route in &effective.routes {
            let (service, host) = (&effective.service, effective.host.as_ref());
            let pending = || match rivals {
                Rivals::Installed => None,
                Rivals::All => self.pending_claims.conflict(service, host, route),
            };
            if let Some(conflict) = self.claims.conflict(service, host, route).or_else(pending) {
                return Err(self.directory.taken(format!("route {} {}", route.method, route.pattern), conflict));
            }
        }
        Ok(())
    }
}
