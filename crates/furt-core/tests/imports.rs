//! Within a crate no files import each other, be it over several files. It reads the `use` lines of the sources, without
//! tests, and follows each name through the `pub use` lines of `mod.rs` and `lib.rs` to the file that has it.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The text of each file by its module, such as `routing::select`; the crate's root is the empty name.
type Sources = BTreeMap<String, String>;

/// An import, or a name that is given on.
struct Import {
    is_public: bool,
    /// From the root of the crate.
    path: Vec<String>,
    name: String,
}

fn read(folder: &Path, module: &str, sources: &mut Sources) {
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let below = match stem {
            "mod" | "lib" => module.to_owned(),
            _ => join(module, stem),
        };
        // These are compiled for tests alone.
        if stem.ends_with("tests") || ["simulation", "naive", "conformance", "main"].contains(&stem) {
            continue;
        }
        if path.is_dir() {
            read(&path, &below, sources);
        } else {
            sources.insert(below, std::fs::read_to_string(&path).unwrap());
        }
    }
}

fn join(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") }
}

/// The statements `use …;` of a file, each on one line, and whether names are given on by it.
fn statements(text: &str) -> Vec<(bool, String)> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let code: String = code.lines().map(|line| line.split("//").next().unwrap().trim().to_owned() + "\n").collect();
    let mut found = Vec::new();
    for statement in code.split_inclusive([';', '{', '}']).scan(String::new(), |open, part| {
        // A list in braces belongs to its statement.
        open.push_str(part);
        let is_list =
            open.lines().any(|line| line.starts_with("use ") || (line.starts_with("pub") && line.contains(" use ")));
        let whole = if is_list && !part.ends_with(';') { String::new() } else { std::mem::take(open) };
        Some(whole)
    }) {
        let Some(at) =
            statement.find("use ").filter(|at| statement[..*at].is_empty() || statement[..*at].ends_with([' ', '\n']))
        else {
            continue;
        };
        let is_public = statement[..at].lines().last().is_some_and(|line| line.starts_with("pub"));
        found.push((is_public, statement[at + 4..].trim_end_matches(';').replace('\n', " ")));
    }
    found
}

/// Each path of a list such as `a::{b, c::{d, e as f}}`, with the name that it is imported by.
fn paths(list: &str) -> Vec<(Vec<String>, String)> {
    let Some((head, rest)) = list.split_once('{') else {
        let (path, name) = list.split_once(" as ").unwrap_or((list, list.rsplit("::").next().unwrap()));
        return vec![(path.split("::").map(|part| part.trim().to_owned()).collect(), name.trim().to_owned())];
    };
    let head: Vec<_> = head.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let (mut depth, mut item, mut found) = (0, String::new(), Vec::new());
    for character in rest.trim_end().strip_suffix('}').unwrap().chars().chain([',']) {
        depth += i32::from(character == '{') - i32::from(character == '}');
        if character == ',' && depth == 0 {
            let item = std::mem::take(&mut item);
            for (path, name) in paths(item.trim()).into_iter().filter(|_| !item.trim().is_empty()) {
                let path = if path == ["self"] { Vec::new() } else { path };
                found.push((head.iter().cloned().chain(path).collect(), name));
            }
        } else {
            item.push(character);
        }
    }
    found
}

fn imports(module: &str, sources: &Sources) -> Vec<Import> {
    let here: Vec<String> = module.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let all = statements(&sources[module]);
    let all = all.iter().flat_map(|(is_public, list)| paths(list).into_iter().map(|found| (*is_public, found)));
    let absolute = |path: Vec<String>| {
        let mut base = match path[0].as_str() {
            "crate" => Vec::new(),
            "self" | "super" => here.clone(),
            child if sources.contains_key(&join(module, child)) => [here.clone(), vec![child.to_owned()]].concat(),
            _ => return None,
        };
        let ups = path.iter().take_while(|part| *part == "super").count();
        base.truncate(base.len() - ups);
        Some(base.into_iter().chain(path.into_iter().skip(ups.max(1))).collect())
    };
    all.filter_map(|(is_public, (path, name))| Some(Import { is_public, path: absolute(path)?, name })).collect()
}

/// The module whose file has what the path leads to.
fn owner(path: &[String], sources: &Sources) -> String {
    let mut module = String::new();
    for (at, part) in path.iter().enumerate() {
        if sources.contains_key(&join(&module, part)) {
            module = join(&module, part);
            continue;
        }
        let given_on = imports(&module, sources).into_iter().find(|one| one.is_public && one.name == *part);
        return given_on.map_or(module, |one| {
            owner(&one.path.iter().chain(&path[at + 1..]).cloned().collect::<Vec<_>>(), sources)
        });
    }
    module
}

/// Every file that imports itself over others, with the files on the way; and how many imports there are.
fn cycles(sources: &Sources) -> (Vec<String>, usize) {
    let mut targets = BTreeMap::<&str, BTreeSet<String>>::new();
    for module in sources.keys() {
        let own = imports(module, sources).into_iter().filter(|one| !one.is_public);
        let owners = own.map(|one| owner(&one.path, sources)).filter(|to| to != module);
        targets.insert(module, owners.collect());
    }
    let count = targets.values().map(BTreeSet::len).sum();
    let way_back = |start: &str| {
        let mut ways = vec![vec![start.to_owned()]];
        let mut seen = BTreeSet::new();
        while let Some(way) = ways.pop() {
            for next in &targets[way.last().unwrap().as_str()] {
                if next == start {
                    return Some(way.join(" -> "));
                }
                if seen.insert(next.clone()) {
                    ways.push(way.iter().cloned().chain([next.clone()]).collect());
                }
            }
        }
        None
    };
    (sources.keys().filter_map(|module| way_back(module)).collect(), count)
}

#[test]
fn no_files_of_a_library_import_each_other() {
    for (library, least) in
        [("furt-core", 300), ("furt-api", 20), ("furt-bus", 40), ("furt-cluster", 100), ("furt-seal", 60)]
    {
        let mut sources = Sources::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(library).join("src");
        read(&root, "", &mut sources);
        let (cycles, imports) = cycles(&sources);
        assert!(cycles.is_empty() && imports > least, "{library}: {imports} imports seen\n{}", cycles.join("\n"));
    }
}

#[test]
fn a_cycle_is_found_over_several_lines_and_through_what_is_given_on() {
    let check = |files: &[(&str, &str)]| {
        let sources = files.iter().map(|(module, text)| ((*module).to_owned(), (*text).to_owned())).collect();
        cycles(&sources).0
    };
    let root = ("", "mod a;\nmod b;\npub use a::{\n    One,\n    Two as Three,\n};\n");
    let b = ("b", "fn f() {}\nuse crate::{\n    Three, // a comment\n};\n");
    assert_eq!(check(&[root, b, ("a", "use super::b::{self, Four};\n")]), ["a -> b", "b -> a"]);
    assert_eq!(
        check(&[root, b, ("a", "use std::sync::Arc;\n#[cfg(test)]\nmod tests {\n    use super::b::Four;\n}\n")]),
        [""; 0]
    );
    let three = [("", ""), ("x", "use crate::y::Y;"), ("y", "use super::z::{inner::Z};"), ("z", "use crate::x::X;")];
    assert_eq!(check(&three), ["x -> y -> z", "y -> z -> x", "z -> x -> y"]);
}
