//! What Cargo cannot hold: within the gateway imports run downwards only, some rooms do not know each other, and no two files
//! of a crate import each other.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::sources::{ModulePath, Source, of_crate};

/// From the bottom up. A module imports from lower layers only; those of the lowest also from each other.
const LAYERS: &[&[&str]] = &[
    &[
        "affinity_keys",
        "audit",
        "auth",
        "clock",
        "config",
        "dashboard",
        "geo",
        "header_name",
        "listener",
        "private_files",
        "secret",
        "telemetry",
        "tls",
        "upstream",
        "wire",
    ],
    &["nodes", "published", "status"],
    &["cluster", "driver", "vault"],
    &["acme", "api", "health", "store", "proxy", "update"],
    &["app"],
    &["demo"],
    &["cli"],
];
const HIDDEN: &[(&str, &[&str])] = &[
    ("listener", &["core registry", "core routing"]),
    ("proxy", &["core registry", "driver", "store", "api"]),
    ("cluster", &["core registry", "core routing"]),
    ("demo", &["core routing", "core registry", "driver", "store", "health", "proxy"]),
];
/// The one module that knows the crate: the others count through handles.
const METRICS: (&str, &str) = ("telemetry", "prometheus::");
/// Folders of crates; those of `furt-core`, `furt-api` and `furt-cluster` are looked at by a test of their own, `crates/furt-core/tests/imports.rs`.
const CRATES: [&str; 2] = ["src", "benches/plots"];

/// Why `from` must not import `to`.
fn fault(from: &str, to: &str) -> Option<String> {
    let layer = |module: &str| LAYERS.iter().position(|layer| layer.contains(&module));
    let is_downwards = match (layer(from), layer(to)) {
        _ if from == to || to.starts_with("core ") => true,
        (Some(from), Some(to)) => to < from || (to, from) == (0, 0),
        _ => return Some(format!("{from} or {to} has no layer")),
    };
    let is_hidden = HIDDEN.iter().any(|(one, hidden)| *one == from && hidden.contains(&to));
    (!is_downwards || is_hidden).then(|| format!("{from} must not import {to}"))
}

#[test]
fn imports_run_downwards_only() {
    let (mut faults, mut seen) = (Vec::new(), 0);
    for (module, source) in of_crate("src").iter().filter(|(module, _)| !module.is_empty()) {
        if module[0] != METRICS.0 && source.code.contains(METRICS.1) {
            faults.push(format!("{}: {} belongs to {}", source.path.display(), METRICS.1, METRICS.0));
        }
        for path in &source.imports {
            let to = if path[0] == "furt_core" { format!("core {}", path[1]) } else { path[0].clone() };
            faults.extend(fault(&module[0], &to).map(|why| format!("{}: {why}", source.path.display())));
            seen += 1;
        }
    }
    assert!(faults.is_empty() && seen > 500, "{seen} imports seen\n{}", faults.join("\n"));
    assert!(fault("proxy", "core registry").is_some() && fault("driver", "api").is_some());
}

/// The module in whose file a path ends.
fn file_of<'a>(path: &'a [String], sources: &BTreeMap<ModulePath, Source>) -> Option<&'a [String]> {
    (0..=path.len()).rev().map(|end| &path[..end]).find(|module| sources.contains_key(*module))
}

/// Pairs that import each other. A module and those within it are not counted: the outer one declares the inner ones.
fn mutual(sources: &BTreeMap<ModulePath, Source>) -> BTreeSet<(String, String)> {
    let edges = sources.iter().flat_map(|(from, source)| {
        let targets = source.imports.iter().filter_map(|path| file_of(path, sources)).map(<[String]>::to_vec);
        targets.filter(|to| !to.starts_with(from) && !from.starts_with(to)).map(|to| (from.clone(), to))
    });
    let edges: BTreeSet<_> = edges.collect();
    let both = edges.iter().filter(|(from, to)| from < to && edges.contains(&(to.clone(), from.clone())));
    both.map(|(from, to)| (from.join("::"), to.join("::"))).collect()
}

#[test]
fn no_two_files_import_each_other() {
    for root in CRATES {
        assert_eq!(mutual(&of_crate(root)), BTreeSet::new(), "{root}");
    }
}
