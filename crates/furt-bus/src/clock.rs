//! The one place that reads the clock.

use tokio::time::Instant;

/// Follows tokio's clock, so that a paused test decides how it passes.
#[expect(clippy::disallowed_methods, reason = "the one place that reads this clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
