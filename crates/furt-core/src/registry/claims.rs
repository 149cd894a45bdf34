//! Who holds which route: of installed definitions and of those on their way to the store.
//!
//! Keyed by host and shape, so that a check costs what the registration holds, not what the table holds. A `*` is a method of its
//! own here: on the same shape an exact method goes before it, so two services may hold them side by side.

use std::collections::HashMap;

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
    count: usize,
}

impl Claims {
    /// The service that holds a route which `route` of `service` would conflict with.
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
        let claim = self.0.get(&shape)?.iter().find(|one| one.service != *service && one.method == route.method);
        claim.map(|claim| &claim.service)
    }

    pub(super) fn add(&mut self, definition: &Definition) {
        for route in &definition.routes {
            let shape = Shape { host: definition.host.clone(), pattern: route.pattern.clone() };
            let claims = self.0.entry(shape).or_default();
            match claims.iter_mut().find(|one| one.service == definition.service && one.method == route.method) {
                Some(claim) => claim.count += 1,
                None => {
                    claims.push(Claim { method: route.method.clone(), service: definition.service.clone(), count: 1 })
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
