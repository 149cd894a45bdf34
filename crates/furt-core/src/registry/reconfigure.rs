//! Another configuration replaces the one in force: rules, static routes, keys, the numbers of the health
//! machine.
//!
//! Static routes win at once. Each service is evaluated against the new rules, eligible ones first, so that what they give
//! up is free for suspended ones. Nothing is removed: what is not eligible is kept as suspended, and what runs for it goes
//! on. All of it is published at once. Whoever reads the file has checked it before.

use super::answer::{Answer, Reconfigured, SkippedRule};
use super::directory::InstanceEntry;
use super::dispatch::Registry;
use super::effects::Effects;
use super::ids::ReplyId;
use super::now::Now;
use super::settings::Configuration;
use super::static_route::StaticRoute;
use super::static_routes::StaticRouteParts;
use crate::model::{RouteOptions, Share, Subject};
use crate::routing::Merged;

/// Skipped rules that are told: the first of them show what is wrong with a rule.
const MAX_SKIPPED: usize = 100;

impl Registry {
    /// Puts `new` in force and answers when it is published.
    pub(super) fn handle_configuration(&mut self, new: Configuration, reply: ReplyId, now: Now, effects: &mut Effects) {
        let Configuration { settings, static_routes, keys } = new;
        let before = std::mem::replace(&mut self.settings, settings);
        // Claims are released by the definition with which they were added, and that holds the domain.
        self.settings.policy.apps_domain = before.policy.apps_domain.clone();
        self.settings.sharing = before.sharing;
        self.configure_grants();

        let has_other_rules = self.publisher.set_rules(&self.settings.rules);

        // A static route never finds another route of the same key in the table: what may not stay is taken out first.
        let Self { static_routes: installed, publisher, names, tokens, .. } = self;
        installed.remove_others(&static_routes, &mut StaticRouteParts { publisher, names, tokens, effects });
        if before.policy != self.settings.policy {
            self.re_evaluate_where(|entry| entry.eligibility().is_eligible(), effects);
        }
        self.add_static_routes(static_routes, now, effects);
        self.reinstate(effects);
        if has_other_rules {
            self.put_routes_anew();
        }

        self.share_limits(effects);
        let (installed, mut parts) = self.keys(effects);
        installed.configure(keys, &mut parts);
        if before.health != self.settings.health {
            self.retime_all_probes(now, effects);
        }
        self.publisher.advance();
        let answer = Reconfigured {
            generation: self.publisher.generation(),
            suspended: self.directory.suspended(),
            skipped_rules: self.skipped_rules(),
        };
        effects.reply(reply, Ok(Answer::Reconfigured(answer)));
    }

    /// Puts the routes of all services into the table again, as the rules of today have them.
    fn put_routes_anew(&mut self) {
        let Self { directory, publisher, .. } = self;
        for (_, entry) in directory.services().filter(|(_, entry)| !entry.is_being_removed()) {
            let effective = Some(&**entry.eligibility().effective());
            publisher.replace_routes(entry.index(), effective, effective);
        }
    }

    /// The rules that are skipped for a route.
    fn skipped_rules(&self) -> Vec<SkippedRule> {
        if self.settings.rules.is_empty() {
            return Vec::new();
        }
        let definitions = self.directory.services().map(|(_, entry)| entry.eligibility().effective());
        let registered = definitions.flat_map(|definition| {
            definition.routes.iter().map(|route| {
                let said = (&definition.options, &route.options);
                (Subject::registered(definition, route), said, Some(&definition.service))
            })
        });
        let nothing = &RouteOptions::default();
        let fixed = self.static_routes.subjects().map(|subject| (subject, (nothing, nothing), None));
        let told = registered.chain(fixed).flat_map(|(subject, (of_service, of_route), service)| {
            let merged = Merged::new(subject, of_service, of_route, &self.settings.rules);
            merged.skipped_rules.into_iter().map(move |(rule, why)| SkippedRule {
                rule,
                route: subject.to_string(),
                service: service.cloned(),
                why,
            })
        });
        told.take(MAX_SKIPPED).collect()
    }

    /// Puts in force what this gateway has of each limit by now.
    pub(super) fn share_limits(&mut self, effects: &mut Effects) {
        let share = if self.settings.shares_limits { Share::among(self.gateways) } else { Share::WHOLE };
        if self.publisher.share() == share {
            return;
        }
        self.publisher.set_share(share);
        for service in &self.directory.names_where(|entry| entry.instances().values().any(InstanceEntry::has_limits)) {
            let Some(entry) = self.directory.service_mut(service) else { continue };
            entry.set_share(share);
            self.publisher.touch(entry.index(), service);
        }
        let (keys, mut parts) = self.keys(effects);
        keys.share(&mut parts);
    }

    pub(super) fn add_static_routes(&mut self, static_routes: Vec<StaticRoute>, now: Now, effects: &mut Effects) {
        for fixed in static_routes {
            let Self { static_routes, publisher, names, tokens, .. } = self;
            let mut parts = StaticRouteParts { publisher, names, tokens, effects };
            if let Some(service) = static_routes.add(fixed, now, &mut parts)
                && let Some(entry) = self.directory.service(&service)
            {
                self.publisher.touch(entry.index(), &service);
            }
        }
    }
}
