//! Deadlines that have come, and the time in which nobody could be heard.

use std::time::Duration;

use super::super::dispatch::Registry;
use super::super::effects::Effects;
use super::super::ids::InstanceRef;
use super::super::now::Now;
use super::super::service_write::RemovalCause;
use super::deadlines::Due;

impl Registry {
    pub(in crate::registry) fn handle_deadlines(&mut self, now: Now, effects: &mut Effects) {
        while let Some(due) = self.leases.pop(now.at) {
            match due {
                Due::Instance(instance) => self.check_expiry(instance, now, effects),
                Due::HeldRoutes(service) if self.outbox.is_writing(&service) => {
                    self.leases.retry_freeing(&service, now);
                }
                Due::HeldRoutes(service) => self.begin_removal(service, None, RemovalCause::HoldEnded, now, effects),
            }
        }
        let (keys, mut parts) = self.keys(effects);
        keys.handle_deadline(now, &mut parts);
    }

    fn check_expiry(&mut self, instance: InstanceRef, now: Now, effects: &mut Effects) {
        let Some(entry) = self.directory.service(&instance.service) else { return };
        let Some(installed) = entry.instances.get(&instance.id) else { return };
        let Some(end) = installed.liveness.ends_at() else { return };
        // Instances that fall silent together leave together. Only a write that is about this instance, or takes the
        // whole service, is waited for.
        let is_registering = self.directory.ids().claims(&instance.id, &instance.service) > 1;
        let is_writing = self.outbox.is_writing(&instance.service);
        if end > now.at && !installed.is_being_removed() {
            self.leases.look_at(instance, end);
        } else if entry.is_being_removed || is_registering || (installed.is_being_removed() && is_writing) {
            self.leases.retry_removal(instance, now);
        } else {
            let InstanceRef { service, id } = instance;
            self.begin_removal(service, Some(id), RemovalCause::Expired, now, effects);
        }
    }

    /// The process was held up for so long that nobody could be heard: every TTL is extended by it.
    pub(in crate::registry) fn extend_deadlines(&mut self, gap: Duration) {
        self.directory.instances_mut().for_each(|instance| instance.liveness.extend(gap));
    }
}
