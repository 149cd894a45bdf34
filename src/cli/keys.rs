//! `keys new`: makes a key and shows it once; only its digest goes into the configuration.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Format, Output, output};
use crate::model::{CidrSet, KeyName, PermissionRule, Rate, Sha256Digest};

/// Random bytes of a key: 256 bits, as many as its digest.
const KEY_BYTES: usize = 32;

#[derive(Subcommand)]
pub(super) enum KeysVerb {
    /// Make a key: print it once, and the lines for the configuration
    New(NewArgs),
}

#[derive(Args)]
pub(super) struct NewArgs {
    /// What services are told in X-API-Key-Name
    #[arg(long, value_parser = |text: &str| KeyName::try_new(text))]
    name: KeyName,
    /// What it may do, such as "comments:read", "comments:*" or "*"; more than once for more
    #[arg(long = "permission", required = true, value_parser = |text: &str| PermissionRule::try_new(text))]
    permissions: Vec<PermissionRule>,
    /// From where it may be used, such as "10.0.0.0/8"; more than once for more; anywhere if left out
    #[arg(long = "allow-from", value_parser = |text: &str| CidrSet::try_new(&[text]))]
    allow_from: Vec<CidrSet>,
    /// How often it may be used, such as "100/s"; without limit if left out
    #[arg(long, value_parser = |text: &str| Rate::try_new(text))]
    rate: Option<Rate>,
    #[command(flatten)]
    format: Format,
}

pub(super) fn run(KeysVerb::New(args): &KeysVerb) -> anyhow::Result<()> {
    let key = new_key()?;
    let digest = Sha256Digest::of(key.as_bytes());
    let permissions: Vec<_> = args.permissions.iter().map(ToString::to_string).collect();
    let allow_from: Vec<_> = args.allow_from.iter().map(ToString::to_string).collect();
    if args.format.output == Output::Json {
        return output::print_json(&json!({
            "key": key,
            "name": args.name.as_str(),
            "sha256": digest.to_string(),
            "permissions": permissions,
            "allow_from": allow_from,
            "rate": args.rate.map(|rate| rate.to_string()),
        }));
    }
    let list = |texts: &[String]| texts.iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(", ");
    let mut text = format!("# The key, shown this once: {key}\n");
    text += &format!(
        "[[api_keys]]\nname = \"{}\"\nsha256 = \"{digest}\"\npermissions = [{}]\n",
        args.name,
        list(&permissions)
    );
    if !allow_from.is_empty() {
        text += &format!("allow_from = [{}]\n", list(&allow_from));
    }
    if let Some(rate) = args.rate {
        text += &format!("rate = \"{rate}\"\n");
    }
    output::print(&text)
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
}
