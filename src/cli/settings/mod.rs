//! `settings`: sets keys of the configuration for all nodes of a cluster or for some, and shows what is set.

mod showing;

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use furt_api::Ordered;
use furt_api::cluster::ScopeSettings;
use furt_api::settings::{All, ChangeSettings, SetSettings, TargetOutcome, TargetResult, Targets};
use serde_json::Value;

use super::client::{ask_patiently, show};
use super::members::{foreign, short};
use super::output::{counted, print, print_json, table};
use super::{Format, Output, Target, examples};
use crate::config::{DefaultValue, Key, ReloadClass, pushable_keys};

/// The longest wait for a change: the nodes check it, an arbiter decides, the nodes put it in force.
const LONGEST: Duration = Duration::from_secs(60);
/// The same where nodes may restart: a minute for each of the 256 that a cluster may have.
const LONGEST_WITH_RESTARTS: Duration = Duration::from_secs(257 * 60);

#[derive(Subcommand)]
pub(super) enum SettingsVerb {
    /// Set keys, or unset them, at all nodes of the cluster or at some: each node checks them before any applies them
    #[command(after_help = examples::SETTINGS_SET)]
    Set(SetArgs),
    /// Show what the cluster sets at this node, or one key of it
    #[command(after_help = examples::SETTINGS_GET)]
    Get(showing::GetArgs),
    /// Show what two generations set differently, by default the latest one and the one before
    #[command(after_help = examples::SETTINGS_DIFF)]
    Diff(showing::DiffArgs),
    /// List the settings in force, and those that were in force at this node before
    #[command(after_help = examples::SETTINGS_HISTORY)]
    History(showing::HistoryArgs),
    /// List the keys that can be set, where a node's cluster.settings allows it; asks no furt
    #[command(after_help = examples::SETTINGS_KEYS)]
    Keys(KeysArgs),
}

#[derive(Args)]
pub(super) struct SetArgs {
    /// A key and its value as TOML, such as limits.max_body=1000000 or server.grace=30s; what is no TOML is a text
    #[arg(value_name = "KEY=VALUE", required_unless_present = "unset", value_parser = assignment)]
    set: Vec<(String, Value)>,
    /// A key that is not to be set any more; may be given several times
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
    /// Whose settings: "all", or nodes by their fingerprints, at least 8 digits of them, or their names
    #[arg(long, value_name = "all|NODE,…", required = true, value_delimiter = ',')]
    to: Vec<String>,
    /// The generation that you have seen, 0 for none: where another one is in force, nothing is changed
    #[arg(long, value_name = "GENERATION")]
    expect: Option<u64>,
    /// Let the nodes that agree go on without those that do not
    #[arg(long)]
    partial: bool,
    /// Take keys that need a restart, too: nodes restart as by `furt upgrade`, one after the other, the one that is asked last
    #[arg(long, conflicts_with = "partial")]
    restart: bool,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

#[derive(Args)]
pub(super) struct KeysArgs {
    #[command(flatten)]
    format: Format,
}

pub(super) fn run(verb: &SettingsVerb) -> Result<()> {
    match verb {
        SettingsVerb::Set(args) => set(args),
        SettingsVerb::Get(args) => showing::get(args),
        SettingsVerb::Diff(args) => showing::diff(args),
        SettingsVerb::History(args) => showing::history(args),
        SettingsVerb::Keys(args) => keys(args.format),
    }
}

fn set(args: &SetArgs) -> Result<()> {
    let to = match args.to.as_slice() {
        [one] if one == "all" => Targets::All(All::All),
        nodes if nodes.iter().any(|node| node == "all") => bail!("--to names \"all\" or nodes, and not both"),
        nodes => Targets::Nodes(nodes.to_vec()),
    };
    let mut set: Vec<(String, Value)> = Vec::new();
    for (key, value) in &args.set {
        if set.iter().any(|(other, _)| other == key) {
            bail!("{key} is set twice");
        }
        set.push((key.clone(), value.clone()));
    }
    let partial = args.partial.then_some(true);
    let restart = args.restart.then_some(true);
    let body =
        ChangeSettings { to, set: Ordered(set), unset: args.unset.clone(), expect: args.expect, partial, restart };
    let body = serde_json::to_string(&body)?;
    let path = ["internal", "cluster", "settings"];
    let wait = if args.restart { LONGEST_WITH_RESTARTS } else { LONGEST };
    let answer = ask_patiently(&args.target, "POST", &path, &[], Some(body), wait)?;
    let SetSettings { outcomes, .. } = answer.read()?;
    show(args.format, &answer, |answer: SetSettings| text(&answer))?;
    // Who is away takes them later.
    let without = outcomes
        .iter()
        .filter(|one| !matches!(one.result, TargetResult::Success | TargetResult::Seen | TargetResult::Away));
    match without.count() {
        0 => Ok(()),
        count => bail!("{} did not put them in force", counted(count as u64, "node")),
    }
}

fn text(answer: &SetSettings) -> String {
    let mut text = String::new();
    for ScopeSettings { node, id } in &answer.documents {
        let whose = node.as_deref().map_or_else(|| "the cluster".to_owned(), short);
        _ = writeln!(text, "generation {} of the settings of {whose}", id.generation);
    }
    for one in &answer.outcomes {
        let TargetOutcome { fingerprint, name, result, errors, .. } = one;
        let name = name.as_deref().map_or_else(|| short(fingerprint), |name| foreign(name, 74));
        let what = match result {
            TargetResult::Success | TargetResult::Seen => "success",
            TargetResult::Failed => "failed",
            TargetResult::Disagreed => "did not agree, and goes on without them",
            TargetResult::NoAnswer => "no answer; it may put them in force yet",
            TargetResult::Waiting => "waits, since a node before it could not restart",
            TargetResult::Away => "away; takes them once it is there",
            other => &foreign(other.as_str(), 100),
        };
        _ = writeln!(text, "{name}: {what}");
        for error in errors {
            _ = writeln!(text, "  {}", foreign(error, 1_000));
        }
    }
    text
}

/// `limits.max_body=5`
fn assignment(text: &str) -> Result<(String, Value), String> {
    let (key, text) = text.split_once('=').ok_or("must be KEY=VALUE, such as limits.max_body=1000000")?;
    if !key.trim().split_once('.').is_some_and(|(table, key)| !table.is_empty() && !key.is_empty()) {
        return Err(format!("\"{key}\" is no key; must be a table and a key, such as limits.max_body"));
    }
    Ok((key.trim().to_owned(), value(text.trim())?))
}

/// A value as it would stand in a file; what would be none there is a text.
fn value(text: &str) -> Result<Value, String> {
    let as_text = || Ok(text.into());
    match text.parse::<toml::Value>() {
        Err(_) | Ok(toml::Value::Datetime(_)) => as_text(),
        Ok(toml::Value::Float(number)) if !number.is_finite() => as_text(),
        Ok(value) => json(value).ok_or_else(|| format!("\"{text}\" is a table; must be a value of one key")),
    }
}

fn json(value: toml::Value) -> Option<Value> {
    match value {
        toml::Value::String(text) => Some(text.into()),
        toml::Value::Integer(number) => Some(number.into()),
        toml::Value::Float(number) => Some(number.into()),
        toml::Value::Boolean(truth) => Some(truth.into()),
        toml::Value::Datetime(time) => Some(time.to_string().into()),
        toml::Value::Array(values) => values.into_iter().map(json).collect(),
        toml::Value::Table(_) => None,
    }
}

fn keys(format: Format) -> Result<()> {
    let keys = pushable_keys();
    let default = |key: &Key| match key.default {
        DefaultValue::Toml(text) => text.to_owned(),
        DefaultValue::Absent { means, .. } => format!("({means})"),
    };
    let needs_restart = |key: &Key| key.reload == ReloadClass::Restart;
    match format.output {
        Output::Json => {
            let key = |key: &Key| serde_json::json!({"key": key.name, "default": default(key), "range": key.range, "restart": needs_restart(key), "text": key.text});
            print_json(&keys.iter().map(key).collect::<Vec<_>>())
        }
        Output::Text => {
            let row = |key: &Key| {
                let restart = if needs_restart(key) { "yes" } else { "no" };
                vec![key.name.to_owned(), default(key), restart.to_owned(), key.range.to_owned()]
            };
            print(&table(&["KEY", "DEFAULT", "RESTART", "VALUES"], &keys.iter().map(row).collect::<Vec<_>>()))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_read_as_toml_and_else_is_a_text() {
        for (text, expected) in [
            ("a.b=5", json!(5)),
            ("a.b=5_000", json!(5000)),
            ("a.b=true", json!(true)),
            ("a.b=\"5\"", json!("5")),
            ("a.b='x=y'", json!("x=y")),
            ("a.b=[1, 'x']", json!([1, "x"])),
            ("a.b=0.5", json!(0.5)),
            ("a.b=30s", json!("30s")),
            ("a.b=200/s", json!("200/s")),
            ("a.b=", json!("")),
            ("a.b=nan", json!("nan")),
            ("a.b=2030-01-31", json!("2030-01-31")),
            ("a.b=[1", json!("[1")),
            ("a.b=5\nc = 6", json!("5\nc = 6")),
        ] {
            assert_eq!(assignment(text).unwrap(), ("a.b".to_owned(), expected), "{text}");
        }
        for bad in ["a.b", "=5", "ab=5", ".b=5", "a.=5", "a.b={c = 1}", "a.b=[{c = 1}]"] {
            assignment(bad).unwrap_err();
        }
    }

    #[test]
    fn what_a_node_says_is_shown_and_steers_no_terminal() {
        let answer = json!({"status": "set", "documents": [{"node": null, "generation": 7, "digest": "d"}], "outcomes": [
            {"fingerprint": "aaaaaaaa11", "name": "a.1", "result": "success", "errors": [], "action": "update_settings", "status": "success",
             "detail": null, "error": null, "node": "a.1", "timestamp": "2025-11-14T20:30:00Z", "generation": 7},
            {"fingerprint": "bbbbbbbb11", "name": "b.1", "result": "failed", "errors": ["x\u{1b}[2J"]},
            {"fingerprint": "cccccccc11", "name": null, "result": "away", "errors": []},
            {"fingerprint": "dddddddd11", "name": "d.1", "result": "asleep\u{1b}", "errors": []},
        ]});
        let answer: SetSettings = serde_json::from_value(answer).unwrap();
        let expected = "\
generation 7 of the settings of the cluster
a.1: success
b.1: failed
  x\u{fffd}[2J
cccccccc: away; takes them once it is there
d.1: asleep\u{fffd}
";
        assert_eq!(text(&answer), expected);
    }
}
