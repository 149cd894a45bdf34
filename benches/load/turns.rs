//! The main measurement: each gateway in turn, A B C C B A …, first as fast as it answers, then at a fixed rate. Who was last
//! in a round is first in the next, so that what grows in time is for nobody and against nobody.
//!
//! All run all the time and only one is driven, so that each round meets the same machine within seconds; what is compared
//! is compared within a round.

use anyhow::{Result, bail};
use serde::Serialize;

use super::Bench;
use super::clients::Clients;
use super::measure::{self, Cpu, Used};
use super::pace::{Outcome, Pace, Until, percentile};
use super::peers::Running;
use super::report::{Report, Section};
use super::workload::{Traffic, Workload, warm_up};
use std::time::Duration;

/// The figures of one turn.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Turn {
    /// CPU time a request at saturation, in µs.
    pub(super) cpu_us: f64,
    /// The share of it in the kernel.
    pub(super) system_share: f64,
    /// CPU time a request at the fixed rate, in µs.
    pub(super) paced_cpu_us: f64,
    /// Requests a second at saturation.
    pub(super) per_second: f64,
    /// How much of its cores the gateway used at saturation; below 1, the driver or the origin was the limit.
    pub(super) utilisation: f64,
    /// The rate that was really held.
    pub(super) paced_per_second: f64,
    /// The median of latencies at the fixed rate, in ms, from when a request was due.
    pub(super) p50_ms: f64,
    /// All of them.
    #[serde(skip)]
    pub(super) latencies: Vec<Duration>,
    /// After the load, in MiB.
    pub(super) memory_mib: f64,
    /// Connections to services that were opened after the warm-up.
    pub(super) connects: u64,
    /// The same a request.
    pub(super) connects_a_request: f64,
    /// Connections of clients that the gateway closed.
    pub(super) reconnects: u64,
    /// Requests that were not answered, or wrongly.
    pub(super) failed: u64,
    /// Requests of the whole turn.
    pub(super) requests: u64,
    /// Those of them after the warm-up.
    pub(super) counted: u64,
}

/// Measures a workload.
///
/// # Errors
/// A gateway does not work.
pub(super) fn measure(bench: &Bench<'_>, workload: Workload, report: &mut Report) -> Result<()> {
    let options = bench.options;
    bench.progress(&format!("{}: starting the gateways", workload.name()));
    let mut all = bench.start_all(workload)?;
    let traffic = workload.traffic(options, &bench.fleet);
    let mut sections: Vec<Section> = traffic.iter().map(|one| Section::new(workload, one, bench)).collect();
    let mut order: Vec<usize> = (0..all.len()).collect();
    for round in 1..=options.rounds {
        for place in &order {
            let running = &mut all[*place];
            for (traffic, section) in traffic.iter().zip(&mut sections) {
                bench.progress(&format!(
                    "{}: round {round} of {}, {}",
                    traffic.name,
                    options.rounds,
                    running.peer.name()
                ));
                section.add(running.peer, turn(bench, running, workload, traffic)?);
            }
        }
        order.reverse();
    }
    all.into_iter().for_each(|running| running.process.end());
    sections.iter().for_each(|section| section.report(report));
    Ok(())
}

fn turn(bench: &Bench<'_>, running: &mut Running, workload: Workload, traffic: &Traffic) -> Result<Turn> {
    let options = bench.options;
    let time = Duration::from_secs_f64(options.seconds);
    let group = running.process.group();
    let mut clients = Clients::connect(running, workload, traffic)?;
    let mut drive = |pace, time| -> Result<(Outcome, Used)> {
        let before = Cpu::of(group)?;
        let outcome = clients.drive(&traffic.requests, pace, Until::Over(time))?;
        let cpu = Cpu::of(group)?.since(&before);
        if outcome.answered == 0 {
            let why = outcome.first_failure.unwrap_or_else(|| "no request was sent".to_owned());
            bail!("{} answers nothing right: {why}", running.peer.name());
        }
        Ok((outcome, cpu))
    };
    let (warm, _) = drive(Pace::Closed, warm_up(options))?;
    let connects = bench.connects.so_far()?;
    let (full, cpu) = drive(Pace::Closed, time)?;
    let memory = measure::memory_bytes(group)?;
    let (paced, paced_cpu) = drive(Pace::Open(traffic.rate), time)?;
    let connects = bench.connects.so_far()? - connects;
    running.process.check()?;
    if let Some(why) = [&warm, &full, &paced].into_iter().find_map(|outcome| outcome.first_failure.as_ref()) {
        bench.progress(&format!("{}: {why}", running.peer.name()));
    }
    let p50 = percentile(&paced.latencies, 0.5).unwrap_or_default();
    let us = |cpu: Used, outcome: &Outcome| cpu.seconds * 1e6 / outcome.answered as f64;
    let counted = full.answered + paced.answered;
    let seconds = full.elapsed.as_secs_f64();
    Ok(Turn {
        cpu_us: us(cpu, &full),
        system_share: cpu.system_share,
        paced_cpu_us: us(paced_cpu, &paced),
        per_second: full.answered as f64 / seconds,
        utilisation: cpu.seconds / seconds / options.threads as f64,
        paced_per_second: paced.answered as f64 / paced.elapsed.as_secs_f64(),
        p50_ms: p50.as_secs_f64() * 1e3,
        latencies: paced.latencies,
        memory_mib: memory as f64 / f64::from(1 << 20),
        connects,
        connects_a_request: connects as f64 / counted as f64,
        reconnects: warm.reconnects + full.reconnects + paced.reconnects,
        failed: warm.failed + full.failed + paced.failed,
        requests: warm.answered + counted,
        counted,
    })
}
