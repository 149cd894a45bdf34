//! Collects effects, in their order.

use crate::command::{Answer, Refusal, ReplyId};
use crate::effect::Effect;
use crate::message::Outgoing;
use crate::report::Report;
use crate::stored::Change;

#[derive(Debug, Default)]
pub(crate) struct Effects(Vec<Effect>);

impl Effects {
    pub(crate) fn into_vec(self) -> Vec<Effect> {
        self.0
    }

    pub(crate) fn push(&mut self, effect: Effect) {
        self.0.push(effect);
    }

    /// Stores all of it or nothing; nothing where nothing changes.
    pub(crate) fn persist(&mut self, changes: Vec<Change>) {
        if !changes.is_empty() {
            self.0.push(Effect::Persist(changes));
        }
    }

    pub(crate) fn send(&mut self, message: Outgoing) {
        self.0.push(Effect::Send(Box::new(message)));
    }

    pub(crate) fn answer(&mut self, reply: ReplyId, answer: Result<Answer, Refusal>) {
        self.0.push(Effect::Answer(reply, answer));
    }

    pub(crate) fn report(&mut self, report: Report) {
        self.0.push(Effect::Report(report));
    }
}
