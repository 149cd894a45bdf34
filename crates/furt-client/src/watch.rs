//! What a registry lists, again whenever it changes.

use std::time::Duration;

use furt_api::lookup::FoundInstances;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::sleep;

use crate::error::Error;
use crate::found::Found;
use crate::registry::Registry;

/// How long a gateway waits for a change before it answers. One that dies meanwhile is noticed after it.
const POLL: Duration = Duration::from_secs(10);
/// Until hosts are asked again that could not be, so that a loop over errors does not spin.
const PAUSE: Duration = Duration::from_secs(1);

/// The instances of a service, or all of them, whenever they change. See [`Registry::watch`].
#[derive(Debug)]
pub struct Watch {
    registry: Registry,
    /// Of which instances.
    query: String,
    /// What the last list stands for.
    after: Option<String>,
    pause: Duration,
}

impl Watch {
    pub(crate) fn new(registry: Registry, query: String) -> Self {
        Self { registry, query, after: None, pause: Duration::ZERO }
    }

    /// The whole list: at once when it is called for the first time, then when it has changed. Changes in between are in the
    /// next list. Dropping the future loses nothing.
    ///
    /// # Errors
    /// As [`Registry::list`]. The last list is then as good as any; call this again, and it asks a second later.
    pub async fn next(&mut self) -> Result<Vec<Found>, Error> {
        loop {
            sleep(self.pause).await;
            // Until there is an answer.
            self.pause = PAUSE;
            let answer: FoundInstances = self.poll().await?;
            self.pause = Duration::ZERO;
            if self.after.as_ref() != Some(&answer.next) {
                self.after = Some(answer.next);
                return Ok(self.registry.found(answer.instances));
            }
            // Whoever answers early all the time is not asked all the time.
            self.pause = PAUSE / 10;
        }
    }

    async fn poll(&self) -> Result<FoundInstances, Error> {
        let Some(after) = &self.after else { return self.registry.instances(&self.query, Duration::ZERO).await };
        let after = utf8_percent_encode(after, NON_ALPHANUMERIC);
        let separator = if self.query.is_empty() { "" } else { "&" };
        let query = format!("{}{separator}after={after}&wait={}", self.query, POLL.as_secs());
        self.registry.instances(&query, POLL).await
    }
}
