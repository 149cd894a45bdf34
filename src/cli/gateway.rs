//! `run` and `check`: the verbs that take a configuration.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;

use super::{logging, output};
use crate::app;
use crate::config::Config;

#[derive(Args)]
pub(super) struct ConfigArgs {
    /// The configuration, a TOML file
    #[arg(short, long, value_name = "FILE", env = "FURT_CONFIG", default_value = "/etc/furt/furt.toml")]
    config: PathBuf,
}

pub(super) fn run(args: &ConfigArgs) -> anyhow::Result<()> {
    let (config, places) = Config::load_placed(&args.config, &env).map_err(|errors| anyhow!("{errors}"))?;
    // Pingora tells every connection that breaks; furt tells what matters itself.
    logging::start("info,pingora=warn,pingora_core=error,pingora_proxy=error")?;
    app::run(&args.config, config, &places)
}

pub(super) fn check(args: &ConfigArgs) -> anyhow::Result<()> {
    load(args)?;
    output::print(&format!("{}: ok\n", args.config.display()))
}

pub(super) fn load(args: &ConfigArgs) -> anyhow::Result<Config> {
    Config::load(&args.config, &env).map_err(|errors| anyhow!("{errors}"))
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
