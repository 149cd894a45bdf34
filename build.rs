//! Tells the binary which commit it was built from: `FURT_COMMIT` where it is set (as in a container without a
//! repository), git's word for it otherwise, `unknown` where there is neither.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=FURT_COMMIT");
    println!("cargo::rerun-if-changed=.git/HEAD");
    println!("cargo::rerun-if-changed=.git/refs/heads");
    let from_git = || {
        let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        Some(text.trim().to_owned()).filter(|text| output.status.success() && !text.is_empty())
    };
    let commit = std::env::var("FURT_COMMIT").ok().filter(|text| !text.is_empty()).or_else(from_git);
    println!("cargo::rustc-env=FURT_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
}
