//! What is to be there, in short.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Harness;
use super::grant_command::grant_of;
use super::key_command::{configured, name};
use super::split_command::split_of;
use crate::model::{CidrSet, MaintenanceScope, ServiceName};
use crate::registry::tests::operator;
use crate::registry::{
    Answer, ApplyAnswer, ApplyCommand, DesiredKey, DesiredMaintenance, DesiredState, Event, Refusal, ReplyId,
};

/// Nothing is said.
pub(in crate::registry) fn desired() -> DesiredState {
    DesiredState::default()
}

impl DesiredState {
    /// Keys by their names, each with its secret.
    pub(in crate::registry) fn keys(self, keys: &[(&str, &str)]) -> Self {
        let key = |(of, secret): &(&str, &str)| {
            (name(of), DesiredKey { spec: configured(of, secret), expires_ms: None, old: None })
        };
        Self { keys: Some(keys.iter().map(key).collect()), ..self }
    }

    /// Grants of services with their patterns.
    pub(in crate::registry) fn grants(self, grants: &[(&str, &str)]) -> Self {
        let grant = |(of, pattern): &(&str, &str)| (ServiceName::try_new(of).unwrap(), Arc::new(grant_of(pattern)));
        Self { grants: Some(grants.iter().map(grant).collect()), ..self }
    }

    /// Maintenance, with its end in ms since the Unix epoch.
    pub(in crate::registry) fn maintenance(self, all: &[(&str, Option<i64>)]) -> Self {
        let one = |(of, ends_ms): &(&str, Option<i64>)| {
            let one = DesiredMaintenance { allow_from: CidrSet::default(), message: None, ends_ms: *ends_ms };
            (MaintenanceScope::from_name(of).unwrap(), one)
        };
        Self { maintenance: Some(all.iter().map(one).collect()), ..self }
    }

    /// Splits of services by versions.
    pub(in crate::registry) fn splits(self, all: &[(&str, &[&str])]) -> Self {
        let one = |(of, versions): &(&str, &[&str])| (ServiceName::try_new(of).unwrap(), split_of(versions));
        Self { splits: Some(all.iter().map(one).collect::<BTreeMap<_, _>>()), ..self }
    }
}

impl Harness {
    /// Asks, without the expectation of an answer at once.
    pub(in crate::registry) fn ask_apply(&mut self, desired: &DesiredState, in_parts: bool) -> ReplyId {
        let reply = self.new_reply();
        let command = ApplyCommand { desired: Arc::new(desired.clone()), seen: None, in_parts };
        self.send(Event::ApplyRequested { command, by: operator("127.0.0.1").actor(), reply });
        reply
    }

    pub(in crate::registry) fn apply(&mut self, desired: &DesiredState) -> Result<ApplyAnswer, Refusal> {
        let reply = self.ask_apply(desired, false);
        self.applied(reply)
    }

    pub(in crate::registry) fn applied(&self, reply: ReplyId) -> Result<ApplyAnswer, Refusal> {
        match self.answers[&reply].clone()? {
            Answer::Applied(answer) => Ok(answer),
            other => panic!("{other:?} is no answer to what is to be there"),
        }
    }

    /// What is there.
    pub(in crate::registry) fn exported(&self) -> DesiredState {
        DesiredState::of(&self.snapshot, self.now.unix_ms)
    }
}
