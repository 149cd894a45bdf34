//! Names in urls: resolved again every 30 s, so that a service that moves is followed (DESIGN §5.1).

use std::collections::HashMap;
use std::time::Duration;

use tokio::task::AbortHandle;

use crate::driver::{Event, Followed, Handle, NameOrder};
use crate::upstream;

/// From one resolution to the next.
const PERIOD: Duration = Duration::from_secs(30);

/// One task a followed name; each waits nearly always.
pub(super) struct Names {
    driver: Handle,
    tasks: HashMap<Followed, AbortHandle>,
}

impl Names {
    pub(super) fn new(driver: Handle) -> Self {
        Self { driver, tasks: HashMap::new() }
    }

    pub(super) fn follow(&mut self, subject: Followed, order: NameOrder) {
        let task = tokio::spawn(follow(self.driver.clone(), subject.clone(), order)).abort_handle();
        if let Some(before) = self.tasks.insert(subject, task) {
            before.abort();
        }
    }

    pub(super) fn forget(&mut self, subject: &Followed) {
        if let Some(task) = self.tasks.remove(subject) {
            task.abort();
        }
    }
}

async fn follow(driver: Handle, subject: Followed, NameOrder { generation, name, port }: NameOrder) {
    let mut is_failing = false;
    // A static route's name was never resolved before, an instance's just was; resolving it once more does no harm.
    loop {
        match upstream::resolve(&name, port).await {
            Ok(addresses) => {
                is_failing = false;
                let event = Event::NameResolved { subject: subject.clone(), generation, addresses };
                if driver.tell(event).await.is_err() {
                    return;
                }
            }
            Err(why) if !is_failing => {
                is_failing = true;
                log::warn!("{subject}: {why}; what it led to before stays");
            }
            Err(_) => {}
        }
        tokio::time::sleep(PERIOD).await;
    }
}
