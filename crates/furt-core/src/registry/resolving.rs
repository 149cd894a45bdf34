//! Answers about watched names: the new addresses count if all of them are allowed.

use std::net::SocketAddr;
use std::sync::Arc;

use super::change::{Change, Observation};
use super::dispatch::Registry;
use super::effects::Effects;
use super::ids::{DnsSubject, InstanceRef};
use super::names::is_same_set;
use super::now::Now;
use super::report::Report;
use super::static_routes::move_static;
use super::token::NameToken;

impl Registry {
    pub(super) fn handle_addresses(
        &mut self,
        subject: DnsSubject,
        token: NameToken,
        addresses: Arc<[SocketAddr]>,
        now: Now,
        effects: &mut Effects,
    ) {
        if !self.names.is_current(&subject, token) {
            return;
        }
        match &subject {
            DnsSubject::Static(index) => {
                if move_static(*index, &addresses, &mut self.publisher) {
                    effects.report(Report::AddressesChanged { subject, addresses });
                }
            }
            DnsSubject::Instance(instance) => {
                let instance = instance.clone();
                self.move_instance(subject, &instance, addresses, now, effects);
            }
        }
    }

    fn move_instance(
        &mut self,
        subject: DnsSubject,
        instance: &InstanceRef,
        addresses: Arc<[SocketAddr]>,
        now: Now,
        effects: &mut Effects,
    ) {
        let Ok((_, installed)) = self.directory.installed(instance) else { return };
        if is_same_set(installed.addresses(), &addresses) && installed.suspended().is_none() {
            return;
        }
        // Whoever resolved the name made sure that no address is one of furt's own listeners.
        if let Err(refusal) = self.settings.policy.check_addresses(&instance.service, &addresses) {
            return effects.report(Report::AddressesRefused { subject, why: refusal.to_string() });
        }
        let pool_group = self.tokens.pool_group();
        if let Some(installed) = self.directory.instance_mut(instance) {
            installed.move_to(&addresses, pool_group);
        }
        effects.keep(Change::Observe(instance.clone(), Observation::Addresses(Arc::clone(&addresses))));
        self.probe_moved(instance, now, effects);
        self.re_evaluate(&instance.service, effects);
        self.publisher.advance();
        self.refresh(&instance.service, now, effects);
        effects.report(Report::AddressesChanged { subject, addresses });
    }
}
