//! Commands about grants in short.

use std::sync::Arc;

use super::Harness;
use crate::model::{AuthMethods, Grant, Pattern, PermissionRule, PermissionSet, ServiceName};
use crate::registry::tests::operator;
use crate::registry::{Answer, Event, GrantAnswer, GrantCommand, Refusal, ReplyId};

/// Everything below a pattern, for any host that is none.
pub(in crate::registry) fn grant_of(pattern: &str) -> Grant {
    Grant {
        permissions: PermissionSet::new(vec![PermissionRule::All]),
        paths: vec![Pattern::try_new(pattern).unwrap()],
        hosts: Vec::new(),
        upstreams: None,
        public: true,
        origins: Default::default(),
        auth: AuthMethods::api_key(),
        token: None,
        certificate: None,
    }
}

pub(in crate::registry) fn grant(of: &str, pattern: &str) -> GrantCommand {
    GrantCommand::Set(ServiceName::try_new(of).unwrap(), Arc::new(grant_of(pattern)))
}

pub(in crate::registry) fn ungrant(of: &str) -> GrantCommand {
    GrantCommand::Remove(ServiceName::try_new(of).unwrap())
}

impl Harness {
    /// Asks, without the expectation of an answer at once.
    pub(in crate::registry) fn ask_grant(&mut self, command: GrantCommand) -> ReplyId {
        let reply = self.new_reply();
        self.send(Event::GrantRequested { command, by: operator("127.0.0.1").actor(), reply });
        reply
    }

    pub(in crate::registry) fn grant(&mut self, command: GrantCommand) -> Result<GrantAnswer, Refusal> {
        let reply = self.ask_grant(command);
        match self.answers[&reply].clone()? {
            Answer::Grant(answer) => Ok(answer),
            other => panic!("{other:?} is no answer to a command about a grant"),
        }
    }
}
