//! Programs that are written in Python, with packages of the Python Package Index.

use std::path::PathBuf;

use tokio::process::Command;

/// A program of `programs`, with the packages that `.ci/interop` has installed in that room.
pub(crate) fn command(room: &str, program: &str) -> Command {
    script(room, &format!("programs/{program}"))
}

/// The same of a program beside the test that runs it.
pub(crate) fn script(room: &str, path: &str) -> Command {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("python3");
    command.arg(root.join("tests/interop").join(path));
    with_packages(&mut command, room);
    command
}

/// A program that one of these packages is.
pub(crate) fn module(room: &str, name: &str) -> Command {
    let mut command = Command::new("python3");
    command.args(["-m", name]);
    with_packages(&mut command, room);
    command
}

fn with_packages(command: &mut Command, room: &str) {
    let packages = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/interop").join(room);
    assert!(packages.exists(), "{} is missing: `make interop` installs it", packages.display());
    command.env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1").kill_on_drop(true);
}
