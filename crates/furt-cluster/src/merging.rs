//! Records' way in and out.

use crate::cluster::Cluster;
use crate::effects::Effects;
use crate::message::{Body, MAX_RECORDS_A_MESSAGE, To};
use crate::model::{Claim, Now, Record, Role, Standing};
use crate::parts::Merged;
use crate::refused::Refused;
use crate::report::Report;
use crate::stored::Change;

impl Cluster {
    /// Takes records from another node. Each stands for itself, so it does not matter which node it is.
    pub(crate) fn handle_records(
        &mut self,
        records: Vec<Record>,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), Refused> {
        if records.len() > MAX_RECORDS_A_MESSAGE {
            return Err(Refused::TooLarge);
        }
        if self.membership.is_none() {
            return Err(Refused::NotAsked);
        }
        let is_of_member = records.iter().any(|record| self.standing(&record.by) == Standing::Approved(Role::Member));
        let merged = self.take_records(records, Vec::new(), now, effects);
        match () {
            () if merged.unfounded > 0 && is_of_member => Err(Refused::MemberCommand),
            () if merged.unfounded > 0 => Err(Refused::Unfounded),
            () if merged.overfull > 0 => Err(Refused::Full),
            () => Ok(()),
        }
    }

    /// Merges records, and stores them together with `changes`.
    pub(crate) fn take_records(
        &mut self,
        records: Vec<Record>,
        mut changes: Vec<Change>,
        now: Now,
        effects: &mut Effects,
    ) -> Merged {
        let merged = self.roster.merge(records);
        changes.extend(merged.added.iter().map(|record| Change::Record(Box::new(record.clone()))));
        changes.extend(merged.dropped.iter().map(|(claim, by)| Change::RecordDropped(*claim, *by)));
        effects.persist(changes);
        for record in &merged.added {
            match record.claim {
                Claim::Approved { subject, role } if self.standing(&subject).is_approved() => {
                    effects.report(Report::Approved(subject, role));
                }
                Claim::Revoked { subject } => effects.report(Report::Revoked(subject)),
                Claim::Approved { .. }
                | Claim::Secret(_)
                | Claim::Active(_)
                | Claim::Adopted(_)
                | Claim::Settings { .. } => {}
            }
        }
        if !merged.added.is_empty() {
            self.settle(now, effects);
        }
        merged
    }

    /// Gives all records, in as many messages as they need.
    pub(crate) fn give_records(&mut self, to: To, now: Now, effects: &mut Effects) {
        let records = self.roster.records().cloned().collect();
        self.publish(to, records, now, effects);
    }

    pub(crate) fn publish(&mut self, to: To, records: Vec<Record>, now: Now, effects: &mut Effects) {
        for page in records.chunks(MAX_RECORDS_A_MESSAGE) {
            self.send(to, Body::RecordsGiven(page.to_vec()), now, effects);
        }
    }

    /// Draws the conclusions from the records that are more than knowing them.
    pub(crate) fn settle(&mut self, now: Now, effects: &mut Effects) {
        if self.is_approved() {
            self.joins.joining = None;
        }
        self.settle_secrets(now, effects);
        self.settle_offers(effects);
        self.ask_for_documents(None, now, effects);
        self.activate_if_held(now, effects);
    }
}
