//! Counting a request at its end: in the totals, for its service and for its route. Each is counted once, also where it
//! was tried several times; one that furt refused counts for the route that it found.

use std::time::Duration;

use super::Gateway;
use super::context::Context;
use super::{grpc, splitting};
use crate::telemetry::{ResponseFlag, RouteKey};
use crate::wire::GatewayProblem;
use furt_core::live::{Outcome, Verdict};
use furt_core::routing::Owner;

impl Gateway {
    /// `status` 0: no answer was sent.
    pub(super) fn count(&self, ctx: &Context, status: u16, took: Duration) {
        self.metrics.request_answered(status, took);
        self.count_limited(ctx.answer.flag);
        let has_failed = ctx.answer.grpc_status.is_some_and(grpc::Status::is_failure);
        let outcome = Outcome { status, verdict: verdict(status, ctx.answer.flag, has_failed), took };
        let series = &self.metrics.series;
        let Some(route) = &ctx.target.route else { return series.unrouted.count(outcome) };
        let registered = ctx.target.registered();
        match registered {
            Some(service) => {
                service.live.traffic().count(outcome);
                splitting::count(service, &ctx.attempts, outcome);
            }
            None => series.static_routes.count(outcome),
        }
        let service = match (route.owner, registered) {
            (Owner::Service(_), Some(service)) => Some(&service.definition.service),
            // A route never stands without its service.
            (Owner::Service(_), None) => return,
            // Also where it leads to a service, which may come and go meanwhile.
            (Owner::Static(_), _) => None,
        };
        let find = || series.route(&RouteKey { service: service.cloned(), pattern: route.pattern.clone() });
        route.counter.get_or_find(find).count(outcome);
    }

    fn count_limited(&self, flag: Option<ResponseFlag>) {
        let Some(ResponseFlag::Problem(problem)) = flag else { return };
        match problem {
            GatewayProblem::RateLimited => self.metrics.key_rate_exceeded(),
            GatewayProblem::AddressRateLimited => self.metrics.address_rate_exceeded(),
            GatewayProblem::RouteRateLimited => self.metrics.route_rate_exceeded(),
            GatewayProblem::ConcurrencyLimited => self.metrics.concurrency_exceeded(),
            GatewayProblem::BodyTooLarge => self.metrics.body_too_large(),
            GatewayProblem::Overloaded => self.metrics.overloaded(),
            // No limit refused it.
            _ => {}
        }
    }
}

/// The status by which a request is counted: a gRPC call that furt itself ended was answered 200 in any case.
pub(super) fn stands_for(ctx: &Context, status: u16) -> u16 {
    match (ctx.answer.grpc_status, ctx.answer.flag) {
        (Some(_), Some(ResponseFlag::Problem(problem))) => problem.status().as_u16(),
        _ => status,
    }
}

/// Whether the client has an answer of 2xx that nothing is wrong with: no call failed, and nothing broke off.
pub(super) fn is_good(ctx: &Context, status: u16) -> bool {
    is_good_answer(status, ctx.answer.flag, ctx.answer.grpc_status.is_some_and(grpc::Status::is_failure))
}

fn is_good_answer(status: u16, flag: Option<ResponseFlag>, has_failed: bool) -> bool {
    let is_cut = matches!(flag, Some(ResponseFlag::Problem(_) | ResponseFlag::ClientGone));
    (200..300).contains(&status) && !has_failed && !is_cut
}

/// `has_failed`: the service said so in the status of a gRPC call.
fn verdict(status: u16, flag: Option<ResponseFlag>, has_failed: bool) -> Verdict {
    if has_failed && flag.is_none() {
        return Verdict::Failed;
    }
    match (status, flag) {
        (0 | 500.., _) => Verdict::Failed,
        (400.., Some(_)) => Verdict::Refused,
        (_, None | Some(ResponseFlag::Health | ResponseFlag::LastHop | ResponseFlag::ClientGone)) => Verdict::Answered,
        (_, Some(ResponseFlag::Redirected | ResponseFlag::Responded)) => Verdict::Answered,
        (_, Some(ResponseFlag::Challenge | ResponseFlag::Preflight)) => Verdict::Answered,
        // The way to a login lets nobody in.
        (_, Some(ResponseFlag::Denied)) => Verdict::Refused,
        // The service's header was sent, and its body broke off.
        (_, Some(ResponseFlag::Problem(_))) => Verdict::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_good_where_nothing_is_wrong_with_it() {
        let broken = Some(ResponseFlag::Problem(GatewayProblem::UpstreamBroken));
        for (status, flag, has_failed, expected) in [
            (200, None, false, true),
            (299, Some(ResponseFlag::Responded), false, true),
            (200, Some(ResponseFlag::Health), false, true),
            (200, None, true, false),
            (200, broken, false, false),
            (200, Some(ResponseFlag::ClientGone), false, false),
            (0, None, false, false),
            (101, None, false, false),
            (199, None, false, false),
            (300, None, false, false),
            (404, None, false, false),
        ] {
            assert_eq!(is_good_answer(status, flag, has_failed), expected, "{status} {flag:?} {has_failed}");
        }
    }

    #[test]
    fn a_request_is_answered_refused_or_failed() {
        let problem = |problem| Some(ResponseFlag::Problem(problem));
        for (status, flag, expected) in [
            (200, None, Verdict::Answered),
            (404, None, Verdict::Answered),
            (101, None, Verdict::Answered),
            (200, Some(ResponseFlag::Health), Verdict::Answered),
            (200, Some(ResponseFlag::LastHop), Verdict::Answered),
            (308, Some(ResponseFlag::Redirected), Verdict::Answered),
            (200, Some(ResponseFlag::Responded), Verdict::Answered),
            (404, Some(ResponseFlag::Responded), Verdict::Refused),
            (503, Some(ResponseFlag::Responded), Verdict::Failed),
            (204, Some(ResponseFlag::Preflight), Verdict::Answered),
            (302, Some(ResponseFlag::Denied), Verdict::Refused),
            (200, Some(ResponseFlag::ClientGone), Verdict::Answered),
            (401, problem(GatewayProblem::KeyMissing), Verdict::Refused),
            (429, problem(GatewayProblem::RateLimited), Verdict::Refused),
            (404, problem(GatewayProblem::RouteNotFound), Verdict::Refused),
            (500, None, Verdict::Failed),
            (503, problem(GatewayProblem::ServiceDown), Verdict::Failed),
            (0, Some(ResponseFlag::ClientGone), Verdict::Failed),
            (0, None, Verdict::Failed),
            (200, problem(GatewayProblem::UpstreamBroken), Verdict::Failed),
        ] {
            assert_eq!(verdict(status, flag, false), expected, "{status} {flag:?}");
        }
        assert_eq!(verdict(200, None, true), Verdict::Failed, "a call that its service says it failed");
        assert_eq!(verdict(401, problem(GatewayProblem::KeyMissing), true), Verdict::Refused);
    }
}
