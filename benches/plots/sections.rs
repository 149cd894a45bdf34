//! The tables, in Markdown, each for its place in the document: `run`, `load:WORKLOAD`, `load:instructions`, `threads`,
//! `scaling`. Columns of the load bench are those that it shows (`benches/load/report.rs`).

use super::super::figure::{ScalingRun, Spread};
use super::super::grid::Grid;
use super::super::tables::{notes, subjects_of, table};
use super::document::Block;
use super::runs::{ChurnRound, Idle, IdlePeer, InstructionsPeer, Kind, LoadRun, Peer, Section, spread};

const DEBUG: &str = "**Measured with a debug build: the figures say nothing about furt.**";

/// Of the load bench: how it ran, and a table for each workload.
pub(super) fn load(runs: &[LoadRun], blocks: &mut Vec<Block>) {
    if let Some(run) = runs.first() {
        blocks.push(Block { name: "run".to_owned(), text: head(run) });
    }
    for section in runs.iter().flat_map(|run| &run.sections) {
        let name = match section.kind {
            Kind::Instructions { .. } => "load:instructions".to_owned(),
            Kind::Turns { .. } | Kind::Churn { .. } | Kind::Idle { .. } => format!("load:{}", section.workload),
        };
        let text = shown(section);
        match blocks.iter_mut().find(|block| block.name == name) {
            Some(block) => block.text.push_str(&format!("\n{text}")),
            None => blocks.push(Block { name, text }),
        }
    }
}

/// Of furt with one thread and more.
pub(super) fn threads(runs: &[LoadRun], blocks: &mut Vec<Block>) {
    let mut grid = Grid::new(["", "threads", "req/s", "CPU µs/req", "req/s by CPU time", "of its cores busy"]);
    let mut rows = Vec::new();
    for run in runs {
        let threads = run.options.threads;
        for section in &run.sections {
            let Kind::Turns { traffic, peers, .. } = &section.kind else { continue };
            rows.extend(peers.iter().map(|peer| {
                let cpu_us = peer.over_rounds(|turn| turn.cpu_us).median;
                let busy = peer.over_rounds(|turn| turn.utilisation).median;
                vec![
                    format!("{}, {traffic}", peer.peer),
                    threads.to_string(),
                    format!("{:.0}", peer.over_rounds(|turn| turn.per_second).median),
                    format!("{cpu_us:.1}"),
                    format!("{:.0}", f64::from(threads) * 1e6 / cpu_us),
                    format!("{:.0} %", busy * 100.0),
                ]
            }));
        }
    }
    if rows.is_empty() {
        return;
    }
    rows.sort_by(|one, other| one[0].cmp(&other[0]).reverse());
    rows.into_iter().for_each(|row| grid.row(row));
    let mut text = grid.to_string();
    let shared = runs.iter().filter(|run| !run.options.cores_apart).map(|run| run.options.threads.to_string());
    let shared: Vec<_> = shared.collect();
    if !shared.is_empty() {
        text.push_str(&format!("\n- With {} threads driver and origin share the cores.\n", shared.join(", ")));
    }
    if runs.iter().any(|run| run.options.is_debug) {
        text = format!("{DEBUG}\n\n{text}");
    }
    blocks.push(Block { name: "threads".to_owned(), text });
}

/// Of the scaling bench.
pub(super) fn scaling(run: Option<&ScalingRun>, blocks: &mut Vec<Block>) {
    let Some(run) = run else { return };
    let mut text = if run.is_debug { format!("{DEBUG}\n\n") } else { String::new() };
    for subject in subjects_of(&run.figures) {
        let mut first = subject.chars();
        let title = first.next().map(|letter| letter.to_uppercase().chain(first).collect::<String>());
        text.push_str(&format!("**{}**\n\n{}\n", title.unwrap_or_default(), table(subject, &run.figures)));
    }
    let notes = notes(&run.figures);
    if notes.is_empty() {
        text.push_str("- No figure grows with what there is, beyond what depth and caches explain.\n");
    }
    notes.iter().for_each(|note| text.push_str(&format!("- {note}\n")));
    blocks.push(Block { name: "scaling".to_owned(), text });
}

fn head(run: &LoadRun) -> String {
    let options = &run.options;
    let named = options.peers.iter().zip(&options.versions).map(|(peer, version)| match version {
        Some(version) => format!("{peer} {version}"),
        None => peer.clone(),
    });
    let mut text = format!(
        "{}. {} cores of {}, {} for each gateway; {} rounds, a measurement takes {} s.",
        named.collect::<Vec<_>>().join(", "),
        options.cores,
        options.processor,
        options.threads,
        options.rounds,
        options.seconds
    );
    if !options.missing.is_empty() {
        text.push_str(&format!(" Not measured: {}.", options.missing.join(", ")));
    }
    if options.is_debug {
        text = format!("{DEBUG}\n\n{text}");
    }
    text
}

fn shown(section: &Section) -> String {
    let grid = match &section.kind {
        Kind::Turns { rate, peers, .. } => turns(*rate, peers),
        Kind::Churn { rounds, p99_ratio } => churn(rounds, *p99_ratio),
        Kind::Idle { peers } => idle(peers),
        Kind::Instructions { peers } => instructions(peers),
    };
    let notes: String = section.notes.iter().map(|note| format!("- {note}\n")).collect();
    let gap = if notes.is_empty() { "" } else { "\n" };
    format!("*{}*\n\n{grid}{gap}{notes}", section.title)
}

fn turns(rate: f64, peers: &[Peer]) -> Grid {
    let mut grid = Grid::new([
        String::new(),
        "CPU µs/req".to_owned(),
        "furt is".to_owned(),
        "kernel".to_owned(),
        format!("CPU µs at {rate}/s"),
        "furt is".to_owned(),
        "req/s".to_owned(),
        "furt is".to_owned(),
        format!("p50 ms at {rate}/s"),
        "p99".to_owned(),
        "p99.9".to_owned(),
        "MiB".to_owned(),
        "connects/req".to_owned(),
        "reconnects".to_owned(),
        "failed".to_owned(),
    ]);
    for peer in peers {
        let median = |figure: fn(&super::runs::Turn) -> f64| peer.over_rounds(figure).median;
        let sum = |figure: fn(&super::runs::Turn) -> u64| peer.rounds.iter().map(figure).sum::<u64>();
        let ratio = |ratio| if peer.peer == "furt" { String::new() } else { times(ratio) };
        grid.row(vec![
            peer.peer.clone(),
            format!("{:.1}", median(|turn| turn.cpu_us)),
            ratio(peer.furt_is.cpu),
            format!("{:.0} %", median(|turn| turn.system_share * 100.0)),
            format!("{:.1}", median(|turn| turn.paced_cpu_us)),
            ratio(peer.furt_is.paced_cpu),
            format!("{:.0}", median(|turn| turn.per_second)),
            ratio(peer.furt_is.per_second),
            ms(peer.latency.p50_ms),
            ms(peer.latency.p99_ms),
            ms(peer.latency.p999_ms),
            format!("{:.1}", median(|turn| turn.memory_mib)),
            format!("{:.4}", sum(|turn| turn.connects) as f64 / sum(|turn| turn.counted) as f64),
            sum(|turn| turn.reconnects).to_string(),
            sum(|turn| turn.failed).to_string(),
        ]);
    }
    grid
}

fn ms(figure: Option<f64>) -> String {
    figure.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.3}"))
}

fn churn(rounds: &[ChurnRound], p99_ratio: Option<Spread>) -> Grid {
    let mut grid = Grid::new(["", "quiet", "with registrations", "ratio"]);
    let median = |figure: fn(&ChurnRound) -> f64| spread(rounds.iter().map(figure)).median;
    let ratio = |figure: fn(&ChurnRound) -> f64| Spread::of(rounds.iter().map(figure));
    let p50_ratio = ratio(|round| round.busy_p50_ms / round.quiet_p50_ms);
    let cpu_ratio = ratio(|round| round.busy_cpu_us / round.quiet_cpu_us);
    let rows = [
        ("p50 ms", median(|round| round.quiet_p50_ms), median(|round| round.busy_p50_ms), p50_ratio),
        ("p99 ms", median(|round| round.quiet_p99_ms), median(|round| round.busy_p99_ms), p99_ratio),
        ("CPU µs/req", median(|round| round.quiet_cpu_us), median(|round| round.busy_cpu_us), cpu_ratio),
    ];
    for (name, quiet, busy, ratio) in rows {
        grid.row(vec![name.to_owned(), format!("{quiet:.3}"), format!("{busy:.3}"), times(ratio)]);
    }
    grid
}

fn idle(peers: &[IdlePeer]) -> Grid {
    let mut grid = Grid::new(["", "KiB a client", "furt is", "MiB in all", "KiB in all a client"]);
    for IdlePeer { peer, rounds, furt_is } in peers {
        let of = |figure: fn(&Idle) -> f64| spread(rounds.iter().map(figure));
        let client = of(|idle| idle.client_kib);
        let range =
            if client.min < client.max { format!(" ({:.1} to {:.1})", client.min, client.max) } else { String::new() };
        grid.row(vec![
            peer.clone(),
            format!("{:.1}{range}", client.median),
            furt_is.map_or_else(String::new, |ratio| times(Some(ratio))),
            format!("{:.1}", of(|idle| idle.memory_mib).median),
            format!("{:.1}", of(|idle| idle.whole_kib).median),
        ]);
    }
    grid
}

fn instructions(peers: &[InstructionsPeer]) -> Grid {
    let mut grid = Grid::new(["", "instructions a request", "furt is"]);
    let furt = peers.iter().find(|peer| peer.peer == "furt").and_then(|peer| peer.instructions);
    for InstructionsPeer { peer, instructions } in peers {
        let ratio = furt.zip(*instructions).filter(|_| peer != "furt");
        grid.row(vec![
            peer.clone(),
            instructions.map_or_else(|| "–".to_owned(), |count| format!("{count:.0}")),
            ratio.map_or_else(String::new, |(furt, count)| format!("{:.2} ×", furt / count)),
        ]);
    }
    grid
}

fn times(spread: Option<Spread>) -> String {
    let text = |one: Spread| match one.min < one.max {
        true => format!("{:.2} × ({:.2} to {:.2})", one.median, one.min, one.max),
        false => format!("{:.2} ×", one.median),
    };
    spread.map_or_else(|| "–".to_owned(), text)
}
