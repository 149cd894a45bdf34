//! Settings' way at each node: checked when a commander asks, put in force when a record says so, fetched when they were missed.

use std::sync::Arc;

use crate::cluster::{Bus, Cluster};
use crate::effect::{CheckId, Effect};
use crate::effects::Effects;
use crate::message::{Body, CheckFailure, Protect, SettingsCheck, To};
use crate::model::{
    Claim, Document, Fingerprint, NodeState, Now, Record, RequestId, Restart, Scope, SecretId, SettingsId, UpdateResult,
};
use crate::parts::{Ask, CheckFor, Waiting};
use crate::refused::Refused;
use crate::report::Report;
use crate::stored::{Applying, Change};

/// The name of the command, as lex-node has it.
const ACTION: &str = "update_settings";
/// A node that was silent for so long when settings were set is away: nobody waits for its restart, in ms.
const AWAY_MS: i64 = 60_000;
/// The most results that wait for the bus.
const MAX_UNTOLD: usize = 8;

impl Cluster {
    fn is_ours(&self, scope: Scope) -> bool {
        match scope {
            Scope::Cluster => true,
            Scope::Node(node) => node == self.own(),
        }
    }

    /// Whether this node would take the document if a record said that it is in force, and does not have it in hand.
    pub(crate) fn lacks(&self, scope: Scope, id: SettingsId) -> bool {
        self.is_ours(scope)
            && self.documents.applied(scope).is_none_or(|has| has < id)
            && !self.documents.is_refused(scope, id)
            && !self.documents.is_in_hand(scope, id)
    }

    pub(crate) fn handle_settings_check(
        &mut self,
        check: SettingsCheck,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), Refused> {
        let SettingsCheck { request, scope, id, restart, document } = check;
        if !self.is_ours(scope) {
            return Err(Refused::NotForUs);
        }
        if document.digest() != id.digest {
            return Err(Refused::WrongDigest);
        }
        let said = self.roster.settings(scope).map(|(_, id, _)| id.generation);
        let has = self.documents.applied(scope).map(|id| id.generation).max(said);
        let whom = CheckFor { request, scope };
        if let Some(generation) = has.filter(|has| *has >= id.generation) {
            self.answer_check(whom, Err(CheckFailure::Outdated(generation)), now, effects);
        } else if self.is_busy() {
            self.answer_check(whom, Err(CheckFailure::Busy), now, effects);
        } else if !self.in_flight.is_checking(whom) {
            let check = self.in_flight.check(whom);
            effects.push(Effect::Check { check, scope, restart, document });
        }
        Ok(())
    }

    pub(crate) fn handle_checked(
        &mut self,
        check: CheckId,
        outcome: Result<(), Vec<Arc<str>>>,
        now: Now,
        effects: &mut Effects,
    ) {
        if let Some(whom) = self.in_flight.take_check(check) {
            self.answer_check(whom, outcome.map_err(CheckFailure::Wrong), now, effects);
        }
    }

    fn answer_check(
        &mut self,
        CheckFor { request, scope }: CheckFor,
        outcome: Result<(), CheckFailure>,
        now: Now,
        effects: &mut Effects,
    ) {
        if request.by == self.own() {
            let own = self.own();
            // A command that has ended does not wait for it.
            let _ = self.note_checked(&own, request, scope, outcome, now, effects);
        } else {
            let body = Body::SettingsChecked { request, scope, outcome };
            self.send(To::Node(request.by), body, now, effects);
        }
    }

    pub(crate) fn handle_document_asked(
        &mut self,
        from: &Fingerprint,
        scope: Scope,
        id: SettingsId,
        secret: SecretId,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), Refused> {
        if matches!(scope, Scope::Node(node) if node != *from) {
            return Err(Refused::NotForUs);
        }
        if !self.secrets.has(&secret) {
            return Ok(());
        }
        // Whoever asks for an older one gets the one in force.
        let Some((record, head, _)) = self.roster.settings(scope).filter(|(_, head, _)| *head >= id) else {
            return Ok(());
        };
        let Some(document) = self.documents.get(scope, head).cloned() else { return Ok(()) };
        let body = Body::DocumentGiven { record: Box::new(record.clone()), document, request: None };
        if !self.nodes.get_mut(from).is_some_and(|node| node.may_ask(Ask::GiveDocument(scope), now)) {
            return Ok(());
        }
        self.send_protected(To::Node(*from), Protect::Cluster(secret), body, now, effects);
        Ok(())
    }

    pub(crate) fn handle_document_given(
        &mut self,
        record: Record,
        document: Document,
        request: Option<RequestId>,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), Refused> {
        let Claim::Settings { scope, id, .. } = record.claim else { return Err(Refused::NotAsked) };
        if !self.is_ours(scope) {
            return Err(Refused::NotForUs);
        }
        if document.digest() != id.digest {
            return Err(Refused::WrongDigest);
        }
        // Whatever follows from the record, the document is not asked for.
        self.documents.set_arriving(Some((scope, id)));
        let outcome = self.handle_records(vec![record.clone()], now, effects);
        self.documents.set_arriving(None);
        outcome?;
        self.consider(record, document, request, now, effects);
        Ok(())
    }

    /// Puts a document in force, if the records say so of this one and this node may.
    pub(crate) fn consider(
        &mut self,
        record: Record,
        document: Document,
        request: Option<RequestId>,
        now: Now,
        effects: &mut Effects,
    ) {
        let Claim::Settings { scope, id, .. } = record.claim else { return };
        let Some((head, _, restart)) = self.roster.settings(scope).filter(|(_, head, _)| *head == id) else { return };
        if !self.lacks(scope, id) {
            return;
        }
        let (author, said_at_ms) = (head.by, head.at_ms);
        let is_turn =
            restart == Restart::Never || scope != Scope::Cluster || self.is_our_turn(id, author, said_at_ms, now);
        if self.documents.is_applying() || !is_turn {
            return self.documents.wait(scope, id, Waiting { record, document, request });
        }
        let applying = Applying { scope, id, request };
        self.documents.begin(applying, document.clone());
        effects.persist(vec![Change::Applying(Some(applying))]);
        effects.push(Effect::Apply { scope, id, restart, document });
    }

    /// One node restarts at a time, in the order of their keys, and the one that set them last, so that it can answer how the
    /// others fared. Each waits until the beats of all before it show the document. One that falls silent or refuses it stops those
    /// after it.
    fn is_our_turn(&self, id: SettingsId, author: Fingerprint, said_at_ms: i64, now: Now) -> bool {
        let place = |key: &Fingerprint| (*key == author, *key);
        let own = place(&self.own());
        let is_in_the_way = |key: &Fingerprint| {
            let Some(node) = self.nodes.get(key).filter(|_| self.standing(key).is_approved()) else { return false };
            let has = node.beat.as_ref().and_then(|beat| beat.settings);
            let was_away = match node.state(now) {
                None | Some(NodeState::Active | NodeState::Late) => false,
                Some(NodeState::Silent) => node.heard_ms < said_at_ms.saturating_sub(AWAY_MS),
                Some(NodeState::Leaving) => node.heard_ms < said_at_ms,
            };
            has.is_none_or(|has| has < id) && !was_away
        };
        self.has_heard_all(now) && !self.nodes.iter().any(|(key, _)| place(key) < own && is_in_the_way(key))
    }

    pub(crate) fn retry_waiting(&mut self, now: Now, effects: &mut Effects) {
        for Waiting { record, document, request } in self.documents.take_waiting() {
            self.consider(record, document, request, now, effects);
        }
    }

    pub(crate) fn handle_applied(
        &mut self,
        scope: Scope,
        id: SettingsId,
        outcome: Result<(), Arc<str>>,
        now: Now,
        effects: &mut Effects,
    ) {
        let Some((Applying { request, .. }, document)) = self.documents.finish(scope, id) else { return };
        match &outcome {
            Ok(()) => {
                self.documents.set_applied(scope, id, document.clone());
                effects.persist(vec![Change::Applied(scope, id, document), Change::Applying(None)]);
                effects.report(Report::SettingsApplied(scope, id));
            }
            Err(_) => {
                self.documents.refuse(scope, id);
                effects.persist(vec![Change::Applying(None)]);
                effects.report(Report::SettingsFailed(scope, id));
            }
        }
        self.tell_result(id, outcome, request, now, effects);
        self.settle_offers(effects);
        self.beat(now, effects);
        self.retry_waiting(now, effects);
        self.ask_for_documents(None, now, effects);
    }

    /// The successor goes on with the document that was on its way, and tells all. Callers wait at this process alone.
    pub(crate) fn handle_replaced(&mut self, now: Now, effects: &mut Effects) {
        let Some((Applying { scope, id, request }, document)) = self.documents.take_applying() else { return };
        self.documents.set_applied(scope, id, document.clone());
        effects.persist(vec![Change::Applied(scope, id, document)]);
        let (own, result) = (self.own(), self.result(id, Ok(()), request, now));
        self.note_result(&own, &result, now, effects);
        self.end_rollouts(effects);
    }

    pub(crate) fn tell_result(
        &mut self,
        id: SettingsId,
        outcome: Result<(), Arc<str>>,
        request: Option<RequestId>,
        now: Now,
        effects: &mut Effects,
    ) {
        let result = self.result(id, outcome, request, now);
        self.tell(result, now, effects);
    }

    fn result(
        &self,
        id: SettingsId,
        status: Result<(), Arc<str>>,
        request: Option<RequestId>,
        now: Now,
    ) -> UpdateResult {
        UpdateResult {
            action: ACTION.into(),
            status,
            detail: Some(format!("generation {}", id.generation).into()),
            node: self.identity.name.clone(),
            at_ms: now.unix_ms,
            generation: id.generation,
            request,
        }
    }

    /// Tells everyone how a command went here, at once or once the bus is there.
    pub(crate) fn tell(&mut self, result: UpdateResult, now: Now, effects: &mut Effects) {
        if self.bus == Bus::Down && self.untold.len() < MAX_UNTOLD {
            self.untold.push(result.clone());
        }
        self.send(To::All, Body::UpdateResult(Box::new(result.clone())), now, effects);
        let own = self.own();
        self.handle_result(&own, result, now, effects);
    }

    pub(crate) fn handle_result(&mut self, from: &Fingerprint, result: UpdateResult, now: Now, effects: &mut Effects) {
        self.note_result(from, &result, now, effects);
        self.note_updated(from, &result, effects);
        effects.report(Report::Result(result));
    }

    /// Withdraws documents that nobody needs from this node any more.
    pub(crate) fn settle_offers(&mut self, effects: &mut Effects) {
        for scope in self.documents.stale_offers(&self.roster.all_settings()) {
            self.documents.withdraw(&scope);
            effects.persist(vec![Change::Offered(scope, None)]);
        }
    }

    /// Asks for documents that are in force and that this node lacks: the node that set them, and each that has them in force.
    /// `of`: only this one is asked.
    pub(crate) fn ask_for_documents(&mut self, of: Option<Fingerprint>, now: Now, effects: &mut Effects) {
        if !self.is_approved() {
            return;
        }
        for scope in [Scope::Cluster, Scope::Node(self.own())] {
            let Some((record, id, _)) = self.roster.settings(scope) else { continue };
            let (record, author) = (record.clone(), record.by);
            if !self.lacks(scope, id) {
                continue;
            }
            if let Some(document) = self.documents.get(scope, id).cloned() {
                self.consider(record, document, None, now, effects);
                continue;
            }
            let has = |key: &Fingerprint| {
                let beat = self.nodes.get(key).and_then(|node| node.beat.as_ref());
                beat.is_some_and(|beat| scope == Scope::Cluster && beat.settings == Some(id))
            };
            let live = self.live(now).into_iter().filter(|key| of.is_none_or(|of| of == *key));
            let holder = live.filter(|key| *key == author || has(key)).min_by_key(|key| *key != author);
            if let Some(holder) = holder {
                self.ask_for_document(&holder, scope, id, now, effects);
            }
        }
    }

    pub(crate) fn ask_for_document(
        &mut self,
        from: &Fingerprint,
        scope: Scope,
        id: SettingsId,
        now: Now,
        effects: &mut Effects,
    ) {
        // Without one there is nothing to seal it by; it is asked for once there is.
        let Some(secret) = self.common_secret(from) else { return };
        if self.nodes.get_mut(from).is_some_and(|node| node.may_ask(Ask::Document(scope, id), now)) {
            self.send(To::Node(*from), Body::DocumentAsked { scope, id, secret }, now, effects);
        }
    }
}
