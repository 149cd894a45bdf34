//! `nodes`: the gateways that share the registry, or the nodes of the cluster; who of them is approved.

mod one;
mod table;
mod watch;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use furt_api::cluster::Role;

use super::client::show;
use super::members::ask_nodes;
use super::{Format, Target, examples};
use table::Listed;

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct NodesArgs {
    #[command(subcommand)]
    verb: Option<NodesVerb>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Args)]
pub(super) struct ListArgs {
    /// Show it again every 2 s, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// Also list nodes that were not heard for a day, or whose key is revoked
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

#[derive(Subcommand)]
enum NodesVerb {
    /// Approve a node of the cluster, after you have compared its fingerprint with what it shows itself
    #[command(after_help = examples::NODES_APPROVE)]
    Approve(one::ApproveArgs),
    /// Revoke a node's key, for ever: the node needs a new one to come back
    #[command(after_help = examples::NODES_REVOKE)]
    Revoke(one::KeyArgs),
    /// Take a node that is not approved off the list, until it is heard again
    #[command(after_help = examples::NODES_FORGET)]
    Forget(one::NamedArgs),
    /// Show all that is known of a node
    #[command(after_help = examples::NODES_SHOW)]
    Show(one::NamedArgs),
}

/// What a node may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum RoleArg {
    /// It is told what all nodes are told, and commands nothing
    Member,
    /// It may also approve, revoke, make join tokens, set settings and rotate the secret
    Commander,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Member => Self::Member,
            RoleArg::Commander => Self::Commander,
        }
    }
}

pub(super) fn run(args: &NodesArgs) -> Result<()> {
    match &args.verb {
        Some(NodesVerb::Approve(args)) => one::approve(args),
        Some(NodesVerb::Revoke(args)) => one::revoke(args),
        Some(NodesVerb::Forget(args)) => one::forget(args),
        Some(NodesVerb::Show(args)) => one::show(args),
        None if args.list.watch => watch::run(&args.list),
        None => show(args.list.format, &ask_nodes(&args.list.target)?, |nodes| table::text(&nodes, args.list.which())),
    }
}

impl ListArgs {
    fn which(&self) -> Listed {
        if self.all { Listed::All } else { Listed::Recent }
    }
}
