//! What leaves the core: effects, in the imperative, in the order in which they are to be carried out.

use super::answer::Answer;
use super::change::Change;
use super::command::Source;
use super::ids::{DnsSubject, InstanceRef, ReplyId, WriteId};
use super::plan::{NameWatch, ProbePlan};
use super::refusal::Refusal;
use super::report::Report;
use crate::model::ServiceName;

/// What is to be done, by the driver.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Store these changes, all or none, and say how it went.
    Write(WriteId, Vec<Change>),
    /// Store this when it is convenient: nobody waits, and a later one of the same instance replaces it.
    Keep(Change),
    /// Answer a waiting caller, after the snapshot of this tick is published.
    Answer(ReplyId, Result<Answer, Refusal>),
    /// Probe by this plan from now on; replaces the plan before.
    Probe(InstanceRef, ProbePlan),
    /// Probe no more.
    StopProbing(InstanceRef),
    /// Resolve this name again and again.
    WatchName(DnsSubject, NameWatch),
    /// Resolve it no more.
    UnwatchName(DnsSubject),
    /// Log and count this.
    Report(Report),
}

/// Collects what is to be done; the driver carries it out in this order.
#[derive(Debug, Default)]
pub(super) struct Effects(Vec<Effect>);

impl Effects {
    pub(super) fn into_vec(self) -> Vec<Effect> {
        self.0
    }

    /// Stores the changes, all or none; [`Event::WriteDone`](super::Event::WriteDone) or `WriteFailed` tells how it went.
    pub(super) fn write(&mut self, write: WriteId, changes: Vec<Change>) {
        self.0.push(Effect::Write(write, changes));
    }

    /// Stores an observation when it is convenient.
    pub(super) fn keep(&mut self, change: Change) {
        self.0.push(Effect::Keep(change));
    }

    /// Answers a caller, once the snapshot of this tick is published.
    pub(super) fn reply(&mut self, reply: ReplyId, outcome: Result<Answer, Refusal>) {
        self.0.push(Effect::Answer(reply, outcome));
    }

    /// Answers the command of `source` about `service`. A refusal is reported, too.
    pub(super) fn reply_to_command(
        &mut self,
        reply: ReplyId,
        service: &ServiceName,
        source: &Source,
        outcome: Result<Answer, Refusal>,
    ) {
        if let Err(refusal) = &outcome {
            self.report(Report::Refused { service: service.clone(), from: source.address, refusal: refusal.clone() });
        }
        self.reply(reply, outcome);
    }

    pub(super) fn probe(&mut self, instance: InstanceRef, plan: ProbePlan) {
        self.0.push(Effect::Probe(instance, plan));
    }

    pub(super) fn stop_probing(&mut self, instance: InstanceRef) {
        self.0.push(Effect::StopProbing(instance));
    }

    pub(super) fn watch_name(&mut self, subject: DnsSubject, watch: NameWatch) {
        self.0.push(Effect::WatchName(subject, watch));
    }

    pub(super) fn unwatch_name(&mut self, subject: DnsSubject) {
        self.0.push(Effect::UnwatchName(subject));
    }

    /// Has the driver log and count this.
    pub(super) fn report(&mut self, report: Report) {
        self.0.push(Effect::Report(report));
    }
}
