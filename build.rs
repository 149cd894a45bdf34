//! Tells the binary which commit it was built from: `FURT_COMMIT` where it is set (as in a container without a
//! repository), git's word for it otherwise, `unknown` where there is neither.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=FURT_COMMIT");
    // Where git has them: in a worktree there is no `.git/HEAD`, and a path that is not there is built again each time.
    for name in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["--git-path", name]).filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let from_git = || git(&["--short=12", "HEAD"]);
    let commit = std::env::var("FURT_COMMIT").ok().filter(|text| !text.is_empty()).or_else(from_git);
    println!("cargo::rustc-env=FURT_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("rev-parse").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| output.status.success() && !text.is_empty())
}
