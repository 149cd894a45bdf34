//! `upgrade`: has the running furt replaced by the program in its place, and tells what came of it.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use furt_api::upgrade::Upgraded;

use super::client::{ask_patiently, show};
use super::output::clean;
use super::{Format, Target};

/// The new process may be silent for 30 s, before it wants the store and again before it serves.
const LONGEST: Duration = Duration::from_secs(60);

#[derive(Args)]
pub(super) struct UpgradeArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

pub(super) fn run(args: &UpgradeArgs) -> Result<()> {
    let answer = ask_patiently(&args.target, "POST", &["internal", "upgrade"], &[], None, LONGEST)?;
    show(args.format, &answer, |answer: Upgraded| {
        let Upgraded { pid, version, old_pid, .. } = answer;
        format!(
            "process {pid} (furt {}) has taken over; process {old_pid} ends once its clients are gone\n",
            clean(&version)
        )
    })
}
