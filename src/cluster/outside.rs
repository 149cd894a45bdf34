//! What the cluster has done by the rest of furt: checks of settings, and putting them in force. The answers come back as events.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use furt_cluster::model::{Document, Restart, Scope, SettingsId};
use furt_cluster::{CheckId, Event};
use tokio::sync::{mpsc, oneshot};

/// Tasks that wait.
const MOST_WAITING: usize = 64;
const STOPPING: &str = "this node stops";
const BUSY: &str = "this node is busy with other settings";

/// What is to be done with a document of settings.
#[derive(Debug)]
pub enum Task {
    /// See whether it would be taken: with the file, the environment and the other document.
    Check {
        /// Whose settings.
        scope: Scope,
        /// Whether the process may restart for them.
        restart: Restart,
        /// The document, in TOML.
        text: String,
        /// Each error with its place.
        reply: oneshot::Sender<Result<(), Vec<Arc<str>>>>,
    },
    /// Put it in force.
    Apply {
        /// Whose settings.
        scope: Scope,
        /// Their name.
        id: SettingsId,
        /// Whether the process may restart for them.
        restart: Restart,
        /// The document, in TOML.
        text: String,
        /// Where it is told how that went.
        reply: ApplyReply,
    },
}

/// Where it is told how a document was put in force. Dropped without a word, this process ends: the next one tries again.
#[derive(Debug)]
pub struct ApplyReply {
    outcome: oneshot::Sender<Result<(), Arc<str>>>,
    is_replaced: Arc<AtomicBool>,
}

impl ApplyReply {
    /// It is in force in this process, or why it is not.
    pub fn tell(self, outcome: Result<(), Arc<str>>) {
        // A node that has begun anew since asks again.
        _ = self.outcome.send(outcome);
    }

    /// It is in force in a process that has taken over from this one. To be told before the node's part in the cluster ends.
    pub fn replaced(self) {
        self.is_replaced.store(true, Ordering::Release);
    }
}

/// Where tasks go, and where answers come from.
#[derive(Debug, Clone)]
pub(super) struct Outside {
    tasks: mpsc::Sender<Task>,
    done: mpsc::UnboundedSender<Event>,
    is_replaced: Arc<AtomicBool>,
}

/// The ends of a channel of tasks.
pub fn tasks() -> (mpsc::Sender<Task>, mpsc::Receiver<Task>) {
    mpsc::channel(MOST_WAITING)
}

/// Puts a document in force that was in force before, and waits for that.
///
/// # Errors
/// Why it is not in force.
pub(super) async fn apply(
    tasks: &mpsc::Sender<Task>,
    scope: Scope,
    id: SettingsId,
    text: String,
) -> Result<(), Arc<str>> {
    let (outcome, answer) = oneshot::channel();
    let reply = ApplyReply { outcome, is_replaced: Arc::default() };
    let task = Task::Apply { scope, id, restart: Restart::Never, text, reply };
    tasks.send(task).await.map_err(|_| STOPPING)?;
    answer.await.unwrap_or_else(|_| Err(STOPPING.into()))
}

impl Outside {
    pub(super) fn new(tasks: mpsc::Sender<Task>) -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (done, events) = mpsc::unbounded_channel();
        (Self { tasks, done, is_replaced: Arc::default() }, events)
    }

    pub(super) fn check(&self, check: CheckId, scope: Scope, restart: Restart, document: &Document) {
        let event = move |outcome| Event::Checked(check, outcome);
        let (reply, answer) = oneshot::channel();
        if self.tasks.try_send(Task::Check { scope, restart, text: document.text().to_owned(), reply }).is_err() {
            return self.tell(event(Err(vec![BUSY.into()])));
        }
        let done = self.done.clone();
        // Without a receiver nobody waits for it.
        tokio::spawn(async move { done.send(event(answer.await.unwrap_or_else(|_| Err(vec![STOPPING.into()])))) });
    }

    pub(super) fn apply(&self, scope: Scope, id: SettingsId, restart: Restart, document: &Document) {
        let event = move |outcome| Event::Applied(scope, id, outcome);
        let (outcome, answer) = oneshot::channel();
        let reply = ApplyReply { outcome, is_replaced: Arc::clone(&self.is_replaced) };
        if self.tasks.try_send(Task::Apply { scope, id, restart, text: document.text().to_owned(), reply }).is_err() {
            return self.tell(event(Err(BUSY.into())));
        }
        let done = self.done.clone();
        tokio::spawn(async move {
            if let Ok(outcome) = answer.await {
                _ = done.send(event(outcome));
            }
        });
    }

    /// Whether another process has taken over with the document that was last to be put in force.
    pub(super) fn is_replaced(&self) -> bool {
        self.is_replaced.load(Ordering::Acquire)
    }

    fn tell(&self, event: Event) {
        // Without a receiver the node ends.
        _ = self.done.send(event);
    }
}
