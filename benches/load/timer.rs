//! A timer that is exact: tokio's wakes at whole milliseconds, which would be part of every latency.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// Of the kernel.
pub(super) struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    /// Inside a runtime.
    ///
    /// # Errors
    /// The kernel gives none.
    #[allow(deprecated, reason = "unsound where a type gives other descriptors in turn; this one is owned to its end")]
    pub(super) fn new() -> Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self(AsyncFd::new(timerfd_create(TimerfdClockId::Monotonic, flags)?)?))
    }

    /// Waits until then.
    ///
    /// # Errors
    /// The timer cannot be set.
    pub(super) async fn until(&self, then: Instant) -> Result<()> {
        let pause = then.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
        let value = Timespec { tv_sec: i64::try_from(pause.as_secs())?, tv_nsec: i64::from(pause.subsec_nanos()) };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut ready = self.0.readable().await?;
            // How often it rang, which nobody asks.
            if ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut [0; 8])?)).is_ok() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn it_rings_in_time_and_never_too_early() {
        use super::*;
        let timer = Timer::new().unwrap();
        for pause in [0, 300, 1_700] {
            let then = Instant::now() + Duration::from_micros(pause);
            timer.until(then).await.unwrap();
            assert!(Instant::now() >= then);
        }
    }
}
