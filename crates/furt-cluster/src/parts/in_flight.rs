//! What was asked of seal, arbiter and driver, and why; what they answer finds its purpose here.

use std::collections::BTreeMap;

use crate::command::ReplyId;
use crate::effect::{AskId, CheckId, DraftId};
use crate::message::Transcript;
use crate::model::{ClusterId, Fingerprint, RequestId, Scope, SecretId};

/// The most commands that are in flight at a node: more than operators have terminals. What the node does by itself counts too.
pub(crate) const MAX_IN_FLIGHT: usize = 64;

/// Why a secret is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Making {
    /// A cluster is founded.
    Founding(ClusterId, ReplyId),
    /// The secret is rotated, to this generation.
    Rotating(u64, ReplyId),
}

/// Why claims are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Purpose {
    Found(ClusterId, SecretId, ReplyId),
    /// By an operator, or by the configuration.
    Approve(Fingerprint, Option<ReplyId>),
    Revoke(Fingerprint, Vec<Fingerprint>, ReplyId),
    Join(Transcript),
    Rotate(SecretId, ReplyId),
    Activate(SecretId),
    Adopt(ReplyId),
    /// By the number of the command.
    Set(u128),
}

/// Why the arbiter is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    Rotate(SecretId, ReplyId),
    /// The number of the command, and for which scope.
    Set(u128, Scope),
}

/// For whom a document is checked: a command of this node, or of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CheckFor {
    pub(crate) request: RequestId,
    pub(crate) scope: Scope,
}

/// Everything that waits for an answer from outside the core.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    drafts: BTreeMap<DraftId, Purpose>,
    asks: BTreeMap<AskId, Asked>,
    checks: BTreeMap<CheckId, CheckFor>,
    making: Option<Making>,
    last: u64,
}

impl InFlight {
    pub(crate) fn len(&self) -> usize {
        self.drafts.len() + self.asks.len() + self.checks.len() + usize::from(self.making.is_some())
    }

    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(crate) fn draft(&mut self, purpose: Purpose) -> DraftId {
        let id = DraftId(self.next());
        self.drafts.insert(id, purpose);
        id
    }

    pub(crate) fn take_draft(&mut self, id: DraftId) -> Option<Purpose> {
        self.drafts.remove(&id)
    }

    pub(crate) fn has_draft(&self, is_meant: impl Fn(&Purpose) -> bool) -> bool {
        self.drafts.values().any(is_meant)
    }

    pub(crate) fn ask(&mut self, asked: Asked) -> AskId {
        let id = AskId(self.next());
        self.asks.insert(id, asked);
        id
    }

    pub(crate) fn take_ask(&mut self, id: AskId) -> Option<Asked> {
        self.asks.remove(&id)
    }

    /// Whether a rotation is on its way.
    pub(crate) fn rotates(&self) -> bool {
        self.making.is_some()
            || self.asks.values().any(|asked| matches!(asked, Asked::Rotate(..)))
            || self.has_draft(|purpose| matches!(purpose, Purpose::Rotate(..) | Purpose::Found(..) | Purpose::Adopt(_)))
    }

    pub(crate) fn check(&mut self, whom: CheckFor) -> CheckId {
        let id = CheckId(self.next());
        self.checks.insert(id, whom);
        id
    }

    pub(crate) fn take_check(&mut self, id: CheckId) -> Option<CheckFor> {
        self.checks.remove(&id)
    }

    pub(crate) fn is_checking(&self, whom: CheckFor) -> bool {
        self.checks.values().any(|one| *one == whom)
    }

    pub(crate) fn make(&mut self, making: Making) {
        self.making = Some(making);
    }

    pub(crate) fn take_making(&mut self) -> Option<Making> {
        self.making.take()
    }
}

#[cfg(test)]
impl InFlight {
    /// Who asked for the checks that run.
    pub(crate) fn checked_for(&self) -> impl Iterator<Item = Fingerprint> {
        self.checks.values().map(|check| check.request.by)
    }
}
