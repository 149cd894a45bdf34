//! Requests while services register: furt against its quiet self, in turns. Not one request may fail.
//!
//! Fifty times a second one of the very services that are asked registers with one route more or less, so each time the
//! table changes, and the service with it. The registrations come from another thread on the driver's cores.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use serde::Serialize;

use super::Bench;
use super::driver::Driver;
use super::fleet::Fleet;
use super::measure::{Cpu, Used};
use super::pace::{Pace, Until, percentile};
use super::peers::{Peer, Registrar, Running};
use super::report::Report;
use super::sections::ChurnSection;
use super::workload::{Traffic, Workload, warm_up};

/// Registrations a second.
const RATE: u32 = 50;

/// The figures of one round: quiet, and with registrations.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Churn {
    /// In ms, without registrations.
    pub(super) quiet_p50_ms: f64,
    /// In ms, with them.
    pub(super) busy_p50_ms: f64,
    /// In ms, without registrations.
    pub(super) quiet_p99_ms: f64,
    /// In ms, with them.
    pub(super) busy_p99_ms: f64,
    /// CPU time a request, in µs, without registrations.
    pub(super) quiet_cpu_us: f64,
    /// The same with them, and with what they cost.
    pub(super) busy_cpu_us: f64,
    /// Registrations that were answered meanwhile.
    pub(super) registrations: u64,
    /// Requests that failed meanwhile.
    pub(super) failed: u64,
    /// Requests that were answered meanwhile.
    pub(super) requests: u64,
}

/// Measures it.
///
/// # Errors
/// furt does not work, or refuses a registration.
pub(super) fn measure(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let workload = Workload::Churn;
    let mut section = ChurnSection::new(bench.options.rate);
    if let Some((peer, program)) = bench.programs.iter().find(|(peer, _)| *peer == Peer::Furt) {
        bench.progress("churn: starting furt");
        let mut running = bench.start(*peer, program, workload, None)?;
        let traffic = workload.traffic(bench.options, &bench.fleet).remove(0);
        let mut next = 0;
        for round in 1..=bench.options.rounds {
            bench.progress(&format!("churn: round {round} of {}", bench.options.rounds));
            section.add(turn(bench, &mut running, &traffic, &mut next)?);
        }
        running.process.end();
    }
    section.report(report);
    Ok(())
}

fn turn(bench: &Bench<'_>, running: &mut Running, traffic: &Traffic, next: &mut u32) -> Result<Churn> {
    let time = Duration::from_secs_f64(bench.options.seconds);
    let mut driver = Driver::connect(running.address, None, traffic.connections)?;
    let pace = Pace::Open(traffic.rate);
    driver.drive(&traffic.requests, pace, Until::Over(warm_up(bench.options)))?;
    let group = running.process.group();
    let start = Cpu::of(group)?;
    let quiet = driver.drive(&traffic.requests, pace, Until::Over(time))?;
    let between = Cpu::of(group)?;
    let is_over = AtomicBool::new(false);
    let registrar = Registrar::new(running.internal);
    let (busy, registered) = thread::scope(|scope| {
        let registering = scope.spawn(|| register(&registrar, &bench.fleet, next, &is_over));
        let busy = driver.drive(&traffic.requests, pace, Until::Over(time));
        is_over.store(true, Ordering::Relaxed);
        let registered = registering.join().unwrap_or_else(|_| Err(anyhow!("the registering thread has panicked")));
        (busy, registered)
    });
    let (busy, registrations) = (busy?, registered.context("while services register")?);
    let end = Cpu::of(group)?;
    running.process.check()?;
    if let Some(why) = &busy.first_failure {
        bench.progress(&format!("churn: {why}"));
    }
    let us = |used: Used, answered: u64| used.seconds * 1e6 / answered.max(1) as f64;
    let ms = |latency: Option<Duration>| latency.map_or(0.0, |latency| latency.as_secs_f64() * 1e3);
    Ok(Churn {
        quiet_p50_ms: ms(percentile(&quiet.latencies, 0.5)),
        busy_p50_ms: ms(percentile(&busy.latencies, 0.5)),
        quiet_p99_ms: ms(percentile(&quiet.latencies, 0.99)),
        busy_p99_ms: ms(percentile(&busy.latencies, 0.99)),
        quiet_cpu_us: us(between.since(&start), quiet.answered),
        busy_cpu_us: us(end.since(&between), busy.answered),
        registrations,
        failed: quiet.failed + busy.failed,
        requests: quiet.answered + busy.answered,
    })
}

/// Registers one service after the other, until it is over; how many.
fn register(registrar: &Registrar, fleet: &Fleet, next: &mut u32, is_over: &AtomicBool) -> Result<u64> {
    let began = Instant::now();
    let mut count = 0;
    while !is_over.load(Ordering::Relaxed) {
        registrar.register(&fleet.registration(*next % fleet.services, Some(*next)))?;
        *next += 1;
        count += 1;
        thread::sleep((began + Duration::from_secs(count) / RATE).saturating_duration_since(Instant::now()));
    }
    Ok(count)
}
