//! Bare Pingora: this program in another role.

use std::process::Command;

use anyhow::Result;

use super::super::roles::Role;
use super::Setup;

pub(super) fn command(setup: &Setup<'_>) -> Result<Command> {
    setup.own.command(&Role::Bare { listen: setup.listen, origin: setup.origin, threads: setup.threads })
}
