//! Writes: batches one after the other, each with its leases, and what became of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use log::warn;

use super::super::batch::{Batch, Decided, Of, SessionPut, Waiting, gather};
use super::super::connection::{Fault, FaultKind};
use super::super::layout::Key;
use super::super::leases;
use super::super::mirror::Lease;
use super::super::txn::Under;
use super::{Answered, End, InFlight, Link, Open, WRITE_PATIENCE, Way, changed, fault};
use crate::clock;
use furt_core::model::{AuditAction, AuditEntry, KeyName};
use furt_core::registry::{Change, Event, Incoming, Origin, Premise, Record, Revision, Write};

impl Link {
    /// The batch in flight has its place in the log.
    pub(super) fn finish(&mut self, revision: u64, changed_keys: &BTreeSet<Key>) {
        let Way::InFlight(way) = std::mem::replace(&mut self.way, Way::Idle) else { return };
        if std::mem::take(&mut self.is_refusing) {
            self.settings.metrics.reached(Ok(()));
        }
        let outcomes = way.batch.outcomes(changed_keys);
        let InFlight { batch, leases, given_up, .. } = way;
        let (mut own, mut events) = (Vec::new(), Vec::new());
        for (((waiting, planned), is_stored), lease) in batch.writes.into_iter().zip(outcomes).zip(leases) {
            if !is_stored {
                self.settings.metrics.outdated();
                self.revoke(lease);
                match waiting.of {
                    Of::Core(id) if !given_up.contains(&waiting.of) => {
                        events.push(Event::WriteOutdated(id, Revision(revision)));
                    }
                    Of::Core(_) => {}
                    // It is planned anew, by what is there now.
                    Of::Nobody => self.queue.push_back(waiting),
                }
                continue;
            }
            self.own.fences.note(&planned.claimed, revision);
            let Waiting { of, write, mut rest, since } = waiting;
            match (of, rest.pop_front()) {
                (Of::Core(id), None) if !given_up.contains(&of) => {
                    events.push(Event::WriteDone(id, Revision(revision)));
                }
                (_, next) => {
                    self.take_back(of, &write, &planned.replaced_keys, revision);
                    own.extend(write.changes.into_iter().map(Incoming::from));
                    if let Some(write) = next.filter(|_| !given_up.contains(&of)) {
                        self.queue.push_front(Waiting { of, write, rest, since });
                    }
                }
            }
        }
        if !own.is_empty() {
            // Before the outcomes: they are of the same revision.
            events.insert(0, changed(revision, own, Origin::Gateway(self.settings.name.clone())));
        }
        self.tell(events);
    }

    /// A key whose caller was told that it failed, and that was stored all the same, is put as it was.
    pub(super) fn take_back(&mut self, of: Of, write: &Write, before: &BTreeMap<Key, Change>, revision: u64) {
        // What is stored as a whole is not taken back in part.
        if of == Of::Nobody || write.is_whole {
            return;
        }
        let mut changes = Vec::new();
        let mut premises = Vec::new();
        for change in &write.changes {
            let Change::PutKey(key) = change else { continue };
            let name = key.name().clone();
            let back = before.get(&Key::ApiKey(name.clone())).cloned();
            changes.push(back.unwrap_or_else(|| Change::RemoveKey(name.clone())));
            premises.push(Premise::Unchanged(Record::Key(name)));
        }
        if !changes.is_empty() {
            changes.extend(taken_back(write));
            let write = Write::new(changes, Revision(revision), premises);
            self.queue.push_front(Waiting { of: Of::Nobody, write, rest: VecDeque::new(), since: clock::now() });
        }
    }

    /// A lease that nothing was put under.
    pub(super) fn revoke(&self, lease: Option<Lease>) {
        if let (Some(lease), Some(connection)) = (lease, self.settings.connection.load_full()) {
            tokio::spawn(async move { connection.revoke(lease).await });
        }
    }

    /// Sends what waits, if nothing is on its way.
    pub(super) fn submit(&mut self, open: &Open) {
        if !matches!(self.way, Way::Idle) || self.queue.is_empty() {
            return;
        }
        let (batch, decided) = gather(&mut self.queue, &self.mirror, &self.own, &self.settings.layout);
        let revision = Revision(self.mirror.revision);
        let events = decided.into_iter().filter_map(|decided| match decided {
            Decided::Outdated(Of::Core(id)) => {
                self.settings.metrics.outdated();
                Some(Event::WriteOutdated(id, revision))
            }
            Decided::Done(Of::Core(id)) => Some(Event::WriteDone(id, revision)),
            Decided::Outdated(Of::Nobody) | Decided::Done(Of::Nobody) => None,
        });
        let events = events.collect();
        self.tell(events);
        let Some(batch) = batch else { return };
        let ttls: Vec<_> = batch.writes.iter().map(|(_, planned)| planned.ttl).collect();
        if ttls.iter().all(Option::is_none) {
            let leases = vec![None; ttls.len()];
            return self.send(batch, leases, open);
        }
        self.way = Way::Preparing(batch);
        let (connection, answer) = (Arc::clone(&open.connection), open.answer.clone());
        tokio::spawn(async move {
            let granted = leases::grant(&connection, &ttls).await;
            drop(answer.send(Answered::Granted(granted)));
        });
    }

    pub(super) fn send(&mut self, mut batch: Batch, leases: Vec<Option<Lease>>, open: &Open) {
        for ((_, planned), lease) in batch.writes.iter_mut().zip(&leases) {
            planned.nested.granted = *lease;
        }
        self.session.write += 1;
        let number = self.session.write;
        let session = SessionPut {
            key: self.settings.layout.key(&Key::Gateway(self.settings.id.clone())),
            value: self.session.to_json(),
            under: Under::Held(open.session_lease),
            put_at: self.session_put_at,
        };
        let txn = batch.txn(&self.settings.layout, session);
        let (connection, answer) = (Arc::clone(&open.connection), open.answer.clone());
        tokio::spawn(async move {
            let answered = connection.txn(txn).await;
            drop(answer.send(Answered::Txn(number, answered)));
        });
        self.way = Way::InFlight(InFlight { batch, leases, number, since: clock::now(), given_up: BTreeSet::new() });
    }

    pub(super) fn answered(&mut self, answered: Answered, open: &Open) -> Result<(), End> {
        match answered {
            Answered::Granted(granted) => {
                let Way::Preparing(batch) = std::mem::replace(&mut self.way, Way::Idle) else { return Ok(()) };
                match granted {
                    Ok(leases) => self.send(batch, leases, open),
                    Err(fault) if fault.kind == FaultKind::Rejected => self.fail(batch, &BTreeSet::new(), &fault.text),
                    Err(fault) => {
                        self.put_off(batch);
                        return Err(fault.into());
                    }
                }
                Ok(())
            }
            Answered::Txn(number, answered) => {
                let is_it = matches!(&self.way, Way::InFlight(way) if way.number == number);
                match answered {
                    // The watch says what became of it.
                    Ok(true) => Ok(()),
                    Ok(false) if is_it => Err(fault("this gateway's session is not as it was put")),
                    Err(fault) if is_it && fault.kind != FaultKind::Lost => {
                        if let Way::InFlight(way) = std::mem::replace(&mut self.way, Way::Idle) {
                            self.not_stored(way, &fault);
                        }
                        Ok(())
                    }
                    Err(fault) if is_it => Err(fault.into()),
                    Ok(false) | Err(_) => Ok(()),
                }
            }
        }
    }

    /// etcd refused a batch as a whole.
    pub(super) fn not_stored(&mut self, way: InFlight, fault: &Fault) {
        way.leases.iter().for_each(|lease| self.revoke(*lease));
        match fault.kind {
            FaultKind::NoLease => self.outdated(way),
            FaultKind::Rejected | FaultKind::Compacted | FaultKind::Lost => {
                self.fail(way.batch, &way.given_up, &fault.text);
            }
        }
    }

    pub(super) fn outdated(&mut self, way: InFlight) {
        let InFlight { batch, given_up, .. } = way;
        let revision = Revision(self.mirror.revision);
        let mut events = Vec::new();
        for (waiting, _) in batch.writes {
            match waiting.of {
                Of::Core(_) if given_up.contains(&waiting.of) => {}
                Of::Core(id) => {
                    self.settings.metrics.outdated();
                    events.push(Event::WriteOutdated(id, revision));
                }
                // A key that is taken back must not stay for a connection that was lost. It is planned anew.
                Of::Nobody => self.queue.push_back(waiting),
            }
        }
        self.tell(events);
    }

    pub(super) fn fail(&mut self, batch: Batch, given_up: &BTreeSet<Of>, why: &str) {
        warn!("etcd refuses to store a batch: {why}");
        // It is read still, so it is not away.
        self.settings.metrics.reached(Err(format!("it refuses to store anything: {why}")));
        self.is_refusing = true;
        let of = batch.writes.into_iter().map(|(waiting, _)| waiting.of).filter(|of| !given_up.contains(of));
        let events = of.filter_map(|of| match of {
            Of::Core(id) => Some(Event::WriteFailed(id, format!("etcd refuses it: {why}"))),
            Of::Nobody => None,
        });
        self.tell(events.collect());
    }

    /// A batch that was not sent goes back to where it came from.
    pub(super) fn put_off(&mut self, batch: Batch) {
        for (waiting, _) in batch.writes.into_iter().rev() {
            self.queue.push_front(waiting);
        }
    }

    /// The connection is gone: what was not sent waits for the next one.
    pub(in crate::store::etcd) fn disconnected(&mut self) {
        self.renewed_at.clear();
        self.to_renew.clear();
        if matches!(self.way, Way::Preparing(_))
            && let Way::Preparing(batch) = std::mem::replace(&mut self.way, Way::Idle)
        {
            self.put_off(batch);
        }
    }

    /// All that was sent before can be stored no more: what has no place in the log has none.
    pub(in crate::store::etcd) fn settle(&mut self) {
        if matches!(self.way, Way::InFlight(_))
            && let Way::InFlight(way) = std::mem::replace(&mut self.way, Way::Idle)
        {
            self.outdated(way);
        }
    }

    /// Writes that waited too long are answered as failed.
    pub(in crate::store::etcd) fn give_up(&mut self, now: Instant) {
        let is_over = |waiting: &Waiting| now.saturating_duration_since(waiting.since) > WRITE_PATIENCE;
        let mut events = Vec::new();
        let why = || "it does not answer in time".to_owned();
        self.queue.retain(|waiting| match waiting.of {
            Of::Core(id) if is_over(waiting) => {
                events.push(Event::WriteFailed(id, why()));
                false
            }
            Of::Core(_) | Of::Nobody => true,
        });
        if let Way::InFlight(way) = &mut self.way {
            for (waiting, _) in &way.batch.writes {
                if let Of::Core(id) = waiting.of
                    && is_over(waiting)
                    && way.given_up.insert(waiting.of)
                {
                    events.push(Event::WriteFailed(id, why()));
                }
            }
        }
        self.tell(events);
    }
}

/// Entries of the audit for keys that are put as they were: of who asked for them to be changed.
fn taken_back(write: &Write) -> Vec<Change> {
    let by =
        write.changes.iter().find_map(|change| if let Change::Audit(entry) = change { Some(&entry.by) } else { None });
    let Some(by) = by else { return Vec::new() };
    let keys = write
        .changes
        .iter()
        .filter_map(|change| if let Change::PutKey(key) = change { Some(key.name()) } else { None });
    let entry = |name: &KeyName| AuditEntry {
        at_ms: clock::unix_ms(),
        by: by.clone(),
        action: AuditAction::TakeBackKey(name.clone()),
    };
    keys.map(|name| Change::Audit(Arc::new(entry(name)))).collect()
}
