//! The plan that holds for each instance, by the token that an outcome must carry to count.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::directory::InstanceEntry;
use super::super::effects::Effects;
use super::super::ids::InstanceRef;
use super::super::plan::{FirstProbe, ProbePlan, ProbeTarget};
use super::super::token::ProbeToken;
use super::health::HealthLimits;

/// The plans in force.
#[derive(Debug, Default)]
pub(in crate::registry) struct Probes {
    tokens: HashMap<InstanceRef, ProbeToken>,
}

impl Probes {
    /// From now on only outcomes with this token count for the instance.
    pub(in crate::registry) fn renew(&mut self, instance: &InstanceRef, token: ProbeToken) {
        self.tokens.insert(instance.clone(), token);
    }

    /// Asks for the probes that the instance's health needs, under the token in force: the outcome of a probe that is
    /// under way still counts.
    pub(in crate::registry) fn order(
        &self,
        instance: &InstanceRef,
        installed: &InstanceEntry,
        limits: &HealthLimits,
        first: FirstProbe,
        effects: &mut Effects,
    ) {
        let Some(&token) = self.tokens.get(instance) else { return };
        let target = installed.addresses().first();
        let target = target.map(|&address| ProbeTarget { spec: Arc::clone(installed.spec()), address });
        match (installed.health().period(limits), target) {
            (Some(period), Some(target)) => {
                effects.probe(instance.clone(), ProbePlan { token, target, first, period });
            }
            _ => effects.stop_probing(instance.clone()),
        }
    }

    /// Ends the instance's probes, if it has any.
    pub(in crate::registry) fn end(&mut self, instance: &InstanceRef, effects: &mut Effects) {
        if self.tokens.remove(instance).is_some() {
            effects.stop_probing(instance.clone());
        }
    }

    /// Whether an outcome with this token is of the plan in force.
    pub(in crate::registry) fn is_current(&self, instance: &InstanceRef, token: ProbeToken) -> bool {
        self.tokens.get(instance) == Some(&token)
    }
}
