//! The nodes as tables: gateways that share the registry, or nodes of the cluster with what is wrong with it.

use std::cmp::Reverse;

use furt_api::cluster::{Cluster, LinkStatus, Member, NodeState, NodeStatus, SettingsId, Standing};
use furt_api::nodes::{Node, Nodes};

use crate::cli::members::{age, foreign, short};
use crate::cli::output::{cell, clean, table};

/// Digits of a fingerprint that a command to approve it has: so many cannot be met by trying keys.
const APPROVED_BY: usize = 16;
/// The widest cells of what nodes say of themselves.
const MAX_NAME: usize = 40;
const MAX_VERSION: usize = 20;

/// Which nodes of the cluster are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listed {
    /// Those that were heard within a day, and are not revoked.
    Recent,
    All,
}

pub(super) fn text(nodes: &Nodes, which: Listed) -> String {
    match (&nodes.cluster, &nodes.cluster_error) {
        (Some(cluster), _) => cluster_text(cluster, which),
        (None, Some(why)) => {
            format!("{}\nissue: the cluster cannot be shown: {}\n", gateways(&nodes.nodes), clean(why))
        }
        (None, None) => gateways(&nodes.nodes),
    }
}

fn gateways(nodes: &[Node]) -> String {
    let row = |node: &Node| {
        let mark = if node.this { "*" } else { "" };
        let internal = cell(node.internal.as_deref());
        vec![mark.to_owned(), clean(&node.name), clean(&node.version), internal, clean(&node.id)]
    };
    table(&["", "NAME", "VERSION", "INTERNAL", "ID"], &nodes.iter().map(row).collect::<Vec<_>>())
}

fn cluster_text(cluster: &Cluster, which: Listed) -> String {
    let mut members: Vec<_> = cluster.members.iter().filter(|one| which == Listed::All || is_recent(one)).collect();
    members.sort_by_key(|one| (Reverse(one.this), one.standing == Standing::Pending, one.name.clone()));
    let rows: Vec<_> = members.iter().map(|one| row(one, cluster)).collect();
    let header = ["NAME", "KEY", "VERSION", "STATE", "BEAT", "SKEW", "SETTINGS", "SECRET", "SERVICES", "NOTE"];
    let issues: String = cluster.issues.iter().map(|issue| format!("issue: {}\n", clean(issue))).collect();
    let hidden = cluster.members.len() - members.len();
    let more = if hidden > 0 { format!("{hidden} more with --all\n") } else { String::new() };
    format!("{}\n{}\n{more}{issues}", table(&header, &rows), about(cluster))
}

fn is_recent(member: &Member) -> bool {
    member.this || (member.state.is_some() && member.standing != Standing::Revoked)
}

/// Which cluster it is, and how the broker is.
fn about(cluster: &Cluster) -> String {
    let id = match &cluster.id {
        Some(id) => format!("cluster {}", clean(id)),
        None if cluster.joining => "no cluster yet: looking for the maker of the join token".to_owned(),
        None => "no cluster yet: furt cluster init makes one, furt cluster join joins one".to_owned(),
    };
    let why = cluster.link.why.as_deref().map(|why| format!(": {}", clean(why)));
    let link = match &cluster.link.status {
        LinkStatus::Up => "broker up".to_owned(),
        status => format!("broker {}{}", clean(status.as_str()), why.unwrap_or_default()),
    };
    format!("{id}, {link}")
}

fn row(member: &Member, cluster: &Cluster) -> Vec<String> {
    let state = match (&member.standing, &member.state) {
        (Standing::Member | Standing::Commander, Some(state)) => clean(state.as_str()),
        (Standing::Member | Standing::Commander, None) => "-".to_owned(),
        (standing, _) => clean(standing.as_str()),
    };
    let services = member.services.map(|services| format!("{} of {}", services.routed, services.registered));
    vec![
        cell(member.name.as_deref().map(|name| foreign(name, MAX_NAME)).as_ref()),
        short(&member.fingerprint),
        cell(member.version.as_deref().map(|version| foreign(version, MAX_VERSION)).as_ref()),
        state,
        cell(member.age.map(age).as_ref()),
        cell(member.skew_ms.map(|skew| format!("{skew:+} ms")).as_ref()),
        cell(settings(member).as_ref()),
        cell(member.secret.as_ref().map(|id| id.generation).as_ref()),
        cell(services.as_ref()),
        note(member, cluster),
    ]
}

/// The generation of the cluster's settings, and of the node's own where it has some.
fn settings(member: &Member) -> Option<String> {
    let generation = |id: &Option<SettingsId>| id.as_ref().map(|id| id.generation);
    match (generation(&member.settings), generation(&member.own_settings)) {
        (None, None) => None,
        (Some(cluster), None) => Some(cluster.to_string()),
        (cluster, Some(own)) => Some(format!("{} (own {own})", cluster.unwrap_or_default())),
    }
}

fn note(member: &Member, cluster: &Cluster) -> String {
    let mut notes = Vec::new();
    let mut note = |is_so: bool, what: &str| notes.extend(is_so.then(|| what.to_owned()));
    note(member.this, "this node");
    note(member.standing == Standing::Commander, "commander");
    note(member.status == Some(NodeStatus::Degraded), "degraded");
    let is_live = matches!(member.state, Some(NodeState::Active | NodeState::Late));
    let is_approved = matches!(member.standing, Standing::Member | Standing::Commander);
    if is_live && is_approved {
        let head = cluster.settings.iter().find(|one| one.node.is_none()).map(|one| &one.id);
        note(head.is_some() && head != member.settings.as_ref(), "other settings");
        let active = cluster.secret.active.as_ref();
        note(active.is_some() && active != member.secret.as_ref(), "other secret");
    }
    if member.standing == Standing::Pending && !member.this {
        note(member.state != Some(NodeState::Active), "not heard now");
        let key: String = foreign(&member.fingerprint, usize::MAX).chars().take(APPROVED_BY).collect();
        note(true, &format!("furt nodes approve {key}"));
    }
    notes.join(", ")
}

#[cfg(test)]
mod tests {
    use furt_api::Seconds;
    use furt_api::cluster::{Link, ScopeSettings, Secret, SecretId, ServiceCounts};

    use super::*;

    fn settings_of(generation: u64) -> SettingsId {
        SettingsId { generation, digest: generation.to_string().repeat(64) }
    }

    fn secret_of(generation: u64) -> SecretId {
        SecretId { generation, check: "0011223344556677".to_owned() }
    }

    fn member(name: &str, digit: &str, standing: Standing, state: Option<NodeState>) -> Member {
        Member {
            fingerprint: digit.repeat(64),
            name: Some(name.to_owned()),
            standing,
            state,
            age: Some(Seconds(2.4)),
            skew_ms: Some(3),
            version: Some("0.4.0".to_owned()),
            status: Some(NodeStatus::Healthy),
            boot: Some(1),
            settings: Some(settings_of(7)),
            own_settings: None,
            secret: Some(secret_of(2)),
            services: Some(ServiceCounts { routed: 41, registered: 42 }),
            registry: None,
            this: false,
        }
    }

    fn cluster(members: Vec<Member>) -> Cluster {
        Cluster {
            id: Some("c1".to_owned()),
            founder: Some("1".repeat(64)),
            fingerprint: "1".repeat(64),
            link: Link { status: LinkStatus::Up, why: None },
            joining: false,
            members,
            secret: Secret { active: Some(secret_of(2)), held: Vec::new(), next: None, waits_for: Vec::new() },
            settings: vec![ScopeSettings { node: None, id: settings_of(7) }],
            tokens: Vec::new(),
            issues: Vec::new(),
            refused: [].into_iter().collect(),
            beats: 1,
        }
    }

    fn shown(cluster: Cluster, which: Listed) -> String {
        text(&Nodes { nodes: Vec::new(), cluster: Some(cluster), cluster_error: None }, which)
    }

    #[test]
    fn a_line_says_how_a_node_is() {
        let active = Some(NodeState::Active);
        let silent = Member {
            age: Some(Seconds(7_300.0)),
            skew_ms: Some(-12),
            status: Some(NodeStatus::Leaving),
            settings: None,
            secret: None,
            services: None,
            ..member("edge_3.1", "3", Standing::Member, Some(NodeState::Silent))
        };
        let behind = Member {
            settings: Some(settings_of(6)),
            own_settings: Some(settings_of(2)),
            secret: None,
            status: Some(NodeStatus::Degraded),
            ..member("edge_2.812", "2", Standing::Member, active.clone())
        };
        let this = Member { this: true, ..member("edge_4.4711", "1", Standing::Commander, active.clone()) };
        let pending =
            Member { settings: None, secret: None, ..member("edge_0.55", "e", Standing::Pending, active.clone()) };
        let mut all = cluster(vec![silent, pending, behind, this]);
        all.issues = vec!["a revoked key may know the active secret; rotate it".to_owned(), "a\u{1b}[2J".to_owned()];
        let expected = "\
NAME         KEY       VERSION  STATE    BEAT  SKEW    SETTINGS   SECRET  SERVICES  NOTE
edge_4.4711  11111111  0.4.0    active   2 s   +3 ms   7          2       41 of 42  this node, commander
edge_2.812   22222222  0.4.0    active   2 s   +3 ms   6 (own 2)  -       41 of 42  degraded, other settings, other secret
edge_3.1     33333333  0.4.0    silent   2 h   -12 ms  -          -       -
edge_0.55    eeeeeeee  0.4.0    pending  2 s   +3 ms   -          -       41 of 42  furt nodes approve eeeeeeeeeeeeeeee

cluster c1, broker up
issue: a revoked key may know the active secret; rotate it
issue: a\u{fffd}[2J
";
        assert_eq!(shown(all, Listed::Recent), expected);
    }

    #[test]
    fn who_is_long_gone_or_revoked_is_listed_when_asked_for() {
        let members = || {
            let gone = Member { age: None, ..member("gone.1", "2", Standing::Member, None) };
            let own = Member { this: true, ..member("own.1", "4", Standing::Revoked, Some(NodeState::Active)) };
            cluster(vec![gone, member("bad.1", "3", Standing::Revoked, Some(NodeState::Active)), own])
        };
        let recent = shown(members(), Listed::Recent);
        assert!(!recent.contains("gone.1") && !recent.contains("bad.1"), "{recent}");
        assert!(recent.contains("own.1") && recent.contains("\n2 more with --all\n"), "{recent}");
        let all = shown(members(), Listed::All);
        let lines: Vec<Vec<_>> = all.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[3][..5], ["gone.1", "22222222", "0.4.0", "-", "-"], "{all}");
        assert_eq!(lines[2][..4], ["bad.1", "33333333", "0.4.0", "revoked"]);
        assert!(!all.contains("--all"));
    }

    #[test]
    fn a_strangers_words_neither_steer_the_terminal_nor_widen_the_table() {
        let hostile = Member {
            version: Some(format!("9\u{202e}\u{1b}[31m\n{}", "v".repeat(1_000))),
            ..member(&format!("\r\u{200b}{}", "n".repeat(1_000)), "\u{7}", Standing::Pending, None)
        };
        let hostile = Member { state: Some(NodeState::Other("up\u{9b}2J".to_owned())), ..hostile };
        let text = shown(cluster(vec![hostile]), Listed::All);
        assert!(text.lines().all(|line| line.chars().count() < 200), "{text}");
        assert!(!text.chars().any(|c| (c.is_control() && c != '\n') || "\u{202e}\u{200b}".contains(c)), "{text:?}");
        assert_eq!(text.lines().count(), 4, "{text}");
    }

    #[test]
    fn a_node_without_a_cluster_or_a_broker_says_so() {
        let with = |id: Option<&str>, joining, status, why: Option<&str>| {
            let link = Link { status, why: why.map(str::to_owned) };
            shown(Cluster { id: id.map(str::to_owned), joining, link, ..cluster(Vec::new()) }, Listed::Recent)
        };
        let last = |text: String| text.lines().last().unwrap().to_owned();
        assert!(last(with(None, false, LinkStatus::Up, None)).contains("furt cluster init"));
        assert!(last(with(None, true, LinkStatus::Up, None)).contains("looking for the maker"));
        assert_eq!(
            last(with(Some("c"), false, LinkStatus::Down, Some("refused\u{1b}"))),
            "cluster c, broker down: refused\u{fffd}"
        );
        assert_eq!(last(with(Some("c"), false, LinkStatus::Down, None)), "cluster c, broker down");
        let error = Nodes { nodes: Vec::new(), cluster: None, cluster_error: Some("it hangs".to_owned()) };
        assert!(text(&error, Listed::Recent).ends_with("\nissue: the cluster cannot be shown: it hangs\n"));
    }
}
