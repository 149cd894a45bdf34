//! What restricts the requests of a route: from where they may come, how often and how many at once, how large, how long.
//!
//! All that restricts holds. A request that something refuses is not counted for anything else. What is counted by callers is
//! here, in bounded memory, made with the first request that is counted; what all requests of a limit share is with the limit.

use std::num::NonZeroU32;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::Method;
use pingora::http::RequestHeader;

use super::answer::GatewayAnswer;
use super::caller;
use super::client::Client;
use super::context::Context;
use super::framing;
use super::restricted::{Callers, InFlight, Restricted};
use crate::clock;
use crate::wire::GatewayProblem;
use furt_core::live::{CallerCounts, CallerRates, Pace, since_ns};
use furt_core::model::{LimitBy, Limits, RateLimit, Share};
use furt_core::routing::{CallerId, LimitLive, Restriction};

/// Places for callers under a limit of rate: 2 MiB. Of a flood that owes more, those who owe the least are forgotten.
const RATED_CALLERS: usize = 1 << 17;
/// Places for callers that have requests in flight under a limit: 1 MiB. With as many requests as furt answers at once unless it is
/// told, and one limit each, one set in 180,000 has more of them than places, and lets them pass uncounted.
const BUSY_CALLERS: usize = 1 << 17;
/// By then one of the requests in flight may be over.
const BUSY_FOR: Duration = Duration::from_secs(1);

/// A request, as restrictions are told it; host and path normalized.
#[derive(Debug, Clone, Copy)]
pub(super) struct RoutedRequest<'a> {
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) method: &'a Method,
}

/// What is counted of the callers of routes with limits.
#[derive(Default)]
pub(super) struct RouteLimits {
    callers: OnceLock<Arc<Callers>>,
    /// Seeded by chance, so that nobody can aim at another's count.
    hasher: ahash::RandomState,
}

/// Whether a request may come from where it comes from.
///
/// # Errors
/// It may not, or nobody knows where that is.
pub(super) fn check_address(
    restrictions: &[Restriction],
    asked: RoutedRequest<'_>,
    client: &Client,
) -> Result<(), GatewayAnswer> {
    let is_bound = |one: &&Restriction| one.said.allow_from.is_some() || one.said.deny_from.is_some();
    let may_come = |one: &Restriction| {
        let (allow, deny) = (&one.said.allow_from, &one.said.deny_from);
        client.address.is_some_and(|address| {
            allow.as_ref().is_none_or(|allow| allow.contains(address))
                && deny.as_ref().is_none_or(|deny| !deny.contains(address))
        })
    };
    if restrictions.iter().filter(is_bound).filter(|one| is_in_force(one, asked)).all(may_come) {
        return Ok(());
    }
    let detail = "the route may not be used from this address".to_owned();
    Err(GatewayAnswer::from(GatewayProblem::AddressNotAllowed).with_detail(detail))
}

/// Looks at the length that the request says its body has.
///
/// # Errors
/// It is longer than anyone allows.
pub(super) fn check_length(request: &RequestHeader, ctx: &Context) -> Result<(), GatewayAnswer> {
    match ctx.received.max_body_bytes {
        Some(most) if framing::body_length(request).is_some_and(|length| length > most) => {
            Err(GatewayProblem::BodyTooLarge.into())
        }
        _ => Ok(()),
    }
}

fn is_in_force(restriction: &Restriction, asked: RoutedRequest<'_>) -> bool {
    restriction.is_for(asked.host, asked.path, asked.method)
}

impl RouteLimits {
    /// Counts a request for all that limits it, and notes what else restricts it.
    ///
    /// # Errors
    /// A limit refuses it; it is counted for none.
    pub(super) fn restrict(
        &self,
        restrictions: &[Restriction],
        (asked, request): (RoutedRequest<'_>, &RequestHeader),
        ctx: &mut Context,
        share: Share,
    ) -> Result<(), GatewayAnswer> {
        let mut restricted = Restricted::default();
        let in_force = || restrictions.iter().filter(|one| is_in_force(one, asked));
        for Restriction { said, .. } in in_force() {
            restricted.total = restricted.total.into_iter().chain(said.total_timeout).min();
            restricted.retries = restricted.retries.into_iter().chain(said.retries).min();
            let most = &mut ctx.received.max_body_bytes;
            *most = most.iter().copied().chain(said.limits.and_then(|limits| limits.max_body)).min();
        }
        // It has the deadline of its client.
        restricted.total = restricted.total.filter(|_| !ctx.received.is_call);
        // Before anything is counted.
        check_length(request, ctx)?;
        let counted = || in_force().filter_map(|one| Some((one.said.limits?, one.live.as_ref()?)));
        for (number, (limits, live)) in counted().enumerate() {
            let outcome = self
                .enter(limits, live, ctx, share)
                .map(|in_flight| restricted.in_flight.extend(in_flight))
                .and_then(|()| self.use_rate(limits, live, ctx, share));
            if let Err(refused) = outcome {
                counted().take(number).for_each(|(limits, live)| self.give_back(limits, live, ctx, share));
                return Err(refused);
            }
        }
        ctx.restricted = Some(Box::new(restricted));
        Ok(())
    }

    /// Counts a request among those in flight.
    fn enter(
        &self,
        limits: Limits,
        live: &Arc<LimitLive>,
        ctx: &Context,
        share: Share,
    ) -> Result<Option<InFlight>, GatewayAnswer> {
        let Some(all) = limits.concurrency else { return Ok(None) };
        let most = share.of(all.get());
        let counted = match limits.by {
            LimitBy::Route => {
                let more = |count: u32| (count < most).then(|| count + 1);
                let counted = live.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
                counted.ok().map(|_| Some(InFlight::OfLimit(Arc::clone(live))))
            }
            LimitBy::Caller | LimitBy::Address => {
                let callers = self.callers();
                let place = callers.counts.enter(self.who(limits, live, ctx), most).ok();
                place.map(|place| place.map(|place| InFlight::OfCaller(Arc::clone(callers), place)))
            }
        };
        let too_many = || GatewayAnswer::to_come_again(GatewayProblem::ConcurrencyLimited, BUSY_FOR);
        counted.ok_or_else(|| too_many().with_detail(at_once(all, limits.by)))
    }

    /// Counts a request over time.
    fn use_rate(&self, limits: Limits, live: &LimitLive, ctx: &Context, share: Share) -> Result<(), GatewayAnswer> {
        let Some(rate) = limits.rate else { return Ok(()) };
        let callers = self.callers();
        let (pace, now_ns) = (Pace::of(share.of_rate(rate)), since_ns(callers.started, clock::now()));
        let counted = match limits.by {
            LimitBy::Route => pace.check(&live.next_ns, now_ns),
            LimitBy::Caller | LimitBy::Address => callers.rates.check(self.who(limits, live, ctx), pace, now_ns),
        };
        let too_often = |wait| GatewayAnswer::to_come_again(GatewayProblem::RouteRateLimited, wait);
        counted.map_err(|wait| too_often(wait).with_detail(over_time(rate, limits.by)))
    }

    /// Takes back what [`use_rate`](Self::use_rate) counted.
    fn give_back(&self, limits: Limits, live: &LimitLive, ctx: &Context, share: Share) {
        let Some(rate) = limits.rate else { return };
        let pace = Pace::of(share.of_rate(rate));
        match limits.by {
            LimitBy::Route => pace.give_back(&live.next_ns),
            LimitBy::Caller | LimitBy::Address => {
                self.callers().rates.give_back(self.who(limits, live, ctx), pace);
            }
        }
    }

    /// Who sends the request, under this limit.
    fn who(&self, limits: Limits, live: &LimitLive, ctx: &Context) -> u64 {
        let caller = match limits.by {
            LimitBy::Caller => caller::of(ctx),
            LimitBy::Address | LimitBy::Route => CallerId::of_address(ctx.client.address),
        };
        self.hasher.hash_one((live.id(), caller))
    }

    fn callers(&self) -> &Arc<Callers> {
        self.callers.get_or_init(|| {
            Arc::new(Callers {
                started: clock::now(),
                rates: CallerRates::new(RATED_CALLERS),
                counts: CallerCounts::new(BUSY_CALLERS),
            })
        })
    }
}

fn at_once(most: NonZeroU32, by: LimitBy) -> String {
    match by {
        LimitBy::Route => format!("the limit is {most} at the same time"),
        LimitBy::Caller | LimitBy::Address => format!("the limit is {most} of each {} at the same time", by.as_str()),
    }
}

fn over_time(limit: RateLimit, by: LimitBy) -> String {
    let rate = limit.rate;
    match by {
        LimitBy::Route => format!("the limit is {rate}"),
        LimitBy::Caller | LimitBy::Address => format!("the limit is {rate} for each {}", by.as_str()),
    }
}

/// The answer to a request that has taken as long as it may; `problem` says who was waited for. `None`: it has time left, or may take
/// as long as it likes.
pub(super) fn out_of_time(ctx: &Context, problem: GatewayProblem) -> Option<GatewayAnswer> {
    let total = ctx.restricted.as_ref()?.total?;
    let detail = || format!("the request may take {} s", total.as_secs_f64());
    (ctx.elapsed() >= total).then(|| GatewayAnswer::from(problem).with_detail(detail()))
}
