//! What restricts the requests of a route, as they are held against it, and what is counted for it.
//!
//! What is counted belongs to who said it and what was said: another registration of the same, a reload and a change of anything
//! else find it as it was. So nobody gets a full measure again by having something published.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};

use super::merged::SaidBy;
use crate::model::{Host, Limits, MethodRule, Pattern, Restrictions, Rule, Scope, ServiceName, Subject};

/// What no route has any more is looked for once there are so many.
pub(super) const LEAST_SHARED: usize = 64;

/// Something that restricts requests of a route.
#[derive(Debug)]
pub struct Restriction {
    /// What somebody said.
    pub said: Arc<Restrictions>,
    /// Which of the route's requests it is for; `None`: all.
    pub scope: Option<Scope>,
    /// What is counted for its limits; `None`: it has none that counts.
    pub live: Option<Arc<LimitLive>>,
}

impl Restriction {
    /// Whether it is for the request; host and path normalized.
    pub fn is_for(&self, host: &str, path: &str, method: &http::Method) -> bool {
        self.scope.as_ref().is_none_or(|scope| scope.has(host, path, method))
    }
}

/// Two that count together are the same.
impl PartialEq for Restriction {
    fn eq(&self, other: &Self) -> bool {
        let id = |one: &Self| one.live.as_ref().map(|live| live.id);
        self.said == other.said && self.scope == other.scope && id(self) == id(other)
    }
}

impl Eq for Restriction {}

/// What is counted for a limit; outlives snapshots and registrations.
#[derive(Debug)]
pub struct LimitLive {
    id: u64,
    /// Of a limit by [`LimitBy::Route`](crate::model::LimitBy::Route): what is used, as [`Pace`](crate::live::Pace) counts.
    pub next_ns: AtomicU64,
    /// Of such a limit: how many requests are in flight.
    pub in_flight: AtomicU32,
}

impl LimitLive {
    fn new(key: &LimitKey) -> Arc<Self> {
        // The same in every process, so that callers of what is forgotten and said again are still known.
        let id = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        Arc::new(Self { id, next_ns: AtomicU64::new(0), in_flight: AtomicU32::new(0) })
    }

    /// A number for the limit among all; the same as long as the same is said by the same.
    pub fn id(&self) -> u64 {
        self.id
    }
}

/// Whose a limit is, and what it says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct LimitKey {
    by: Sayer,
    limits: Limits,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Sayer {
    Service(Option<ServiceName>),
    Route {
        service: Option<ServiceName>,
        host: Option<Host>,
        method: MethodRule,
        pattern: Pattern,
    },
    /// A rule: what it selects, and which it is of those that select and limit the same.
    Rule {
        service: Option<ServiceName>,
        scope: Scope,
        number: usize,
    },
}

/// What is counted, by whose it is.
#[derive(Debug, Default)]
pub(super) struct Limited {
    of_services: HashMap<LimitKey, Arc<LimitLive>>,
    /// By the rules' places; `None`: a rule that limits nothing that is counted.
    of_rules: Box<[Option<OfRule>]>,
}

type OfRule = (LimitKey, Arc<LimitLive>);

impl Limited {
    /// What is counted for these limits, which `by` said of the route.
    pub(super) fn live(&mut self, route: Subject<'_>, by: SaidBy, limits: Limits) -> Option<Arc<LimitLive>> {
        let service = || route.service.cloned();
        let by = match by {
            SaidBy::Service => Sayer::Service(service()),
            SaidBy::Route => Sayer::Route {
                service: service(),
                host: route.host.cloned(),
                method: route.method.clone(),
                pattern: route.pattern.clone(),
            },
            SaidBy::Rule(number) => return self.of_rules.get(number)?.as_ref().map(|(_, live)| Arc::clone(live)),
        };
        let key = LimitKey { by, limits };
        if let Some(live) = self.of_services.get(&key) {
            return Some(Arc::clone(live));
        }
        if self.of_services.len() >= LEAST_SHARED && self.of_services.len() == self.of_services.capacity() {
            self.of_services.retain(|_, live| Arc::strong_count(live) > 1);
        }
        let live = LimitLive::new(&key);
        self.of_services.insert(key, Arc::clone(&live));
        Some(live)
    }

    /// The operator's rules are these: what is counted under one that was among them before stays.
    pub(super) fn set_rules(&mut self, rules: &[Rule]) {
        let mut before: HashMap<_, _> = std::mem::take(&mut self.of_rules).into_iter().flatten().collect();
        let mut seen = HashMap::new();
        let of_rule = |rule: &Rule| {
            let limits = rule.options.restrictions.as_ref()?.counted()?;
            let Rule { service, host, path, method, options: _ } = rule;
            let scope = Scope { host: host.clone(), path: path.clone(), method: method.clone() };
            let number = seen.entry((service.clone(), scope.clone(), limits)).or_insert(0_usize);
            let key = LimitKey { by: Sayer::Rule { service: service.clone(), scope, number: *number }, limits };
            *number += 1;
            let live = before.remove(&key).unwrap_or_else(|| LimitLive::new(&key));
            Some((key, live))
        };
        self.of_rules = rules.iter().map(of_rule).collect();
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.of_services.len()
    }
}
