//! `keys new`: makes a key and shows it once; only its digest goes into the configuration.
//!
//! With `--add-to` the lines go into the file by themselves and stdout has the key alone: for `KEY=$(furt keys new …)`,
//! and so that the key itself, which `>>` would write along, does not land in the file.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use serde_json::json;

use super::{Format, Output, output};
use crate::config::Config;
use crate::model::{CidrSet, KeyName, PermissionRule, Rate, Sha256Digest};

/// Random bytes of a key: 256 bits, as many as its digest.
const KEY_BYTES: usize = 32;

#[derive(Subcommand)]
pub(super) enum KeysVerb {
    /// Make a key: print it, this once, and the lines for the configuration
    New(NewArgs),
}

#[derive(Args)]
pub(super) struct NewArgs {
    /// What services are told in X-API-Key-Name
    #[arg(long, value_parser = |text: &str| KeyName::try_new(text))]
    name: KeyName,
    /// What it may do, such as "comments:read", "comments:*" or "*"; more than once for more
    #[arg(long = "permission", value_name = "PERMISSION", required = true, value_parser = |text: &str| PermissionRule::try_new(text))]
    permissions: Vec<PermissionRule>,
    /// From where it may be used, such as "10.0.0.0/8"; more than once for more; anywhere if left out
    #[arg(long = "allow-from", value_name = "ADDRESSES", value_parser = |text: &str| CidrSet::try_new(&[text]))]
    allow_from: Vec<CidrSet>,
    /// How often it may be used, such as "100/s"; without limit if left out
    #[arg(long, value_parser = |text: &str| Rate::try_new(text))]
    rate: Option<Rate>,
    /// Append the lines to this configuration, and print the key alone; furt knows it from its next reload
    #[arg(long, value_name = "FILE")]
    add_to: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
}

pub(super) fn run(KeysVerb::New(args): &KeysVerb) -> anyhow::Result<()> {
    let key = new_key()?;
    let digest = Sha256Digest::of(key.as_bytes());
    let permissions: Vec<_> = args.permissions.iter().map(ToString::to_string).collect();
    let allow_from: Vec<_> = args.allow_from.iter().map(ToString::to_string).collect();
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
    if let Some(path) = &args.add_to {
        add(path, &lines)?;
    }
    match (args.format.output, &args.add_to) {
        (Output::Json, _) => output::print_json(&json!({
            "key": key,
            "name": args.name.as_str(),
            "sha256": digest.to_string(),
            "permissions": permissions,
            "allow_from": allow_from,
            "rate": args.rate.map(|rate| rate.to_string()),
        })),
        (Output::Text, Some(_)) => output::print(&format!("{key}\n")),
        (Output::Text, None) => output::print(&format!("# The key, shown this once: {key}\n{lines}")),
    }
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

/// `furt_` and 64 hexadecimal digits from the system's random numbers; the prefix lets scanners find leaked keys.
fn new_key() -> anyhow::Result<String> {
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().fold("furt_".to_owned(), |key, byte| format!("{key}{byte:02x}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_long_and_never_the_same() {
        let (one, other) = (new_key().unwrap(), new_key().unwrap());
        assert_eq!(one.len(), "furt_".len() + 64);
        assert_ne!(one, other);
    }

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
