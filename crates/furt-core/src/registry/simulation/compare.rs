//! What can be observed of the core, beside what the model says of it.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{self, Outcome, Route};
use super::{HOSTS, PATHS, Simulation};
use crate::model::{Pattern, ServiceName, Status};
use crate::registry::{Answer, InstanceRef, Refusal};
use crate::routing::Owner;

impl Simulation {
    pub(super) fn compare(&mut self) {
        assert_eq!(self.furt.writes.len(), self.model.waiting_writes(), "writes that wait");
        let answers = std::mem::take(&mut self.furt.answers);
        let answers: BTreeMap<_, _> = answers.into_iter().map(|(reply, answer)| (reply, outcome(answer))).collect();
        assert_eq!(answers, std::mem::take(&mut self.model.outcomes), "answers");
        self.keep_notes();
        self.stored.compare(&self.furt.registry.directory);
        let staying = || self.model.services.iter().filter(|one| !one.is_being_removed);
        let mut expected = BTreeMap::new();
        let mut table = BTreeSet::new();
        let mut probed = BTreeMap::new();
        let mut named = BTreeSet::new();
        for service in staying() {
            let name = &service.definition.service;
            let instances = service.instances.iter().filter(|one| !one.is_being_removed);
            let instances: BTreeMap<_, _> = instances
                .map(|one| (one.spec.id.clone(), (one.status, one.failures, one.is_stopped, one.is_draining)))
                .collect();
            expected.insert(name.clone(), (service.status(), service.definition.clone(), instances));
            table.extend(model::routes(&service.definition).into_iter().map(|route| (route, name.clone())));
        }
        for service in &self.model.services {
            let by_name = service.instances.iter().filter(|one| one.spec.url.socket_address().is_none());
            named.extend(by_name.map(|one| format!("{}/{}", service.definition.service, one.spec.id)));
            let name = &service.definition.service;
            let plans = service
                .instances
                .iter()
                .filter_map(|one| Some((InstanceRef { service: name.clone(), id: one.spec.id.clone() }, one.period?)));
            probed.extend(plans);
        }
        let plans = self.furt.plans.iter().map(|(whom, plan)| (whom.clone(), plan.period));
        assert_eq!(plans.collect::<BTreeMap<_, _>>(), probed, "who is probed how often");
        let followed = self.furt.names.keys().map(ToString::to_string).collect::<BTreeSet<_>>();
        assert_eq!(followed, named, "whose name is followed");
        let seen = self.furt.snapshot.registered().map(|service| {
            let instances = service.instances.iter().map(|one| {
                let live = &one.live;
                let health = (live.consecutive_failures(), live.is_probing_stopped());
                (one.spec.id.clone(), (one.status, health.0, health.1, live.is_draining()))
            });
            let shown = (service.status, (*service.definition).clone(), instances.collect());
            (service.definition.service.clone(), shown)
        });
        assert_eq!(seen.collect::<BTreeMap<_, _>>(), expected, "what is seen");
        assert_eq!(self.table(), table, "who owns each route");
        // It follows from status and table; so now and then is enough.
        if self.random.u8(..8) == 0 {
            for (host, path) in HOSTS.iter().flat_map(|host| PATHS.map(|path| (host, path))) {
                assert_eq!(self.furt.usable(host, path), self.usable(host, path), "who answers {host}{path}");
            }
        }
    }

    fn table(&self) -> BTreeSet<(Route, ServiceName)> {
        let routes = self.furt.snapshot.table.iter().filter_map(|route| match route.owner {
            Owner::Static(_) => None,
            Owner::Service(index) => {
                let owner = self.furt.snapshot.service(index).expect("a route's owner is there");
                let host = route.host.as_ref().map(ToString::to_string).unwrap_or_default();
                let shape = (host, route.method.to_string(), route.pattern.to_string());
                Some((shape, owner.definition.service.clone()))
            }
        });
        routes.collect()
    }

    fn usable(&self, host: &str, path: &str) -> Vec<&str> {
        let mut names = Vec::new();
        let usable = |one: &&model::Service| !one.is_being_removed && one.status() != Status::Down;
        for service in self.model.services.iter().filter(usable) {
            let matching = model::routes(&service.definition).into_iter().filter(|(own, _, pattern)| {
                (own.is_empty() || own == host) && Pattern::try_new(pattern).unwrap().matches(path)
            });
            names.extend(matching.map(|_| service.definition.service.as_str()));
            if path == "/s" && service.definition.service.as_str() == "a" {
                names.push("a");
            }
        }
        names.sort_unstable();
        names
    }
}

fn outcome(answer: Result<Answer, Refusal>) -> Outcome {
    match answer {
        Ok(Answer::Registered(one)) => {
            Outcome::Registered { status: one.status, routes: one.routes, is_change: one.is_change }
        }
        Ok(Answer::Heard { status, .. }) => Outcome::Heard(status),
        Ok(Answer::Probing { status }) => Outcome::Probing(status),
        Ok(Answer::Deregistered { instances, drained, .. }) => {
            assert_eq!(drained.instances(), instances, "all that left are waited for");
            Outcome::Left(instances)
        }
        Ok(Answer::Drained { instances, .. }) => Outcome::Drained(instances.instances()),
        Ok(Answer::Key(_)) => Outcome::Refused("not foreseen"),
        Err(Refusal::NotOwner { .. }) => Outcome::Refused("owner"),
        Err(Refusal::Taken { .. }) => Outcome::Refused("taken"),
        Err(Refusal::NotFound(_)) => Outcome::Refused("unknown"),
        Err(Refusal::StoreFailed(_)) => Outcome::Refused("failed"),
        Err(Refusal::NoProbes) => Outcome::Refused("unprobed"),
        Ok(Answer::Reconfigured(_))
        | Err(Refusal::TokenWrong | Refusal::BeyondGrant(_) | Refusal::Invalid(_) | Refusal::Busy | Refusal::Key(_)) => {
            Outcome::Refused("not foreseen")
        }
    }
}
