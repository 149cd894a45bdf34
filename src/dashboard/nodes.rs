//! The page of the gateways that share the registry, and of the cluster that this one belongs to.

use furt_api::cluster::{Cluster, Member};
use furt_api::nodes::Nodes;
use maud::{Markup, html};

use super::words::{span, tag};
use super::{Content, List, Section};

/// The page of the gateways.
pub fn nodes(nodes: &Nodes) -> Content {
    let gateways = nodes.nodes.iter().map(|node| {
        let cells = html! {
            th scope="row" { (node.name) @if node.this { (tag("this one")) } }
            td { (node.version) }
            td { @match &node.internal { Some(internal) => code { (internal) }, None => "–" } }
            td { code { (node.id) } }
        };
        (node.id.clone(), cells)
    });
    let rows = List::rows("gateways", gateways);
    let cluster = List::part("cluster", cluster(nodes));
    let body = html! {
        h1 { "Nodes" }
        section aria-labelledby="gateways-title" {
            h2 #gateways-title { "Gateways that share the registry" }
            div .scroll tabindex="0" role="group" aria-label="Gateways" {
                table {
                    thead { tr { th scope="col" { "Name" } th scope="col" { "Version" } th scope="col" { "Internal listener" } th scope="col" { "Id" } } }
                    (rows)
                }
            }
        }
        (cluster)
    };
    Content { title: "Nodes".to_owned(), section: Section::Nodes, body, lists: vec![rows, cluster] }
}

fn cluster(nodes: &Nodes) -> Markup {
    html! {
        @if let Some(why) = &nodes.cluster_error { ul .faults { li .error { span .sign aria-hidden="true" { "✕" } (why) } } }
        @if let Some(cluster) = &nodes.cluster { (of(cluster)) }
    }
}

fn of(cluster: &Cluster) -> Markup {
    html! {
        section aria-labelledby="cluster-title" {
            h2 #cluster-title { "Cluster" }
            p {
                @match &cluster.id { Some(id) => { "Id " code { (id) } ", " }, None => "This node belongs to none. " }
                "the broker is " (cluster.link.status.as_str())
                @if let Some(why) = &cluster.link.why { ": " (why) }
            }
            @if !cluster.issues.is_empty() {
                ul .faults { @for issue in &cluster.issues { li .warning { span .sign aria-hidden="true" { "!" } (issue) } } }
            }
            div .scroll tabindex="0" role="group" aria-label="Members of the cluster" {
                table {
                    thead { tr { @for name in ["Node", "Key", "State", "Heard", "Version"] { th scope="col" { (name) } } } }
                    tbody { @for member in &cluster.members { tr { (member_row(member)) } } }
                }
            }
        }
    }
}

fn member_row(member: &Member) -> Markup {
    html! {
        th scope="row" { (member.name.as_deref().unwrap_or("not heard")) p .why { code { (member.fingerprint.chars().take(16).collect::<String>()) } } }
        td { (member.standing.as_str()) }
        td { @match &member.state { Some(state) => (state.as_str()), None => "–" } }
        td { @match &member.age { Some(age) => { (span((age.0 * 1e3) as i64)) " ago" }, None => "–" } }
        td { (member.version.as_deref().unwrap_or("–")) }
    }
}
