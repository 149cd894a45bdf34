//! `reload`: has the running furt read its configuration again, and tells what came of it.

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use super::client::{ask, show};
use super::output::cell;
use super::{Format, Target};

#[derive(Args)]
pub(super) struct ReloadArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

pub(super) fn run(args: &ReloadArgs) -> Result<()> {
    let answer = ask(&args.target, "POST", &["internal", "reload"], &[], None)?;
    show(args.format, &answer, |answer| {
        let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
        let changed: Vec<_> = list("changed").iter().map(cell).collect();
        let changed = if changed.is_empty() { "nothing changed".to_owned() } else { changed.join(", ") };
        let mut text = format!("reloaded as generation {}: {changed}\n", cell(&answer["generation"]));
        for key in list("needs_restart") {
            text += &format!("needs a restart: {}{}\n", place(&key), cell(&key["key"]));
        }
        for blocked in list("blocked") {
            text += &format!("kept but not routed: {}: {}\n", cell(&blocked["service"]), cell(&blocked["why"]));
        }
        text
    })
}

/// `file:line:column: ` as far as an answer has it; the variable where the environment is to blame.
pub(super) fn place(of: &Value) -> String {
    let members = ["variable", "file", "line", "column"].map(|name| &of[name]);
    members.into_iter().filter(|one| !one.is_null()).map(|one| cell(one) + ":").collect::<String>()
        + if of["file"].is_null() && of["variable"].is_null() { "" } else { " " }
}
