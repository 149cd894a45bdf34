//! Commands about splits in short.

use std::sync::Arc;

use super::Harness;
use crate::model::{Percentage, ServiceName, Split, SplitSpec, SplitVersion, Version};
use crate::registry::tests::operator;
use crate::registry::{Answer, Event, Refusal, ReplyId, SplitCommand};

pub(in crate::registry) fn version(text: &str) -> Version {
    Version::try_new(text).unwrap()
}

/// Ten percent for each of the versions.
pub(in crate::registry) fn split_of(versions: &[&str]) -> SplitSpec {
    let share = Percentage::try_new(1_000).unwrap();
    let versions = versions.iter().map(|text| SplitVersion { version: version(text), share });
    SplitSpec { versions: versions.collect(), header: None, strict: false }
}

pub(in crate::registry) fn split(of: &str, versions: &[&str]) -> SplitCommand {
    SplitCommand::Set(ServiceName::try_new(of).unwrap(), split_of(versions))
}

pub(in crate::registry) fn unsplit(of: &str) -> SplitCommand {
    SplitCommand::Remove(ServiceName::try_new(of).unwrap())
}

impl Harness {
    /// Asks, without the expectation of an answer at once.
    pub(in crate::registry) fn ask_split(&mut self, command: SplitCommand) -> ReplyId {
        let reply = self.new_reply();
        self.send(Event::SplitRequested { command, by: operator("127.0.0.1").actor(), reply });
        reply
    }

    pub(in crate::registry) fn split(&mut self, command: SplitCommand) -> Result<Arc<Split>, Refusal> {
        let reply = self.ask_split(command);
        match self.answers[&reply].clone()? {
            Answer::Split(answer) => Ok(answer.split),
            other => panic!("{other:?} is no answer to a command about a split"),
        }
    }

    /// The ids on each side of a service's split, the rest first; `None`: it has none.
    pub(in crate::registry) fn sides(&self, service: &str) -> Option<Vec<String>> {
        use crate::model::Side;
        let split = self.snapshot.service_named(service)?.split.as_ref()?;
        let sides = [Side::Stable].into_iter().chain((0..split.split.spec.versions.len()).map(Side::Version));
        let ids = |side| split.side(side).instances.iter().map(|one| one.spec.id.to_string()).collect::<Vec<_>>();
        Some(sides.map(|side| ids(side).join(" ")).collect())
    }
}
