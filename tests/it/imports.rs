//! What Cargo cannot hold: within the gateway imports run downwards only, and some rooms do not know each other. It
//! reads the sources line by line for `crate::…` and `furt_core::…`, without comments and without tests.

use std::path::{Path, PathBuf};

/// From the bottom up. A module imports from lower layers only; those of the lowest also from each other.
const LAYERS: &[&[&str]] = &[
    &["clock", "config", "geo", "header_name", "listener", "secret", "telemetry", "upstream", "wire"],
    &["published", "status"],
    &["driver"],
    &["api", "health", "store", "proxy"],
    &["app"],
    &["demo"],
    &["cli"],
];
const HIDDEN: &[(&str, &[&str])] = &[
    ("listener", &["core registry", "core routing"]),
    ("proxy", &["core registry", "driver", "store", "api"]),
    ("demo", &["core routing", "core registry", "driver", "store", "health", "proxy"]),
];
/// The one module that knows the crate: the others count through handles.
const METRICS: (&str, &str) = ("telemetry", "prometheus::");

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        match path.file_stem().unwrap().to_str().unwrap() {
            "tests" | "conformance" | "lib" | "main" => {}
            _ if path.is_dir() => sources(&path, found),
            _ => found.push(path),
        }
    }
}

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
    let (src, mut files, mut faults, mut seen) = (Path::new("src"), Vec::new(), Vec::new(), 0);
    sources(src, &mut files);
    for file in files {
        let module = file.strip_prefix(src).unwrap().iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        let text = std::fs::read_to_string(&file).unwrap().replace("furt_core::", "crate::core ");
        if module != METRICS.0 && text.contains(METRICS.1) {
            faults.push(format!("{}: {} belongs to {}", file.display(), METRICS.1, METRICS.0));
        }
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap().lines();
        for path in code.flat_map(|line| line.split("//").next().unwrap().split("crate::").skip(1)) {
            let to = path.split(|c: char| !c.is_alphanumeric() && !"_ ".contains(c)).next().unwrap().trim_end();
            faults.extend(fault(module, to).map(|why| format!("{}: {why}", file.display())));
            seen += 1;
        }
    }
    assert!(faults.is_empty() && seen > 200, "{seen} imports seen\n{}", faults.join("\n"));
    assert!(fault("proxy", "core registry").is_some() && fault("driver", "api").is_some());
}
