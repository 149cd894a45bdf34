//! What the driver counts: what the registry reports, what is published, how the store takes it.

use std::fmt::Display;
use std::sync::Arc;

use prometheus::{IntCounter, IntGauge};

use super::exporter::{Exporter, MetricsError};
use super::issues::Issues;
use super::series::Series;
use super::status_changes::{StatusChange, StatusChanges};
use crate::clock;
use furt_core::model::{Generation, ServiceName, Status};

/// Changes of what is registered. A method for each thing that the registry reports and that has a counter.
pub struct RegistryMetrics {
    registrations: IntCounter,
    refusals: IntCounter,
    deregistrations: IntCounter,
    drains: IntCounter,
    drains_ended: IntCounter,
    expirations: IntCounter,
    instance_status_changes: IntCounter,
    service_status_changes: IntCounter,
    probe_failures: IntCounter,
    probes_stopped: IntCounter,
    keys_created: IntCounter,
    keys_rotated: IntCounter,
    keys_revoked: IntCounter,
    keys_expired: IntCounter,
    services: IntGauge,
    routes: IntGauge,
    generation: IntGauge,
    maintenances: IntGauge,
    store_failures: IntCounter,
    restored: IntCounter,
    series: Arc<Series>,
    issues: Arc<Issues>,
    status_changes: Arc<StatusChanges>,
}

impl RegistryMetrics {
    pub(super) fn try_new(
        exporter: &Exporter,
        series: Arc<Series>,
        issues: Arc<Issues>,
        status_changes: Arc<StatusChanges>,
    ) -> Result<Self, MetricsError> {
        let counter = |name, help| exporter.counter(name, help);
        let gauge = |name, help| exporter.gauge(name, help);
        let [keys_created, keys_rotated, keys_revoked, keys_expired] = exporter.counters(
            "furt_key_changes_total",
            "Runtime API keys that were created, rotated, revoked, or expired",
            "change",
            ["created", "rotated", "revoked", "expired"],
        )?;
        Ok(Self {
            registrations: counter("furt_registrations_total", "Registrations that were installed")?,
            refusals: counter("furt_refusals_total", "Registrations, heartbeats and removals that were refused")?,
            deregistrations: counter("furt_deregistrations_total", "Instances that were deregistered by a command")?,
            drains: counter("furt_drains_total", "Drains of instances that began")?,
            drains_ended: counter("furt_drains_ended_total", "Drains that a registration or a command ended")?,
            expirations: counter("furt_expirations_total", "Instances that were not heard within their TTL")?,
            instance_status_changes: counter("furt_instance_status_changes_total", "Changes of status of instances")?,
            service_status_changes: counter("furt_service_status_changes_total", "Changes of status of services")?,
            probe_failures: counter("furt_probe_failures_total", "Probes that failed")?,
            probes_stopped: counter("furt_probes_stopped_total", "Instances whose probing ended")?,
            keys_created,
            keys_rotated,
            keys_revoked,
            keys_expired,
            services: gauge("furt_services", "Registered services")?,
            routes: gauge("furt_routes", "Routes in the table, those of DOWN services among them")?,
            generation: gauge("furt_generation", "The registry's last change that is published")?,
            maintenances: gauge("furt_maintenances", "Services in maintenance; one of all services counts one more")?,
            store_failures: counter("furt_store_failures_total", "Batches that the store could not take")?,
            restored: counter("furt_store_restored_total", "Instances that were stored again, since they lived")?,
            series,
            issues,
            status_changes,
        })
    }

    /// A registration was installed.
    pub fn registered(&self) {
        self.registrations.inc();
    }

    /// A request for a change was refused, by the registry or before it saw it.
    pub fn refused(&self) {
        self.refusals.inc();
    }

    /// An instance left by request.
    pub fn deregistered(&self) {
        self.deregistrations.inc();
    }

    /// An instance began to drain.
    pub fn drain_began(&self) {
        self.drains.inc();
    }

    /// A drain ended, and the instance stays.
    pub fn drain_ended(&self) {
        self.drains_ended.inc();
    }

    /// An instance was not heard within its TTL.
    pub fn expired(&self) {
        self.expirations.inc();
    }

    /// A shared store had lost an instance that lives, and has it again.
    pub fn restored(&self) {
        self.restored.inc();
    }

    /// The status of an instance changed.
    pub fn instance_status_changed(&self) {
        self.instance_status_changes.inc();
    }

    /// The status of a service changed.
    pub fn service_status_changed(&self, service: &ServiceName, from: Status, to: Status) {
        self.service_status_changes.inc();
        self.status_changes.note(service, StatusChange { at_ms: clock::unix_ms(), from, to });
    }

    /// A probe failed.
    pub fn probe_failed(&self) {
        self.probe_failures.inc();
    }

    /// An instance is not probed any more.
    pub fn probing_stopped(&self) {
        self.probes_stopped.inc();
    }

    /// An API key was created.
    pub fn key_created(&self) {
        self.keys_created.inc();
    }

    /// An API key got another secret.
    pub fn key_rotated(&self) {
        self.keys_rotated.inc();
    }

    /// An API key was revoked.
    pub fn key_revoked(&self) {
        self.keys_revoked.inc();
    }

    /// An API key came to its end.
    pub fn key_expired(&self) {
        self.keys_expired.inc();
    }

    /// A snapshot with so many services and routes is published, and with so much in maintenance.
    pub fn snapshot_published(&self, generation: Generation, services: usize, routes: usize, maintenances: usize) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.generation.set(i64::try_from(generation.0).unwrap_or(i64::MAX));
        self.services.set(number(services));
        self.series.expect_services(services);
        self.routes.set(number(routes));
        self.maintenances.set(number(maintenances));
    }

    /// The network of furt's own host seems to be out, in words; `None`: it is not any more.
    pub fn outage_changed(&self, outage: Option<String>) {
        self.issues.set_outage(outage);
    }

    /// The store took its last batch, or did not.
    pub fn store_answered<E: Display>(&self, outcome: Result<(), E>) {
        if outcome.is_err() {
            self.store_failures.inc();
        }
        self.issues.set_store(outcome.err().map(|error| error.to_string()));
    }

    /// Instances that expired.
    #[cfg(test)]
    pub fn expirations(&self) -> u64 {
        self.expirations.get()
    }
}
