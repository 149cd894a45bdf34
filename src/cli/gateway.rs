//! `run` and `check`: the verbs that take a configuration.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;

use super::output;
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
    log("info,pingora=warn,pingora_core=error,pingora_proxy=error")?;
    app::run(&args.config, config, &places)
}

/// Logs what FURT_LOG says, otherwise what `filter` does.
pub(super) fn log(filter: &str) -> anyhow::Result<()> {
    let filter = std::env::var("FURT_LOG").unwrap_or_else(|_| filter.to_owned());
    Ok(env_logger::Builder::new().parse_filters(&filter).try_init()?)
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
