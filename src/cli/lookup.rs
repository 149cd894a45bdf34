//! `lookup`: one instance of a service that takes requests, for a script that sends one.

use anyhow::{Context, Result};
use clap::Args;

use super::join::RegistryArgs;
use super::output::{clean, print, print_json};
use super::{Format, Output};

#[derive(Args)]
pub(super) struct LookupArgs {
    /// The service's name, without the namespace
    name: String,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    format: Format,
}

pub(super) fn run(args: &LookupArgs) -> Result<()> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().context("lookup cannot be started")?;
    let registry = args.registry.connect()?;
    let found = runtime.block_on(registry.lookup(&args.name))?;
    let found = found.with_context(|| format!("no instance of {} takes requests", args.name))?;
    match args.format.output {
        Output::Json => print_json(&found),
        Output::Text => print(&format!("{}\n", clean(&found.url))),
    }
}
