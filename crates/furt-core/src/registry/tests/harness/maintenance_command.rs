//! Commands about maintenance in short, and whether a request would be kept out.

use std::sync::Arc;
use std::time::Duration;

use super::Harness;
use crate::model::{CidrSet, Maintenance, MaintenanceMessage, MaintenanceScope};
use crate::registry::tests::operator;
use crate::registry::{Answer, Event, MaintenanceCommand, Refusal, ReplyId};
use crate::routing::Found;

/// Of a service, or of all (`*`).
pub(in crate::registry) fn begin(of: &str, seconds: Option<u64>) -> MaintenanceCommand {
    MaintenanceCommand::Begin {
        scope: MaintenanceScope::from_name(of).unwrap(),
        lasts: seconds.map(Duration::from_secs),
        allow_from: CidrSet::try_new(&["10.0.0.0/8"]).unwrap(),
        message: Some(MaintenanceMessage::try_new(of).unwrap()),
    }
}

pub(in crate::registry) fn end(of: &str) -> MaintenanceCommand {
    MaintenanceCommand::End(MaintenanceScope::from_name(of).unwrap())
}

impl Harness {
    /// Asks, without the expectation of an answer at once.
    pub(in crate::registry) fn ask_maintenance(&mut self, command: MaintenanceCommand) -> ReplyId {
        let reply = self.new_reply();
        self.send(Event::MaintenanceRequested { command, by: operator("127.0.0.1").actor(), reply });
        reply
    }

    pub(in crate::registry) fn maintenance(
        &mut self,
        command: MaintenanceCommand,
    ) -> Result<Arc<Maintenance>, Refusal> {
        let reply = self.ask_maintenance(command);
        match self.answers[&reply].clone()? {
            Answer::Maintenance(answer) => Ok(answer.maintenance),
            other => panic!("{other:?} is no answer to a command about maintenance"),
        }
    }

    /// The message that a request `GET /<path>` gets now; `None`: it is let in, or has no route.
    pub(in crate::registry) fn keeps_out(&self, path: &str) -> Option<String> {
        self.keeps_out_from(path, "192.0.2.1")
    }

    pub(in crate::registry) fn keeps_out_from(&self, path: &str, client: &str) -> Option<String> {
        let found = self.snapshot.find("", &format!("/{path}"), &http::Method::GET);
        let (Found::Route(route) | Found::Unusable(route)) = found else { return None };
        let service = self.snapshot.service(route.owner.index()).map(|service| &**service);
        let table = self.snapshot.maintenance.as_ref()?;
        let client = Some(client.parse().unwrap());
        let maintenance = table.keeps_out(route.owner, service, client, self.now.unix_ms)?;
        Some(maintenance.message.as_ref().unwrap().as_str().to_owned())
    }
}
