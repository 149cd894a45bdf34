//! Long polls of a furt that may be away for a while.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::output;

/// How long one poll waits for something to happen, in seconds.
pub(super) const POLL_SECONDS: u64 = 30;
/// Until a furt that cannot be reached is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Asks until there is an answer: who follows wants to see the start that comes after an end. Once is enough to tell.
pub(super) fn until_answered<T>(ask: impl Fn() -> Result<T>) -> T {
    let mut is_away = false;
    loop {
        match ask() {
            Ok(answer) => {
                if is_away {
                    output::note("furt answers again");
                }
                return answer;
            }
            Err(error) => {
                if !std::mem::replace(&mut is_away, true) {
                    output::note(&format!("{error:#}; trying again each second"));
                }
                thread::sleep(PAUSE);
            }
        }
    }
}
