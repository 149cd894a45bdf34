//! `nodes`: the gateways that share the registry.

use anyhow::Result;
use clap::Args;
use furt_api::nodes::{Node, Nodes};

use super::client::{ask, show};
use super::output::{cell, clean, table};
use super::{Format, Target};

#[derive(Args)]
pub(super) struct NodesArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

pub(super) fn run(args: &NodesArgs) -> Result<()> {
    let answer = ask(&args.target, "GET", &["internal", "nodes"], &[], None)?;
    show(args.format, &answer, |answer: Nodes| {
        let row = |node: &Node| {
            let mark = if node.this { "*" } else { "" };
            let internal = cell(node.internal.as_deref());
            vec![mark.to_owned(), clean(&node.name), clean(&node.version), internal, clean(&node.id)]
        };
        table(&["", "NAME", "VERSION", "INTERNAL", "ID"], &answer.nodes.iter().map(row).collect::<Vec<_>>())
    })
}
