//! The import rules of the crate, checked against its sources: imports run downwards only, and the pure modules are pure.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// From the bottom up. A module imports from lower layers only; a module of `BESIDE` stands beside the lowest.
const LAYERS: &[&[&str]] = &[
    &["model"],
    &["routing"],
    &["registry", "status"],
    &["driver"],
    &["api", "health", "store", "proxy"],
    &["app"],
    &["demo"],
    &["cli", "fuzzing"],
];
/// They import nothing above `model` themselves.
const BESIDE: &[&str] = &["config", "telemetry", "clock", "upstream", "connections", "secret", "geo"];
/// Same events and the same `now`, same effects: no clock, no wait, no lock, no log.
const PURE: &[&str] = &["registry", "routing"];
const IMPURE: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
    "clock::",
    ".await",
    "async fn",
    "Mutex",
    "RwLock",
    "log::",
    "trace!(",
    "debug!(",
    "info!(",
    "warn!(",
    "error!(",
    "println!(",
    "std::fs",
    "std::net::Tcp",
    "tokio::",
];

/// A source file, comments and its tests taken out.
struct Source {
    path: PathBuf,
    /// `registry` for `src/registry/health.rs` and for `src/registry.rs`.
    module: String,
    code: String,
}

/// Without comments; `//` within a text in quotes is kept.
fn without_comments(text: &str) -> String {
    text.lines()
        .map(|line| {
            let comment = line.match_indices("//").find(|(at, _)| line[..*at].matches('"').count() % 2 == 0);
            comment.map_or(line, |(at, _)| &line[..at])
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// Without its inline test module, which stands last, and the names of modules that only exist for tests.
fn without_tests(code: &str) -> (String, Vec<String>) {
    let mut kept = Vec::new();
    let mut test_modules = Vec::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            kept.push(line);
            continue;
        }
        match lines.next().map(str::trim).and_then(|line| line.split_once("mod ")) {
            Some((_, module)) if module.ends_with(';') => test_modules.push(module.trim_end_matches(';').to_owned()),
            Some(_) => break,
            None => {}
        }
    }
    (kept.join("\n"), test_modules)
}

fn files_below(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every source of the library but its root and those that only tests see.
fn sources() -> Vec<Source> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    files_below(&src, &mut files);
    files.sort();
    let mut sources = Vec::new();
    let mut only_tests = BTreeSet::new();
    for path in files {
        let module = path.strip_prefix(&src).unwrap().components().next().unwrap();
        let module = module.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned();
        let (code, test_modules) = without_tests(&without_comments(&fs::read_to_string(&path).unwrap()));
        let is_root = path.file_stem().is_some_and(|stem| ["mod", "lib", "main"].iter().any(|root| stem == *root));
        let dir = if is_root { path.with_file_name("") } else { path.with_extension("") };
        only_tests.extend(test_modules.iter().flat_map(|name| [dir.join(name), dir.join(format!("{name}.rs"))]));
        if !["lib", "main"].contains(&module.as_str()) {
            sources.push(Source { path, module, code });
        }
    }
    sources.retain(|source| !only_tests.iter().any(|tests| source.path.starts_with(tests)));
    sources
}

/// The modules that `code` names after `crate::`, also within braces.
fn imports(code: &str) -> BTreeSet<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = BTreeSet::new();
    for (at, found_text) in code.match_indices("crate::") {
        let rest = &code[at + found_text.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            found.insert(name(rest));
            continue;
        };
        let (mut depth, mut expects_name) = (0, true);
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => expects_name = true,
                c if depth == 0 && expects_name && !c.is_whitespace() => {
                    found.insert(name(&group[at..]));
                    expects_name = false;
                }
                _ => {}
            }
        }
    }
    found
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Why `from` must not import `to`; `None` where it may.
fn forbidden(from: &str, to: &str) -> Option<String> {
    if from == to {
        return None;
    }
    let unknown = |module: &str| layer(module).is_none() && !BESIDE.contains(&module);
    if let Some(module) = [from, to].into_iter().find(|module| unknown(module)) {
        return Some(format!("{module} has no layer; give it one in this test and in ARCHITECTURE.md"));
    }
    let downwards = match (layer(from), layer(to)) {
        (Some(from), Some(to)) => to < from,
        (None, Some(to)) => to == 0,
        // The numbers of the configuration are values like others; counters and clocks are not for pure modules.
        (Some(_), None) => from != "model" && (to == "config" || !PURE.contains(&from)),
        (None, None) => true,
    };
    let hidden = match from {
        "proxy" => ["registry", "driver", "store", "api"].as_slice(),
        // It stands before the gateway's listeners, as any service and any client do.
        "demo" => &["routing", "registry", "driver", "store", "health", "proxy"],
        _ => &[],
    };
    (!downwards || hidden.contains(&to)).then(|| format!("{from} must not import {to}"))
}

#[test]
fn imports_run_downwards_only() {
    let mut faults = Vec::new();
    for source in sources() {
        for import in imports(&source.code) {
            // `crate::Name`: the root's own re-exports stand above everything.
            faults.extend(forbidden(&source.module, &import).map(|why| format!("{}: {why}", source.path.display())));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn registry_and_routing_are_pure() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| PURE.contains(&source.module.as_str())) {
        for word in IMPURE {
            for (at, _) in source.code.match_indices(word) {
                // `debug_assert!(` and `arc_swap::Mutexish` are other words.
                let part_of_longer = source.code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
                if !part_of_longer {
                    let line = source.code[..at].lines().count();
                    faults.push(format!("{}, about line {line}: {word}", source.path.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_module_of_the_layers_is_looked_at() {
    let sources = sources();
    assert!(sources.len() > 10, "only {} sources found", sources.len());
    for module in LAYERS.iter().copied().flatten().chain(["config", "telemetry"].iter()) {
        assert!(sources.iter().any(|source| source.module == *module), "no source of {module}");
    }
}

#[test]
fn the_check_itself_sees_imports_and_forbids_what_it_should() {
    let code = "use crate::driver::{Driver, Store};\nuse crate::{api, model::{Host, Status}, registry as core};";
    let found: Vec<_> = imports(code).into_iter().collect();
    assert_eq!(found, ["api", "driver", "model", "registry"]);
    for (from, to) in [
        ("proxy", "registry"),
        ("proxy", "api"),
        ("model", "config"),
        ("registry", "driver"),
        ("registry", "telemetry"),
        ("app", "demo"),
        ("demo", "driver"),
    ] {
        assert!(forbidden(from, to).is_some(), "{from} may import {to}");
    }
    for (from, to) in [("proxy", "routing"), ("api", "driver"), ("cli", "app"), ("app", "proxy"), ("driver", "config")]
    {
        assert_eq!(forbidden(from, to), None);
    }
    assert!(!without_comments("let a = 1; // .await").contains("await"));
    assert!(without_comments("let a = \"http://b\";").contains("//b"));
}
