//! Programs for this node: what the core asks for is handed to `app`, and comes back as an event.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use furt_cluster::Event;
use furt_cluster::model::Program;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

/// The core asks for one thing at a time.
const MOST_WAITING: usize = 2;

/// What is asked of `app`.
#[derive(Debug)]
pub enum ProgramTask {
    /// Fetch a program and try it; `Err`: why it may not run here.
    Stage(Program, oneshot::Sender<Result<(), Arc<str>>>),
    /// Have the staged program take over. Where it does, this process ends its part in the cluster.
    TakeOver(Program, TakeoverReply),
}

/// Where it is told how a takeover went. Dropped without a word, this process ends.
#[derive(Debug)]
pub struct TakeoverReply {
    failed: oneshot::Sender<Arc<str>>,
    is_taken: Arc<AtomicBool>,
}

impl TakeoverReply {
    /// The new process is the one that runs. To be told before the node's part in the cluster ends.
    pub fn taken(self) {
        self.is_taken.store(true, Ordering::Release);
    }

    /// This process goes on, and why.
    pub fn failed(self, why: &str) {
        // A node that has begun anew since has told it already.
        _ = self.failed.send(why.into());
    }
}

/// Where programs are asked for, and where that is heard.
pub fn programs() -> (mpsc::Sender<ProgramTask>, mpsc::Receiver<ProgramTask>) {
    mpsc::channel(MOST_WAITING)
}

/// The way to `app` and back.
pub(super) struct Programs {
    tasks: Option<mpsc::Sender<ProgramTask>>,
    done: mpsc::UnboundedSender<Event>,
    taking_over: Option<(Program, Arc<AtomicBool>)>,
}

impl Programs {
    /// `None`: this node's file has no key for updates.
    pub(super) fn new(tasks: Option<mpsc::Sender<ProgramTask>>) -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (done, heard) = mpsc::unbounded_channel();
        (Self { tasks, done, taking_over: None }, heard)
    }

    pub(super) fn stage(&self, program: Program) {
        let (reply, answer) = oneshot::channel();
        let done = self.done.clone();
        if let Err(why) = self.ask(ProgramTask::Stage(program, reply)) {
            // The node that asks has the other end.
            _ = done.send(Event::ProgramStaged(program, Err(why)));
            return;
        }
        tokio::spawn(async move {
            let outcome = answer.await.unwrap_or_else(|_| Err("furt ended meanwhile".into()));
            _ = done.send(Event::ProgramStaged(program, outcome));
        });
    }

    pub(super) fn take_over(&mut self, program: Program) {
        let (failed, answer) = oneshot::channel();
        let (done, is_taken) = (self.done.clone(), Arc::<AtomicBool>::default());
        let reply = TakeoverReply { failed, is_taken: Arc::clone(&is_taken) };
        if let Err(why) = self.ask(ProgramTask::TakeOver(program, reply)) {
            _ = done.send(Event::TakeoverFailed(why));
            return;
        }
        self.taking_over = Some((program, is_taken));
        tokio::spawn(async move {
            if let Ok(why) = answer.await {
                _ = done.send(Event::TakeoverFailed(why));
            }
        });
    }

    /// The program that has taken over, where one has.
    pub(super) fn taken_over_by(&self) -> Option<Program> {
        self.taking_over.as_ref().filter(|(_, is_taken)| is_taken.load(Ordering::Acquire)).map(|(program, _)| *program)
    }

    fn ask(&self, task: ProgramTask) -> Result<(), Arc<str>> {
        let tasks = self.tasks.as_ref().ok_or("this node's file has no key for updates")?;
        tasks.try_send(task).map_err(|refused| match refused {
            TrySendError::Full(_) => "another update of this node runs".into(),
            TrySendError::Closed(_) => "furt ends".into(),
        })
    }
}
