//! The tables of what is not measured in turns: idle clients, churn, instructions.

use serde_json::json;

use super::churn::Churn;
use super::idle::Idle;
use super::peers::Peer;
use super::report::{Report, notes_of, times};
use super::statistics::Spread;
use super::table::Table;
use super::workload::{Traffic, Workload};

/// The idle clients of each gateway.
pub(super) struct IdleSection {
    workload: Workload,
    clients: usize,
    notes: Vec<String>,
    rows: Vec<(Peer, Vec<Idle>)>,
}

impl IdleSection {
    /// Without figures.
    pub(super) fn new(workload: Workload, clients: usize) -> Self {
        Self { workload, clients, notes: Vec::new(), rows: Vec::new() }
    }

    /// One that did not keep its clients.
    pub(super) fn fail(&mut self, peer: Peer, why: &anyhow::Error) {
        self.notes.push(format!("{}: no figure: {why:#}", peer.name()));
    }

    /// One round of a gateway more.
    pub(super) fn add(&mut self, peer: Peer, idle: Idle) {
        match self.rows.iter_mut().find(|(known, _)| *known == peer) {
            Some((_, rounds)) => rounds.push(idle),
            None => self.rows.push((peer, vec![idle])),
        }
    }

    /// Into the report.
    pub(super) fn report(&self, report: &mut Report) {
        let mut table = Table::new(&["", "KiB a client", "furt is", "MiB in all", "KiB in all a client"]);
        let client_kib = |rounds: &[Idle]| rounds.iter().map(|idle| idle.client_kib).collect::<Vec<_>>();
        let ours = self.rows.iter().find(|(peer, _)| *peer == Peer::Furt).map(|(_, rounds)| client_kib(rounds));
        let mut figures = Vec::new();
        for (peer, rounds) in &self.rows {
            let theirs = client_kib(rounds);
            let ratio = ours.as_ref().filter(|_| *peer != Peer::Furt);
            let ratio = ratio.and_then(|ours| Spread::of_ratios(ours, &theirs));
            let median = |figure: fn(&Idle) -> f64| Spread::of(rounds.iter().map(figure)).map_or(0.0, |one| one.median);
            table.row([
                peer.name().to_owned(),
                kib(Spread::of(theirs.iter().copied())),
                ratio.map_or_else(String::new, |ratio| times(Some(ratio))),
                format!("{:.1}", median(|idle| idle.memory_mib)),
                format!("{:.1}", median(|idle| idle.whole_kib)),
            ]);
            figures.push(json!({ "peer": peer.name(), "rounds": rounds, "furt_is": ratio }));
        }
        let figures =
            json!({ "kind": "idle", "workload": self.workload.name(), "clients": self.clients, "peers": figures });
        let title = format!(
            "{}: {} connected clients that made one small request{} and then none",
            self.workload.name(),
            self.clients,
            self.workload.door()
        );
        report.add(&title, &table, &self.notes, figures);
    }
}

fn kib(spread: Option<Spread>) -> String {
    let text = |one: Spread| match one.min == one.max {
        true => format!("{:.1}", one.median),
        false => format!("{:.1} ({:.1} to {:.1})", one.median, one.min, one.max),
    };
    spread.map_or_else(|| "–".to_owned(), text)
}

/// The rounds of churn.
pub(super) struct ChurnSection {
    rate: f64,
    rounds: Vec<Churn>,
}

impl ChurnSection {
    /// Without figures.
    pub(super) fn new(rate: f64) -> Self {
        Self { rate, rounds: Vec::new() }
    }

    /// One round more.
    pub(super) fn add(&mut self, round: Churn) {
        self.rounds.push(round);
    }

    /// Into the report.
    pub(super) fn report(&self, report: &mut Report) {
        let values = |figure: &dyn Fn(&Churn) -> f64| self.rounds.iter().map(figure).collect::<Vec<_>>();
        let mut table = Table::new(&["", "quiet", "with registrations", "ratio"]);
        let pairs = [
            ("p50 ms", values(&|one| one.quiet_p50_ms), values(&|one| one.busy_p50_ms)),
            ("p99 ms", values(&|one| one.quiet_p99_ms), values(&|one| one.busy_p99_ms)),
            ("CPU µs/req", values(&|one| one.quiet_cpu_us), values(&|one| one.busy_cpu_us)),
        ];
        for (name, quiet, busy) in &pairs {
            let median = |values: &[f64]| Spread::of(values.iter().copied()).map_or(0.0, |one| one.median);
            table.row([
                (*name).to_owned(),
                format!("{:.3}", median(quiet)),
                format!("{:.3}", median(busy)),
                times(Spread::of_ratios(busy, quiet)),
            ]);
        }
        let sum = |figure: &dyn Fn(&Churn) -> u64| self.rounds.iter().map(figure).sum::<u64>();
        let (failed, requests, registrations) =
            (sum(&|one| one.failed), sum(&|one| one.requests), sum(&|one| one.registrations));
        let note = format!("{registrations} registrations; of {requests} requests {failed} failed");
        let figures = json!({ "kind": "churn", "workload": "churn", "rate": self.rate, "rounds": self.rounds,
            "p99_ratio": Spread::of_ratios(&pairs[1].2, &pairs[1].1) });
        let title = format!(
            "churn: the gateway workload at {}/s, furt quiet and with 50 registrations a second; {} rounds",
            self.rate,
            self.rounds.len()
        );
        report.add(&title, &table, &[note], figures);
    }
}

/// The instructions of each gateway.
pub(super) struct InstructionsSection {
    workload: Workload,
    name: String,
    requests: u64,
    rows: Vec<(Peer, Result<f64, String>)>,
}

impl InstructionsSection {
    /// Without figures.
    pub(super) fn new(workload: Workload, traffic: &Traffic, requests: u64) -> Self {
        Self { workload, name: traffic.name.clone(), requests, rows: Vec::new() }
    }

    /// One gateway more, or why it has none.
    pub(super) fn add(&mut self, peer: Peer, figure: Result<f64, String>) {
        self.rows.push((peer, figure));
    }

    /// Into the report.
    pub(super) fn report(&self, report: &mut Report) {
        let mut table = Table::new(&["", "instructions a request", "furt is"]);
        let ours = self.rows.iter().find(|(peer, _)| *peer == Peer::Furt).and_then(|(_, figure)| figure.clone().ok());
        let mut notes = Vec::new();
        let mut figures = Vec::new();
        for (peer, figure) in &self.rows {
            figures.push(json!({ "peer": peer.name(), "instructions": figure.as_ref().ok() }));
            let name = peer.name().to_owned();
            match figure {
                Ok(count) => {
                    let ratio = ours.filter(|_| *peer != Peer::Furt).map(|ours| format!("{:.2} ×", ours / count));
                    table.row([name, format!("{count:.0}"), ratio.unwrap_or_default()]);
                }
                Err(why) => {
                    let (first, last) = (why.lines().next(), why.lines().skip(1).last());
                    let why = [first, last].map(|line| line.unwrap_or_default().trim()).join(" ");
                    notes.push(format!("{name}: does not run under valgrind: {why}"));
                    table.row([name, "–".to_owned(), "–".to_owned()]);
                }
            }
            notes.extend(notes_of(*peer, self.workload.site()));
        }
        let figures = json!({ "kind": "instructions", "workload": self.workload.name(), "traffic": self.name,
            "requests": self.requests, "peers": figures });
        let title = format!("{}: user-space instructions, over {} requests", self.name, self.requests);
        report.add(&title, &table, &notes, figures);
    }
}
