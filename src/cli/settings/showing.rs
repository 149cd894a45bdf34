//! `settings get`, `diff` and `history`: what is set, and what was.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, anyhow, bail, ensure};
use clap::Args;
use furt_api::nodes::Nodes;
use furt_api::settings::{Settings, SettingsDocument};
use serde::Serialize;
use serde_json::Value;

use crate::cli::client::{ask, show};
use crate::cli::members::{ask_nodes, cluster_of, find, short};
use crate::cli::output::{cell, clean, note, print, print_json, table};
use crate::cli::{Format, Output, Target};

#[derive(Args)]
pub(in crate::cli) struct GetArgs {
    /// One key, such as limits.max_body; all if left out
    key: Option<String>,
    /// Another node than the one that is asked, by its fingerprint, at least 8 digits of it, or its name
    #[arg(long, value_name = "NODE")]
    to: Option<String>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

#[derive(Args)]
pub(in crate::cli) struct DiffArgs {
    /// The generation to begin from, 0 for none; by default the one before the other one
    from: Option<u64>,
    /// The generation to compare it with; by default the latest
    to: Option<u64>,
    /// Compare settings of this node's own instead of the cluster's
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

#[derive(Args)]
pub(in crate::cli) struct HistoryArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

/// A key that is set.
#[derive(Debug, PartialEq, Serialize)]
struct SetKey {
    key: String,
    value: Value,
    /// The fingerprint of the node that it is set for; `null`: for all.
    node: Option<String>,
    generation: u64,
}

/// A key that two generations set differently; `null`: not at all.
#[derive(Debug, PartialEq, Serialize)]
struct Difference {
    key: String,
    from: Option<Value>,
    to: Option<Value>,
}

pub(super) fn get(args: &GetArgs) -> Result<()> {
    let known = look(&args.target)?;
    let node = fingerprint(&args.target, args.to.as_deref())?.unwrap_or_else(|| known.fingerprint.clone());
    let is_here = node == known.fingerprint;
    let mut set = set_at(&known, &node)?;
    if let Some(key) = &args.key {
        set.retain(|one| one.key == *key);
        ensure!(
            !set.is_empty(),
            "{key} is not set by the cluster: the file and the environment of the node alone count"
        );
    }
    for behind in known.settings.iter().filter(|one| is_here && one.latest && !one.applied) {
        if behind.node.as_ref().is_none_or(|of| *of == node) {
            note(&format!("generation {} of {} is not in force at this node yet", behind.id.generation, of(behind)));
        }
    }
    match args.format.output {
        Output::Json => print_json(&set),
        Output::Text => {
            let row = |one: &SetKey| {
                let by = one.node.as_deref().map_or_else(|| "the cluster".to_owned(), short);
                vec![clean(&one.key), clean(&one.value.to_string()), by, one.generation.to_string()]
            };
            print(&table(&["KEY", "VALUE", "SET FOR", "GENERATION"], &set.iter().map(row).collect::<Vec<_>>()))
        }
    }
}

/// What is set at a node: its own settings go before the cluster's.
fn set_at(known: &Settings, node: &str) -> Result<Vec<SetKey>> {
    let is_here = node == known.fingerprint;
    let mut keys = BTreeMap::new();
    for scope in [None, Some(node)] {
        let of_scope = || known.settings.iter().filter(|one| one.node.as_deref() == scope);
        // Of another node it is known only what it should have.
        let Some(document) = of_scope().find(|one| if is_here { one.applied } else { one.latest }) else { continue };
        for (key, value) in values(document)? {
            let node = document.node.clone();
            keys.insert(key.clone(), SetKey { key, value, node, generation: document.id.generation });
        }
    }
    Ok(keys.into_values().collect())
}

pub(super) fn diff(args: &DiffArgs) -> Result<()> {
    let known = look(&args.target)?;
    let node = fingerprint(&args.target, args.node.as_deref())?;
    let (from, to, differences) = differences(&known, node.as_deref(), args.from, args.to)?;
    match args.format.output {
        Output::Json => print_json(&differences),
        Output::Text => {
            let line = |sign: char, key: &str, value: &Option<Value>| {
                let value =
                    value.as_ref().map(|value| format!("{sign} {} = {}\n", clean(key), clean(&value.to_string())));
                value.unwrap_or_default()
            };
            let whose = node.as_deref().map_or_else(|| "the cluster".to_owned(), short);
            let head = format!("from generation {from} to {to} of the settings of {whose}\n");
            let lines = differences.iter().map(|one| line('-', &one.key, &one.from) + &line('+', &one.key, &one.to));
            print(&(head + &lines.collect::<String>()))
        }
    }
}

/// What two generations set differently, and which they are.
fn differences(
    known: &Settings,
    node: Option<&str>,
    from: Option<u64>,
    to: Option<u64>,
) -> Result<(u64, u64, Vec<Difference>)> {
    let all: Vec<_> = known.settings.iter().filter(|one| one.node.as_deref() == node).collect();
    let latest = all.iter().map(|one| one.id.generation).max().unwrap_or_default();
    ensure!(latest > 0, "nothing was ever set there");
    let to = to.unwrap_or(latest);
    // Where two have one generation, the one that stands.
    let find = |generation: u64| {
        let mut of = all.iter().filter(|one| one.id.generation == generation);
        of.clone().find(|one| one.latest).or_else(|| of.next())
    };
    let before = || all.iter().map(|one| one.id.generation).filter(|one| *one < to).max().unwrap_or_default();
    let from = from.unwrap_or_else(before);
    let keys = |generation: u64| match (generation, find(generation)) {
        (0, _) => Ok(BTreeMap::new()),
        (_, Some(document)) => values(document),
        (_, None) => {
            let has: BTreeSet<_> = all.iter().map(|one| one.id.generation.to_string()).collect();
            bail!(
                "this node does not have generation {generation}; it has {}",
                has.into_iter().collect::<Vec<_>>().join(", ")
            )
        }
    };
    let (mut before, mut after) = (keys(from)?, keys(to)?);
    let names: BTreeSet<_> = before.keys().chain(after.keys()).cloned().collect();
    let differences = names.into_iter().map(|key| {
        let (from, to) = (before.remove(&key), after.remove(&key));
        Difference { key, from, to }
    });
    Ok((from, to, differences.filter(|one| one.from != one.to).collect()))
}

pub(super) fn history(args: &HistoryArgs) -> Result<()> {
    let answer = ask(&args.target, "GET", &["internal", "cluster", "settings"], &[], None)?;
    show(args.format, &answer, |known: Settings| {
        let row = |one: &SettingsDocument| {
            let state = match (one.latest, one.applied) {
                (true, true) => "in force",
                (true, false) if one.node.as_ref().is_some_and(|node| *node != known.fingerprint) => "latest",
                (true, false) => "latest, not in force here",
                (false, true) => "in force here, not the latest",
                (false, false) => "-",
            };
            let keys = one.values.as_ref().map(|values| {
                let keys: Vec<_> = values.0.iter().map(|(key, value)| format!("{key}={value}")).collect();
                keys.join(" ")
            });
            let id = &one.id;
            vec![
                of(one),
                id.generation.to_string(),
                short(&id.digest),
                cell(one.applied_at.as_ref()),
                state.to_owned(),
                cell(keys.as_ref()),
            ]
        };
        let rows: Vec<_> = known.settings.iter().map(row).collect();
        table(&["SET FOR", "GENERATION", "DIGEST", "SINCE", "STATE", "KEYS"], &rows)
    })
}

fn look(target: &Target) -> Result<Settings> {
    ask(target, "GET", &["internal", "cluster", "settings"], &[], None)?.read()
}

/// The fingerprint of the node that is meant.
fn fingerprint(target: &Target, text: Option<&str>) -> Result<Option<String>> {
    let Some(text) = text else { return Ok(None) };
    let cluster = cluster_of(target, ask_nodes(target)?.read::<Nodes>()?)?;
    Ok(Some(find(&cluster, text)?.fingerprint.clone()))
}

fn of(document: &SettingsDocument) -> String {
    document.node.as_deref().map_or_else(|| "the cluster".to_owned(), short)
}

fn values(document: &SettingsDocument) -> Result<BTreeMap<String, Value>> {
    let values = document.values.clone().ok_or_else(|| {
        let generation = document.id.generation;
        anyhow!(
            "this node does not have the text of generation {generation} of the settings of {}; ask another one",
            of(document)
        )
    })?;
    Ok(values.0.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(node: Option<&str>, generation: u64, flags: (bool, bool), values: Value) -> Value {
        json!({"node": node, "generation": generation, "digest": "0011223344", "latest": flags.0, "applied": flags.1,
               "applied_at": null, "text": null, "values": values})
    }

    fn known() -> Settings {
        let settings = [
            document(None, 4, (true, false), json!({"limits.max_body": 6, "a.b": "x"})),
            document(None, 2, (false, true), json!({"limits.max_body": 5, "server.grace": "1s"})),
            document(Some("aaaa"), 1, (true, true), json!({"limits.max_body": 7})),
            document(Some("bbbb"), 3, (true, false), Value::Null),
        ];
        serde_json::from_value(json!({"fingerprint": "aaaa", "settings": settings})).unwrap()
    }

    #[test]
    fn a_node_s_own_settings_go_before_the_cluster_s() {
        let shown = |node| {
            let set = set_at(&known(), node).unwrap();
            set.into_iter()
                .map(|one| format!("{} {} {:?} {}", one.key, one.value, one.node, one.generation))
                .collect::<Vec<_>>()
        };
        assert_eq!(shown("aaaa"), ["limits.max_body 7 Some(\"aaaa\") 1", "server.grace \"1s\" None 2"]);
        assert_eq!(shown("cccc"), ["a.b \"x\" None 4", "limits.max_body 6 None 4"]);
        assert!(set_at(&known(), "bbbb").unwrap_err().to_string().contains("does not have the text"));
    }

    #[test]
    fn generations_differ_key_by_key() {
        let diff = |node, from, to| differences(&known(), node, from, to);
        let (from, to, all) = diff(None, None, None).unwrap();
        assert_eq!((from, to), (2, 4));
        let expected = [
            ("a.b", None, Some(json!("x"))),
            ("limits.max_body", Some(json!(5)), Some(json!(6))),
            ("server.grace", Some(json!("1s")), None),
        ];
        let expected = expected.map(|(key, from, to)| Difference { key: key.to_owned(), from, to });
        assert_eq!(all, expected);
        assert_eq!(diff(None, Some(4), Some(4)).unwrap().2, []);
        let (from, to, all) = diff(Some("aaaa"), None, None).unwrap();
        assert_eq!((from, to, all.len()), (0, 1, 1));
        assert!(diff(None, Some(3), None).unwrap_err().to_string().contains("it has 2, 4"));
        assert!(diff(Some("cccc"), None, None).unwrap_err().to_string().contains("nothing was ever set"));
    }
}
