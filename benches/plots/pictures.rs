//! Which pictures there are: CPU a request beside other gateways, one thread and two, and the core over routes.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::super::figure::{Figure, ScalingRun, Spread, number, rows_of};
use super::bars::{self, Bar, Panel, Tint};
use super::lines::{self, Chart, Line};
use super::runs::{Kind, LoadRun, Peer, Turn};

/// What is drawn of lookups and of registrations, by the names that the scaling bench gives them.
const LOOKUPS: [&str; 5] = [
    "lookup, literal, random paths",
    "lookup, last `*`, random paths",
    "lookup, middle `*`, random paths",
    "lookup, miss, random paths",
    "lookup, literal, one path",
];
const REGISTRATIONS: [&str; 3] =
    ["registration, services in turn", "registration, one service again", "one route more"];

/// CPU a request as a ratio; none without turns.
///
/// # Errors
/// A file cannot be written.
pub(super) fn load(runs: &[LoadRun], out: &Path) -> Result<Option<PathBuf>> {
    let mut cpu = Vec::new();
    for section in runs.iter().flat_map(|run| &run.sections) {
        let Kind::Turns { traffic, peers, .. } = &section.kind else { continue };
        let ratios: Vec<Bar> = peers.iter().filter_map(cpu_ratio).collect();
        if ratios.len() > 1 {
            cpu.push(Panel { title: traffic.clone(), bars: ratios, line_at: Some(1.0) });
        }
    }
    if cpu.is_empty() {
        return Ok(None);
    }
    let path = out.join("cpu.svg");
    let subtitle = "furt = 1, shorter is cheaper; at saturation, user and system time; median, least and most";
    bars::draw(&path, "CPU time a request", subtitle, &cpu)?;
    Ok(Some(path))
}

fn cpu_ratio(peer: &Peer) -> Option<Bar> {
    let furt_is = match peer.peer.as_str() {
        "furt" => Spread { median: 1.0, min: 1.0, max: 1.0 },
        _ => peer.furt_is.cpu.filter(|furt_is| furt_is.min > 0.0)?,
    };
    let is_furt = Spread { median: 1.0 / furt_is.median, min: 1.0 / furt_is.max, max: 1.0 / furt_is.min };
    Some(bar(&peer.peer, is_furt, |value| format!("{value:.2}"), " ×"))
}

fn bar(label: &str, spread: Spread, shown: impl Fn(f64) -> String, unit: &str) -> Bar {
    let Spread { median, min, max } = spread;
    let text = match min < max {
        true => format!("{}{unit} ({} to {})", shown(median), shown(min), shown(max)),
        false => format!("{}{unit}", shown(median)),
    };
    let tint = if label == "furt" { Tint::Own } else { Tint::Other };
    Bar { label: label.to_owned(), spread, text, tint }
}

/// Requests a second by threads, as measured and as CPU time would allow.
///
/// # Errors
/// A file cannot be written.
pub(super) fn threads(runs: &[LoadRun], out: &Path) -> Result<Option<PathBuf>> {
    let mut panels: Vec<Panel> = Vec::new();
    type FigureOf = fn(u32, &Turn) -> f64;
    let figures: [(&str, Tint, FigureOf); 2] = [
        ("", Tint::Own, |_, turn| turn.per_second),
        (", by CPU time", Tint::Other, |threads, turn| f64::from(threads) * 1e6 / turn.cpu_us),
    ];
    for (what, tint, figure) in figures {
        for run in runs {
            let threads = run.options.threads;
            let label = format!("{threads}{what}");
            for section in &run.sections {
                let Kind::Turns { traffic, peers, .. } = &section.kind else { continue };
                let Some(furt) = peers.iter().find(|peer| peer.peer == "furt") else { continue };
                let spread = furt.over_rounds(|turn| figure(threads, turn));
                let bar = Bar { tint, ..bar(&label, spread, |value| number(value.round() as u32), "") };
                match panels.iter_mut().find(|panel| panel.title == *traffic) {
                    Some(panel) => panel.bars.push(bar),
                    None => panels.push(Panel { title: traffic.clone(), bars: vec![bar], line_at: None }),
                }
            }
        }
    }
    if panels.is_empty() {
        return Ok(None);
    }
    let path = out.join("threads.svg");
    let subtitle = "requests a second; by CPU time: what the threads could do with cores of their own";
    bars::draw(&path, "furt, by the number of its worker threads", subtitle, &panels)?;
    Ok(Some(path))
}

/// The core over ever more routes.
///
/// # Errors
/// A file cannot be written.
pub(super) fn scaling(run: Option<&ScalingRun>, out: &Path) -> Result<Option<PathBuf>> {
    let Some(run) = run else { return Ok(None) };
    let chart = |title: &str, unit: &str, divisor: f64, names: &[&str]| Chart {
        title: title.to_owned(),
        unit: unit.to_owned(),
        lines: names.iter().filter_map(|name| line(&run.figures, name, divisor)).collect(),
    };
    let charts = [
        chart("Looking up a route", "ns", 1.0, &LOOKUPS),
        chart("A registration, checked, applied and published", "µs", 1e3, &REGISTRATIONS),
    ];
    let path = out.join("scaling.svg");
    let subtitle = "all under one prefix, four a service; the core alone; medians, with the least and the most";
    lines::draw(&path, "Time over the number of routes", subtitle, &charts)?;
    Ok(Some(path))
}

fn line(figures: &[Figure], name: &str, divisor: f64) -> Option<Line> {
    let row = rows_of("routes", figures).into_iter().find(|row| row.what == name)?;
    let point = |figure: &&Figure| {
        let Spread { median, min, max } = figure.spread;
        (figure.size, Spread { median: median / divisor, min: min / divisor, max: max / divisor })
    };
    let label = name.trim_start_matches("lookup, ").trim_start_matches("registration, ").replace('`', "");
    Some(Line { label, points: row.figures.iter().map(point).collect() })
}
