//! `update`: has one node of the cluster run another version of furt, and prints what the node tells.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use furt_api::Outcome;
use furt_api::cluster::{UpdateProgram, UpdatedProgram};

use super::client::{ask_for_long, show};
use super::members::foreign;
use super::output::cell;
use super::{Format, Target};

/// A node has a minute to fetch and check the program, one to take over, and half of one to tell.
const LONGEST: Duration = Duration::from_secs(160);
/// Of a node's sentence.
const WIDTH: usize = 1000;

#[derive(Args)]
pub(super) struct UpdateArgs {
    /// The node: its name, its fingerprint, or at least 8 digits that it begins with
    #[arg(long, value_name = "NODE")]
    to: String,
    /// The version, such as 1.4.0
    #[arg(long, value_name = "VERSION")]
    version: String,
    /// The 64 digits that sha256sum prints for the artefact furt-VERSION
    #[arg(long, value_name = "HEX")]
    sha256: String,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

pub(super) fn run(args: &UpdateArgs) -> Result<()> {
    let UpdateArgs { to, version, sha256, target, format } = args;
    let body = serde_json::to_string(&UpdateProgram { version: version.clone(), sha256: sha256.clone() })?;
    let path = ["internal", "cluster", "nodes", to, "update"];
    let answer = ask_for_long(target, "POST", &path, body, LONGEST)?;
    let told: UpdatedProgram = answer.read()?;
    show(*format, &answer, text)?;
    match told.status {
        Outcome::Updated => Ok(()),
        Outcome::NoAnswer => bail!("the node did not answer in time; furt nodes shows which version it runs"),
        _ => bail!("the node runs what it ran: {}", words(told.error.as_deref())),
    }
}

fn text(told: UpdatedProgram) -> String {
    let (node, version) = (words(told.node.as_deref()), foreign(&told.version, 20));
    match told.status {
        Outcome::Updated => format!("{node} runs furt {version}\n"),
        _ => String::new(),
    }
}

fn words(text: Option<&str>) -> String {
    cell(text.map(|text| foreign(text, WIDTH)).as_ref())
}
