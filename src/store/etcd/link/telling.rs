//! What the driver and the metrics are told: changes, refused records, who is there, whether the store is.

use furt_core::model::{GatewayName, UpstreamUrl};
use furt_core::registry::{Change, Event, Incoming, Origin};
use log::{info, warn};
use uuid::Uuid;

use super::super::follow::{Followed, MISNAMED};
use super::super::layout::Key;
use super::super::session::Session;
use super::{Link, changed};
use crate::nodes::Node;

impl Link {
    pub(super) fn tell_followed(&mut self, revision: u64, followed: Followed, is_lapse: bool) {
        let Followed { changes, sessions, .. } = followed;
        if changes.is_empty() {
            return;
        }
        let has_puts = changes.iter().any(|incoming| {
            matches!(incoming.change, Change::PutDefinition(_) | Change::PutInstance(_) | Change::PutKey(_))
        });
        let by = match sessions.first().and_then(|(_, session)| GatewayName::try_new(&session.name).ok()) {
            Some(name) => Origin::Gateway(name),
            None if is_lapse && !has_puts => {
                let lapsed = changes.iter().filter(|one| matches!(one.change, Change::RemoveInstance(_))).count();
                self.settings.metrics.lapsed(lapsed as u64);
                Origin::Lapse
            }
            None => Origin::Comparison,
        };
        self.tell(vec![changed(revision, changes, by)]);
    }

    /// Who else is there; each write names its gateway, so only what is news is told.
    pub(in crate::store::etcd) fn follow_nodes(&mut self, followed: &Followed) {
        let before = self.others.len();
        let mut is_news = false;
        for key in &followed.changed {
            let Key::Gateway(id) = key else { continue };
            match self.mirror.gateway(key).and_then(|session| node(id, session)) {
                _ if *id == self.settings.id => {}
                Some(node) => is_news |= self.others.insert(id.clone(), node.clone()).is_none_or(|known| known != node),
                None => is_news |= self.others.remove(id).is_some(),
            }
        }
        if is_news {
            self.settings.nodes.set_others(self.others.values().cloned());
        }
        if before != self.others.len() {
            self.tell(vec![Event::GatewaysCounted(self.others.len() + 1)]);
        }
    }

    pub(in crate::store::etcd) fn tell_unreadable(&self, revision: u64, unreadable: Vec<Incoming>) {
        if !unreadable.is_empty() {
            self.tell(vec![changed(revision, unreadable, Origin::Unreadable)]);
        }
    }

    pub(in crate::store::etcd) fn tell_refused(&self, followed: &Followed) {
        for refused in &followed.refused {
            warn!("the store's record {} is refused: {}", refused.key, refused.why);
        }
        let layout = &self.settings.layout;
        let misnamed = || Some(format!("{}: {MISNAMED}", String::from_utf8_lossy(self.mirror.first_misnamed()?)));
        let refused = self.mirror.first_refused().map(|(key, why)| format!("{}: {why}", layout.key(key)));
        let example = refused.or_else(misnamed);
        self.settings.metrics.refused(self.mirror.refused(), example);
        self.settings.metrics.newer(self.mirror.first_newer().map(|key| layout.key(key)));
    }

    pub(in crate::store::etcd) fn tell(&self, events: Vec<Event>) {
        if !events.is_empty() {
            // Without the driver the link ends as well.
            drop(self.events.send(events));
        }
    }

    pub(in crate::store::etcd) fn tell_reach(&self, reach: Result<(), String>) {
        if reach.is_ok() {
            info!("the store can be read and written to, at revision {}", self.mirror.revision);
        }
        self.settings.metrics.reached(reach.clone());
        self.tell(vec![Event::StoreReach(reach.map_err(Into::into))]);
    }
}

fn node(id: &str, session: &[u8]) -> Option<Node> {
    let Session { name, version, internal, .. } = serde_json::from_slice(session).ok()?;
    let internal = internal.and_then(|url| UpstreamUrl::try_new(&url).ok());
    Some(Node { id: Uuid::try_parse(id).ok()?, name, version, internal })
}
