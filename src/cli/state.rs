//! `export`, `diff`, `apply`: what operators make at run time, as a file that says what is to be there.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use furt_api::Outcome;
use furt_api::desired::{Applied, DesiredChange, Exported};
use serde_json::{Map, Value};

use super::client::{Answer, ask_patiently, show};
use super::output::{self, clean, counted, note};
use super::{Format, Output, Target};

/// How much longer than usual furt may take with a file.
const WAIT: Duration = Duration::from_secs(30);
/// `diff` ends with it where something differs.
const DIFFERS: u8 = 3;
/// Digits of a digest that are shown.
const DIGEST_DIGITS: usize = 12;

#[derive(Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

#[derive(Args)]
pub(super) struct DiffArgs {
    #[command(flatten)]
    file: FileArg,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

#[derive(Args)]
pub(super) struct ApplyArgs {
    #[command(flatten)]
    file: FileArg,
    /// Say what would be changed, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Where a shared store takes no more at once, change one part after the other; what is stopped goes on with the same command
    #[arg(long)]
    in_parts: bool,
    /// Change nothing unless what is there has this revision, as export, diff and apply tell it
    #[arg(long, value_name = "REVISION")]
    revision: Option<String>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

#[derive(Args)]
struct FileArg {
    /// The file that says what is to be there, in TOML or JSON; "-" is stdin
    #[arg(short, long = "file", value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn export(args: &ExportArgs) -> Result<()> {
    let answer = ask_patiently(&args.target, "GET", &["internal", "export"], &[], None, WAIT)?;
    match args.format.output {
        // As furt itself writes it: what it is compared by is no part of what is to be there.
        Output::Json => output::print_json(&answer.read::<Exported>()?.state),
        Output::Text => {
            let Exported { revision, state } = answer.read()?;
            let text = toml::to_string_pretty(&state).context("the answer is no TOML")?;
            output::print(&format!("# revision {}\n{text}", clean(&revision)))
        }
    }
}

pub(super) fn diff(args: &DiffArgs) -> ExitCode {
    let compared = body(&args.file.file).and_then(|body| {
        let answer = post(&args.target, &body, &[("dry_run", "true")])?;
        let applied: Applied = answer.read()?;
        show(args.format, &answer, |applied: Applied| told(&applied.changes) + &summary(&applied.changes, "to "))?;
        revision_noted(args.format, &applied);
        Ok(applied)
    });
    match compared {
        Ok(applied) if applied.changes.is_empty() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(DIFFERS),
        Err(error) => {
            output::fail(&error);
            ExitCode::FAILURE
        }
    }
}

pub(super) fn apply(args: &ApplyArgs) -> Result<()> {
    let body = body(&args.file.file)?;
    let given: Vec<_> = args.revision.iter().map(|revision| ("revision", revision.as_str())).collect();
    let looked_at = post(&args.target, &body, &[&given[..], &[("dry_run", "true")]].concat())?;
    let compared: Applied = looked_at.read()?;
    if args.dry_run || compared.changes.is_empty() {
        show(args.format, &looked_at, |applied: Applied| told(&applied.changes) + &summary(&applied.changes, "to "))?;
        revision_noted(args.format, &compared);
        return Ok(());
    }
    if args.format.output == Output::Text {
        output::print(&told(&compared.changes))?;
    }
    let applied = in_parts(args, &body, &compared)?;
    match args.format.output {
        Output::Json => output::print_json(&applied),
        Output::Text => {
            output::print(&summary(&applied.changes, ""))?;
            revision_noted(args.format, &applied);
            Ok(())
        }
    }
}

/// Changes what was shown, and nothing else: what is there must be what was looked at.
fn in_parts(args: &ApplyArgs, body: &str, compared: &Applied) -> Result<Applied> {
    let all = compared.changes.len();
    let mut done = Applied { changes: Vec::new(), ..compared.clone() };
    loop {
        let parts: &[_] = if args.in_parts { &[("in_parts", "true")] } else { &[] };
        let query = [&[("revision", done.revision.as_str())], parts].concat();
        let part = post(&args.target, body, &query).and_then(|answer| answer.read::<Applied>());
        let mut part = match part {
            Ok(part) => part,
            Err(error) if done.changes.is_empty() => return Err(error),
            Err(error) => {
                let count = done.changes.len();
                return Err(error.context(format!(
                    "stopped after {count} of {all} changes, which stand; the same command goes on from there"
                )));
            }
        };
        let is_over = part.left == 0;
        done.changes.append(&mut part.changes);
        done = Applied { changes: done.changes, status: Outcome::Applied, ..part };
        if is_over {
            return Ok(done);
        }
        note(&format!("{} of {all} changes are stored", done.changes.len()));
    }
}

fn post(target: &Target, body: &str, query: &[(&str, &str)]) -> Result<Answer> {
    ask_patiently(target, "POST", &["internal", "apply"], query, Some(body.to_owned()), WAIT)
}

fn revision_noted(format: Format, applied: &Applied) {
    if format.output == Output::Text {
        note(&format!("revision {}", clean(&applied.revision)));
    }
}

/// A file as JSON, whose fields furt itself judges.
fn body(file: &Path) -> Result<String> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).context("stdin cannot be read")?;
    } else {
        text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    }
    parse(&text).with_context(|| file.display().to_string())
}

fn parse(text: &str) -> Result<String> {
    if text.trim().is_empty() {
        bail!("it is empty; {{}} says nothing of any collection");
    }
    if text.trim_start().starts_with('{') {
        _ = serde_json::from_str::<serde::de::IgnoredAny>(text).context("it is no JSON")?;
        return Ok(text.to_owned());
    }
    let table: toml::Table = text.parse().context("it is no TOML")?;
    Ok(json_of(toml::Value::Table(table)).to_string())
}

/// Times are texts in JSON.
fn json_of(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(truth) => truth.into(),
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Array(list) => list.into_iter().map(json_of).collect(),
        toml::Value::Table(table) => {
            Value::Object(table.into_iter().map(|(name, value)| (name, json_of(value))).collect())
        }
    }
}

/// A line a record, and what differs below it.
fn told(changes: &[DesiredChange]) -> String {
    let mut text = String::new();
    for DesiredChange { kind, name, before, after } in changes {
        let sign = match (before, after) {
            (None, _) => '+',
            (Some(_), None) => '-',
            (Some(_), Some(_)) => '~',
        };
        _ = writeln!(text, "{sign} {} {}", clean(kind.as_str()), clean(name));
        let fields = |record: &Option<Value>| record.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
        if after.is_some() {
            text.push_str(&differing(&fields(before), &fields(after)));
        }
    }
    text
}

fn differing(before: &Map<String, Value>, after: &Map<String, Value>) -> String {
    let mut names: Vec<_> = before.keys().chain(after.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let mut text = String::new();
    for name in names.into_iter().filter(|name| !["name", "service"].contains(&name.as_str())) {
        let (was, is) = (before.get(name), after.get(name));
        if was == is {
            continue;
        }
        let was = if before.is_empty() { String::new() } else { format!("{} -> ", shown(was)) };
        _ = writeln!(text, "    {}: {was}{}", clean(name), shown(is));
    }
    text
}

fn shown(value: Option<&Value>) -> String {
    match value.map(shortened) {
        None => "nothing".to_owned(),
        Some(value) => clean(&value.to_string()),
    }
}

/// Of digests as much as tells two of them apart.
fn shortened(value: &Value) -> Value {
    match value {
        Value::String(text) if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            format!("{}…", &text[..DIGEST_DIGITS]).into()
        }
        Value::Array(list) => list.iter().map(shortened).collect(),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), shortened(value))).collect())
        }
        other => other.clone(),
    }
}

/// `word`: what stands before each verb.
fn summary(changes: &[DesiredChange], word: &str) -> String {
    if changes.is_empty() {
        return "nothing differs\n".to_owned();
    }
    let count = |is_it: fn(&DesiredChange) -> bool| changes.iter().filter(|change| is_it(change)).count() as u64;
    let new = count(|change| change.before.is_none());
    let gone = count(|change| change.after.is_none());
    let other = changes.len() as u64 - new - gone;
    let verbs = if word.is_empty() { ["added", "changed", "removed"] } else { ["add", "change", "remove"] };
    let part = |number: u64, verb: &str| format!("{} {word}{verb}", counted(number, "record"));
    let parts = [part(new, verbs[0]), part(other, verbs[1]), part(gone, verbs[2])];
    let said: Vec<_> = parts.into_iter().zip([new, other, gone]).filter(|(_, number)| *number > 0).collect();
    format!("{}\n", said.into_iter().map(|(text, _)| text).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use furt_api::desired::DesiredState;
    use serde_json::json;

    use super::*;

    fn change(before: Option<Value>, after: Option<Value>) -> DesiredChange {
        DesiredChange { kind: furt_api::desired::DesiredKind::Key, name: "ci".to_owned(), before, after }
    }

    #[test]
    fn a_file_is_toml_or_json() {
        let toml = "[[keys]]\nname = 'ci'\nexpires = 2030-01-31T12:00:00Z\nburst = 5\n\
                    [[splits]]\nservice = 's'\n[splits.versions]\n'2.4.0' = 5.5\n'1.0' = 1\n";
        let expected = json!({
            "keys": [{"name": "ci", "expires": "2030-01-31T12:00:00Z", "burst": 5}],
            "splits": [{"service": "s", "versions": {"2.4.0": 5.5, "1.0": 1}}],
        });
        let read = parse(toml).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&read).unwrap(), expected);
        assert!(read.find("2.4.0") < read.find("1.0"), "versions keep their order: {read}");
        assert_eq!(parse(" {\"keys\": []}").unwrap(), " {\"keys\": []}");
        for bad in ["", " \n", "{", "keys = ", "[keys"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_exported_can_be_read_again() {
        let state: DesiredState = serde_json::from_value(json!({
            "grants": [{"service": "a", "paths": ["/a/*"], "public": true}],
            "keys": [{"name": "k", "sha256": "0".repeat(64), "permissions": ["*"],
                "old": [{"sha256": "1".repeat(64), "until": "2030-01-31T12:00:00Z"}], "expires": "2031-01-31T12:00:00Z"}],
            "maintenance": [],
            "splits": [{"service": "s", "versions": {"2": 5.5, "1": 0.25}, "header": "x-canary", "strict": true}],
        }))
        .unwrap();
        let text = toml::to_string_pretty(&state).unwrap();
        let read: DesiredState = serde_json::from_str(&parse(&text).unwrap()).unwrap();
        assert_eq!(read, state, "{text}");
    }

    #[test]
    fn what_differs_is_told_field_by_field() {
        let sha256 = "ab".repeat(32);
        let (one, other) = (
            json!({"name": "ci", "permissions": ["a"], "sha256": sha256, "rate": "5/s"}),
            json!({"name": "ci", "permissions": ["a"], "sha256": "cd".repeat(32), "burst": 7}),
        );
        assert_eq!(
            told(&[change(Some(one.clone()), Some(other))]),
            "~ key ci\n    burst: nothing -> 7\n    rate: \"5/s\" -> nothing\n    sha256: \"abababababab…\" -> \"cdcdcdcdcdcd…\"\n"
        );
        assert_eq!(
            told(&[change(None, Some(one.clone())), change(Some(one), None)]),
            "+ key ci\n    permissions: [\"a\"]\n    rate: \"5/s\"\n    sha256: \"abababababab…\"\n- key ci\n"
        );
    }

    #[test]
    fn the_summary_counts() {
        let all = [change(None, Some(json!({}))), change(Some(json!({})), None), change(None, Some(json!({})))];
        assert_eq!(summary(&all, ""), "2 records added, 1 record removed\n");
        assert_eq!(summary(&all[..1], "to "), "1 record to add\n");
        assert_eq!(summary(&[], "to "), "nothing differs\n");
    }
}
