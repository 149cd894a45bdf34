//! Commands of this node that set settings, and how far each is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::command::{Agreement, Answer, Outcome, ReplyId};
use crate::message::CheckFailure;
use crate::model::{Document, Fingerprint, Restart, Scope, SettingsId, UpdateResult};

/// A document of a command.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) id: SettingsId,
    pub(crate) document: Document,
}

/// Where a command is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The targets check.
    Checking,
    /// The arbiter is asked for these scopes.
    Claiming(BTreeSet<Scope>),
    /// The seal signs.
    Signing,
    /// The targets apply.
    Applying,
}

/// How far a target is.
#[derive(Debug, Clone)]
pub(crate) enum TargetState {
    /// It was not there when the command began.
    Away,
    /// It checks.
    Asked,
    /// It agrees, and then applies.
    Agreed,
    /// It does not agree.
    Disagreed(CheckFailure),
    /// It told.
    Told(UpdateResult),
    /// Its beat shows the document.
    Seen,
}

/// A target of a command.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) scope: Scope,
    pub(crate) state: TargetState,
}

/// A command that sets settings.
#[derive(Debug)]
pub(crate) struct Rollout {
    pub(crate) reply: ReplyId,
    pub(crate) agreement: Agreement,
    pub(crate) restart: Restart,
    pub(crate) parts: BTreeMap<Scope, Part>,
    pub(crate) phase: Phase,
    pub(crate) targets: BTreeMap<Fingerprint, Target>,
    /// When the phase ends, whoever is missing.
    pub(crate) until: Instant,
}

impl Rollout {
    pub(crate) fn count(&self, is_meant: impl Fn(&TargetState) -> bool) -> usize {
        self.targets.values().filter(|target| is_meant(&target.state)).count()
    }

    /// Whether a node could not restart, so that none after it does.
    pub(crate) fn is_stopped(&self) -> bool {
        let has_failed = |state: &TargetState| matches!(state, TargetState::Told(result) if result.status.is_err());
        self.restart == Restart::OneByOne && self.count(has_failed) > 0
    }

    /// What the caller is answered once the documents are in force.
    pub(crate) fn answer(&self) -> Answer {
        let documents = self.parts.iter().map(|(scope, part)| (*scope, part.id)).collect();
        Answer::Set { documents, outcomes: self.outcomes() }
    }

    /// How each target fares.
    fn outcomes(&self) -> BTreeMap<Fingerprint, Outcome> {
        let outcome = |target: &Target| match &target.state {
            TargetState::Away => Outcome::Away,
            TargetState::Agreed if self.is_stopped() => Outcome::Waiting,
            TargetState::Asked | TargetState::Agreed => Outcome::NoAnswer,
            TargetState::Disagreed(why) => Outcome::Disagreed(why.clone()),
            TargetState::Told(result) => Outcome::Told(result.clone()),
            TargetState::Seen => Outcome::Seen,
        };
        self.targets.iter().map(|(key, target)| (*key, outcome(target))).collect()
    }
}

/// The commands of this node that set settings, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Rollouts(BTreeMap<u128, Rollout>);

impl Rollouts {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn insert(&mut self, number: u128, rollout: Rollout) {
        self.0.insert(number, rollout);
    }

    pub(crate) fn get(&self, number: u128) -> Option<&Rollout> {
        self.0.get(&number)
    }

    pub(crate) fn get_mut(&mut self, number: u128) -> Option<&mut Rollout> {
        self.0.get_mut(&number)
    }

    pub(crate) fn remove(&mut self, number: u128) -> Option<Rollout> {
        self.0.remove(&number)
    }

    pub(crate) fn numbers(&self) -> Vec<u128> {
        self.0.keys().copied().collect()
    }

    /// Whether a command sets this scope now.
    pub(crate) fn sets(&self, scope: Scope) -> bool {
        self.0.values().any(|rollout| rollout.parts.contains_key(&scope))
    }

    /// When a phase ends next.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.values().map(|rollout| rollout.until).min()
    }
}
