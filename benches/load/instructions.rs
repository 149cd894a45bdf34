//! User-space instructions a request, under valgrind's callgrind: a figure that no noise touches.
//!
//! A gateway is started under callgrind, checked and warmed up; then its counters are set to zero (`callgrind_control -z`),
//! requests are sent, and the counters written out (`-d`), so that neither start nor end is in them. Instructions of all
//! processes and threads count. Four connections are enough to keep it busy: it is fifty times slower than in life.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::Bench;
use super::driver::Driver;
use super::measure;
use super::pace::{Pace, Until};
use super::peers::{Peer, Running};
use super::report::Report;
use super::sections::InstructionsSection;
use super::workload::{Traffic, Workload};

/// Connections: more would only wait.
const CONNECTIONS: usize = 4;

/// Measures a workload, where it is one of requests. Not under TLS: valgrind lacks the processor's newer instructions for ciphers,
/// so libraries would take other ways than in life.
///
/// # Errors
/// valgrind is missing or fails, or a gateway does not work under it.
pub(super) fn measure(bench: &Bench<'_>, workload: Workload, report: &mut Report) -> Result<()> {
    if matches!(workload, Workload::Churn | Workload::Idle) || workload.key().is_some() {
        return Ok(());
    }
    let found = Command::new("valgrind").arg("--version").output();
    ensure!(
        found.is_ok_and(|output| output.status.success()),
        "--instructions needs valgrind: apt-get install valgrind"
    );
    let taking_part = bench.programs.iter().filter(|(peer, _)| workload.has(*peer));
    let traffic = workload.traffic(bench.options, &bench.fleet);
    let mut sections: Vec<_> =
        traffic.iter().map(|one| InstructionsSection::new(workload, one, bench.options.requests)).collect();
    for (peer, program) in taking_part {
        bench.progress(&format!("{}: {} under callgrind", workload.name(), peer.name()));
        let program = without_debug_info(bench, *peer, program)?;
        match count(bench, workload, *peer, &program, &traffic) {
            Ok(figures) => {
                sections.iter_mut().zip(figures).for_each(|(section, figure)| section.add(*peer, Ok(figure)))
            }
            // Some runtimes do not run under valgrind, which is not furt's fault nor the bench's.
            Err(error) if *peer != Peer::Furt => {
                sections.iter_mut().for_each(|one| one.add(*peer, Err(format!("{error:#}"))));
            }
            Err(error) => return Err(error),
        }
    }
    sections.iter().for_each(|section| section.report(report));
    Ok(())
}

/// A copy without the lines of source that BOLT has written anew: valgrind ends where it cannot read them. Others have none.
fn without_debug_info(bench: &Bench<'_>, peer: Peer, program: &Path) -> Result<PathBuf> {
    let is_ours = matches!(peer, Peer::Furt | Peer::Bare) && !program.as_os_str().is_empty();
    if !is_ours {
        return Ok(program.to_owned());
    }
    let copy = bench.dir.path().join(format!("{}-without-debug-info", peer.name()));
    let mut objcopy = Command::new("objcopy");
    let output = objcopy.arg("--strip-debug").arg(program).arg(&copy).output();
    let output = output.context("--instructions needs objcopy, of binutils: apt-get install binutils")?;
    ensure!(output.status.success(), "objcopy: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(copy)
}

fn count(bench: &Bench<'_>, workload: Workload, peer: Peer, program: &Path, traffic: &[Traffic]) -> Result<Vec<f64>> {
    let mut runner = Command::new("valgrind");
    // %p: each process of a gateway has a file of its own.
    runner.args(["--tool=callgrind", "--trace-children=yes", "--callgrind-out-file=callgrind.%p"]);
    let mut running = bench.start(peer, program, workload, Some(&runner))?;
    let dir = bench.dir.path().join(format!("{}-{}", workload.name(), peer.name()));
    traffic.iter().map(|traffic| count_one(bench, &mut running, &dir, traffic)).collect()
}

fn count_one(bench: &Bench<'_>, running: &mut Running, dir: &Path, traffic: &Traffic) -> Result<f64> {
    let requests = bench.options.requests;
    let mut driver = Driver::connect(running.address, None, CONNECTIONS)?;
    driver.drive(&traffic.requests, Pace::Closed, Until::Sent(requests / 2 + 1))?;
    control(running, "-z")?;
    let before = totals(dir)?;
    let outcome = driver.drive(&traffic.requests, Pace::Closed, Until::Sent(requests))?;
    control(running, "-d")?;
    let after = totals(dir)?;
    ensure!(outcome.failed == 0, "requests failed: {}", outcome.first_failure.unwrap_or_default());
    running.process.check()?;
    let new: u64 = after.iter().filter(|(name, _)| !before.contains_key(*name)).map(|(_, total)| total).sum();
    ensure!(new > 0, "callgrind has counted nothing");
    Ok(new as f64 / outcome.answered as f64)
}

/// Has callgrind do something in each process of the gateway.
fn control(running: &Running, what: &str) -> Result<()> {
    for member in measure::members(running.process.group())? {
        let output = Command::new("callgrind_control")
            .args([what, &member.id.to_string()])
            .output()
            .context("callgrind_control, of valgrind, cannot be run")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success() && text.contains("OK"), "callgrind_control {what}: {text}");
    }
    Ok(())
}

/// The instructions in each file that callgrind wrote to `dir`.
fn totals(dir: &Path) -> Result<BTreeMap<String, u64>> {
    let mut totals = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with("callgrind.") {
            continue;
        }
        let text = fs::read_to_string(dir.join(&name)).with_context(|| format!("{name} cannot be read"))?;
        // A file may have several parts, one for each thread.
        let sums = text.lines().filter_map(|line| line.strip_prefix("totals: ")?.trim().parse::<u64>().ok());
        totals.insert(name, sums.sum());
    }
    Ok(totals)
}
