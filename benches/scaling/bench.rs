//! What more of everything costs: routes, instances, services, keys; in time and memory, by the core alone.
//!
//! - [`parts`]: the measurements, each in a process of its own so that memory is only its own
//! - [`registrar`]: the core and what is asked of it
//! - [`timing`]: the timing loop and the reading of memory
//!
//! A figure that grows with what there is would make the whole grow faster than linearly: notes below the tables name
//! each that does. Figures and tables are shared with the plots: `figure.rs`, `grid.rs`, `tables.rs` beside this file.
#![allow(clippy::disallowed_methods, reason = "a bench reads clocks")]

mod parts;
mod registrar;
mod timing;

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;

use super::figure::{Figure, ScalingRun};
use super::tables::{notes, subjects_of, table};
use parts::{Part, Plan};
use timing::Effort;

/// Measures lookups, registrations and memory with ever more routes, instances, services and keys.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "cargo bench -p furt-benches --bench scaling --",
    bin_name = "cargo bench -p furt-benches --bench scaling --"
)]
pub(crate) struct Options {
    /// Writes every figure to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Everything once and as small as it gets, to see that it works
    #[arg(long)]
    smoke: bool,
    /// Measures only this part, and writes only its figures; the bench starts itself so
    #[arg(long, hide = true, requires = "size")]
    part: Option<Part>,
    /// How many of the part's subject there are
    #[arg(long, hide = true, value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    size: Option<u32>,
    /// What cargo says to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

/// Parts and their sizes.
type Sizes = [(Part, &'static [u32]); 5];

const FULL: Sizes = [
    (Part::Routes, &[1_000, 10_000, 100_000]),
    (Part::ManyRoutes, &[1_000, 10_000, 100_000]),
    (Part::Instances, &[1_000, 10_000]),
    (Part::Services, &[1_000, 10_000]),
    (Part::Keys, &[10_000, 100_000]),
];
const SMOKE: Sizes = [
    (Part::Routes, &[40, 400, 4_000]),
    (Part::ManyRoutes, &[40, 400, 4_000]),
    (Part::Instances, &[20, 200]),
    (Part::Services, &[20, 200]),
    (Part::Keys, &[100, 1_000]),
];

/// What is done before anything counts.
const WARM_UP: Plan = Plan { size: 100, many: 20, effort: Effort::SMOKE };

/// Measures what `options` ask for and tells it to `out`.
///
/// # Errors
/// The core refuses something, a file cannot be written, ….
pub(crate) fn run(options: Options, out: &mut dyn Write) -> Result<()> {
    if let (Some(part), Some(size)) = (options.part, options.size) {
        // What code and allocator take at their first use is no part of what one more costs.
        part.measure(WARM_UP)?;
        let figures = part.measure(Plan { size, many: 200, effort: Effort::FULL })?;
        return Ok(serde_json::to_writer(out, &figures)?);
    }
    let mut figures = Vec::new();
    for (part, sizes) in if options.smoke { SMOKE } else { FULL } {
        for &size in sizes {
            figures.extend(match options.smoke {
                true => part.measure(Plan { size, many: 20, effort: Effort::SMOKE })?,
                false => in_a_process(part, size)?,
            });
        }
    }
    if cfg!(debug_assertions) {
        writeln!(out, "WARNING: this is a debug build; the figures say nothing about furt")?;
    }
    show(&figures, out)?;
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&ScalingRun { is_debug: cfg!(debug_assertions), figures })?;
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// So that memory is that of this part alone.
fn in_a_process(part: Part, size: u32) -> Result<Vec<Figure>> {
    let name = clap::ValueEnum::to_possible_value(&part).context("a part without a name")?.get_name().to_owned();
    let program = std::env::current_exe().context("this program is not known")?;
    let output = Command::new(program)
        .args(["--part", &name, "--size", &size.to_string()])
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("this program does not start again")?;
    ensure!(output.status.success(), "{name} at {size}: {}", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("{name} at {size}: no figures"))
}

/// A table for each subject, and what grows.
fn show(figures: &[Figure], out: &mut dyn Write) -> Result<()> {
    for subject in subjects_of(figures) {
        writeln!(out, "\n{subject}\n{}", table(subject, figures))?;
    }
    let notes = notes(figures);
    if notes.is_empty() {
        writeln!(out, "nothing grows with what there is, beyond what caches explain")?;
    }
    notes.iter().try_for_each(|note| writeln!(out, "{note}"))?;
    Ok(())
}
