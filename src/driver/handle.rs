//! How the rest of furt speaks to the driver.

use tokio::sync::{mpsc, oneshot};

use super::{Answer, Event, Message, Refusal};
use crate::registry::ReplyId;

/// The driver has ended: the process is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the gateway is stopping")]
pub struct DriverGone;

/// A way to the driver; cheap to clone. Waits while the queue is full.
#[derive(Clone)]
pub struct Handle {
    sender: mpsc::Sender<Message>,
}

impl Handle {
    pub(super) fn new(sender: mpsc::Sender<Message>) -> Self {
        Self { sender }
    }

    /// Tells what happened.
    ///
    /// # Errors
    /// [`DriverGone`].
    pub async fn tell(&self, event: Event) -> Result<(), DriverGone> {
        self.sender.send(Message::Happened(event)).await.map_err(|_| DriverGone)
    }

    /// Asks for something and waits for the answer; `event` is given the id that the answer will carry.
    ///
    /// Who stops waiting does not undo it.
    ///
    /// # Errors
    /// [`DriverGone`].
    pub async fn ask(
        &self,
        event: impl FnOnce(ReplyId) -> Event + Send + 'static,
    ) -> Result<Result<Answer, Refusal>, DriverGone> {
        let (answer, waiting) = oneshot::channel();
        self.sender.send(Message::Asked(Box::new(event), answer)).await.map_err(|_| DriverGone)?;
        waiting.await.map_err(|_| DriverGone)
    }
}
