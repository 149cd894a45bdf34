//! Who waits for an answer.

use super::ids::ReplyId;
use crate::model::Actor;

/// How often a command is judged anew since its write was outdated; then its caller is told to come again.
const MOST_TRIES: u32 = 20;

/// A caller that waits, and how often the write of its command was outdated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) reply: ReplyId,
    outdated: u32,
}

impl Caller {
    pub(super) fn new(reply: ReplyId) -> Self {
        Self { reply, outdated: 0 }
    }

    /// The same after one more try; `None`: those were enough.
    pub(super) fn again(self) -> Option<Self> {
        let outdated = self.outdated + 1;
        (outdated < MOST_TRIES).then_some(Self { outdated, ..self })
    }
}

/// Who asks for something about a key, a maintenance or a split, and waits for the answer.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub(super) by: Actor,
    pub(super) caller: Caller,
}

impl Asker {
    /// The same after one more try; `None`: those were enough.
    pub(super) fn again(&self) -> Option<Self> {
        self.caller.again().map(|caller| Self { by: self.by.clone(), caller })
    }
}
