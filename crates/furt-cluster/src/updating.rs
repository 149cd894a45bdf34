//! Updates of the program. For one binary this is running what another one says, by design. So a node takes only a version and a
//! digest, from a commander, if its own file switches updates on; what it runs then its own file and its own key decide.

use std::sync::Arc;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::command::{Answer, Outcome, Refusal, ReplyId};
use crate::effect::Effect;
use crate::effects::Effects;
use crate::message::{Body, To};
use crate::model::{Fingerprint, Now, Program, RequestId, UpdateResult, Version};
use crate::parts::{Commanded, Envelope, Updates, Updating};
use crate::policy::UpdateRule;
use crate::refused::Refused;
use crate::stored::Change;

/// The name of the command in what a node tells.
const ACTION: &str = "update_program";
/// How long a target has: a minute to fetch and check, a minute to take over, and half of one to tell.
const PATIENCE: Duration = Duration::from_secs(150);

impl Cluster {
    /// Commands one node to run another program. The next command is taken once that node told, or had its time.
    pub(crate) fn update(
        &mut self,
        target: Fingerprint,
        program: Program,
        reply: ReplyId,
        now: Now,
        effects: &mut Effects,
    ) -> Result<Option<Answer>, Refusal> {
        self.check_command()?;
        if let Some(runs) = self.updates.commanded {
            return Err(Refusal::UpdateRuns(runs.target));
        }
        if target != self.own() && !self.live(now).contains(&target) {
            return Err(Refusal::Unknown(target));
        }
        let request = self.next_request();
        self.updates.commanded = Some(Commanded { request, target, reply, until: now.at + PATIENCE });
        if target == self.own() {
            self.take_update(request, program, now, effects);
        } else {
            self.send(To::Node(target), Body::ProgramAsked { request, program }, now, effects);
        }
        Ok(None)
    }

    /// At the target: a commander asks. What cannot be is told, never tried.
    pub(crate) fn handle_program_asked(
        &mut self,
        Envelope { from, at_ms, .. }: &Envelope,
        request: RequestId,
        program: Program,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), Refused> {
        if request.by != *from {
            return Err(Refused::NotAsked);
        }
        // What was heard before this start is known no more, and this may be the same again.
        if u64::try_from(*at_ms).is_ok_and(|at| at < self.boot.0) {
            return Err(Refused::Replayed);
        }
        // By the records alone: this is more than a local file gives away about others.
        if !self.roster.standing(from).is_commander() {
            return Err(Refused::MemberCommand);
        }
        self.take_update(request, program, now, effects);
        Ok(())
    }

    fn take_update(&mut self, request: RequestId, program: Program, now: Now, effects: &mut Effects) {
        let fault = match self.policy.updates {
            UpdateRule::Off => Some("updates are off in this node's file".to_owned()),
            UpdateRule::ManagedElsewhere => Some("managed elsewhere".to_owned()),
            UpdateRule::On => match (self.updates.updating, self.updates.floor) {
                (Some(other), _) => Some(format!("an update to {} runs", other.program.version)),
                (None, Some(floor)) if program.version <= floor => {
                    Some(format!("{} is not later than {floor}, which ran here", program.version))
                }
                (None, _) => None,
            },
        };
        if let Some(fault) = fault {
            return self.tell_update(request, program, Err(fault.into()), now, effects);
        }
        let updating = Updating { request, program };
        (self.updates.updating, self.updates.is_staged) = (Some(updating), false);
        effects.persist(vec![Change::Updating(Some(updating))]);
        effects.push(Effect::StageProgram(program));
    }

    /// The program is there and is what it says, or is not.
    pub(crate) fn handle_staged(
        &mut self,
        program: Program,
        outcome: Result<(), Arc<str>>,
        now: Now,
        effects: &mut Effects,
    ) {
        if self.updates.is_staged || self.updates.updating.is_none_or(|updating| updating.program != program) {
            return;
        }
        match outcome {
            Ok(()) => {
                self.updates.is_staged = true;
                effects.push(Effect::TakeOver(program));
            }
            Err(why) => self.fail_update(why, now, effects),
        }
    }

    /// The successor did not become ready: this process stays.
    pub(crate) fn handle_takeover_failed(&mut self, why: Arc<str>, now: Now, effects: &mut Effects) {
        if self.updates.is_staged {
            self.fail_update(why, now, effects);
        }
    }

    fn fail_update(&mut self, why: Arc<str>, now: Now, effects: &mut Effects) {
        let Some(Updating { request, program }) = self.updates.updating.take() else { return };
        self.updates.is_staged = false;
        effects.persist(vec![Change::Updating(None)]);
        self.tell_update(request, program, Err(why), now, effects);
    }

    /// At a start: this is the program that was asked for, or the old one that came back.
    pub(crate) fn end_update(
        &mut self,
        updating: Option<Updating>,
        floor: Option<Version>,
        now: Now,
        effects: &mut Effects,
    ) {
        let own = Version::try_new(&self.identity.version).ok();
        self.updates = Updates { floor: floor.max(own), ..Updates::default() };
        let mut changes = Vec::new();
        if self.updates.floor != floor {
            changes.extend(self.updates.floor.map(Change::Floor));
        }
        if updating.is_some() {
            changes.push(Change::Updating(None));
        }
        effects.persist(changes);
        if let Some(Updating { request, program }) = updating {
            let is_it = own == Some(program.version);
            let outcome = if is_it { Ok(()) } else { Err("it ended before it took over".into()) };
            self.tell_update(request, program, outcome, now, effects);
        }
    }

    fn tell_update(
        &mut self,
        request: RequestId,
        program: Program,
        status: Result<(), Arc<str>>,
        now: Now,
        effects: &mut Effects,
    ) {
        let result = UpdateResult {
            action: ACTION.into(),
            status,
            detail: Some(program.version.to_string().into()),
            node: self.identity.name.clone(),
            at_ms: now.unix_ms,
            generation: 0,
            request: Some(request),
        };
        self.tell(result, now, effects);
    }

    /// The target told.
    pub(crate) fn note_updated(&mut self, from: &Fingerprint, result: &UpdateResult, effects: &mut Effects) {
        let is_its = |one: &mut Commanded| one.target == *from && result.request == Some(one.request);
        if let Some(done) = self.updates.commanded.take_if(is_its) {
            effects.answer(done.reply, Ok(Answer::Updated(Outcome::Told(result.clone()))));
        }
    }

    pub(crate) fn end_waiting_update(&mut self, now: Now, effects: &mut Effects) {
        if let Some(over) = self.updates.commanded.take_if(|one| one.until <= now.at) {
            effects.answer(over.reply, Ok(Answer::Updated(Outcome::NoAnswer)));
        }
    }
}
