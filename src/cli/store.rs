//! `store check`, `export` and `import`: a store as numbers and as JSON. A store that a running furt has open is exported
//! by that furt.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::client::download;
use super::gateway::{ConfigArgs, load};
use super::{Format, Output, Target, examples, output};
use crate::config::StoreConfig;
use crate::store::{self, Summary};
use furt_core::ports::StoreError;

#[derive(Subcommand)]
pub(super) enum StoreVerb {
    /// Read all of a store, change nothing, and tell how much it holds
    #[command(after_help = examples::STORE_CHECK)]
    Check(CheckArgs),
    /// Print all of a store as JSON; with --running, of the running furt's
    #[command(after_help = examples::STORE_EXPORT)]
    Export(ExportArgs),
    /// Make a new store of what export printed; FILE "-" is stdin
    #[command(after_help = examples::STORE_IMPORT)]
    Import(ImportArgs),
}

#[derive(Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    path: PathArgs,
    #[command(flatten)]
    format: Format,
}

#[derive(Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    path: PathArgs,
    /// Ask the running furt, which has its store open, instead of reading a file
    #[arg(long, conflicts_with = "path")]
    running: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Args)]
pub(super) struct PathArgs {
    /// The store's file; if left out, the configuration's store.path
    path: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Args)]
pub(super) struct ImportArgs {
    /// What export printed
    file: PathBuf,
    /// The store to make; nothing may be there
    #[arg(long, value_name = "PATH")]
    into: PathBuf,
    #[command(flatten)]
    format: Format,
}

pub(super) fn run(verb: &StoreVerb) -> anyhow::Result<()> {
    match verb {
        StoreVerb::Check(args) => {
            let path = args.path.find()?;
            tell(&path, store::check(&path)?, args.format)
        }
        StoreVerb::Export(args) => export(args),
        StoreVerb::Import(args) => {
            let summary = store::import(&read(&args.file)?, &args.into)?;
            tell(&args.into, summary, args.format)
        }
    }
}

fn export(args: &ExportArgs) -> anyhow::Result<()> {
    if args.running {
        return output::print_all(download(&args.target, &["internal", "store", "export"])?);
    }
    let exported = store::export(&args.path.find()?).map_err(|error| match error {
        StoreError::InUse(why) => anyhow!("{why}; `furt store export --running` asks the furt that has it open"),
        other => other.into(),
    });
    output::print_json(&exported?)
}

impl PathArgs {
    fn find(&self) -> anyhow::Result<PathBuf> {
        if let Some(path) = &self.path {
            return Ok(path.clone());
        }
        match load(&self.config)?.store {
            StoreConfig::Disk(path) => Ok(path),
            StoreConfig::Memory => bail!("the configuration's store is in memory: there is no file"),
            StoreConfig::Etcd => {
                bail!(
                    "the configuration's store is etcd: there is no file; `etcdctl snapshot save` makes a backup of it"
                )
            }
        }
    }
}

fn tell(path: &Path, summary: Summary, format: Format) -> anyhow::Result<()> {
    let Summary { services, instances, down, draining, held, keys, maintenance, splits, grants } = summary;
    match format.output {
        Output::Json => {
            output::print_json(&Counts { services, instances, down, draining, held, keys, maintenance, splits, grants })
        }
        Output::Text => output::print(&format!(
            "{}: ok: {services} services, {instances} instances, {down} of them DOWN, {draining} draining, {held} ids held, {keys} API keys, {maintenance} in maintenance, {splits} splits, {grants} grants\n",
            path.display()
        )),
    }
}

/// A store in numbers, as JSON.
#[derive(Serialize)]
struct Counts {
    services: usize,
    instances: usize,
    down: usize,
    draining: usize,
    held: usize,
    keys: usize,
    maintenance: usize,
    splits: usize,
    grants: usize,
}

fn read(file: &Path) -> anyhow::Result<String> {
    if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read stdin")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}
