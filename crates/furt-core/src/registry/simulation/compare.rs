//! What can be observed of the core, beside what the model says of it.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{self, Outcome, Route};
use super::{HOSTS, PATHS, Simulation};
use crate::model::{InstanceId, Pattern, ServiceName, Side, Split, Status, Version};
use crate::registry::{Answer, InstanceRef, Refusal, Registered};
use crate::routing::Owner;

impl Simulation {
    pub(super) fn compare(&mut self) {
        assert_eq!(self.furt.writes.len(), self.model.waiting_writes(), "writes that wait");
        let answers = std::mem::take(&mut self.furt.answers);
        let answers: BTreeMap<_, _> = answers.into_iter().map(|(reply, answer)| (reply, outcome(answer))).collect();
        assert_eq!(answers, std::mem::take(&mut self.model.outcomes), "answers");
        self.keep_notes();
        self.stored.compare(&self.furt.registry);
        let staying = || self.model.services.iter().filter(|one| !one.is_being_removed);
        let mut expected = BTreeMap::new();
        let mut table = BTreeSet::new();
        let mut probed = BTreeMap::new();
        let mut named = BTreeSet::new();
        for service in staying() {
            let name = &service.definition.service;
            let instances = service.instances.iter().filter(|one| !one.is_being_removed);
            let instances: BTreeMap<_, _> = instances
                .map(|one| (one.spec.id.clone(), (one.status, one.failures, one.is_stopped, one.drain.clone())))
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
                let drain = live.drain().map(|mark| (mark.until, mark.incarnation.clone()));
                assert_eq!(live.is_draining(), drain.is_some(), "{}: takes requests or is drained", one.spec.id);
                (one.spec.id.clone(), (one.status, health.0, health.1, drain))
            });
            let shown = (service.status, (*service.definition).clone(), instances.collect());
            (service.definition.service.clone(), shown)
        });
        assert_eq!(seen.collect::<BTreeMap<_, _>>(), expected, "what is seen");
        let shared = self.furt.snapshot.shared_urls.values().map(|one| one.instances.clone());
        assert_eq!(shared.collect::<BTreeSet<_>>(), self.shared(), "which services share a url");
        let held = self.furt.snapshot.held.iter();
        let held = held.map(|one| InstanceRef { service: one.service.clone(), id: one.id.clone() });
        assert!(held.eq(self.model.holds.keys().cloned()), "which ids are held");
        self.compare_splits();
        assert_eq!(self.table(), table, "who owns each route");
        // It follows from status and table; so now and then is enough.
        if self.random.u8(..8) == 0 {
            for (host, path) in HOSTS.iter().flat_map(|host| PATHS.map(|path| (host, path))) {
                assert_eq!(self.furt.usable(host, path), self.usable(host, path), "who answers {host}{path}");
            }
        }
    }

    /// Each service with a split has each of its instances on the side of its version, and on no other.
    fn compare_splits(&self) {
        let named = |split: &Split| split.spec.versions.iter().map(|one| one.version.clone()).collect::<Vec<_>>();
        let splits = self.furt.snapshot.splits.iter().map(|(name, split)| (name.clone(), named(split)));
        assert_eq!(splits.collect::<BTreeMap<_, _>>(), self.model.splits, "which services have a split");
        for service in self.furt.snapshot.registered() {
            let expected = self.model.splits.get(&service.definition.service);
            let shown = service.split.as_ref().map(|split| named(&split.split));
            assert_eq!(shown.as_ref(), expected, "the split that is published");
            let (Some(split), Some(named)) = (&service.split, expected) else { continue };
            let mut total = 0;
            for (side, version) in named.iter().enumerate().map(|(at, version)| (Side::Version(at), Some(version))) {
                let of_side = &split.side(side).instances;
                assert!(of_side.iter().all(|one| one.spec.version.as_ref() == version), "{side:?}");
                total += of_side.len();
            }
            let stable = &split.side(Side::Stable).instances;
            let is_named = |version: &Version| named.contains(version);
            assert!(!stable.iter().any(|one| one.spec.version.as_ref().is_some_and(is_named)), "the rest");
            assert_eq!(total + stable.len(), service.instances.len(), "each of them is on one side");
        }
    }

    /// Who is where others are, too, and not all of them say so.
    fn shared(&self) -> BTreeSet<Vec<(ServiceName, InstanceId)>> {
        let mut places = BTreeMap::<_, Vec<_>>::new();
        for service in &self.model.services {
            for one in &service.instances {
                let whom = (service.definition.service.clone(), one.spec.id.clone());
                places.entry(model::place(&one.spec)).or_default().push((whom, one.spec.shared));
            }
        }
        let is_told = |there: &Vec<((ServiceName, InstanceId), bool)>| {
            there.iter().any(|(_, says_so)| !says_so) && there.iter().any(|(whom, _)| whom.0 != there[0].0.0)
        };
        let told = places.into_values().filter(is_told);
        told.map(|there| {
            let mut whom: Vec<_> = there.into_iter().map(|(whom, _)| whom).collect();
            whom.sort();
            whom
        })
        .collect()
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
            let Registered { status, routes, canary, is_change, .. } = one;
            Outcome::Registered { status, routes, is_canary: canary.is_some(), is_change }
        }
        Ok(Answer::Heard { status, .. }) => Outcome::Heard(status),
        Ok(Answer::Probing { status }) => Outcome::Probing(status),
        Ok(Answer::Deregistered { instances, drained, .. }) => {
            assert_eq!(drained.instances(), instances, "all that left are waited for");
            Outcome::Left(instances)
        }
        Ok(Answer::Drained { instances, .. }) => Outcome::Drained(instances.instances()),
        Ok(Answer::Split(_)) => Outcome::Split,
        Ok(Answer::Key(_) | Answer::Maintenance(_) | Answer::Grant(_) | Answer::Applied(_) | Answer::Audited) => {
            Outcome::Refused("not foreseen")
        }
        Err(Refusal::NoSplit(_)) => Outcome::Refused("no split"),
        Err(Refusal::NotOwner { .. }) => Outcome::Refused("owner"),
        Err(Refusal::Taken { .. }) => Outcome::Refused("taken"),
        Err(Refusal::NotFound(_)) => Outcome::Refused("unknown"),
        Err(Refusal::StoreFailed(_)) => Outcome::Refused("failed"),
        Err(Refusal::OperatorsOnly) => Outcome::Refused("operators"),
        Err(Refusal::AnotherIncarnation { .. }) => Outcome::Refused("another incarnation"),
        Err(Refusal::Replaced { .. }) => Outcome::Refused("replaced"),
        Err(Refusal::RoutesMissing) => Outcome::Refused("routes missing"),
        Err(Refusal::NoProbes) => Outcome::Refused("unprobed"),
        Ok(Answer::Reconfigured(_))
        | Err(Refusal::TokenWrong | Refusal::BeyondGrant(_) | Refusal::Invalid(_) | Refusal::Busy | Refusal::Key(_))
        | Err(Refusal::NotInMaintenance(_) | Refusal::TooManyMaintenances)
        | Err(Refusal::NoGrant(_) | Refusal::ConfiguredGrant(_) | Refusal::TooManyGrants)
        | Err(Refusal::ChangedSince | Refusal::TooManyDifferences { .. })
        | Err(Refusal::TooManySplits) => Outcome::Refused("not foreseen"),
    }
}
