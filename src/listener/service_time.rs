//! How long the service of a request may do nothing, timed by the client's connection.
//!
//! Pingora fixes the read timeout of a service when it connects, so it can hold neither for a stream that only its answer
//! tells, nor for a service that waits for its client. So these exchanges have none of Pingora's, and the connection times the
//! service: the hooks say when it has to do something, and whatever is written to the client begins its time anew. The timer
//! is the one that the connection has between its requests. It is set again only when it rings, so a request that is
//! answered at once sets none. Where the time is over, a read of the client's connection fails, which Pingora always waits for.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use crate::clock;

/// What took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeOver {
    /// The service had all it needs and did nothing for as long as it may.
    #[error("the service did nothing for too long")]
    Service,
    /// The request took as long as it may, whoever was waited for.
    #[error("the request took too long")]
    Request,
}

/// As long as it likes; what is longer than 49 days is no less.
const UNLIMITED: u32 = u32::MAX;

/// How long what serves a request whose time is over may take to find that out. It does at once, unless it reads nothing of the
/// client, as where a service takes nothing of a body.
const GRACE: Duration = Duration::from_secs(1);

/// When the times of a request are over, as far as that is known.
#[derive(Debug, Default)]
struct Ends {
    service: Option<Instant>,
    request: Option<Instant>,
    grace: Option<Instant>,
}

/// What the hooks of a request say of its service. Its connection's task alone touches it.
#[derive(Debug, Default)]
pub struct ServiceTime {
    /// In ms, or [`UNLIMITED`].
    allowed: AtomicU32,
    /// Whether it is the service that has to do something next.
    is_due: AtomicBool,
    /// Whether its time begins anew.
    restarts: AtomicBool,
    is_over: AtomicBool,
    /// How long the whole request may still take, in ms from when that is looked at, or [`UNLIMITED`].
    request_left: AtomicU32,
    is_request_limited: AtomicBool,
    is_request_over: AtomicBool,
    /// Whether the client does not take what the service sent.
    is_blocked: AtomicBool,
}

/// Serves one request of a connection, and times its service where there is a `time` for it; `timer` is the connection's own,
/// as for [`super::next_head`]. `None`: it was given up, since it took too long and did not notice.
pub async fn serve<T>(
    mut request: Pin<Box<impl Future<Output = T> + ?Sized>>,
    time: Option<&ServiceTime>,
    timer: &mut Pin<&mut Sleep>,
) -> Option<T> {
    let Some(time) = time else { return Some(request.await) };
    time.begin_request();
    let mut ends = Ends::default();
    poll_fn(|context| time.poll_serving(request.as_mut(), timer, &mut ends, context)).await
}

/// What of a time that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// It is over now.
    Now,
    /// Nobody took notice.
    Unnoticed,
}

impl ServiceTime {
    /// How long the service of the next attempt may do nothing. Its time does not run yet.
    pub fn prepare(&self, allowed: Duration) {
        self.allow(allowed);
        self.pause();
    }

    /// From now on it may do nothing for so long.
    pub fn allow(&self, allowed: Duration) {
        self.allowed.store(u32::try_from(allowed.as_millis()).unwrap_or(UNLIMITED), Ordering::Relaxed);
        self.restart();
    }

    /// From now on the whole request may take so long; `None`: as long as it likes.
    pub fn limit_request(&self, left: Option<Duration>) {
        // Never before its time: whoever looks then is to find it over.
        let left = left.map_or(UNLIMITED, |left| u32::try_from(left.as_micros().div_ceil(1000)).unwrap_or(UNLIMITED));
        self.request_left.store(left, Ordering::Relaxed);
        self.is_request_limited.store(true, Ordering::Relaxed);
    }

    /// The service has to do something: its time begins.
    pub fn start(&self) {
        self.is_due.store(true, Ordering::Relaxed);
        self.restart();
    }

    /// The service waits for somebody else.
    pub fn pause(&self) {
        self.is_due.store(false, Ordering::Relaxed);
    }

    /// The service did something.
    pub fn restart(&self) {
        self.restarts.store(true, Ordering::Relaxed);
    }

    /// Whether it is the service that has to do something next.
    pub fn is_due(&self) -> bool {
        self.is_due.load(Ordering::Relaxed)
    }

    /// The service did something: the client took a part of it, or has to wait until it can.
    pub fn note_written(&self, is_taken: bool) {
        self.is_blocked.store(!is_taken, Ordering::Relaxed);
        if is_taken {
            self.restart();
        }
    }

    /// A request begins, of whose service nothing is said yet.
    fn begin_request(&self) {
        self.pause();
        self.is_over.store(false, Ordering::Relaxed);
        self.is_request_limited.store(false, Ordering::Relaxed);
        self.is_request_over.store(false, Ordering::Relaxed);
        self.is_blocked.store(false, Ordering::Relaxed);
    }

    /// Why a read fails instead, be it one that `has_to_wait` or, where the request took too long, any. Says so once.
    pub fn take_over(&self, has_to_wait: bool) -> Option<TimeOver> {
        if !self.is_over.load(Ordering::Relaxed) {
            return None;
        }
        if self.is_request_over.load(Ordering::Relaxed) {
            self.forget_over();
            return Some(TimeOver::Request);
        }
        let is_over =
            has_to_wait && self.is_over.swap(false, Ordering::Relaxed) && !self.restarts.load(Ordering::Relaxed);
        is_over.then_some(TimeOver::Service)
    }

    fn forget_over(&self) {
        self.is_over.store(false, Ordering::Relaxed);
        self.is_request_over.store(false, Ordering::Relaxed);
    }

    /// Polls what serves a request, and has a read of its connection fail once the service or the request had its time. `ends` is
    /// when that is, and `timer` rings before it or then.
    fn poll_serving<T>(
        &self,
        mut serving: Pin<&mut (impl Future<Output = T> + ?Sized)>,
        timer: &mut Pin<&mut Sleep>,
        ends: &mut Ends,
        context: &mut Context<'_>,
    ) -> Poll<Option<T>> {
        if let Poll::Ready(served) = serving.as_mut().poll(context) {
            return Poll::Ready(Some(self.served(served)));
        }
        if ready!(self.poll_ends(timer, ends, context)) == Ended::Unnoticed {
            return Poll::Ready(None);
        }
        self.is_over.store(true, Ordering::Relaxed);
        if let Poll::Ready(served) = serving.poll(context) {
            return Poll::Ready(Some(self.served(served)));
        }
        if self.is_request_over.load(Ordering::Relaxed) {
            ready!(self.poll_ends(timer, ends, context));
            return Poll::Ready(None);
        }
        Poll::Pending
    }

    /// What nobody has read by now is not to end what comes next on the connection.
    fn served<T>(&self, served: T) -> T {
        self.forget_over();
        served
    }

    /// Ready once the service or the request had its time, and once nobody took notice of that.
    fn poll_ends(&self, timer: &mut Pin<&mut Sleep>, ends: &mut Ends, context: &mut Context<'_>) -> Poll<Ended> {
        if self.is_request_limited.load(Ordering::Relaxed) {
            self.is_request_limited.store(false, Ordering::Relaxed);
            ends.request = end(self.request_left.load(Ordering::Relaxed), clock::now());
        }
        loop {
            let is_unnoticed = self.is_request_over.load(Ordering::Relaxed);
            if !is_unnoticed && self.poll_end(timer, &mut ends.service, context).is_ready() {
                return Poll::Ready(Ended::Now);
            }
            let Some(end) = (if is_unnoticed { ends.grace } else { ends.request }) else { return Poll::Pending };
            let now = clock::now();
            if end <= now && is_unnoticed {
                return Poll::Ready(Ended::Unnoticed);
            }
            if end <= now {
                ends.request = None;
                ends.grace = now.checked_add(GRACE);
                self.is_request_over.store(true, Ordering::Relaxed);
                return Poll::Ready(Ended::Now);
            }
            if timer.is_elapsed() || timer.deadline() > end.into() {
                timer.as_mut().reset(end.into());
            }
            // It may ring earlier, for the service.
            ready!(timer.as_mut().poll(context));
        }
    }

    /// Ready once the service had its time.
    fn poll_end(
        &self,
        timer: &mut Pin<&mut Sleep>,
        until: &mut Option<Instant>,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        if !self.is_due.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        if self.restarts.load(Ordering::Relaxed) {
            self.restarts.store(false, Ordering::Relaxed);
            self.is_over.store(false, Ordering::Relaxed);
            let now = clock::now();
            *until = end(self.allowed.load(Ordering::Relaxed), now);
            let Some(end) = *until else { return Poll::Pending };
            // One that is still to ring before the end is left alone.
            let rings = timer.deadline().into_std();
            if rings > now && rings <= end {
                return Poll::Pending;
            }
        } else if !timer.is_elapsed() {
            return Poll::Pending;
        }
        let Some(end) = *until else { return Poll::Pending };
        timer.as_mut().reset(end.into());
        ready!(timer.as_mut().poll(context));
        if !self.is_blocked.load(Ordering::Relaxed) {
            return Poll::Ready(());
        }
        // It waits for the client, whose own time is over first or not at all.
        self.restart();
        self.poll_end(timer, until, context)
    }
}

/// When so many ms are over; `None`: never.
fn end(ms: u32, now: Instant) -> Option<Instant> {
    if ms == UNLIMITED { None } else { now.checked_add(Duration::from_millis(ms.into())) }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;

    use super::*;

    const ALLOWED: Duration = Duration::from_secs(60);

    /// Polls it, as a connection does whenever it sets it.
    async fn waited_for(timer: &mut Pin<&mut Sleep>) {
        poll_fn(|context| Poll::Ready(timer.as_mut().poll(context).is_ready())).await;
    }

    /// Polls a request that is never answered, until a read of its connection would fail. Returns the seconds since `begin`.
    async fn over(time: &ServiceTime, timer: &mut Pin<&mut Sleep>, begin: Instant) -> u64 {
        over_for(TimeOver::Service, time, timer, begin).await
    }

    async fn over_for(why: TimeOver, time: &ServiceTime, timer: &mut Pin<&mut Sleep>, begin: Instant) -> u64 {
        let (mut serving, mut ends) = (pin!(pending::<()>()), Ends::default());
        let over = poll_fn(|context| {
            _ = time.poll_serving(serving.as_mut(), timer, &mut ends, context);
            if time.take_over(true) == Some(why) { Poll::Ready(()) } else { Poll::Pending }
        });
        tokio::time::timeout(ALLOWED * 100, over).await.map_or(u64::MAX, |()| (clock::now() - begin).as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_has_its_whole_time_whenever_the_timer_would_ring() {
        // Never polled; to ring before the end; after it; long ago.
        for (rings, is_polled) in [(0, false), (10, true), (70, true), (0, true)] {
            let begin = clock::now();
            let mut timer = pin!(tokio::time::sleep(Duration::from_secs(rings)));
            if is_polled {
                waited_for(&mut timer).await;
            }
            let time = ServiceTime::default();
            time.prepare(ALLOWED);
            time.start();
            assert_eq!(over(&time, &mut timer, begin).await, 60, "{rings} {is_polled}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_service_does_begins_its_time_anew_and_no_time_runs_while_it_waits() {
        let begin = clock::now();
        let mut timer = pin!(tokio::time::sleep(Duration::from_secs(5)));
        waited_for(&mut timer).await;
        let time = ServiceTime::default();
        time.prepare(ALLOWED);
        assert_eq!(over(&time, &mut timer, begin).await, u64::MAX, "it has nothing to do yet");
        let begin = clock::now();
        time.start();
        let acts = async {
            tokio::time::sleep(Duration::from_secs(50)).await;
            time.restart();
        };
        let (_, ended) = tokio::join!(biased; acts, over(&time, &mut timer, begin));
        assert_eq!(ended, 110);
    }

    #[tokio::test(start_paused = true)]
    async fn a_longer_time_holds_from_when_it_is_allowed() {
        let begin = clock::now();
        let mut timer = pin!(tokio::time::sleep(Duration::from_secs(5)));
        waited_for(&mut timer).await;
        let time = ServiceTime::default();
        time.prepare(ALLOWED);
        time.start();
        time.allow(ALLOWED * 10);
        assert_eq!(over(&time, &mut timer, begin).await, 600);
        time.allow(Duration::MAX);
        assert_eq!(over(&time, &mut timer, begin).await, u64::MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_whose_client_does_not_take_its_answer_is_not_too_slow() {
        let begin = clock::now();
        let mut timer = pin!(tokio::time::sleep(Duration::ZERO));
        let time = ServiceTime::default();
        time.prepare(ALLOWED);
        time.start();
        time.note_written(false);
        let takes = async {
            tokio::time::sleep(Duration::from_secs(200)).await;
            time.note_written(true);
        };
        let (_, ended) = tokio::join!(biased; takes, over(&time, &mut timer, begin));
        assert!((260..=300).contains(&ended), "{ended}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_ended_as_the_service_did_something_is_not_over() {
        let time = ServiceTime::default();
        let mut timer = pin!(tokio::time::sleep(Duration::ZERO));
        time.prepare(ALLOWED);
        time.start();
        let (mut serving, mut ends) = (pin!(pending::<()>()), Ends::default());
        let over = poll_fn(|context| {
            _ = time.poll_serving(serving.as_mut(), &mut timer, &mut ends, context);
            if time.is_over.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }
        });
        over.await;
        time.restart();
        assert_eq!(time.take_over(true), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_ends_with_its_own_time_whoever_is_waited_for() {
        // The service has nothing to do; it does something every now and then; its own time is over first.
        for (is_due, allowed, why, ends) in [
            (false, ALLOWED, TimeOver::Request, 90),
            (true, ALLOWED * 2, TimeOver::Request, 90),
            (true, ALLOWED, TimeOver::Service, 60),
        ] {
            for (rings, is_polled) in [(0, false), (10, true), (100, true)] {
                let begin = clock::now();
                let mut timer = pin!(tokio::time::sleep(Duration::from_secs(rings)));
                if is_polled {
                    waited_for(&mut timer).await;
                }
                let time = ServiceTime::default();
                time.prepare(allowed);
                time.limit_request(Some(Duration::from_secs(90)));
                if is_due {
                    time.start();
                }
                assert_eq!(over_for(why, &time, &mut timer, begin).await, ends, "{is_due} {rings}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_service_does_gives_its_request_no_more_time_and_a_stream_has_no_end() {
        let begin = clock::now();
        let mut timer = pin!(tokio::time::sleep(Duration::ZERO));
        let time = ServiceTime::default();
        time.prepare(ALLOWED);
        time.start();
        time.limit_request(Some(Duration::from_secs(90)));
        let acts = async {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_secs(15)).await;
                time.restart();
            }
        };
        let ended = tokio::select! { biased; ended = over_for(TimeOver::Request, &time, &mut timer, begin) => ended, () = acts => 0 };
        assert_eq!(ended, 90);
        let (begin, time) = (clock::now(), ServiceTime::default());
        time.prepare(ALLOWED);
        time.limit_request(Some(Duration::from_secs(90)));
        time.limit_request(None);
        assert_eq!(over_for(TimeOver::Request, &time, &mut timer, begin).await, u64::MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_does_not_notice_its_end_is_given_up() {
        let begin = clock::now();
        let mut timer = pin!(tokio::time::sleep(Duration::ZERO));
        let time = ServiceTime::default();
        let limited = async {
            time.prepare(ALLOWED);
            time.limit_request(Some(ALLOWED));
            // As where the pipe to the service is full.
            pending::<()>().await;
        };
        assert_eq!(serve(Box::pin(limited), Some(&time), &mut timer).await, None);
        assert_eq!((clock::now() - begin).as_secs(), 61);

        let notices = async {
            time.prepare(ALLOWED);
            time.limit_request(Some(ALLOWED));
            poll_fn(|_| if time.take_over(false).is_some() { Poll::Ready(()) } else { Poll::Pending }).await;
            tokio::time::sleep(ALLOWED).await;
            7
        };
        assert_eq!(serve(Box::pin(notices), Some(&time), &mut timer).await, Some(7), "and has all the time then");
    }
}
