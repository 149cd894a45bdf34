//! What a client costs that is connected and says nothing: memory of a gateway with many of them, less without.
//!
//! Each makes one small request first, as real ones did, a few at a time, so that no more connections to the origin are
//! opened than in life. A gateway is only checked afterwards: its heap would have grown by the check's large bodies, and
//! clients would find room there that nobody counts. What the kernel keeps for a connection is not in it; it is the same for
//! all.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::Bench;
use super::check::check;
use super::guests::Guests;
use super::measure;
use super::peers::{Peer, Running};
use super::report::Report;
use super::sections::IdleSection;
use super::workload::{Traffic, Workload};

/// Clients that connect and ask at once.
const AT_ONCE: usize = 32;
/// Each gateway is measured so often, in a fresh process each time.
const ROUNDS: u32 = 3;
/// After the last request, until nothing moves any more.
const SETTLING: Duration = Duration::from_millis(500);

/// The figures of one turn.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Idle {
    /// Memory a client, in KiB.
    pub(super) client_kib: f64,
    /// Memory of all, in MiB.
    pub(super) memory_mib: f64,
    /// Memory of all, by client, in KiB: with what was taken at the start for clients that were to come.
    pub(super) whole_kib: f64,
    /// Clients.
    pub(super) clients: usize,
}

/// Measures it.
///
/// # Errors
/// A gateway does not work, or does not keep the clients.
pub(super) fn measure(bench: &Bench<'_>, workload: Workload, report: &mut Report) -> Result<()> {
    let traffic = workload.traffic(bench.options, &bench.fleet).remove(0);
    let mut section = IdleSection::new(workload, bench.idle_clients);
    let mut order: Vec<_> = bench.programs.iter().filter(|(peer, _)| workload.has(*peer)).collect();
    for round in 1..=if bench.options.smoke { 1 } else { ROUNDS } {
        for (peer, program) in &order {
            bench.progress(&format!("{}: round {round} of {ROUNDS}, {}", workload.name(), peer.name()));
            let mut running = bench.start_unchecked(*peer, program, workload, None)?;
            match turn(bench, &mut running, workload, &traffic) {
                Ok(idle) => section.add(*peer, idle),
                Err(error) if *peer == Peer::Furt => return Err(error.context("furt, with idle clients")),
                // Another one's limits are no reason to have no figures of the others.
                Err(error) => section.fail(*peer, &error),
            }
            check(&mut running, workload.site(), &bench.fleet)?;
            running.process.end();
        }
        order.reverse();
    }
    section.report(report);
    Ok(())
}

fn turn(bench: &Bench<'_>, running: &mut Running, workload: Workload, traffic: &Traffic) -> Result<Idle> {
    let group = running.process.group();
    // Its threads, pools and caches are there before anything counts.
    let mut first = Guests::none(running, workload)?;
    first.come(AT_ONCE, &traffic.requests)?;
    drop(first);
    let mut guests = Guests::none(running, workload)?;
    guests.rest(SETTLING);
    let before = measure::memory_bytes(group)?;
    let clients = bench.idle_clients;
    while guests.len() < clients {
        guests.come(AT_ONCE.min(clients - guests.len()), &traffic.requests)?;
    }
    guests.rest(SETTLING);
    let memory = measure::memory_bytes(group)?;
    running.process.check()?;
    guests.are_there()?;
    Ok(Idle {
        client_kib: (memory as f64 - before as f64) / 1024.0 / clients as f64,
        memory_mib: memory as f64 / f64::from(1 << 20),
        whole_kib: memory as f64 / 1024.0 / clients as f64,
        clients,
    })
}
