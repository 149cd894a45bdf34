//! Programs that node runs.

use std::path::PathBuf;

use tokio::process::Command;

/// Where `.ci/interop` installs packages for it.
pub(crate) fn room() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/interop/npm")
}

/// node, with these packages.
pub(crate) fn command() -> Command {
    let mut command = Command::new(room().with_file_name("node").join("bin/node"));
    command.env("NODE_PATH", room().join("node_modules")).kill_on_drop(true);
    command
}
