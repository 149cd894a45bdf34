//! Waiting for what must come true, and watching what must stay true.

use std::time::{Duration, Instant};

/// Long enough for anything that happens within milliseconds, on a machine that is busy with other tests.
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Asks again and again until `look` gives something; panics with `what` when it has not `within` that time.
pub(crate) async fn eventually<T>(what: &str, within: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Asks again and again `during` that time; panics with `what` as soon as `holds` is false.
pub(crate) async fn throughout(what: &str, during: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + during;
    while Instant::now() < end {
        assert!(holds().await, "did not stay so for {during:?}: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}
