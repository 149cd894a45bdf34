//! Another configuration takes the place of the one in force: rules, static routes, keys, the numbers of the health
//! machine (DESIGN §5.5).
//!
//! Static routes win at once; each service is held against the new rules, those that stand first, so that what they give
//! up is free for those that may stand again. Nothing is removed: what may not stand is kept and not routed, and what runs
//! for it goes on. All of it is seen in one publish. Whoever reads the file has checked it before.

use std::sync::Arc;

use super::{
    Answer, Effects, Entry, FirstProbe, HealthLimits, InstanceRef, Now, Reconfigured, Registry, ReplyId, Settings,
    StaticRoute,
};
use crate::model::{KeySpec, ServiceName};

/// All that the core takes from a configuration.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// Rules and numbers.
    pub settings: Settings,
    /// The static routes, as `settings.policy.static_routes` claims them.
    pub static_routes: Vec<StaticRoute>,
    /// The API keys.
    pub keys: Vec<KeySpec>,
}

impl Registry {
    /// Puts `new` in force and answers when it is published.
    pub(super) fn handle_configuration(&mut self, new: Configuration, reply: ReplyId, now: Now, effects: &mut Effects) {
        let Configuration { settings, static_routes, keys } = new;
        let before = std::mem::replace(&mut self.settings, settings);
        // Claims are released by the definition with which they were added, and that holds the domain.
        self.settings.policy.apps_domain = before.policy.apps_domain.clone();

        // A static route never finds another in its place in the table: what may not stand leaves first.
        self.view.drop_static_routes(&static_routes, effects);
        if before.policy != self.settings.policy {
            self.recheck_where(|entry| entry.blocked.is_none(), effects);
        }
        self.add_static_routes(static_routes, now, effects);
        self.stand_again(effects);

        self.configure_keys(keys, effects);
        if before.health != self.settings.health {
            self.retime_probes(&before.health, effects);
        }
        self.view.advance();
        let answer = Reconfigured { generation: self.view.generation(), blocked: self.blocked() };
        effects.reply(reply, Ok(Answer::Reconfigured(answer)));
    }

    pub(super) fn add_static_routes(&mut self, static_routes: Vec<StaticRoute>, now: Now, effects: &mut Effects) {
        for fixed in static_routes {
            let token = self.tokens.name();
            if let Some(service) = self.view.add_static(fixed, token, now, effects)
                && let Some(entry) = self.services.get(&service)
            {
                self.view.touch(entry.index, &service);
            }
        }
    }

    /// Those that were kept out and stay registered come back where they may. Of two that want one route the first by name has it, as after a
    /// restart; where a third holds it by now, both stay out.
    pub(super) fn stand_again(&mut self, effects: &mut Effects) {
        self.recheck_where(|entry| entry.blocked.is_some() && !entry.is_being_removed, effects);
    }

    fn recheck_where(&mut self, is_meant: impl Fn(&Entry) -> bool, effects: &mut Effects) {
        let meant = self.services.iter().filter(|(_, entry)| is_meant(entry));
        let names: Vec<ServiceName> = meant.map(|(name, _)| name.clone()).collect();
        for service in &names {
            self.recheck(service, effects);
        }
    }

    /// Every service that is kept and not routed, and why.
    fn blocked(&self) -> Vec<(ServiceName, Arc<str>)> {
        let staying = self.services.iter().filter(|(_, entry)| !entry.is_being_removed);
        staying.filter_map(|(name, entry)| Some((name.clone(), Arc::clone(entry.blocked.as_ref()?)))).collect()
    }

    /// Probes go by the new periods. What is under way counts; verdicts are left as they are until the next outcome.
    fn retime_probes(&mut self, before: &HealthLimits, effects: &mut Effects) {
        let limits = self.settings.health;
        let mut retimed = Vec::new();
        for (service, entry) in &self.services {
            let changed =
                entry.instances.iter().filter(|(_, one)| one.health().period(before) != one.health().period(&limits));
            retimed.extend(changed.map(|(id, _)| InstanceRef { service: service.clone(), id: id.clone() }));
        }
        for instance in &retimed {
            self.order_probes(instance, FirstProbe::WithinPeriod, effects);
        }
    }
}
