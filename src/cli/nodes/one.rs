//! `nodes approve`, `revoke`, `forget` and `show`: one node of the cluster, by its key.

use anyhow::Result;
use clap::Args;
use furt_api::Outcome;
use furt_api::cluster::{Approve, ApprovedNode, ForgottenNode, Member, RevokedNode, SettingsId};
use furt_api::nodes::Nodes;

use super::RoleArg;
use crate::cli::client::{ask, show as show_answer};
use crate::cli::members::{age, ask_nodes, cluster_of, find, foreign, secret};
use crate::cli::output::{cell, clean, note, print, print_json};
use crate::cli::{Format, Output, Target};

#[derive(Args)]
pub(super) struct ApproveArgs {
    /// The node's fingerprint, or at least 8 digits that it begins with; a name does not count
    key: String,
    /// What the node may
    #[arg(long, value_enum, default_value_t = RoleArg::Member)]
    role: RoleArg,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

#[derive(Args)]
pub(super) struct KeyArgs {
    /// The node's fingerprint, or at least 8 digits that it begins with; a name does not count
    key: String,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

#[derive(Args)]
pub(super) struct NamedArgs {
    /// The node's fingerprint, at least 8 digits that it begins with, or its name
    key: String,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

pub(super) fn approve(args: &ApproveArgs) -> Result<()> {
    let body = serde_json::to_string(&Approve { role: Some(args.role.into()) })?;
    let path = ["internal", "cluster", "nodes", &args.key, "approve"];
    let answer = ask(&args.target, "POST", &path, &[], Some(body))?;
    show_answer(args.format, &answer, |answer: ApprovedNode| {
        let key = clean(&answer.fingerprint);
        match answer.status {
            Outcome::Trusted => format!("{key} may welcome this node into its cluster\n"),
            _ => format!("approved {key} as {}\n", clean(answer.role.as_str())),
        }
    })
}

pub(super) fn revoke(args: &KeyArgs) -> Result<()> {
    let path = ["internal", "cluster", "nodes", &args.key, "revoke"];
    let answer = ask(&args.target, "POST", &path, &[], None)?;
    show_answer(args.format, &answer, |answer: RevokedNode| {
        let again = answer.approved_again.iter().map(|key| format!("approved {} again, as this node\n", clean(key)));
        format!("revoked {}, for ever\n{}", clean(&answer.fingerprint), again.collect::<String>())
    })?;
    note("the node may know the cluster's secret: furt secret rotate makes another one");
    Ok(())
}

pub(super) fn forget(args: &NamedArgs) -> Result<()> {
    let path = ["internal", "cluster", "nodes", &args.key];
    let answer = ask(&args.target, "DELETE", &path, &[], None)?;
    show_answer(args.format, &answer, |answer: ForgottenNode| format!("forgot {}\n", clean(&answer.fingerprint)))
}

pub(super) fn show(args: &NamedArgs) -> Result<()> {
    let cluster = cluster_of(&args.target, ask_nodes(&args.target)?.read::<Nodes>()?)?;
    let member = find(&cluster, &args.key)?;
    match args.format.output {
        Output::Json => print_json(member),
        Output::Text => print(&text(member)),
    }
}

/// A line for each fact.
fn text(member: &Member) -> String {
    let settings = |id: &Option<SettingsId>| {
        id.as_ref().map(|id| format!("generation {}, {}", id.generation, foreign(&id.digest, 64)))
    };
    let words = |text: &Option<String>| cell(text.as_deref().map(|text| foreign(text, 100)).as_ref());
    let registry = member.registry.as_ref();
    let registry = registry.map(|point| format!("epoch {}, revision {}", foreign(&point.epoch, 36), point.revision));
    let facts = [
        ("fingerprint", foreign(&member.fingerprint, 64)),
        ("name", words(&member.name)),
        ("standing", clean(member.standing.as_str())),
        ("state", cell(member.state.as_ref().map(|state| state.as_str()))),
        ("heard", cell(member.age.map(|since| format!("{} ago", age(since))).as_ref())),
        ("skew", cell(member.skew_ms.map(|skew| format!("{skew:+} ms")).as_ref())),
        ("version", words(&member.version)),
        ("status", cell(member.status.as_ref().map(|status| status.as_str()))),
        ("boot", cell(member.boot.as_ref())),
        ("settings", cell(settings(&member.settings).as_ref())),
        ("own settings", cell(settings(&member.own_settings).as_ref())),
        ("secret", cell(member.secret.as_ref().map(secret).as_ref())),
        (
            "services",
            cell(member.services.map(|services| format!("{} of {}", services.routed, services.registered)).as_ref()),
        ),
        ("registry", cell(registry.as_ref())),
    ];
    facts.iter().map(|(name, value)| format!("{name:14}{value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use furt_api::cluster::Cluster;
    use serde_json::json;

    use super::*;

    fn member(fingerprint: &str, name: &str) -> serde_json::Value {
        json!({"fingerprint": fingerprint, "name": name, "standing": "member", "state": "active", "age": 1.0, "skew_ms": 0,
               "version": "1\u{1b}[31m", "status": "healthy", "boot": 7, "settings": null, "own_settings": {"generation": 1, "digest": "d"},
               "secret": {"generation": 2, "check": "0011223344556677"}, "services": {"routed": 1, "registered": 2},
               "registry": {"epoch": "e", "revision": 9}, "this": false})
    }

    fn cluster() -> Cluster {
        let members = [
            member("aaaaaaaa11", "a.1"),
            member("aaaaaaaa22", "b.1"),
            member("bbbbbbbb00", "b.1"),
            member("cccccccc00", "aaaaaaaa"),
        ];
        serde_json::from_value(
            json!({"id": null, "founder": null, "fingerprint": "a", "link": {"status": "up", "why": null},
            "joining": false, "members": members, "secret": {"active": null, "held": [], "next": null, "waits_for": []},
            "settings": [], "tokens": [], "issues": [], "refused": {}, "beats": 0}),
        )
        .unwrap()
    }

    #[test]
    fn a_node_is_found_by_its_key_or_its_name() {
        let cluster = cluster();
        for (text, meant) in [
            ("aaaaaaaa1", "aaaaaaaa11"),
            ("AAAAAAAA22", "aaaaaaaa22"),
            ("bbbbbbbb", "bbbbbbbb00"),
            ("a.1", "aaaaaaaa11"),
        ] {
            assert_eq!(find(&cluster, text).unwrap().fingerprint, meant);
        }
        // One that calls itself like a key takes nothing from it.
        for (text, why) in
            [("aaaaaaaa", "several"), ("b.1", "several"), ("bbbbbbb", "no node"), ("", "no node"), ("c.1", "no node")]
        {
            let told = find(&cluster, text).unwrap_err().to_string();
            assert!(told.contains(why), "{told}");
        }
    }

    #[test]
    fn every_fact_has_a_line() {
        let text = text(&cluster().members[0]);
        assert_eq!(text.lines().count(), 14);
        for line in [
            "heard         1 s ago",
            "version       1\u{fffd}[31m",
            "settings      -",
            "own settings  generation 1, d",
            "secret        generation 2, check 0011223344556677",
            "services      1 of 2",
            "registry      epoch e, revision 9",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
        }
    }
}
