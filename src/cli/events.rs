//! `events`: what happened in the registry, a line an event; with `--follow`, as `watch` does, until Ctrl-C, over restarts of furt.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use furt_api::events::{Event, Events};
use serde::Deserialize as _;
use serde_json::Value;

use super::client::ask_patiently;
use super::output::{self, Reader, clean};
use super::polling::{POLL_SECONDS, until_answered};
use super::{Format, Output, Target};

#[derive(Args)]
pub(super) struct EventsArgs {
    /// Go on with what happens next, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    which: WatchArgs,
}

#[derive(Args)]
pub(super) struct WatchArgs {
    /// Only those after this number, as "seq" has it in JSON; by default all that are kept, the last 1,000
    #[arg(long, value_name = "NUMBER")]
    after: Option<u64>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

pub(super) fn run(args: &EventsArgs) -> Result<()> {
    show(&args.which, args.follow)
}

pub(super) fn watch(args: &WatchArgs) -> Result<()> {
    show(args, true)
}

fn show(args: &WatchArgs, follows: bool) -> Result<()> {
    let mut after = args.after;
    let mut answer = poll(&args.target, after, Duration::ZERO)?;
    loop {
        if answer.lost {
            output::note("events before these are lost: furt keeps the last 1,000, of its present run");
        }
        if let Reader::Gone = print(&answer.events, args.format)? {
            return Ok(());
        }
        if !follows {
            return Ok(());
        }
        after = Some(answer.next);
        answer = until_answered(|| poll(&args.target, after, Duration::from_secs(POLL_SECONDS)));
    }
}

fn poll(target: &Target, after: Option<u64>, wait: Duration) -> Result<Events<Value>> {
    let (after, seconds) = (after.map(|after| after.to_string()), wait.as_secs().to_string());
    let mut query = vec![("wait", seconds.as_str())];
    query.extend(after.iter().map(|after| ("after", after.as_str())));
    ask_patiently(target, "GET", &["internal", "events"], &query, None, wait)?.read()
}

/// Prints events; in JSON as they came.
fn print(events: &[Value], format: Format) -> Result<Reader> {
    let line = |event: &Value| match format.output {
        Output::Json => Ok(format!("{event}\n")),
        Output::Text => Ok(text(&Event::deserialize(event)?)),
    };
    output::try_print(&events.iter().map(line).collect::<Result<String>>()?)
}

/// Time, kind, whose, and the details as `name=value`.
fn text(event: &Event) -> String {
    let whose: Vec<_> = [&event.service, &event.instance].into_iter().flatten().map(String::as_str).collect();
    let whose = if whose.is_empty() { "-".to_owned() } else { whose.join("/") };
    let mut line = format!("{}  {:17}  {whose}", clean(event.time.as_str()), clean(&event.kind));
    for (name, value) in &event.details {
        line += &detail(name, value);
    }
    line + "\n"
}

/// `name=value` after two spaces.
pub(super) fn detail(name: &str, value: &Value) -> String {
    let is_plain = |text: &&str| !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && c != '"');
    let shown = value.as_str().filter(is_plain).map_or_else(|| clean(&value.to_string()), str::to_owned);
    format!("  {}={shown}", clean(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_it_says() {
        let event = json!({ "seq": 1, "time": "2025-11-14T20:30:00.000Z", "kind": "probe-failed", "service": "a",
            "instance": "a1", "failures": 2, "why": "line\nfeed \u{1b}[31m" });
        let expected =
            "2025-11-14T20:30:00.000Z  probe-failed       a/a1  failures=2  why=\"line\\nfeed \\u001b[31m\"\n";
        assert_eq!(text(&Event::deserialize(event).unwrap()), expected);
        let event = json!({ "seq": 1, "time": "t", "kind": "addresses-changed", "service": null, "instance": null,
            "static": "static route 0", "addresses": ["10.0.0.1:80"] });
        let text = text(&Event::deserialize(event).unwrap());
        assert_eq!(text, "t  addresses-changed  -  static=\"static route 0\"  addresses=[\"10.0.0.1:80\"]\n");
    }
}
