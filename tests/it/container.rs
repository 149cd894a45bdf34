//! What `docker build` is sent: enough for cargo to know every package of the workspace, and for every `COPY`.
//!
//! The image itself is not built here, and neither is furt: cargo's locked resolution fails where a manifest, or a file
//! that a manifest names, is kept out by `.dockerignore`.

use std::fs;
use std::path::Path;
use std::process::Command;

/// The paths that `.dockerignore` lets through, all else being kept out.
fn sent() -> Vec<String> {
    let text = fs::read_to_string(".dockerignore").unwrap();
    let rules: Vec<_> = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert_eq!(rules.first(), Some(&"*"), "everything is kept out first");
    let let_through = rules.iter().skip(1).map(|rule| rule.strip_prefix('!').unwrap_or_else(|| panic!("{rule}")));
    let_through.map(|path| path.trim_end_matches('/').to_owned()).collect()
}

#[test]
fn what_docker_is_sent_has_every_package_of_the_lock_file() {
    let folder = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").args(["-r", "--parents"]).args(sent()).arg(folder.path()).status().unwrap();
    assert!(copied.success(), "a path of .dockerignore is not there");
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let resolved = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--format-version=1", "--filter-platform", &platform])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(resolved.status.success(), "{}", String::from_utf8_lossy(&resolved.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&resolved.stdout).unwrap();
    let targets = metadata["packages"].as_array().unwrap().iter().filter(|package| package["source"].is_null());
    for target in targets.flat_map(|package| package["targets"].as_array().unwrap()) {
        let source = target["src_path"].as_str().unwrap();
        assert!(Path::new(source).is_file(), "{source} is not sent");
    }
}

#[test]
fn what_the_image_copies_is_sent() {
    let dockerfile = fs::read_to_string("Dockerfile").unwrap();
    let copies =
        dockerfile.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|line| !line.starts_with("--"));
    for path in copies.flat_map(|line| line.split(' ').next()).filter(|path| *path != ".") {
        assert!(sent().iter().any(|one| path == one || path.starts_with(&format!("{one}/"))), "{path} is not sent");
    }
}
