//! `run`, and how a verb finds its configuration.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;

use super::logging;
use crate::app::{self, Handover};
use crate::config::{self, Config, UnknownVariable};

#[derive(Args)]
pub(super) struct ConfigArgs {
    /// The configuration, a TOML file [default: /etc/furt/furt.toml; `run` takes its defaults where that is absent]
    #[arg(short, long, value_name = "FILE", env = "FURT_CONFIG")]
    config: Option<PathBuf>,
}

/// Where the configuration is if nobody says so.
pub(super) const DEFAULT_FILE: &str = "/etc/furt/furt.toml";
/// A configuration that says nothing, also at each reload.
const NO_FILE: &str = "/dev/null";

impl ConfigArgs {
    fn path(&self) -> &Path {
        self.config.as_deref().unwrap_or(Path::new(DEFAULT_FILE))
    }

    /// A file that is named must be there; the default one need not, and then furt runs on its defaults.
    fn path_to_run(&self) -> &Path {
        let is_absent =
            || std::fs::symlink_metadata(DEFAULT_FILE).is_err_and(|error| error.kind() == ErrorKind::NotFound);
        if self.config.is_none() && is_absent() { Path::new(NO_FILE) } else { self.path() }
    }
}

pub(super) fn run(args: &ConfigArgs) -> anyhow::Result<()> {
    if let Some(launched) = Handover::launch() {
        return launched;
    }
    let mut handover = Handover::find()?;
    let outcome = run_with(args, &mut handover);
    if let Err(error) = &outcome {
        handover.failed(error);
    }
    outcome
}

fn run_with(args: &ConfigArgs, handover: &mut Handover) -> anyhow::Result<()> {
    let path = args.path_to_run();
    let (config, locations) = Config::load_with_locations(path, &environment).map_err(|errors| anyhow!("{errors}"))?;
    // Pingora tells every connection that breaks; furt tells what matters itself.
    logging::start("info,pingora=warn,pingora_core=error,pingora_proxy=error", config.log_format)?;
    if path == Path::new(NO_FILE) && args.config.is_none() {
        log::info!("{DEFAULT_FILE} is absent, and no other file is named: furt runs on its defaults");
    }
    let loaded = handover.with_settings(path, (config, locations), &environment)?;
    unknown_variables().iter().for_each(|unknown| log::warn!("{unknown}"));
    app::run(path, loaded, handover)
}

pub(super) fn load(args: &ConfigArgs) -> anyhow::Result<Config> {
    Config::load(args.path(), &environment).map_err(|errors| anyhow!("{errors}"))
}

/// A variable of the environment.
pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Those that look like furt's and are not.
pub(super) fn unknown_variables() -> Vec<UnknownVariable> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    config::unknown_variables(std::env::vars_os().map(|(name, value)| (text(name), text(value))))
}
