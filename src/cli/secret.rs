//! `secret`: the secret that the nodes of a cluster share, by its generations and check values; never itself.

use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};
use furt_api::cluster::{Adopt, AdoptedSecret, Cluster, Rotating};
use furt_api::nodes::Nodes;

use super::client::{ask, ask_patiently, show};
use super::members::{ask_nodes, cluster_of, foreign, secret, short};
use super::output::{print, print_json};
use super::{Format, Output, Target, examples};

/// The longest wait for another secret: an arbiter decides, and a broker of several may be lost meanwhile.
const LONGEST: Duration = Duration::from_secs(35);

#[derive(Subcommand)]
pub(super) enum SecretVerb {
    /// Show which secret is active, and who waits for the next one
    #[command(after_help = examples::SECRET_STATUS)]
    Status(StatusArgs),
    /// Make the next secret; it becomes active once every approved node that is there has it
    #[command(after_help = examples::SECRET_ROTATE)]
    Rotate(RotateArgs),
    /// Of two secrets of one generation take this one, at all nodes
    #[command(after_help = examples::SECRET_ADOPT)]
    Adopt(AdoptArgs),
}

#[derive(Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

#[derive(Args)]
pub(super) struct RotateArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

#[derive(Args)]
pub(super) struct AdoptArgs {
    /// The secret's check value, as furt nodes tells it where there are two
    check: String,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

pub(super) fn run(verb: &SecretVerb) -> Result<()> {
    match verb {
        SecretVerb::Status(args) => status(args),
        SecretVerb::Rotate(args) => rotate(args),
        SecretVerb::Adopt(args) => adopt(args),
    }
}

fn status(args: &StatusArgs) -> Result<()> {
    let cluster = cluster_of(&args.target, ask_nodes(&args.target)?.read::<Nodes>()?)?;
    match args.format.output {
        Output::Json => print_json(&cluster.secret),
        Output::Text => print(&text(&cluster)),
    }
}

fn text(cluster: &Cluster) -> String {
    let state = &cluster.secret;
    let name = |key: &String| {
        let member = cluster.members.iter().find(|member| member.fingerprint == *key);
        let name = member.and_then(|member| member.name.as_deref());
        name.map_or_else(|| short(key), |name| format!("{} ({})", foreign(name, 74), short(key)))
    };
    let active = state.active.as_ref().map_or_else(|| "none yet".to_owned(), secret);
    let held = state.held.iter().filter(|id| Some(*id) != state.active.as_ref() && Some(*id) != state.next.as_ref());
    let held: String = held.map(|id| format!("also held  {}\n", secret(id))).collect();
    let next = state.next.as_ref().map(|next| {
        let missing: Vec<_> = state.waits_for.iter().map(name).collect();
        let missing = if missing.is_empty() { "nobody".to_owned() } else { missing.join(", ") };
        format!("next       {}\nwaits for  {missing}\n", secret(next))
    });
    format!("active     {active}\n{held}{}", next.unwrap_or_default())
}

fn rotate(args: &RotateArgs) -> Result<()> {
    let path = ["internal", "cluster", "secret", "rotate"];
    let answer = ask_patiently(&args.target, "POST", &path, &[], None, LONGEST)?;
    show(args.format, &answer, |answer: Rotating| {
        let next = secret(&answer.secret);
        format!("announced {next}; it becomes active once every node that is there has it: see furt secret status\n")
    })
}

fn adopt(args: &AdoptArgs) -> Result<()> {
    let body = serde_json::to_string(&Adopt { check: args.check.clone() })?;
    let answer = ask(&args.target, "POST", &["internal", "cluster", "secret", "adopt"], &[], Some(body))?;
    show(args.format, &answer, |answer: AdoptedSecret| format!("adopted {}\n", secret(&answer.secret)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rotation_says_whom_it_waits_for() {
        let id = |generation: u64| json!({"generation": generation, "check": format!("{generation:016x}")});
        let with = |secret: serde_json::Value| {
            let member = json!({"fingerprint": "bbbbbbbbbb", "name": "edge\u{1b}.1", "standing": "member", "state": null, "age": null,
                "skew_ms": null, "version": null, "status": null, "boot": null, "settings": null, "own_settings": null, "secret": null,
                "services": null, "registry": null, "this": false});
            let cluster = json!({"id": null, "founder": null, "fingerprint": "a", "link": {"status": "up", "why": null},
                "joining": false, "members": [member], "secret": secret, "settings": [], "tokens": [], "issues": [], "refused": {}, "beats": 0});
            text(&serde_json::from_value(cluster).unwrap())
        };
        let none = with(json!({"active": null, "held": [], "next": null, "waits_for": []}));
        assert_eq!(none, "active     none yet\n");
        let all = with(
            json!({"active": id(2), "held": [id(1), id(2), id(3)], "next": id(3), "waits_for": ["bbbbbbbbbb", "cccccccccc"]}),
        );
        let expected = "\
active     generation 2, check 0000000000000002
also held  generation 1, check 0000000000000001
next       generation 3, check 0000000000000003
waits for  edge\u{fffd}.1 (bbbbbbbb), cccccccc
";
        assert_eq!(all, expected);
    }
}
