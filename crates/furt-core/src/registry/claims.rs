//! Who holds which route: of installed definitions and of those on their way to the store.
//!
//! Keyed by host and shape, so that a check costs what the registration holds, not what the table holds. A `*` is a method of its
//! own here: on the same shape an exact method goes before it, so two services may hold them side by side.
//!
//! Two services make the same claim only where a stranger wrote one of them into a shared store. The older one goes first, so that
//! every gateway routes the same, one that starts later among them.

use std::collections::{BTreeSet, HashMap};

use super::revision::Revision;
use crate::model::{Definition, Host, MethodRule, Pattern, RouteSpec, ServiceName};

/// All claims; each counts the definitions that make it (an installed and a pending one may make the same).
#[derive(Debug, Default)]
pub(super) struct Claims(HashMap<Shape, Vec<Claim>>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Shape {
    host: Option<Host>,
    pattern: Pattern,
}

#[derive(Debug)]
struct Claim {
    method: MethodRule,
    service: ServiceName,
    /// When the service was put first.
    added: Revision,
    count: usize,
}

impl Claim {
    fn age(&self) -> (Revision, &ServiceName) {
        (self.added, &self.service)
    }
}

impl Claims {
    /// The service that goes before `service` with a route that conflicts with `route`: an older one where `service` claims it
    /// already, else any other one.
    pub(super) fn conflict(
        &self,
        service: &ServiceName,
        host: Option<&Host>,
        route: &RouteSpec,
    ) -> Option<&ServiceName> {
        if self.0.is_empty() {
            return None;
        }
        let shape = Shape { host: host.cloned(), pattern: route.pattern.clone() };
        let of_method = || self.0.get(&shape).into_iter().flatten().filter(|one| one.method == route.method);
        let own = of_method().find(|one| one.service == *service);
        let goes_before = |other: &&Claim| own.is_none_or(|own| other.age() < own.age());
        let mut others = of_method().filter(|one| one.service != *service);
        others.find(goes_before).map(|claim| &claim.service)
    }

    /// Other services that claim one of the definition's routes.
    pub(super) fn others(&self, definition: &Definition) -> BTreeSet<ServiceName> {
        let mut others = BTreeSet::new();
        for route in &definition.routes {
            let shape = Shape { host: definition.host.clone(), pattern: route.pattern.clone() };
            let of_shape = self.0.get(&shape).into_iter().flatten();
            let is_other = |one: &&Claim| one.method == route.method && one.service != definition.service;
            others.extend(of_shape.filter(is_other).map(|one| one.service.clone()));
        }
        others
    }

    pub(super) fn add(&mut self, definition: &Definition, added: Revision) {
        for route in &definition.routes {
            let shape = Shape { host: definition.host.clone(), pattern: route.pattern.clone() };
            let claims = self.0.entry(shape).or_default();
            match claims.iter_mut().find(|one| one.service == definition.service && one.method == route.method) {
                Some(claim) => claim.count += 1,
                None => {
                    let (method, service) = (route.method.clone(), definition.service.clone());
                    claims.push(Claim { method, service, added, count: 1 });
                }
            }
        }
    }

    pub(super) fn remove(&mut self, definition: &Definition) {
        for route in &definition.routes {
            let shape = Shape { host: definition.host.clone(), pattern: route.pattern.clone() };
            let Some(claims) = self.0.get_mut(&shape) else { continue };
            if let Some(at) =
                claims.iter().position(|one| one.service == definition.service && one.method == route.method)
            {
                claims[at].count -= 1;
                if claims[at].count == 0 {
                    claims.swap_remove(at);
                }
            }
            if claims.is_empty() {
                self.0.remove(&shape);
            }
        }
    }

    /// How many claims there are; one that two definitions make counts twice.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn total(&self) -> usize {
        self.0.values().flatten().map(|claim| claim.count).sum()
    }
}
