//! How the rest of furt speaks to the driver.

use tokio::sync::{mpsc, oneshot, watch};

use super::Message;
use crate::published::InForce;
use furt_core::model::Generation;
use furt_core::registry::{Answer, Configuration, Event, Refusal, ReplyId};

/// The driver has ended: the process is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the gateway is stopping")]
pub struct DriverGone;

/// A way to the driver; cheap to clone. Waits while the queue is full.
#[derive(Clone)]
pub struct Handle {
    sender: mpsc::Sender<Message>,
    published: watch::Receiver<Generation>,
}

/// A [`Handle`] that does not keep the driver running: for what the driver itself owns.
#[derive(Clone)]
pub struct WeakHandle {
    sender: mpsc::WeakSender<Message>,
}

impl Handle {
    pub(super) fn new(sender: mpsc::Sender<Message>, published: watch::Receiver<Generation>) -> Self {
        Self { sender, published }
    }

    /// Tells of every snapshot that is published from now on.
    pub fn published(&self) -> watch::Receiver<Generation> {
        let mut published = self.published.clone();
        published.mark_unchanged();
        published
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

    /// Puts another configuration in force, and waits until it is published: what the core takes from it, and the whole
    /// of it, which is published with the snapshot.
    ///
    /// # Errors
    /// [`DriverGone`].
    pub async fn reconfigure(
        &self,
        configuration: Box<Configuration>,
        in_force: InForce,
    ) -> Result<Result<Answer, Refusal>, DriverGone> {
        let (answer, waiting) = oneshot::channel();
        self.sender.send(Message::Reconfigured(configuration, in_force, answer)).await.map_err(|_| DriverGone)?;
        waiting.await.map_err(|_| DriverGone)
    }

    /// Says that another process has taken over: from now on no TTL ends here.
    ///
    /// # Errors
    /// [`DriverGone`].
    pub async fn replaced(&self) -> Result<(), DriverGone> {
        self.sender.send(Message::Replaced).await.map_err(|_| DriverGone)
    }

    /// The same way, without keeping the driver running.
    pub fn downgrade(&self) -> WeakHandle {
        WeakHandle { sender: self.sender.downgrade() }
    }
}

impl WeakHandle {
    /// Tells what happened.
    ///
    /// # Errors
    /// [`DriverGone`], also when no [`Handle`] is left.
    pub async fn tell(&self, event: Event) -> Result<(), DriverGone> {
        let sender = self.sender.upgrade().ok_or(DriverGone)?;
        sender.send(Message::Happened(event)).await.map_err(|_| DriverGone)
    }
}

/// Stands in the driver's place: gives out what was told.
#[cfg(test)]
pub(crate) struct Told(mpsc::Receiver<Message>);

#[cfg(test)]
impl Told {
    /// A queue of so many places, without a driver.
    pub(crate) fn with_places(places: usize) -> (Handle, Self) {
        let (sender, receiver) = mpsc::channel(places);
        let (_, published) = watch::channel(Generation::default());
        (Handle::new(sender, published), Self(receiver))
    }

    /// The next event; `None` once every handle is gone.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        match self.0.recv().await? {
            Message::Happened(event) => Some(event),
            Message::Asked(..) | Message::Reconfigured(..) | Message::Replaced => {
                panic!("something was asked where events are told alone")
            }
        }
    }
}
