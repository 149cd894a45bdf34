//! The plan that holds for each instance, by the token that an outcome must carry to count.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::super::directory::InstanceEntry;
use super::super::effects::Effects;
use super::super::ids::InstanceRef;
use super::super::plan::{FirstProbe, ProbePlan, ProbeTarget};
use super::super::token::ProbeToken;
use crate::model::Definition;

/// The plans in force.
#[derive(Debug, Default)]
pub(in crate::registry) struct Probes {
    plans: HashMap<InstanceRef, Plan>,
}

#[derive(Debug)]
struct Plan {
    token: ProbeToken,
    /// As it was ordered last; `None`: it was not, or to be probed no more.
    period: Option<Duration>,
}

impl Probes {
    /// From now on only outcomes with this token count for the instance.
    pub(in crate::registry) fn renew(&mut self, instance: &InstanceRef, token: ProbeToken) {
        self.plans.insert(instance.clone(), Plan { token, period: None });
    }

    /// Asks for the probes that the instance's health needs, under the token in force: the outcome of a probe that is
    /// under way still counts.
    pub(in crate::registry) fn order(
        &mut self,
        instance: &InstanceRef,
        definition: &Arc<Definition>,
        installed: &InstanceEntry,
        period: Option<Duration>,
        first: FirstProbe,
        effects: &mut Effects,
    ) {
        let Some(plan) = self.plans.get_mut(instance) else { return };
        plan.period = period;
        let token = plan.token;
        match period {
            Some(period) if !installed.addresses().is_empty() => {
                let addresses = Arc::clone(installed.addresses());
                let (definition, spec) = (Arc::clone(definition), Arc::clone(installed.spec()));
                let target = ProbeTarget { definition, spec, addresses };
                effects.probe(instance.clone(), ProbePlan { token, target, first, period });
            }
            _ => effects.stop_probing(instance.clone()),
        }
    }

    /// Whether the instance is probed by another period than this.
    pub(in crate::registry) fn is_by_another(&self, instance: &InstanceRef, period: Option<Duration>) -> bool {
        self.plans.get(instance).is_some_and(|plan| plan.period != period)
    }

    /// Ends the instance's probes, if it has any.
    pub(in crate::registry) fn end(&mut self, instance: &InstanceRef, effects: &mut Effects) {
        if self.plans.remove(instance).is_some() {
            effects.stop_probing(instance.clone());
        }
    }

    /// Whether an outcome with this token is of the plan in force.
    pub(in crate::registry) fn is_current(&self, instance: &InstanceRef, token: ProbeToken) -> bool {
        self.plans.get(instance).is_some_and(|plan| plan.token == token)
    }
}
