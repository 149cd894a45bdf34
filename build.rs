//! Tells the binary its version and the commit it was built from: `FURT_COMMIT` where it is set (as in a container
//! without a repository), git's word for it otherwise, `unknown` where there is neither.

use std::path::Path;
use std::process::Command;

const UNKNOWN: &str = "unknown";

fn main() {
    println!("cargo::rerun-if-env-changed=FURT_COMMIT");
    let is_own = is_own_repository();
    // Where git has them: in a worktree there is no `.git/HEAD`, and a path that is not there is built again each time.
    let branch = git(&["--symbolic-full-name", "HEAD"]);
    let names = ["HEAD", "logs/HEAD"].into_iter().chain(branch.as_deref());
    for path in names.filter(|_| is_own).filter_map(|name| git(&["--git-path", name])) {
        if Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let from_git = || git(&["--short=12", "HEAD"]).filter(|_| is_own);
    let commit = std::env::var("FURT_COMMIT").ok().filter(|text| !text.is_empty()).or_else(from_git);
    let version = env!("CARGO_PKG_VERSION");
    let whole = commit.as_ref().map_or_else(|| version.to_owned(), |commit| format!("{version} ({commit})"));
    println!("cargo::rustc-env=FURT_VERSION={whole}");
    println!("cargo::rustc-env=FURT_COMMIT={}", commit.as_deref().unwrap_or(UNKNOWN));
}

/// Sources that were unpacked within another repository are none of its commits.
fn is_own_repository() -> bool {
    let top = git(&["--show-toplevel"]).and_then(|path| std::fs::canonicalize(path).ok());
    top.is_some() && top == std::fs::canonicalize(env!("CARGO_MANIFEST_DIR")).ok()
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("rev-parse").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| output.status.success() && !text.is_empty())
}
