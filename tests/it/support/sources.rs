//! Sources as their imports: which paths a file names, by `use` or within its code, whatever the lines and braces they are
//! written in. Without comments, and without the tests beside the code.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Names from the crate's root on. A path into `furt_core` keeps that name.
pub(crate) type ModulePath = Vec<String>;

/// A file of a crate.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    /// What the compiler sees outside of tests.
    pub(crate) code: String,
    /// What it names.
    pub(crate) imports: Vec<ModulePath>,
}

/// All files below the folder of a crate's root, by their modules.
pub(crate) fn of_crate(root: &str) -> BTreeMap<ModulePath, Source> {
    let mut files = Vec::new();
    collect(Path::new(root), &mut files);
    let source = |path: PathBuf| {
        let inner = path.strip_prefix(root).unwrap().with_extension("");
        let mut module: ModulePath = inner.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
        module.pop_if(|name| ["mod", "lib", "main"].contains(&name.as_str()));
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = text.split("#[cfg(test)]\nmod tests {").next().unwrap().lines();
        let code = lines.map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n");
        let imports = imports(&module, &code);
        (module, Source { path, code, imports })
    };
    files.into_iter().map(source).collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        match path.file_stem().unwrap().to_str().unwrap() {
            "tests" | "conformance" => {}
            _ if path.is_dir() => collect(&path, found),
            _ if path.extension().is_some_and(|extension| extension == "rs") => found.push(path),
            _ => {}
        }
    }
}

fn imports(module: &[String], code: &str) -> Vec<ModulePath> {
    let starts = ["crate::", "super::", "furt_core::"].into_iter().flat_map(|root| code.match_indices(root));
    let starts = starts.filter(|(at, _)| !code[..*at].ends_with(|c: char| c.is_alphanumeric() || "_:".contains(c)));
    starts.flat_map(|(at, _)| expand(&code[at..])).map(|path| resolve(module, path)).collect()
}

/// The paths of a tree: `a::{b, c::{d, e}}` is `a::b`, `a::c::d` and `a::c::e`.
fn expand(tree: &str) -> Vec<ModulePath> {
    let tree = tree.trim_start();
    if let Some(inside) = tree.strip_prefix('{') {
        // After the last comma nothing may follow.
        return members(inside).into_iter().filter(|member| !member.trim().is_empty()).flat_map(expand).collect();
    }
    let (name, rest) = tree.split_at(tree.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(tree.len()));
    let tails = rest.strip_prefix("::").map_or_else(|| vec![Vec::new()], expand);
    tails.into_iter().map(|tail| [vec![name.to_owned()], tail].concat()).collect()
}

/// What stands between the commas, up to the brace that closes.
fn members(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                found.push(&text[start..at]);
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    found
}

fn resolve(module: &[String], path: ModulePath) -> ModulePath {
    let ups = path.iter().take_while(|name| *name == "super").count();
    match path[0].as_str() {
        "super" => [&module[..module.len() - ups.min(module.len())], &path[ups..]].concat(),
        "crate" => path[1..].to_vec(),
        _ => path,
    }
}

#[test]
fn a_tree_over_several_lines_is_every_path_in_it() {
    let module = ["api", "keys"].map(str::to_owned);
    let code = "use crate::{\n    wire,\n    driver::{self, Handle},\n};\nuse super::super::proxy::{a::{b, c}, d};\nlet x = furt_core::model::X { y };";
    let found = imports(&module, code).into_iter().map(|path| path.join("::")).collect::<Vec<_>>();
    let expected =
        ["wire", "driver::self", "driver::Handle", "proxy::a::b", "proxy::a::c", "proxy::d", "furt_core::model::X"];
    assert_eq!(found, expected);
}
