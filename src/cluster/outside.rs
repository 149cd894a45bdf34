//! What the cluster has done by the rest of furt: checks of settings, and putting them in force. The answers come back as events.

use std::sync::Arc;

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
        /// The document, in TOML.
        text: String,
        /// Each error with its place.
        reply: oneshot::Sender<Result<(), Vec<Arc<str>>>>,
    },
    /// Put it in force.
    Apply {
        /// Whose settings.
        scope: Scope,
        /// Their generation.
        generation: u64,
        /// The document, in TOML.
        text: String,
        /// Why it is not in force.
        reply: oneshot::Sender<Result<(), Arc<str>>>,
    },
}

/// Where tasks go, and where answers come from.
#[derive(Debug, Clone)]
pub(super) struct Outside {
    tasks: mpsc::Sender<Task>,
    done: mpsc::UnboundedSender<Event>,
}

/// The ends of a channel of tasks.
pub fn tasks() -> (mpsc::Sender<Task>, mpsc::Receiver<Task>) {
    mpsc::channel(MOST_WAITING)
}

impl Outside {
    pub(super) fn new(tasks: mpsc::Sender<Task>) -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (done, events) = mpsc::unbounded_channel();
        (Self { tasks, done }, events)
    }

    pub(super) fn check(&self, check: CheckId, scope: Scope, restart: Restart, document: &Document) {
        let event = move |outcome| Event::Checked(check, outcome);
        if restart == Restart::OneByOne {
            return self.tell(event(Err(vec!["this furt restarts for no settings".into()])));
        }
        let (reply, answer) = oneshot::channel();
        if self.tasks.try_send(Task::Check { scope, text: document.text().to_owned(), reply }).is_err() {
            return self.tell(event(Err(vec![BUSY.into()])));
        }
        let done = self.done.clone();
        // Without a receiver nobody waits for it.
        tokio::spawn(async move { done.send(event(answer.await.unwrap_or_else(|_| Err(vec![STOPPING.into()])))) });
    }

    pub(super) fn apply(&self, scope: Scope, id: SettingsId, document: &Document) {
        let event = move |outcome| Event::Applied(scope, id, outcome);
        let (reply, answer) = oneshot::channel();
        let task = Task::Apply { scope, generation: id.generation, text: document.text().to_owned(), reply };
        if self.tasks.try_send(task).is_err() {
            return self.tell(event(Err(BUSY.into())));
        }
        let done = self.done.clone();
        tokio::spawn(async move { done.send(event(answer.await.unwrap_or_else(|_| Err(STOPPING.into())))) });
    }

    fn tell(&self, event: Event) {
        // Without a receiver the node ends.
        _ = self.done.send(event);
    }
}
