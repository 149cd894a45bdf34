//! Bare Pingora: a program of its own where it is named, and otherwise this one in another role.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::super::roles::Role;
use super::Setup;

pub(super) fn command(program: &Path, setup: &Setup<'_>) -> Result<Command> {
    let Setup { listen, origin, threads, bare_idle, .. } = *setup;
    if program.as_os_str().is_empty() {
        return setup.own.command(&Role::Bare { listen, origin, threads, idle: bare_idle });
    }
    let mut command = Command::new(program);
    command.args([listen.to_string(), origin.to_string(), threads.to_string()]);
    Ok(command)
}
