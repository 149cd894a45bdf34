//! `keys new --offline` and `--add-to`: a key for the configuration, which knows its digest alone. No furt is asked.
//!
//! With `--add-to` the lines go into the file by themselves and stdout has the key alone: for `KEY=$(furt keys new …)`,
//! and so that the key itself, which `>>` would write along, does not land in the file.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, anyhow};
use serde::Serialize;

use super::{NewArgs, Output, texts};
use crate::cli::output;
use crate::config::Config;
use crate::secret;
use furt_core::model::Sha256Digest;

pub(super) fn new(args: &NewArgs) -> anyhow::Result<()> {
    let key = secret::new_key()?;
    let digest = Sha256Digest::of(key.as_bytes());
    let (permissions, allow_from) = (texts(&args.permissions), texts(&args.allow_from));
    let list = |texts: &[String]| texts.iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(", ");
    let mut lines = format!(
        "[[api_keys]]\nname = \"{}\"\nsha256 = \"{digest}\"\npermissions = [{}]\n",
        args.name,
        list(&permissions)
    );
    if !allow_from.is_empty() {
        lines += &format!("allow_from = [{}]\n", list(&allow_from));
    }
    if let Some(rate) = args.rate {
        lines += &format!("rate = \"{rate}\"\n");
    }
    if let Some(burst) = args.burst {
        lines += &format!("burst = {burst}\n");
    }
    if let Some(path) = &args.add_to {
        add(path, &lines)?;
    }
    match (args.format.output, &args.add_to) {
        (Output::Json, _) => output::print_json(&OfflineKey {
            key,
            name: args.name.as_str(),
            sha256: digest.to_string(),
            permissions,
            allow_from,
            rate: args.rate.map(|rate| rate.to_string()),
            burst: args.burst,
        }),
        (Output::Text, Some(_)) => output::print(&format!("{key}\n")),
        (Output::Text, None) => output::print(&format!("# The key, shown this once: {key}\n{lines}")),
    }
}

/// As JSON: a key that no furt knows yet.
#[derive(Serialize)]
struct OfflineKey<'a> {
    key: String,
    name: &'a str,
    sha256: String,
    permissions: Vec<String>,
    allow_from: Vec<String>,
    rate: Option<String>,
    burst: Option<u32>,
}

/// Appends the lines to a configuration that is good, and stays good with them.
///
/// # Errors
/// It is not, as where it has a key of that name already, or cannot be written.
fn add(path: &Path, lines: &str) -> anyhow::Result<()> {
    let name = path.display().to_string();
    let env = |variable: &str| std::env::var(variable).ok();
    Config::load(path, &env).map_err(|errors| anyhow!("{errors}"))?;
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    let start = if text.is_empty() || text.ends_with('\n') { "\n" } else { "\n\n" };
    let addition = format!("{start}{lines}");
    let whole = Config::parse(&name, &(text + &addition), &env);
    whole.map_err(|errors| anyhow!("nothing was added, since with the new key this would be wrong:\n{errors}"))?;
    // In one write, and never by a new file: the owner and the rights of this one stay.
    let written = OpenOptions::new().append(true).open(path).and_then(|mut file| {
        file.write_all(addition.as_bytes())?;
        file.sync_all()
    });
    written.with_context(|| format!("cannot write {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_added_to_a_good_configuration_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("furt.toml");
        let lines = |name: &str, digest: char| {
            let digest = digest.to_string().repeat(64);
            format!("[[api_keys]]\nname = \"{name}\"\nsha256 = \"{digest}\"\npermissions = [\"*\"]\n")
        };
        assert!(add(&path, &lines("a", '1')).is_err(), "a file that is not there is not made");
        std::fs::write(&path, "[server]\ngrace = 1").unwrap();
        add(&path, &lines("a", '1')).unwrap();
        add(&path, &lines("b", '2')).unwrap();
        let good = std::fs::read_to_string(&path).unwrap();
        assert!(add(&path, &lines("a", '3')).is_err(), "the name is taken");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), good);
        let names: Vec<_> = Config::load(&path, &|_| None).unwrap().api_keys.into_iter().map(|key| key.name).collect();
        assert_eq!(names.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    }
}
