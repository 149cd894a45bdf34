//! `cluster token`, `tokens` and `drop-token`: join tokens of the running furt.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use furt_api::cluster::{DroppedToken, IssuedToken, JoinToken, NewToken};
use furt_api::nodes::Nodes;

use crate::cli::client::{ask, show};
use crate::cli::members::{ask_nodes, cluster_of};
use crate::cli::nodes::RoleArg;
use crate::cli::output::{clean, counted, note, print, print_json, table};
use crate::cli::{Format, Output, Target};
use furt_core::model::duration;

const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Args)]
pub(in crate::cli) struct TokenArgs {
    /// How many nodes may join by it, 1 to 256
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    uses: u32,
    /// For how long, such as "30m", "12h", at most "7d"
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = ttl)]
    ttl: Duration,
    /// What they may
    #[arg(long, value_enum, default_value_t = RoleArg::Member)]
    role: RoleArg,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

#[derive(Args)]
pub(in crate::cli) struct TokensArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

#[derive(Args)]
pub(in crate::cli) struct DropTokenArgs {
    /// As furt cluster tokens lists it
    id: String,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

fn ttl(text: &str) -> Result<Duration, String> {
    let time = duration(text).filter(|time| (Duration::from_secs(1)..=LONGEST).contains(time));
    let time = time.filter(|time| time.subsec_nanos() == 0);
    time.ok_or_else(|| "must be a time such as \"30m\" or \"12h\", 1s to 7d in whole seconds".to_owned())
}

pub(super) fn make(args: &TokenArgs) -> Result<()> {
    let body = NewToken { uses: Some(args.uses), ttl_s: Some(args.ttl.as_secs()), role: Some(args.role.into()) };
    let body = serde_json::to_string(&body)?;
    let answer = ask(&args.target, "POST", &["internal", "cluster", "tokens"], &[], Some(body))?;
    show(args.format, &answer, |answer: IssuedToken| format!("{}\n", clean(&answer.token)))?;
    if args.format.output == Output::Text {
        let IssuedToken { id, until, .. } = answer.read()?;
        let (nodes, until, id) = (counted(args.uses.into(), "node"), clean(until.as_str()), clean(&id));
        note(&format!("{nodes} may join by it until {until}; furt cluster drop-token {id} ends it"));
    }
    Ok(())
}

pub(super) fn list(args: &TokensArgs) -> Result<()> {
    let cluster = cluster_of(&args.target, ask_nodes(&args.target)?.read::<Nodes>()?)?;
    match args.format.output {
        Output::Json => print_json(&cluster.tokens),
        Output::Text => print(&text(&cluster.tokens)),
    }
}

fn text(tokens: &[JoinToken]) -> String {
    let row = |token: &JoinToken| {
        vec![clean(&token.id), token.uses.to_string(), clean(token.role.as_str()), clean(token.until.as_str())]
    };
    table(&["ID", "USES LEFT", "ROLE", "UNTIL"], &tokens.iter().map(row).collect::<Vec<_>>())
}

pub(super) fn drop_token(args: &DropTokenArgs) -> Result<()> {
    let answer = ask(&args.target, "DELETE", &["internal", "cluster", "tokens", &args.id], &[], None)?;
    show(args.format, &answer, |answer: DroppedToken| format!("nobody joins by token {} any more\n", clean(&answer.id)))
}

#[cfg(test)]
mod tests {
    use furt_api::cluster::Role;

    use super::*;

    #[test]
    fn a_token_lives_for_a_second_to_a_week() {
        for (text, seconds) in [("1", 1), ("1s", 1), ("90m", 5_400), ("1h", 3_600), ("7d", 604_800)] {
            assert_eq!(ttl(text), Ok(Duration::from_secs(seconds)));
        }
        for bad in ["", "0", "0.5s", "1.5s", "500ms", "8d", "604801", "-1h", "x", "1w"] {
            assert!(ttl(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_token_has_a_line() {
        let token = JoinToken {
            id: "0707070707070707".to_owned(),
            uses: 2,
            until: "2025-11-14T20:30:00Z".to_owned().into(),
            role: Role::Member,
        };
        let expected = "\
ID                USES LEFT  ROLE    UNTIL
0707070707070707  2          member  2025-11-14T20:30:00Z
";
        assert_eq!(text(&[token]), expected);
    }
}
