//! What a registration replaces: its own id at another url, and other ids of its service at its url.

use std::net::IpAddr;
use std::sync::Arc;

use super::answer::Replaced;
use super::directory::{InstanceEntry, Moves};
use super::dispatch::Registry;
use super::effects::Effects;
use super::ids::InstanceRef;
use super::now::Now;
use super::report::Report;
use crate::model::{InstanceId, InstanceSpec, Status};
use crate::routing::{Contest, InstanceLive};

/// An id that comes back to a url within this time is of two processes, in ms.
const CONTEST_MS: i64 = 600_000;

impl Registry {
    /// The instance that was UP at another url under this id.
    pub(super) fn moved_from(&self, instance: &InstanceRef, spec: &InstanceSpec) -> Option<Replaced> {
        let (_, before) = self.directory.installed(instance).ok()?;
        (before.spec().url != spec.url && before.health().status() == Status::Up).then(|| replaced(before))
    }

    /// Where the id was before. One that goes back and forth and names no incarnation is told: nothing else keeps two
    /// processes apart.
    pub(super) fn moves_of(&self, instance: &InstanceRef, spec: &InstanceSpec, now: Now) -> Option<Moves> {
        let before = self.directory.instance(instance)?;
        let moves = before.moves();
        if before.spec().url == spec.url {
            return moves.cloned();
        }
        let is_recent = |moves: &&Moves| now.unix_ms - moves.at_ms < CONTEST_MS;
        let is_back = moves.filter(is_recent).is_some_and(|moves| moves.from == spec.url);
        let other = before.spec().url.clone();
        let contest =
            (is_back && spec.incarnation.is_none()).then(|| Contest { other: other.clone(), at_ms: now.unix_ms });
        Some(Moves { from: other, at_ms: now.unix_ms, contest })
    }

    /// The counters of what is at its url: what is in flight there goes on counting, whoever it was sent to.
    pub(super) fn live_at(
        &self,
        instance: &InstanceRef,
        spec: &InstanceSpec,
        replaces: &[InstanceId],
    ) -> Arc<InstanceLive> {
        let own = self.directory.instance(instance).filter(|before| before.spec().url == spec.url);
        let entry = self.directory.service(&instance.service);
        let replaced = || replaces.iter().find_map(|id| entry?.instances().get(id));
        own.or_else(replaced).map_or_else(Arc::default, |one| Arc::clone(one.live()))
    }

    /// Forgets the instances that are replaced.
    pub(super) fn take_over(
        &mut self,
        newer: &InstanceRef,
        replaces: &[InstanceId],
        from: IpAddr,
        effects: &mut Effects,
    ) -> Vec<Replaced> {
        let mut taken = Vec::new();
        for id in replaces {
            let instance = InstanceRef { service: newer.service.clone(), id: id.clone() };
            let Some(before) = self.directory.instance(&instance).map(replaced) else { continue };
            self.remove_instance(&instance, effects);
            let (newer, url) = (newer.id.clone(), before.url.to_string());
            effects.report(Report::Replaced { instance, newer, url, from });
            taken.push(before);
        }
        taken
    }

    /// Tells that an instance came to the url of other services, where not all of them say that they share it.
    pub(super) fn report_sharing(&self, instance: &InstanceRef, effects: &mut Effects) {
        let Some(installed) = self.directory.instance(instance) else { return };
        let with = self.places.sharers(instance, installed.spec());
        if !with.is_empty() {
            let url = installed.spec().url.to_string();
            effects.report(Report::UrlShared { instance: instance.clone(), url, with });
        }
    }
}

fn replaced(before: &InstanceEntry) -> Replaced {
    let spec = before.spec();
    Replaced { id: spec.id.clone(), url: spec.url.clone(), incarnation: spec.incarnation.clone() }
}
