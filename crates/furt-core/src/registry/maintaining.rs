//! Maintenance begins and ends, by commands of operators, by time, and by what other gateways did.
//!
//! As all that is durable a command takes two events. Of two at once the later one counts: it is judged again by what the earlier
//! one left. One that is over leaves the snapshot at once, and then the store, of which any gateway may have it removed.

use std::sync::Arc;
use std::time::Duration;

use super::answer::Answer;
use super::audits::audit;
use super::caller::Asker;
use super::change::Change;
use super::dispatch::Registry;
use super::effects::Effects;
use super::lapsing::spread;
use super::leases::REMOVAL_RETRY;
use super::maintenances::{
    MAX_PARKED, MaintenanceAnswer, MaintenanceCommand, MaintenanceReport, MaintenanceWrite, ParkedMaintenance,
};
use super::now::Now;
use super::refusal::Refusal;
use super::report::Report;
use super::settings::Sharing;
use super::write::{Premise, Record, Write};
use crate::model::{Actor, AuditAction, Maintenance, MaintenanceScope};

/// How long what is over stays in a shared store: a gateway whose clock is ahead by less ends it for itself alone.
const REMOVAL_DELAY: Duration = Duration::from_secs(600);
/// The most that the removal from a shared store is delayed after that: one gateway is the first, and the others find it gone.
const REMOVAL_SPREAD_MS: u64 = 60_000;

impl Registry {
    pub(super) fn handle_maintenance(
        &mut self,
        command: MaintenanceCommand,
        asker: Asker,
        now: Now,
        effects: &mut Effects,
    ) {
        let parked = ParkedMaintenance { command, asker };
        let scope = parked.command.scope().clone();
        if !self.maintenances.outbox.is_writing(&scope) {
            self.begin_maintenance_command(parked, now, effects);
        } else if let Err(parked) = self.maintenances.outbox.park(&scope, parked, MAX_PARKED) {
            refuse(&scope, parked.asker, Refusal::Busy, effects);
        }
    }

    fn begin_maintenance_command(
        &mut self,
        ParkedMaintenance { command, asker }: ParkedMaintenance,
        now: Now,
        effects: &mut Effects,
    ) {
        let scope = command.scope().clone();
        if let Some(refusal) = self.store_refusal() {
            return refuse(&scope, asker, refusal, effects);
        }
        let (write, changes) = match &command {
            MaintenanceCommand::Begin { lasts, allow_from, message, .. } => {
                if !self.maintenances.has_room_for(&scope) {
                    return refuse(&scope, asker, Refusal::TooManyMaintenances, effects);
                }
                let lasts_ms = lasts.map(|lasts| i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX));
                let maintenance = Arc::new(Maintenance {
                    allow_from: allow_from.clone(),
                    message: message.clone(),
                    by: asker.by.clone(),
                    began_ms: now.unix_ms,
                    ends_ms: lasts_ms.map(|ms| now.unix_ms.saturating_add(ms)),
                });
                let before = self.maintenances.get(&scope).map(Arc::clone);
                let after = Arc::clone(&maintenance);
                let audited = audit(
                    AuditAction::BeginMaintenance { scope: scope.clone(), before, after },
                    &asker.by,
                    now.unix_ms,
                );
                let change = Change::PutMaintenance(scope.clone(), Arc::clone(&maintenance));
                (MaintenanceWrite::Begin { command, maintenance, asker }, vec![change, audited])
            }
            MaintenanceCommand::End(_) => {
                let Some(maintenance) = self.maintenances.get(&scope).map(Arc::clone) else {
                    return refuse(&scope, asker, Refusal::NotInMaintenance(scope.clone()), effects);
                };
                let before = Arc::clone(&maintenance);
                let audited =
                    audit(AuditAction::EndMaintenance { scope: scope.clone(), before }, &asker.by, now.unix_ms);
                (MaintenanceWrite::End { maintenance, asker }, vec![Change::RemoveMaintenance(scope.clone()), audited])
            }
        };
        let premises = self.premises_of_maintenance(&scope);
        self.submit_maintenance(scope, write, changes, premises, effects);
    }

    fn submit_maintenance(
        &mut self,
        scope: MaintenanceScope,
        write: MaintenanceWrite,
        changes: Vec<Change>,
        premises: Vec<Premise>,
        effects: &mut Effects,
    ) {
        let id = self.write_ids.next();
        self.maintenances.outbox.submit(id, vec![scope], write);
        effects.write(id, Write::new(changes, self.revision, premises));
    }

    pub(super) fn unpark_maintenance(&mut self, scope: &MaintenanceScope, now: Now, effects: &mut Effects) {
        let mut queue = self.maintenances.outbox.take_parked(scope);
        while !self.maintenances.outbox.is_writing(scope) {
            let Some(parked) = queue.pop_front() else { break };
            self.begin_maintenance_command(parked, now, effects);
        }
        self.maintenances.outbox.park_again(scope, queue);
        self.maintenances.arm(now);
    }

    /// The store has it.
    pub(super) fn finish_maintenance(
        &mut self,
        write: MaintenanceWrite,
        scope: &MaintenanceScope,
        now: Now,
        effects: &mut Effects,
    ) {
        match write {
            MaintenanceWrite::Begin { maintenance, asker, .. } => {
                if self.maintenances.get(scope) != Some(&maintenance) {
                    self.put_maintenance(scope, &maintenance, effects);
                }
                self.answer_maintenance(asker, maintenance, effects);
            }
            MaintenanceWrite::End { maintenance, asker } => {
                self.remove_maintenance(scope, Some(asker.by.clone()), now, effects);
                self.answer_maintenance(asker, maintenance, effects);
            }
            MaintenanceWrite::Forget => {
                self.maintenances.remove(scope);
            }
        }
        self.unpark_maintenance(scope, now, effects);
    }

    /// The store does not have it.
    pub(super) fn fail_maintenance(
        &mut self,
        write: MaintenanceWrite,
        scope: &MaintenanceScope,
        why: &str,
        now: Now,
        effects: &mut Effects,
    ) {
        match write {
            MaintenanceWrite::Begin { asker, .. } | MaintenanceWrite::End { asker, .. } => {
                refuse(scope, asker, Refusal::StoreFailed(why.to_owned()), effects);
            }
            MaintenanceWrite::Forget => {
                self.maintenances.forget_at(scope, now.at + REMOVAL_RETRY);
                let report = MaintenanceReport::RemovalFailed { scope: scope.clone(), why: why.to_owned() };
                effects.report(Report::Maintenance(report));
            }
        }
        self.unpark_maintenance(scope, now, effects);
    }

    /// Others changed it meanwhile.
    pub(super) fn rejudge_maintenance(
        &mut self,
        write: MaintenanceWrite,
        scope: &MaintenanceScope,
        now: Now,
        effects: &mut Effects,
    ) {
        match write {
            // It was stored, and that was not heard of as its outcome.
            MaintenanceWrite::Begin { maintenance, asker, .. }
                if self.maintenances.get(scope) == Some(&maintenance) =>
            {
                self.answer_maintenance(asker, maintenance, effects);
            }
            MaintenanceWrite::Begin { command, asker, .. } => {
                self.judge_maintenance_again(command, asker, effects);
            }
            MaintenanceWrite::End { asker, .. } if self.maintenances.get(scope).is_some() => {
                self.judge_maintenance_again(MaintenanceCommand::End(scope.clone()), asker, effects);
            }
            // Someone else ended it.
            MaintenanceWrite::End { maintenance, asker } => self.answer_maintenance(asker, maintenance, effects),
            MaintenanceWrite::Forget => {
                self.maintenances.forget_at(scope, now.at + REMOVAL_RETRY);
            }
        }
        self.unpark_maintenance(scope, now, effects);
    }

    fn judge_maintenance_again(&mut self, command: MaintenanceCommand, asker: Asker, effects: &mut Effects) {
        let scope = command.scope().clone();
        match asker.again() {
            Some(asker) => {
                let parked = ParkedMaintenance { command, asker };
                self.maintenances.outbox.park_first(&scope, parked);
            }
            None => refuse(&scope, asker, Refusal::Busy, effects),
        }
    }

    /// Another gateway began it, or ended it (`None`).
    pub(super) fn follow_maintenance(
        &mut self,
        scope: &MaintenanceScope,
        maintenance: Option<&Arc<Maintenance>>,
        now: Now,
        effects: &mut Effects,
    ) {
        match maintenance {
            // A comparison tells what is known as well.
            Some(maintenance) if self.maintenances.stored(scope) == Some(maintenance) => return,
            Some(maintenance) => self.put_maintenance(scope, maintenance, effects),
            None => self.remove_maintenance(scope, None, now, effects),
        }
        self.end_maintenance(now, effects);
    }

    /// Takes over what a store had; what is over ends at once.
    pub(super) fn restore_maintenance(
        &mut self,
        all: impl IntoIterator<Item = (MaintenanceScope, Arc<Maintenance>)>,
        now: Now,
        effects: &mut Effects,
    ) {
        all.into_iter().for_each(|(scope, maintenance)| self.maintenances.put(scope, maintenance));
        self.publisher.set_maintenance(&self.maintenances);
        self.end_maintenance(now, effects);
    }

    /// Ends what is over, and has the store forget it.
    pub(super) fn end_maintenance(&mut self, now: Now, effects: &mut Effects) {
        let sharing = self.settings.sharing;
        let over = self.maintenances.take_over(now, |scope| {
            now.at
                + match sharing {
                    Sharing::Exclusive => Duration::ZERO,
                    Sharing::Shared { salt, .. } => REMOVAL_DELAY + spread(salt, &scope.to_string(), REMOVAL_SPREAD_MS),
                }
        });
        if !over.is_empty() {
            self.publisher.set_maintenance(&self.maintenances);
            self.publisher.advance();
        }
        let expired = over.into_iter().map(MaintenanceReport::Expired);
        expired.for_each(|report| effects.report(Report::Maintenance(report)));
        for scope in self.maintenances.to_forget(now) {
            if self.unreachable.is_some() {
                self.maintenances.forget_at(&scope, now.at + REMOVAL_RETRY);
                continue;
            }
            let premises = match sharing {
                Sharing::Exclusive => Vec::new(),
                Sharing::Shared { .. } => vec![Premise::Unchanged(Record::Maintenance(scope.clone()))],
            };
            let changes = vec![Change::RemoveMaintenance(scope.clone())];
            self.submit_maintenance(scope, MaintenanceWrite::Forget, changes, premises, effects);
        }
        self.maintenances.arm(now);
    }

    pub(super) fn put_maintenance(
        &mut self,
        scope: &MaintenanceScope,
        maintenance: &Arc<Maintenance>,
        effects: &mut Effects,
    ) {
        self.maintenances.put(scope.clone(), Arc::clone(maintenance));
        self.publisher.set_maintenance(&self.maintenances);
        self.publisher.advance();
        let report = MaintenanceReport::Began { scope: scope.clone(), maintenance: Arc::clone(maintenance) };
        effects.report(Report::Maintenance(report));
    }

    pub(super) fn remove_maintenance(
        &mut self,
        scope: &MaintenanceScope,
        by: Option<Actor>,
        now: Now,
        effects: &mut Effects,
    ) {
        let Some(maintenance) = self.maintenances.remove(scope) else { return };
        self.publisher.set_maintenance(&self.maintenances);
        self.publisher.advance();
        effects.report(Report::Maintenance(if by.is_none() && maintenance.is_over(now.unix_ms) {
            MaintenanceReport::Expired(scope.clone())
        } else {
            MaintenanceReport::Ended { scope: scope.clone(), by }
        }));
    }

    fn answer_maintenance(&self, asker: Asker, maintenance: Arc<Maintenance>, effects: &mut Effects) {
        let generation = self.publisher.generation();
        effects.reply(asker.caller.reply, Ok(Answer::Maintenance(MaintenanceAnswer { maintenance, generation })));
    }
}

fn refuse(scope: &MaintenanceScope, asker: Asker, refusal: Refusal, effects: &mut Effects) {
    let report = MaintenanceReport::Refused { scope: scope.clone(), by: asker.by, refusal: refusal.clone() };
    effects.report(Report::Maintenance(report));
    effects.reply(asker.caller.reply, Err(refusal));
}
