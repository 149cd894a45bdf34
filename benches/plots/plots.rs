//! From the benches' JSON to pictures and tables.
//!
//! - [`runs`]: what the benches have written
//! - [`bars`], [`lines`]: the two kinds of pictures
//! - [`pictures`]: which pictures there are, and what is in each
//! - [`sections`]: the tables, in Markdown
//! - [`document`]: their places in a document
//!
//! Pictures are SVG with text as text, on white. The tables' columns are explained in benches/README.md.

mod bars;
mod document;
mod lines;
mod pictures;
mod runs;
mod sections;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Parser;

use super::figure::ScalingRun;
use runs::{LoadRun, read};

/// Draws pictures of what the benches have measured, and puts their tables into a document.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "cargo bench -p furt-benches --bench plots --",
    bin_name = "cargo bench -p furt-benches --bench plots --"
)]
pub(crate) struct Options {
    /// What the load bench has written; may be given again, as with --instructions
    #[arg(long, value_name = "FILE")]
    load: Vec<PathBuf>,
    /// What the load bench has written with furt alone, once for each number of threads
    #[arg(long, value_name = "FILE")]
    threads: Vec<PathBuf>,
    /// What the scaling bench has written
    #[arg(long, value_name = "FILE")]
    scaling: Option<PathBuf>,
    /// Where pictures go
    #[arg(long, value_name = "DIR", default_value = "docs/performance")]
    out: PathBuf,
    /// Where tables go, between `<!-- begin NAME -->` and `<!-- end NAME -->`
    #[arg(long, value_name = "FILE")]
    document: Option<PathBuf>,
    /// What cargo says to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

/// Draws what there is and tells `out` where.
///
/// # Errors
/// A file cannot be read or written, or the document has no place for a table.
pub(crate) fn run(options: &Options, out: &mut dyn Write) -> Result<()> {
    let loads = options.load.iter().map(|path| read(path)).collect::<Result<Vec<LoadRun>>>()?;
    let mut threads = options.threads.iter().map(|path| read(path)).collect::<Result<Vec<LoadRun>>>()?;
    threads.sort_by_key(|run| run.options.threads);
    let scaling: Option<ScalingRun> = options.scaling.as_deref().map(read).transpose()?;

    let mut blocks = Vec::new();
    sections::load(&loads, &mut blocks);
    sections::threads(&threads, &mut blocks);
    sections::scaling(scaling.as_ref(), &mut blocks);
    // Before anything is drawn, so that a document without a place is told at once.
    if let Some(path) = &options.document {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let filled = document::fill(&text, &blocks).with_context(|| path.display().to_string())?;
        std::fs::write(path, filled).with_context(|| format!("cannot write {}", path.display()))?;
        writeln!(out, "{}: {} tables", path.display(), blocks.len())?;
    }
    std::fs::create_dir_all(&options.out).with_context(|| format!("cannot make {}", options.out.display()))?;
    let drawn = [
        pictures::load(&loads, &options.out)?,
        pictures::threads(&threads, &options.out)?,
        pictures::scaling(scaling.as_ref(), &options.out)?,
    ];
    drawn.iter().flatten().try_for_each(|path| writeln!(out, "{}", path.display()))?;
    Ok(())
}
