//! `check`: every error of a configuration, and names in the environment that mean nothing.

use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};
use clap::Args;
use serde::Serialize;

use super::gateway::{DEFAULT_FILE, environment, unknown_variables};
use super::output::{counted, note, print, print_json};
use super::{Format, Output};
use crate::app::certificate_faults;
use crate::config::{Config, ConfigError, ConfigErrors, SourceLocation, UnknownVariable};

#[derive(Args)]
pub(super) struct CheckArgs {
    /// The configuration, a TOML file [env: FURT_CONFIG] [default: /etc/furt/furt.toml]
    file: Option<PathBuf>,
    /// The same, as `run` has it
    #[arg(short, long, value_name = "FILE", conflicts_with = "file")]
    config: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
}

impl CheckArgs {
    fn path(&self) -> PathBuf {
        let named = self.file.clone().or_else(|| self.config.clone());
        let in_environment = || std::env::var_os("FURT_CONFIG").map(PathBuf::from);
        named.or_else(in_environment).unwrap_or_else(|| PathBuf::from(DEFAULT_FILE))
    }
}

pub(super) fn run(args: &CheckArgs) -> anyhow::Result<()> {
    let path = args.path();
    let loaded = Config::load_with_locations(&path, &environment);
    let of_routes = loaded.as_ref().map(|(config, locations)| config.warnings(locations)).unwrap_or_default();
    let errors = match loaded {
        Ok((config, locations)) => ConfigErrors::try_new(certificate_faults(&config, &locations, &path)),
        Err(errors) => Some(errors),
    };
    let warnings = Warnings { variables: unknown_variables(), of_routes };
    match args.format.output {
        Output::Json => as_json(&path, errors.as_ref(), &warnings),
        Output::Text => as_text(&path, errors.as_ref(), &warnings),
    }
}

/// What is no error.
struct Warnings {
    variables: Vec<UnknownVariable>,
    of_routes: Vec<ConfigError>,
}

fn as_text(path: &Path, errors: Option<&ConfigErrors>, warnings: &Warnings) -> anyhow::Result<()> {
    warnings.variables.iter().for_each(|warning| note(&format!("warning: {warning}")));
    warnings.of_routes.iter().for_each(|warning| note(&format!("warning: {warning}")));
    match errors {
        Some(errors) => Err(anyhow!("{errors}")),
        None => print(&format!("{}: ok\n", path.display())),
    }
}

fn as_json(path: &Path, errors: Option<&ConfigErrors>, warnings: &Warnings) -> anyhow::Result<()> {
    let warning = |variable: &UnknownVariable| Found {
        place: Place { variable: Some(variable.name.clone()), ..Place::default() },
        key: None,
        message: variable.message(),
    };
    print_json(&Checked {
        file: path.display().to_string(),
        ok: errors.is_none(),
        errors: errors.into_iter().flat_map(ConfigErrors::iter).map(Found::from).collect(),
        warnings: warnings.variables.iter().map(warning).chain(warnings.of_routes.iter().map(Found::from)).collect(),
    })?;
    match errors {
        Some(errors) => bail!("{}: {}", path.display(), counted(errors.count() as u64, "error")),
        None => Ok(()),
    }
}

/// What is printed with `-o json`.
#[derive(Serialize)]
struct Checked {
    file: String,
    ok: bool,
    errors: Vec<Found>,
    warnings: Vec<Found>,
}

#[derive(Serialize)]
struct Found {
    #[serde(flatten)]
    place: Place,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    message: String,
}

/// Each field is absent where it is not known.
#[derive(Default, Serialize)]
struct Place {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    variable: Option<String>,
}

impl From<&ConfigError> for Found {
    fn from(error: &ConfigError) -> Self {
        let nowhere = Place::default();
        let place = match &error.location {
            SourceLocation::File { file } => Place { file: Some(file.clone()), ..nowhere },
            SourceLocation::Position { file, line, column } => {
                Place { file: Some(file.clone()), line: Some(*line), column: Some(*column), ..nowhere }
            }
            SourceLocation::Variable { name } => Place { variable: Some(name.clone()), ..nowhere },
        };
        Self { place, key: Some(error.key.clone()), message: error.message.clone() }
    }
}
