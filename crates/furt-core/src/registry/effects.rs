//! What leaves the core: effects, in the imperative, in the order in which they are to be carried out.

use std::sync::Arc;

use super::answer::Answer;
use super::change::Change;
use super::command::Source;
use super::ids::{DnsSubject, InstanceRef, ReplyId, WriteId};
use super::plan::{NameWatch, ProbePlan};
use super::refusal::Refusal;
use super::report::Report;
use super::write::Write;
use crate::model::{GatewayName, ServiceName};
use crate::routing::InstanceLive;

/// What is to be done, by the driver.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Store this, all or none, and say how it went.
    Write(WriteId, Write),
    /// Store this when it is convenient: nobody waits, and a later one of the same instance replaces it.
    Keep(Change),
    /// The instance was heard: its TTL begins anew in a shared store. Nobody waits.
    Renew(InstanceRef),
    /// The instance takes no new requests: gateways that share the store tell each other what they have in flight at it.
    Departs(InstanceRef, Arc<InstanceLive>),
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
    /// Log and count this. The gateway: where another one did what it comes from.
    Report(Report, Option<GatewayName>),
}

/// Collects what is to be done; the driver carries it out in this order.
#[derive(Debug, Default)]
pub(super) struct Effects {
    all: Vec<Effect>,
    /// The gateway whose change is followed.
    by: Option<GatewayName>,
}

impl Effects {
    pub(super) fn into_vec(self) -> Vec<Effect> {
        self.all
    }

    /// What is reported from here on comes from a change of this gateway; `None`: of none but this one.
    pub(super) fn set_origin(&mut self, by: Option<GatewayName>) {
        self.by = by;
    }

    /// Stores the changes, all or none; [`Event::WriteDone`](super::Event::WriteDone), `WriteFailed` or `WriteOutdated`
    /// tells how it went.
    pub(super) fn write(&mut self, id: WriteId, write: Write) {
        self.all.push(Effect::Write(id, write));
    }

    /// Tells a shared store that an instance lives.
    pub(super) fn renew(&mut self, instance: &InstanceRef) {
        self.all.push(Effect::Renew(instance.clone()));
    }

    /// Has gateways that share the store tell each other what they have in flight.
    pub(super) fn departs(&mut self, instance: &InstanceRef, live: &Arc<InstanceLive>) {
        self.all.push(Effect::Departs(instance.clone(), Arc::clone(live)));
    }

    /// Stores an observation when it is convenient.
    pub(super) fn keep(&mut self, change: Change) {
        self.all.push(Effect::Keep(change));
    }

    /// Answers a caller, once the snapshot of this tick is published.
    pub(super) fn reply(&mut self, reply: ReplyId, outcome: Result<Answer, Refusal>) {
        self.all.push(Effect::Answer(reply, outcome));
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
            self.report(Report::Refused { service: service.clone(), by: source.actor(), refusal: refusal.clone() });
        }
        self.reply(reply, outcome);
    }

    pub(super) fn probe(&mut self, instance: InstanceRef, plan: ProbePlan) {
        self.all.push(Effect::Probe(instance, plan));
    }

    pub(super) fn stop_probing(&mut self, instance: InstanceRef) {
        self.all.push(Effect::StopProbing(instance));
    }

    pub(super) fn watch_name(&mut self, subject: DnsSubject, watch: NameWatch) {
        self.all.push(Effect::WatchName(subject, watch));
    }

    pub(super) fn unwatch_name(&mut self, subject: DnsSubject) {
        self.all.push(Effect::UnwatchName(subject));
    }

    /// Has the driver log and count this.
    pub(super) fn report(&mut self, report: Report) {
        self.all.push(Effect::Report(report, self.by.clone()));
    }
}
