//! `cluster`: makes a cluster of nodes, lets others join, and prints what a broker is told for it.
//!
//! A join token is read from stdin or a file and printed alone to stdout, for `furt cluster token | ssh …`: never an argument, which
//! everybody on the machine can see.

mod acl;
mod tokens;

use std::fs::File;
use std::io::{IsTerminal as _, Read};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use furt_api::Outcome;
use furt_api::cluster::{Founded, Join, Joining};

use super::client::{ask, show};
use super::members::secret;
use super::output::{clean, note};
use super::{Format, Target, examples};

/// More than a token and the ends of lines around it.
const MAX_TOKEN_BYTES: u64 = 4096;

#[derive(Subcommand)]
pub(super) enum ClusterVerb {
    /// Make a cluster, once: the running furt is its first commander, others join it
    #[command(after_help = examples::CLUSTER_INIT)]
    Init(InitArgs),
    /// Have the running furt join a cluster by a token, which is read from stdin
    #[command(after_help = examples::CLUSTER_JOIN)]
    Join(JoinArgs),
    /// Make a join token and print it, this once
    #[command(after_help = examples::CLUSTER_TOKEN)]
    Token(tokens::TokenArgs),
    /// List the join tokens that the running furt made, by their ids
    #[command(after_help = examples::CLUSTER_TOKENS)]
    Tokens(tokens::TokensArgs),
    /// Let nobody join by a token any more
    #[command(after_help = examples::CLUSTER_DROP_TOKEN)]
    DropToken(tokens::DropTokenArgs),
    /// Print the commands that give a node's user at RabbitMQ the least rights; asks no furt
    #[command(after_help = examples::CLUSTER_ACL)]
    Acl(acl::AclArgs),
}

#[derive(Args)]
pub(super) struct InitArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

#[derive(Args)]
pub(super) struct JoinArgs {
    /// Read the token from this file instead of stdin
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

pub(super) fn run(verb: &ClusterVerb) -> Result<()> {
    match verb {
        ClusterVerb::Init(args) => init(args),
        ClusterVerb::Join(args) => join(args),
        ClusterVerb::Token(args) => tokens::make(args),
        ClusterVerb::Tokens(args) => tokens::list(args),
        ClusterVerb::DropToken(args) => tokens::drop_token(args),
        ClusterVerb::Acl(args) => acl::run(args),
    }
}

fn init(args: &InitArgs) -> Result<()> {
    let answer = ask(&args.target, "POST", &["internal", "cluster", "init"], &[], None)?;
    show(args.format, &answer, |answer: Founded| {
        format!("made cluster {} with secret {}\n", clean(&answer.cluster), secret(&answer.secret))
    })
}

fn join(args: &JoinArgs) -> Result<()> {
    // Others on the machine see arguments, and it would be sent as the operators' token.
    ensure!(
        args.target.token.as_deref().is_none_or(|token| !token.starts_with("furtc1.")),
        "--token and FURT_TOKEN are for the operators' token; the join token is read from stdin, or from --token-file"
    );
    let token = match &args.token_file {
        Some(path) => {
            let name = path.display();
            read_token(File::open(path).with_context(|| format!("cannot read {name}"))?)
                .with_context(|| format!("cannot read {name}"))?
        }
        None => {
            if std::io::stdin().is_terminal() {
                note("paste the join token of furt cluster token, and end the line");
            }
            read_token(std::io::stdin()).context("cannot read stdin")?
        }
    };
    let body = serde_json::to_string(&Join { token })?;
    let answer = ask(&args.target, "POST", &["internal", "cluster", "join"], &[], Some(body))?;
    show(args.format, &answer, |answer: Joining| match answer.status {
        Outcome::Joined => "the node belongs to that cluster\n".to_owned(),
        _ => {
            "the node looks for the maker of the token until it has joined; furt nodes shows how far it is\n".to_owned()
        }
    })
}

/// The first line.
fn read_token(from: impl Read) -> Result<String> {
    let mut text = String::new();
    // To the line's end and not to that of the input, which a terminal does not have.
    std::io::BufRead::read_line(&mut std::io::BufReader::new(from.take(MAX_TOKEN_BYTES)), &mut text)?;
    let token = text.trim();
    ensure!(!token.is_empty(), "there is no join token in its first line");
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_the_first_line() {
        for text in ["furtc1.a.b", "  furtc1.a.b \r\n", "furtc1.a.b\nmore\n"] {
            assert_eq!(read_token(text.as_bytes()).unwrap(), "furtc1.a.b");
        }
        for bad in ["", "\n", " \nfurtc1.a.b", "\u{0}"] {
            let read = read_token(bad.as_bytes());
            assert!(read.is_err() || bad == "\u{0}", "{bad:?}");
        }
        assert!(read_token(&b"\xff\n"[..]).is_err());
        assert_eq!(read_token(std::io::repeat(b'a')).unwrap().len(), 4096, "no input is endless");
    }
}
