//! Whether one service may be routed, and the definition that is in the table because of it.

use std::sync::Arc;

use super::effective::effective;
use crate::model::{Definition, Host};

/// A service's eligibility.
pub(in crate::registry) struct Eligibility {
    state: State,
    /// The definition with the routes that it really has: none while it is not eligible, those by host where it has none.
    effective: Arc<Definition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Installed, and not routed before it is evaluated.
    NotEvaluated,
    Eligible,
    /// Why it may not be routed.
    Suspended(Arc<str>),
}

/// What an evaluation changed.
pub(in crate::registry) struct Evaluated {
    /// The effective definition before.
    pub(in crate::registry) before: Arc<Definition>,
    pub(in crate::registry) outcome: Outcome,
}

/// What became of the service.
pub(in crate::registry) enum Outcome {
    /// It was not evaluated before, and may be routed.
    Eligible,
    /// It was suspended, and may be routed again.
    Reinstated,
    /// It may not be routed.
    Suspended(Arc<str>),
}

impl Eligibility {
    /// Of a service that is just installed.
    pub(in crate::registry) fn not_evaluated(definition: &Definition) -> Self {
        Self { state: State::NotEvaluated, effective: without_routes(definition) }
    }

    pub(in crate::registry) fn is_eligible(&self) -> bool {
        self.state == State::Eligible
    }

    /// Why the service is suspended, if it is.
    pub(in crate::registry) fn suspension(&self) -> Option<&Arc<str>> {
        match &self.state {
            State::Suspended(why) => Some(why),
            State::NotEvaluated | State::Eligible => None,
        }
    }

    /// The definition whose routes are claimed and in the table.
    pub(in crate::registry) fn effective(&self) -> &Arc<Definition> {
        &self.effective
    }

    /// Takes the outcome of an evaluation: `why` it may not be routed, or `None`. Gives what changed, if anything did.
    pub(in crate::registry) fn evaluated(
        &mut self,
        why: Option<Arc<str>>,
        definition: &Arc<Definition>,
        apps_domain: &Host,
    ) -> Option<Evaluated> {
        let state = why.clone().map_or(State::Eligible, State::Suspended);
        if self.state == state {
            return None;
        }
        let effective = match &why {
            None if definition.routes.is_empty() => effective(definition, apps_domain),
            None => Arc::clone(definition),
            Some(_) => without_routes(definition),
        };
        let before = std::mem::replace(&mut self.effective, effective);
        let outcome = match (std::mem::replace(&mut self.state, state), why) {
            (_, Some(why)) => Outcome::Suspended(why),
            (State::Suspended(_), None) => Outcome::Reinstated,
            (State::NotEvaluated | State::Eligible, None) => Outcome::Eligible,
        };
        Some(Evaluated { before, outcome })
    }
}

fn without_routes(definition: &Definition) -> Arc<Definition> {
    Arc::new(Definition { routes: Vec::new(), ..definition.clone() })
}
