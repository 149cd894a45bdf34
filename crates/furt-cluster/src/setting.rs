//! A command that sets settings, at the node that was told to, until they are in force: all targets check, the arbiter gives the
//! generation, the seal signs. [`rolling`](crate::rolling) has the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::cluster::Cluster;
use crate::command::{Agreement, Answer, Refusal, ReplyId, Setting};
use crate::effect::{Bid, Effect};
use crate::effects::Effects;
use crate::event::Ruling;
use crate::message::{Body, CheckFailure, SettingsCheck};
use crate::model::{Claim, Fingerprint, Now, RequestId, Restart, Scope, SettingsId};
use crate::parts::{Asked, CheckFor, Part, Phase, Purpose, Rollout, Target, TargetState};
use crate::refused::Refused;

/// How long targets have for a check, and how long for a reload.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// How long the seal and the arbiter have.
const RULING_PATIENCE: Duration = Duration::from_secs(30);
/// The most documents in one command: one for each node of the greatest cluster.
const MAX_SETTINGS: usize = 256;

impl Cluster {
    pub(crate) fn set(
        &mut self,
        settings: Vec<Setting>,
        agreement: Agreement,
        restart: Restart,
        reply: ReplyId,
        now: Now,
        effects: &mut Effects,
    ) -> Result<Option<Answer>, Refusal> {
        self.check_command()?;
        self.secrets.active().ok_or(Refusal::NoSecret)?;
        let parts = self.parts(settings, now)?;
        let request = self.next_request();
        let targets = self.targets(&parts, now);
        let until = now.at + PATIENCE;
        for (key, target) in &targets {
            let Part { id, document } = parts[&target.scope].clone();
            match target.state {
                TargetState::Asked if *key == self.own() => {
                    let check = self.in_flight.check(CheckFor { request, scope: target.scope });
                    effects.push(Effect::Check { check, scope: target.scope, restart, document });
                }
                TargetState::Asked => {
                    let check = SettingsCheck { request, scope: target.scope, id, restart, document };
                    let body = Body::SettingsCheck(Box::new(check));
                    self.send_sealed(key, body, now, effects);
                }
                TargetState::Away
                | TargetState::Agreed
                | TargetState::Disagreed(_)
                | TargetState::Told(_)
                | TargetState::Seen => {}
            }
        }
        let rollout = Rollout { reply, agreement, restart, parts, phase: Phase::Checking, targets, until };
        self.rollouts.insert(request.number, rollout);
        self.continue_rollout(request.number, now, effects);
        Ok(None)
    }

    pub(crate) fn next_request(&mut self) -> RequestId {
        self.last_request += 1;
        RequestId { by: self.own(), number: u128::from(self.boot.0) << 64 | u128::from(self.last_request) }
    }

    /// The documents with the generations that they are to have.
    fn parts(&self, settings: Vec<Setting>, now: Now) -> Result<BTreeMap<Scope, Part>, Refusal> {
        if !(1..=MAX_SETTINGS).contains(&settings.len()) {
            return Err(Refusal::Invalid("a command sets 1 to 256 documents"));
        }
        let mut parts = BTreeMap::new();
        for Setting { scope, document, expect } in settings {
            if let Scope::Node(node) = scope
                && !self.roster.standing(&node).is_approved()
            {
                return Err(Refusal::Unknown(node));
            }
            let has = self.roster.settings(scope).map_or(0, |(_, id, _)| id.generation);
            let has = self.documents.applied(scope).map_or(has, |id| has.max(id.generation));
            if has != expect {
                return Err(Refusal::Outdated { scope, generation: has });
            }
            if self.rollouts.sets(scope) {
                return Err(Refusal::SettingsRun(scope));
            }
            if !self.roster.has_room(1) {
                return Err(Refusal::Full);
            }
            let generation = has.max(self.taken.abandoned(Some(scope), now)).saturating_add(1);
            let id = SettingsId { generation, digest: document.digest() };
            if parts.insert(scope, Part { id, document }).is_some() {
                return Err(Refusal::Invalid("a command sets one document for each node, or one for all"));
            }
        }
        if parts.len() > 1 && parts.contains_key(&Scope::Cluster) {
            return Err(Refusal::Invalid("a command sets one document for each node, or one for all"));
        }
        Ok(parts)
    }

    fn targets(&self, parts: &BTreeMap<Scope, Part>, now: Now) -> BTreeMap<Fingerprint, Target> {
        let live: BTreeSet<_> = self.live(now).into_iter().chain([self.own()]).collect();
        let target = |key: Fingerprint, scope| {
            let state = if live.contains(&key) { TargetState::Asked } else { TargetState::Away };
            (key, Target { scope, state })
        };
        let mut targets = BTreeMap::new();
        for scope in parts.keys() {
            match scope {
                Scope::Node(node) => targets.extend([target(*node, *scope)]),
                Scope::Cluster => {
                    let approved = self.roster.standings().filter(|(_, standing)| standing.is_approved());
                    targets.extend(approved.map(|(key, _)| target(*key, *scope)));
                }
            }
        }
        targets
    }

    /// A target says whether it would take the document.
    pub(crate) fn note_checked(
        &mut self,
        from: &Fingerprint,
        request: RequestId,
        scope: Scope,
        outcome: Result<(), CheckFailure>,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), Refused> {
        if request.by != self.own() {
            return Err(Refused::NotAsked);
        }
        let rollout = self.rollouts.get_mut(request.number).filter(|rollout| rollout.phase == Phase::Checking);
        let target = rollout.and_then(|rollout| rollout.targets.get_mut(from));
        let target = target.filter(|target| target.scope == scope && matches!(target.state, TargetState::Asked));
        target.ok_or(Refused::NotAsked)?.state = match outcome {
            Ok(()) => TargetState::Agreed,
            Err(why) => TargetState::Disagreed(why),
        };
        self.continue_rollout(request.number, now, effects);
        Ok(())
    }

    /// Ends phases whose time is over.
    pub(crate) fn end_phases(&mut self, now: Now, effects: &mut Effects) {
        for number in self.rollouts.numbers() {
            self.continue_rollout(number, now, effects);
        }
    }

    pub(crate) fn continue_rollout(&mut self, number: u128, now: Now, effects: &mut Effects) {
        let Some(rollout) = self.rollouts.get(number) else { return };
        let is_over = rollout.until <= now.at;
        let asked = rollout.count(|state| matches!(state, TargetState::Asked));
        match &rollout.phase {
            Phase::Checking if asked == 0 || is_over => self.end_checking(number, now, effects),
            Phase::Claiming(_) | Phase::Signing if is_over => {
                let why = Refusal::NoArbiter("no answer in 30 s".into());
                self.end_rollout(number, Err(why), effects);
            }
            Phase::Applying => {
                let agreed = rollout.count(|state| matches!(state, TargetState::Agreed));
                if agreed == 0 || is_over || rollout.is_stopped() {
                    self.end_rollout(number, Ok(rollout.answer()), effects);
                }
            }
            Phase::Checking | Phase::Claiming(_) | Phase::Signing => {}
        }
    }

    /// Answers those that are in force, however far each is: this process ends.
    pub(crate) fn end_rollouts(&mut self, effects: &mut Effects) {
        for number in self.rollouts.numbers() {
            let rollout = self.rollouts.get(number).filter(|rollout| rollout.phase == Phase::Applying);
            if let Some(answer) = rollout.map(Rollout::answer) {
                self.end_rollout(number, Ok(answer), effects);
            }
        }
    }

    fn end_rollout(&mut self, number: u128, answer: Result<Answer, Refusal>, effects: &mut Effects) {
        if let Some(rollout) = self.rollouts.remove(number) {
            effects.answer(rollout.reply, answer);
        }
    }

    /// All have said whether they agree, or had time to.
    fn end_checking(&mut self, number: u128, now: Now, effects: &mut Effects) {
        let Some(rollout) = self.rollouts.get_mut(number) else { return };
        let (mut disagree, mut silent) = (BTreeMap::new(), BTreeSet::new());
        for (key, target) in &rollout.targets {
            match &target.state {
                TargetState::Disagreed(why) => {
                    disagree.insert(*key, why.clone());
                }
                TargetState::Asked => {
                    silent.insert(*key);
                }
                TargetState::Away | TargetState::Agreed | TargetState::Told(_) | TargetState::Seen => {}
            }
        }
        let agreed = rollout.count(|state| matches!(state, TargetState::Agreed));
        let is_enough = match rollout.agreement {
            Agreement::All => disagree.is_empty() && silent.is_empty(),
            Agreement::Partial => agreed > 0 || (disagree.is_empty() && silent.is_empty()),
        };
        // One has this generation of a commander that was revoked elsewhere: the next try takes the one after it. Whatever a member
        // says, that is one more and no other number.
        for (scope, part) in &rollout.parts {
            let is_outdated = |target: &&Target| {
                target.scope == *scope && matches!(target.state, TargetState::Disagreed(CheckFailure::Outdated(_)))
            };
            if rollout.targets.values().any(|target| is_outdated(&target)) {
                self.taken.note(Some(*scope), part.id.generation, now);
            }
        }
        if !is_enough {
            return self.end_rollout(number, Err(Refusal::Disagreed { disagree, silent }), effects);
        }
        rollout.phase = Phase::Claiming(rollout.parts.keys().copied().collect());
        rollout.until = now.at + RULING_PATIENCE;
        let bids: Vec<_> = rollout.parts.iter().map(|(scope, part)| (*scope, part.id)).collect();
        for (scope, id) in bids {
            let ask = self.in_flight.ask(Asked::Set(number, scope));
            effects.push(Effect::AskArbiter(ask, Bid::Settings(scope, id)));
        }
    }

    pub(crate) fn note_ruling(&mut self, number: u128, scope: Scope, ruling: Ruling, now: Now, effects: &mut Effects) {
        let is_commander = self.is_commander();
        let Some(rollout) = self.rollouts.get_mut(number) else { return };
        let Phase::Claiming(left) = &mut rollout.phase else { return };
        let refusal = match ruling {
            Ruling::Granted if !is_commander => Refusal::NotCommander,
            Ruling::Granted => {
                left.remove(&scope);
                if !left.is_empty() {
                    return;
                }
                rollout.phase = Phase::Signing;
                let restart = rollout.restart;
                let claim = |(scope, part): (&Scope, &Part)| Claim::Settings { scope: *scope, id: part.id, restart };
                let claims = rollout.parts.iter().map(claim).collect();
                return self.sign(Purpose::Set(number), claims, now, effects);
            }
            Ruling::Taken(generation) => {
                self.taken.note(Some(scope), generation, now);
                Refusal::Outdated { scope, generation }
            }
            Ruling::Unreachable(why) => Refusal::NoArbiter(why),
        };
        self.end_rollout(number, Err(refusal), effects);
    }
}
