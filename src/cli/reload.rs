//! `reload`: has the running furt read its configuration again, and tells what came of it.

use anyhow::Result;
use clap::Args;
use furt_api::reload::Reloaded;

use super::client::{ask, show};
use super::output::{clean, place};
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
    show(args.format, &answer, |answer: Reloaded| {
        let changed: Vec<_> = answer.changed.iter().map(|key| clean(key)).collect();
        let changed = if changed.is_empty() { "nothing changed".to_owned() } else { changed.join(", ") };
        let mut text = format!("reloaded as generation {}: {changed}\n", answer.generation);
        for key in &answer.needs_restart {
            text += &format!("needs a restart: {}{}\n", place(&key.place), clean(&key.key));
        }
        for blocked in &answer.blocked {
            let (service, why) = (clean(blocked.service.as_str()), clean(&blocked.why));
            text += &format!("kept but not routed: {service}: {why}\n");
        }
        for skipped in &answer.skipped_rules {
            let (line, route, why) = (skipped.line, clean(&skipped.route), clean(&skipped.why));
            let of = skipped.service.as_ref().map(|service| format!(" of {}", clean(service.as_str())));
            text += &format!("the rule in line {line} is skipped for {route}{}: {why}\n", of.unwrap_or_default());
        }
        text
    })
}
