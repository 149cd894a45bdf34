//! One gateway over the shared store: a core, what it was told of the log, and a connection that can be cut.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::log::{Entry, Log, Session, State, is_same};
use crate::model::{Definition, GatewayName, Place};
use crate::registry::eligibility::effective;
use crate::registry::tests::{Harness, Store, policy, settings};
use crate::registry::{
    Change, Claim, Event, Incoming, InstanceRef, Origin, Report, Revision, Settings, Sharing, StoreChanged, Write,
    WriteId,
};

/// Writes that share one transaction at most.
const BATCH: usize = 4;

pub(super) struct Node {
    number: usize,
    boot: usize,
    pub(super) furt: Harness,
    /// How many entries of the log it was told.
    pub(super) told: usize,
    /// What the store held then.
    mirror: State,
    pub(super) is_cut: bool,
    /// Writes whose fate is unknown.
    in_flight: Vec<(WriteId, Write)>,
    /// Notes that the store was not told.
    notes: Vec<Change>,
    /// Until when instances are heard here, as their heartbeats were answered, unless a command took them out.
    pub(super) heard_until: BTreeMap<InstanceRef, Instant>,
}

fn shared(number: usize) -> Settings {
    Settings {
        sharing: Sharing::Shared { salt: number as u64, least_ttl: Duration::from_secs(2) },
        ..settings(policy())
    }
}

impl Node {
    pub(super) fn new(number: usize) -> Self {
        let mut furt = Harness::with(shared(number), Vec::new());
        furt.store = Store::Waits;
        Self {
            number,
            boot: 0,
            furt,
            told: 0,
            mirror: State::new(),
            is_cut: false,
            in_flight: Vec::new(),
            notes: Vec::new(),
            heard_until: BTreeMap::new(),
        }
    }

    fn session(&self) -> Session {
        (self.number, self.boot)
    }

    fn origin(&self) -> Origin {
        Origin::Gateway(name(self.number))
    }

    /// It is killed and started anew with what the store has.
    pub(super) fn restart(&mut self, log: &mut Log) {
        let now = self.furt.now;
        self.furt = Harness::with(shared(self.number), Vec::new());
        self.furt.store = Store::Waits;
        self.furt.now = now;
        self.boot += 1;
        log.begin_session(self.origin(), self.session(), now.at);
        self.told = log.entries.len();
        self.mirror = log.state.clone();
        self.is_cut = false;
        self.in_flight.clear();
        self.notes.clear();
        self.heard_until.clear();
        self.furt.restore_from(log.state.contents.clone());
    }

    /// Gives the store what waits, if it is there.
    pub(super) fn submit(&mut self, log: &mut Log, is_unlucky: impl FnMut() -> bool, is_lost: bool) {
        self.keep();
        let now = self.furt.now.at;
        if !self.in_flight.is_empty() {
            return;
        }
        if !self.is_cut {
            for note in std::mem::take(&mut self.notes) {
                log.note(self.origin(), note, now);
            }
            self.renew(log);
        }
        let count = self.furt.writes.len().min(BATCH);
        self.in_flight = self.furt.writes.drain(..count).collect();
        let reaches_it = !(self.is_cut && is_lost);
        if reaches_it && !self.in_flight.is_empty() {
            log.submit(self.origin(), self.session(), &self.in_flight, is_unlucky, now);
        }
    }

    pub(super) fn renew(&mut self, log: &mut Log) {
        for instance in std::mem::take(&mut self.furt.renewed) {
            if !self.is_cut {
                log.renew(&instance, self.furt.now.at);
            }
        }
    }

    fn keep(&mut self) {
        let kept = std::mem::take(&mut self.furt.kept);
        self.notes.extend(kept.into_iter().filter(|change| matches!(change, Change::NoteTtl { .. })));
    }

    /// Tells it the next entry of the log.
    pub(super) fn follow(&mut self, log: &Log) {
        if self.is_cut || self.told >= log.entries.len() || self.told < log.compacted {
            return;
        }
        let Entry { changes, by, batch } = log.entries[self.told].clone();
        self.told += 1;
        let revision = self.told as u64;
        self.mirror.apply(&changes, revision);
        match batch {
            Some((session, fates)) if session == self.session() => self.resolve(fates, revision),
            _ => self.tell(revision, changes, by),
        }
    }

    /// Tells it some of what it was told before once more, as a watch does that begins too early.
    pub(super) fn repeat(&mut self, log: &Log, count: usize) {
        let first = self.told.saturating_sub(count).max(log.compacted);
        for (at, entry) in log.entries[..self.told].iter().enumerate().skip(first) {
            let (revision, Entry { changes, by, batch }) = (Revision(at as u64 + 1), entry.clone());
            match batch {
                Some((session, fates)) if session == self.session() => {
                    for (id, is_stored) in fates {
                        self.send(match is_stored {
                            true => Event::WriteDone(id, revision),
                            false => Event::WriteOutdated(id, revision),
                        });
                    }
                }
                _ => {
                    let changes = changes.into_iter().map(Incoming::from).collect();
                    self.send(Event::StoreChanged(Box::new(StoreChanged { revision, changes, by })));
                }
            }
        }
    }

    /// The outcomes of what it wrote: what is not among the fates is not in the log before this revision.
    fn resolve(&mut self, fates: Vec<(WriteId, bool)>, revision: u64) {
        for (id, is_stored) in fates {
            let at = self.in_flight.iter().position(|(write, _)| *write == id);
            let write = at.map(|at| self.in_flight.remove(at).1);
            if let Some(write) = write.filter(|_| is_stored) {
                self.expect_no_longer(&write.changes, &self.origin());
            }
            self.send(match is_stored {
                true => Event::WriteDone(id, Revision(revision)),
                false => Event::WriteOutdated(id, Revision(revision)),
            });
        }
    }

    fn tell(&mut self, revision: u64, changes: Vec<Change>, by: Origin) {
        if changes.is_empty() {
            return;
        }
        self.expect_no_longer(&changes, &by);
        let changes = changes.into_iter().map(Incoming::from).collect();
        self.send(Event::StoreChanged(Box::new(StoreChanged { revision: Revision(revision), changes, by })));
    }

    /// What a command took out, or what gave way to what the store has, is not expected to be here.
    fn expect_no_longer(&mut self, changes: &[Change], by: &Origin) {
        let is_command = matches!(by, Origin::Gateway(_));
        for change in changes {
            match change {
                Change::RemoveInstance(instance) if is_command => {
                    self.heard_until.remove(instance);
                }
                // One without instances was of nobody who is heard.
                Change::RemoveService { service, instances } if is_command && !instances.is_empty() => {
                    self.heard_until.retain(|instance, _| instance.service != *service);
                }
                Change::PutDefinition(record) => self.give_way(&record.definition),
                Change::PutInstance(record) => self.give_place(&record.instance(), &record.spec.place()),
                _ => {}
            }
        }
    }

    /// A service that the store lost gives its routes up.
    fn give_way(&mut self, to: &Arc<Definition>) {
        let domain = &policy().apps_domain;
        let claim = Claim::Routes(effective(to, domain));
        let directory = &self.furt.registry.directory;
        let stays = |of: &InstanceRef| {
            let entry = directory.service(&of.service);
            let own = entry.map(|entry| Claim::Routes(effective(entry.definition(), domain)));
            of.service == to.service || own.is_none_or(|own| !is_same(&own, &claim))
        };
        self.heard_until.retain(|instance, _| stays(instance));
    }

    /// Whoever registers anew was not heard here as that, and whoever comes to a place or an id takes it.
    fn give_place(&mut self, to: &InstanceRef, place: &Place) {
        let directory = &self.furt.registry.directory;
        let is_at = |of: &InstanceRef| directory.instance(of).is_some_and(|one| one.spec().place() == *place);
        let stays = |of: &InstanceRef| of.id != to.id && !(of.service == to.service && is_at(of));
        self.heard_until.retain(|instance, _| stays(instance));
    }

    pub(super) fn send(&mut self, event: Event) {
        self.furt.send(event);
        // A command may take out who is heard.
        let directory = &self.furt.registry.directory;
        let is_leaving = |of: &InstanceRef| directory.instance(of).is_some_and(|one| one.is_being_removed());
        self.heard_until.retain(|instance, _| !is_leaving(instance));
        for report in std::mem::take(&mut self.furt.reports) {
            if let Report::Deregistered { instance, by: Some(_) } | Report::Replaced { instance, .. } = report {
                self.heard_until.remove(&instance);
            }
        }
    }

    /// The connection is gone, and after a while that is known.
    pub(super) fn cut(&mut self) {
        self.is_cut = true;
    }

    pub(super) fn notice_cut(&mut self) {
        if self.is_cut {
            self.send(Event::StoreReach(Err(Arc::from("cut"))));
        }
    }

    /// Whoever waited for so long is told that it failed; if it was stored all the same, that comes as a change.
    pub(super) fn give_up(&mut self) {
        if self.is_cut {
            self.boot += 1;
            for (id, _) in std::mem::take(&mut self.in_flight) {
                self.send(Event::WriteFailed(id, "no answer".to_owned()));
            }
        }
    }

    /// The connection is there again: what was missed is told entry by entry, or found by a comparison where it is compacted.
    pub(super) fn reconnect(&mut self, log: &mut Log) {
        if !self.is_cut {
            return;
        }
        self.is_cut = false;
        log.begin_session(self.origin(), self.session(), self.furt.now.at);
        let head = log.entries.len();
        if self.told < log.compacted {
            let changes = self.mirror.difference(&log.state);
            (self.told, self.mirror) = (head, log.state.clone());
            self.tell(head as u64, changes, Origin::Comparison);
        }
        while self.told < head {
            self.follow(log);
        }
        for (id, _) in std::mem::take(&mut self.in_flight) {
            self.send(Event::WriteOutdated(id, Revision(head as u64)));
        }
        self.send(Event::StoreReach(Ok(())));
        self.renew(log);
    }
}

fn name(number: usize) -> GatewayName {
    GatewayName::try_new(&format!("gateway-{number}")).unwrap()
}
