//! `audit`: what operators did, a line an entry; with `--follow` until Ctrl-C, over restarts of furt; with `--check` whether any is
//! missing.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use furt_api::audit::{Audit, AuditEntry};
use serde::Deserialize as _;
use serde_json::Value;

use super::client::ask_patiently;
use super::events::detail;
use super::output::{self, Reader, clean, who};
use super::polling::{POLL_SECONDS, until_answered};
use super::{Format, Output, Target};

/// Entries of one answer, as many as furt gives.
const PAGE: usize = 1000;

#[derive(Args)]
pub(super) struct AuditArgs {
    /// Go on with what operators do next, until Ctrl-C
    #[arg(short, long, conflicts_with = "check")]
    follow: bool,
    /// Only those after this number, as "seq" has it in JSON; by default the last ones
    #[arg(long, value_name = "NUMBER", conflicts_with = "check")]
    after: Option<u64>,
    /// At most so many, up to 1000
    #[arg(long, value_name = "COUNT", default_value_t = 100, conflicts_with = "check",
          value_parser = clap::value_parser!(u16).range(1..=PAGE as i64))]
    limit: u16,
    /// Read all entries, and say whether one is missing or was changed
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

pub(super) fn run(args: &AuditArgs) -> Result<()> {
    if args.check {
        return check(args);
    }
    let mut answer: Audit<Value> = read(args, args.after, usize::from(args.limit), Duration::ZERO)?;
    loop {
        if let Reader::Gone = print(&answer.entries, args.format)? {
            return Ok(());
        }
        if !args.follow {
            return Ok(());
        }
        let after = Some(answer.next);
        answer = until_answered(|| read(args, after, PAGE, Duration::from_secs(POLL_SECONDS)));
    }
}

fn read<E: serde::de::DeserializeOwned>(
    args: &AuditArgs,
    after: Option<u64>,
    limit: usize,
    wait: Duration,
) -> Result<Audit<E>> {
    let (after, limit) = (after.map(|after| after.to_string()), limit.to_string());
    let seconds = wait.as_secs().to_string();
    let mut query = vec![("wait", seconds.as_str()), ("limit", limit.as_str())];
    query.extend(after.iter().map(|after| ("after", after.as_str())));
    ask_patiently(&args.target, "GET", &["internal", "audit"], &query, None, wait)?.read()
}

/// Prints entries; in JSON as they came.
fn print(entries: &[Value], format: Format) -> Result<Reader> {
    let line = |entry: &Value| match format.output {
        Output::Json => Ok(format!("{entry}\n")),
        Output::Text => Ok(text(&AuditEntry::deserialize(entry)?)),
    };
    output::try_print(&entries.iter().map(line).collect::<Result<String>>()?)
}

/// Time, who, action, of what, and the details as `name=value`.
fn text(entry: &AuditEntry) -> String {
    let of: Vec<_> =
        [&entry.service, &entry.instance, &entry.key].into_iter().flatten().map(|name| clean(name)).collect();
    let of = if of.is_empty() { "-".to_owned() } else { of.join("/") };
    let who = who(&entry.from, entry.by.as_deref());
    let mut line = format!("{}  {who}  {:17}  {of}", clean(entry.time.as_str()), clean(&entry.action));
    for (name, value) in &entry.details {
        line += &detail(name, value);
    }
    line + "\n"
}

/// A chain as far as it was read.
struct Chain {
    number: u64,
    sha256: String,
}

fn check(args: &AuditArgs) -> Result<()> {
    let mut chains: BTreeMap<String, Chain> = BTreeMap::new();
    let (mut after, mut count, mut faults) = (0, 0_u64, Vec::new());
    loop {
        let Audit { entries, next } = read::<AuditEntry>(args, Some(after), PAGE, Duration::ZERO)?;
        if entries.is_empty() {
            break;
        }
        for entry in entries {
            count += 1;
            faults.extend(follow(&mut chains, entry));
        }
        after = next;
    }
    for (gateway, Chain { number, sha256 }) in &chains {
        output::print(&format!("{}  entry {number} is the last one: {}\n", clean(gateway), clean(sha256)))?;
    }
    match faults.len() {
        0 => output::print(&format!("{count} entries are there, and none is missing between them\n")),
        broken => {
            faults.iter().for_each(|fault| output::note(fault));
            bail!("the audit is not whole: {broken} of its {count} entries do not follow the one before them")
        }
    }
}

/// Why an entry is none, or does not follow the one of its gateway that was read last; the first one may follow any that are not kept any more.
fn follow(chains: &mut BTreeMap<String, Chain>, entry: AuditEntry) -> Option<String> {
    let AuditEntry { seq, gateway, number, sha256, previous, time, action, .. } = entry;
    if action == "unreadable" {
        return Some(format!("what is stored at {seq} is no entry"));
    }
    let before = chains.insert(gateway.clone(), Chain { number, sha256 })?;
    if previous.as_ref() == Some(&before.sha256) && number == before.number + 1 {
        return None;
    }
    let (gateway, time) = (clean(&gateway), clean(time.as_str()));
    Some(format!("entry {number} of {gateway}, of {time}, does not follow entry {}", before.number))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(number: u64, sha256: &str, previous: Option<&str>) -> AuditEntry {
        serde_json::from_value(json!({
            "seq": number, "time": "2026-11-30T20:30:00.000Z", "gateway": "g:1", "number": number, "action": "drain-begin",
            "by": "alice", "from": "10.0.0.5", "service": "a", "instance": null, "key": null,
            "details": {"instances": ["one"], "until": "undo\u{1b}"}, "sha256": sha256, "previous": previous
        }))
        .unwrap()
    }

    #[test]
    fn an_entry_is_one_line_whatever_it_says() {
        let expected = "2026-11-30T20:30:00.000Z  alice at 10.0.0.5  drain-begin        a  instances=[\"one\"]  until=\"undo\\u001b\"\n";
        assert_eq!(text(&entry(1, "x", None)), expected);
    }

    #[test]
    fn what_is_missing_or_was_changed_is_found() {
        let faults = |entries: &[(u64, &str, Option<&str>)]| {
            let mut chains = BTreeMap::new();
            let all = entries.iter().map(|(number, sha256, previous)| entry(*number, sha256, *previous));
            all.filter_map(|entry| follow(&mut chains, entry)).count()
        };
        assert_eq!(faults(&[(1, "a", None), (2, "b", Some("a")), (3, "c", Some("b"))]), 0);
        assert_eq!(faults(&[(7, "b", Some("a")), (8, "c", Some("b"))]), 0, "older ones are not kept");
        assert_eq!(faults(&[(1, "a", None), (3, "c", Some("b"))]), 1, "one is missing");
        assert_eq!(faults(&[(1, "changed", None), (2, "b", Some("a"))]), 1, "one was changed");
        assert_eq!(faults(&[(1, "a", None), (2, "b", None)]), 1, "another chain");
        assert_eq!(faults(&[(1, "a", None), (5, "b", Some("a"))]), 1, "with another number");
        let nonsense = AuditEntry { action: "unreadable".to_owned(), ..entry(0, "x", None) };
        assert!(follow(&mut BTreeMap::new(), nonsense).unwrap().contains("is no entry"), "also the last one");
    }
}
