//! What is shown and written: one table a kind of requests, with notes below, and the same with every round as JSON.
//!
//! Columns and their meaning are explained in benches/README.md. `furt is` is furt's figure divided by the row's, as its
//! median, least and most over the rounds.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Serialize;
use serde_json::{Value, json};

use super::Bench;
use super::connects::fault;
use super::pace::firm_percentile;
use super::peers::{Peer, Site};
use super::statistics::Spread;
use super::table::Table;
use super::turns::Turn;
use super::workload::{Traffic, Workload};

/// A gateway that uses less of its cores than this at saturation was not what limited the throughput.
const BUSY: f64 = 0.95;

/// Everything that was measured so far.
pub(super) struct Report {
    head: Value,
    sections: Vec<Value>,
    /// What makes figures void.
    faults: Vec<String>,
    /// What is not shown yet.
    pending: String,
}

impl Report {
    /// Nothing yet.
    pub(super) fn new(bench: &Bench<'_>) -> Self {
        let options = bench.options;
        let head = json!({
            "rounds": options.rounds, "seconds": options.seconds, "rate": options.rate, "threads": options.threads,
            "connections": options.connections, "cores": bench.cores.count, "cores_apart": bench.cores.are_apart,
            "is_debug": is_debug(bench), "processor": processor(),
            "peers": bench.programs.iter().map(|(peer, _)| peer.name()).collect::<Vec<_>>(),
            "versions": bench.programs.iter().map(|(peer, program)| peer.version(program)).collect::<Vec<_>>(),
            "missing": bench.missing.iter().map(|peer| peer.name()).collect::<Vec<_>>(),
        });
        Self { head, sections: Vec::new(), faults: Vec::new(), pending: String::new() }
    }

    /// Who is measured and who is not, and what makes figures doubtful.
    ///
    /// # Errors
    /// `out` cannot be written.
    pub(super) fn head(&self, bench: &Bench<'_>, out: &mut dyn Write) -> Result<()> {
        let options = bench.options;
        let named = |(peer, program): &(Peer, PathBuf)| match peer.version(program) {
            Some(version) => format!("{} {version}", peer.name()),
            None => peer.name().to_owned(),
        };
        let names = bench.programs.iter().map(named).collect::<Vec<_>>().join(", ");
        let cores = bench.cores.count;
        writeln!(out, "{names}; {cores} cores of {}, {} for each gateway", processor(), options.threads)?;
        for peer in &bench.missing {
            writeln!(out, "not measured: {} ({})", peer.name(), peer.remedy())?;
        }
        if is_debug(bench) && bench.programs.iter().any(|(peer, _)| *peer == Peer::Furt) {
            writeln!(out, "WARNING: this furt is a debug build; the figures say nothing about it")?;
        }
        if options.bare.is_none()
            && !options.is_own_furt()
            && bench.programs.iter().any(|(peer, _)| *peer == Peer::Bare)
        {
            writeln!(out, "note: bare is of another build than --furt, so nothing follows of its ratio; see --bare")?;
        }
        if bench.idle_clients < options.idle_clients {
            let (most, wanted) = (bench.idle_clients, options.idle_clients);
            writeln!(out, "note: the limit of open files leaves room for {most} idle clients of {wanted}")?;
        }
        if !bench.cores.are_apart {
            writeln!(out, "note: driver and gateways share cores, there are not enough; saturation means little")?;
        }
        Ok(())
    }

    /// Shows what was added since the last time.
    ///
    /// # Errors
    /// `out` cannot be written.
    pub(super) fn show(&mut self, out: &mut dyn Write) -> Result<()> {
        out.write_all(std::mem::take(&mut self.pending).as_bytes())?;
        Ok(out.flush()?)
    }

    /// Everything.
    pub(super) fn json(&self) -> Value {
        json!({ "options": self.head, "sections": self.sections })
    }

    /// Something that makes figures void. They are shown all the same.
    pub(super) fn fault(&mut self, fault: String) {
        self.faults.push(fault);
    }

    /// Whether the figures hold.
    ///
    /// # Errors
    /// What makes them void, one a line.
    pub(super) fn verdict(&self) -> Result<()> {
        ensure!(self.faults.is_empty(), "{}", self.faults.join("\n"));
        Ok(())
    }

    /// A section's table and notes, and its figures.
    pub(super) fn add(&mut self, title: &str, table: &Table, notes: &[String], mut figures: Value) {
        figures["title"] = title.into();
        figures["notes"] = notes.into();
        self.pending.push_str(&format!("\n{title}\n{table}"));
        notes.iter().for_each(|note| self.pending.push_str(&format!("  {note}\n")));
        self.sections.push(figures);
    }
}

/// As the kernel calls it.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| "unknown make".to_owned(), |(_, name)| name.trim().to_owned())
}

fn is_debug(bench: &Bench<'_>) -> bool {
    let path = &bench.options.furt;
    path.components().any(|part| part.as_os_str() == "debug")
}

/// The rounds of one kind of requests.
pub(super) struct Section {
    workload: Workload,
    name: String,
    title: String,
    rate: f64,
    connections: usize,
    rows: Vec<(Peer, Vec<Turn>)>,
    /// Those that are there and take no part.
    absent: Vec<Peer>,
}

impl Section {
    /// Without figures.
    pub(super) fn new(workload: Workload, traffic: &Traffic, bench: &Bench<'_>) -> Self {
        let (name, title) = (traffic.name.clone(), workload.title(&bench.fleet));
        let installed = bench.programs.iter().map(|(peer, _)| *peer);
        let absent = installed.filter(|peer| !peer.can_serve(workload.site()) && *peer != Peer::Bare).collect();
        let (rate, connections) = (traffic.rate, traffic.connections);
        Self { workload, name, title, rate, connections, rows: Vec::new(), absent }
    }

    /// One turn more.
    pub(super) fn add(&mut self, peer: Peer, turn: Turn) {
        match self.rows.iter_mut().find(|(known, _)| *known == peer) {
            Some((_, turns)) => turns.push(turn),
            None => self.rows.push((peer, vec![turn])),
        }
    }

    fn ratio(&self, turns: &[Turn], figure: impl Fn(&Turn) -> f64 + Copy) -> Option<Spread> {
        let values = |turns: &[Turn]| turns.iter().map(figure).collect::<Vec<_>>();
        let ours = self.rows.iter().find(|(peer, _)| *peer == Peer::Furt)?;
        Spread::of_ratios(&values(&ours.1), &values(turns))
    }

    /// Into the report.
    pub(super) fn report(&self, report: &mut Report) {
        let at_rate = format!("at {}/s", self.rate);
        let mut table = Table::new(&[
            "",
            "CPU µs/req",
            "furt is",
            "kernel",
            &format!("CPU µs {at_rate}"),
            "furt is",
            "req/s",
            "furt is",
            &format!("p50 ms {at_rate}"),
            "p99",
            "p99.9",
            "MiB",
            "connects/req",
            "reconnects",
            "failed",
        ]);
        let mut notes = Vec::new();
        let mut figures = Vec::new();
        for (peer, turns) in &self.rows {
            let median =
                |figure: &dyn Fn(&Turn) -> f64| Spread::of(turns.iter().map(figure)).map_or(0.0, |one| one.median);
            let ratios = [
                self.ratio(turns, |turn| turn.cpu_us),
                self.ratio(turns, |turn| turn.paced_cpu_us),
                self.ratio(turns, |turn| turn.per_second),
            ];
            let [cpu, paced_cpu, per_second] =
                ratios.map(|ratio| if *peer == Peer::Furt { String::new() } else { times(ratio) });
            let latency = Latency::of(turns);
            let sum = |figure: fn(&Turn) -> u64| turns.iter().map(figure).sum::<u64>();
            let (connects, counted) = (sum(|turn| turn.connects), sum(|turn| turn.counted));
            table.row([
                peer.name().to_owned(),
                format!("{:.1}", median(&|turn| turn.cpu_us)),
                cpu,
                format!("{:.0} %", median(&|turn| turn.system_share * 100.0)),
                format!("{:.1}", median(&|turn| turn.paced_cpu_us)),
                paced_cpu,
                format!("{:.0}", median(&|turn| turn.per_second)),
                per_second,
                ms(latency.p50_ms),
                ms(latency.p99_ms),
                ms(latency.p999_ms),
                format!("{:.1}", median(&|turn| turn.memory_mib)),
                format!("{:.4}", connects as f64 / counted as f64),
                sum(|turn| turn.reconnects).to_string(),
                sum(|turn| turn.failed).to_string(),
            ]);
            if self.workload.needs_no_connects()
                && let Some(fault) = fault(*peer, &self.name, self.connections, connects, counted)
            {
                notes.push(fault.clone());
                report.fault(fault);
            }
            let utilisation = median(&|turn| turn.utilisation);
            if utilisation < BUSY {
                let percent = utilisation * 100.0;
                notes.push(format!(
                    "{}: busy for {percent:.0} %: driver, origin or others on this machine limit its req/s",
                    peer.name()
                ));
            }
            let held = median(&|turn| turn.paced_per_second);
            if held < self.rate * 0.98 {
                notes.push(format!(
                    "{}: held {held:.0}/s of {}/s; its latencies grow with time",
                    peer.name(),
                    self.rate
                ));
            }
            notes.extend(notes_of(*peer, self.workload.site()));
            figures.push(json!({
                "peer": peer.name(), "rounds": turns, "latency": latency,
                "furt_is": { "cpu": ratios[0], "paced_cpu": ratios[1], "per_second": ratios[2] },
            }));
        }
        notes.extend(self.absent.iter().flat_map(|peer| notes_of(*peer, self.workload.site())));
        let rounds = self.rows.first().map_or(0, |(_, turns)| turns.len());
        let title = format!("{}: {}; {rounds} rounds, {} connections", self.name, self.title, self.connections);
        let figures = json!({ "kind": "turns", "workload": self.workload.name(), "traffic": self.name, "rate": self.rate,
            "connections": self.connections, "peers": figures });
        report.add(&title, &table, &notes, figures);
    }
}

/// Percentiles of latency at the fixed rate, in ms, over all rounds together. One that rests on too few answers is none.
#[derive(Debug, Serialize)]
struct Latency {
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    p999_ms: Option<f64>,
}

impl Latency {
    fn of(turns: &[Turn]) -> Self {
        let mut all: Vec<Duration> = turns.iter().flat_map(|turn| &turn.latencies).copied().collect();
        all.sort_unstable();
        let ms = |share| firm_percentile(&all, share).map(|latency| latency.as_secs_f64() * 1e3);
        Self { p50_ms: ms(0.5), p99_ms: ms(0.99), p999_ms: ms(0.999) }
    }
}

fn ms(figure: Option<f64>) -> String {
    figure.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.3}"))
}

/// What is to be known of a gateway's figures.
pub(super) fn notes_of(peer: Peer, site: Site) -> Vec<String> {
    let lacks: Vec<_> = peer.lacks(site).iter().map(|ability| ability.name()).collect();
    let without = (!lacks.is_empty()).then(|| format!("{}: without {}", peer.name(), lacks.join(", ")));
    let note = peer.note(site).map(|note| format!("{}: {note}", peer.name()));
    without.into_iter().chain(note).collect()
}

/// A ratio for a table.
pub(super) fn times(spread: Option<Spread>) -> String {
    let text = |one: Spread| match one.min == one.max {
        true => format!("{:.2} ×", one.median),
        false => format!("{:.2} × ({:.2} to {:.2})", one.median, one.min, one.max),
    };
    spread.map_or_else(|| "–".to_owned(), text)
}
