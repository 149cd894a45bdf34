//! A command that sets settings, from the moment on that they are in force: all targets are given them, and tell.

use std::time::Duration;

use crate::cluster::Cluster;
use crate::effects::Effects;
use crate::message::{Body, To};
use crate::model::{Beat, Claim, Fingerprint, Now, Record, RequestId, Restart, Scope, UpdateResult};
use crate::parts::{Part, Phase, TargetState};
use crate::setting::PATIENCE;
use crate::stored::Change;

/// How long each target has for a restart.
const RESTART_PATIENCE: Duration = Duration::from_secs(60);

impl Cluster {
    /// The documents are in force from here on. They are stored together with their records, so whoever was away can have them.
    pub(crate) fn apply_rollout(&mut self, number: u128, records: Vec<Record>, now: Now, effects: &mut Effects) {
        let Some(rollout) = self.rollouts.get_mut(number).filter(|rollout| rollout.phase == Phase::Signing) else {
            return;
        };
        rollout.phase = Phase::Applying;
        let count = u32::try_from(rollout.targets.len()).unwrap_or(u32::MAX);
        rollout.until = now.at
            + match rollout.restart {
                Restart::Never => PATIENCE,
                Restart::OneByOne => RESTART_PATIENCE * count,
            };
        let (parts, targets) = (rollout.parts.clone(), rollout.targets.clone());
        let mut changes = Vec::new();
        for (scope, Part { id, document }) in &parts {
            self.documents.offer(*scope, *id, document.clone());
            changes.push(Change::Offered(*scope, Some((*id, document.clone()))));
        }
        self.take_records(records.clone(), changes, now, effects);
        let request = RequestId { by: self.own(), number };
        for (key, target) in targets.iter().filter(|(_, target)| matches!(target.state, TargetState::Agreed)) {
            let part = &parts[&target.scope];
            let is_its =
                |record: &&Record| matches!(record.claim, Claim::Settings { scope, .. } if scope == target.scope);
            let Some(record) = records.iter().find(is_its).cloned() else { continue };
            if *key == self.own() {
                self.consider(record, part.document.clone(), Some(request), now, effects);
            } else {
                let (record, document) = (Box::new(record), part.document.clone());
                let body = Body::DocumentGiven { record, document, request: Some(request) };
                self.send_sealed(key, body, now, effects);
            }
        }
        // After the documents: whoever has one does not ask for it.
        self.publish(To::All, records, now, effects);
        self.continue_rollout(number, now, effects);
    }

    /// A target tells how it went.
    pub(crate) fn note_result(&mut self, from: &Fingerprint, result: &UpdateResult, now: Now, effects: &mut Effects) {
        let own = self.own();
        for number in self.rollouts.numbers() {
            let Some(rollout) = self.rollouts.get_mut(number).filter(|rollout| rollout.phase == Phase::Applying) else {
                continue;
            };
            let Some(target) = rollout.targets.get_mut(from) else { continue };
            // A node that took the document by itself first does not name the command.
            let is_its = result.request.is_none_or(|request| request == RequestId { by: own, number });
            let is_done = matches!(target.state, TargetState::Told(_));
            if is_its && !is_done && rollout.parts[&target.scope].id.generation == result.generation {
                target.state = TargetState::Told(result.clone());
                self.continue_rollout(number, now, effects);
            }
        }
    }

    /// A beat shows what a target told and was lost.
    pub(crate) fn note_seen(&mut self, from: &Fingerprint, beat: &Beat, now: Now, effects: &mut Effects) {
        for number in self.rollouts.numbers() {
            let Some(rollout) = self.rollouts.get_mut(number).filter(|rollout| rollout.phase == Phase::Applying) else {
                continue;
            };
            let Some(target) = rollout.targets.get_mut(from) else { continue };
            let has = match target.scope {
                Scope::Cluster => beat.settings,
                Scope::Node(_) => beat.node_settings,
            };
            let is_open = matches!(target.state, TargetState::Agreed | TargetState::Asked | TargetState::Away);
            if is_open && has == Some(rollout.parts[&target.scope].id) {
                target.state = TargetState::Seen;
                self.continue_rollout(number, now, effects);
            }
        }
    }
}
