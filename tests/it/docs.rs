//! The documentation, held to the code: links lead somewhere, examples are good, and nothing that can be listed is missing.
//!
//! Shell examples are checked, not run. A block below `<!-- needs: … -->` may name a verb or an option that furt is still to get.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use furt::config::Config;

/// Pages outside of `docs`.
const PAGES: [&str; 5] = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "benches/README.md", "fuzz/README.md"];

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|why| panic!("{path}: {why}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder whose name ends so.
fn files_below(folder: &str, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let found = entries.map(|path| match path.is_dir() {
        true => files_below(path.to_str().unwrap(), end),
        false => vec![path],
    });
    found.flatten().filter(|path| path.to_str().unwrap().ends_with(end)).collect()
}

/// Every page, with its text.
fn pages() -> impl Iterator<Item = (PathBuf, String)> {
    let paths = PAGES.iter().map(|page| root().join(page)).chain(files_below("docs", ".md"));
    paths.map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
}

/// A block of code.
struct Block {
    info: String,
    body: String,
    place: String,
    /// It needs something that furt does not have yet.
    is_ahead: bool,
}

/// The blocks of a page, and its other lines.
fn split(path: &Path, text: &str) -> (Vec<Block>, Vec<String>) {
    let (mut blocks, mut prose) = (Vec::new(), Vec::new());
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(info) = line.trim_start().strip_prefix("```") else {
            prose.push(line.to_owned());
            continue;
        };
        let body = lines.by_ref().take_while(|(_, line)| !line.trim_start().starts_with("```"));
        let body = body.map(|(_, line)| format!("{line}\n")).collect();
        let is_ahead = prose.last().is_some_and(|line| line.starts_with("<!-- needs:"));
        let (info, place) = (info.to_owned(), format!("{}:{}", path.display(), number + 1));
        blocks.push(Block { info, body, place, is_ahead });
    }
    (blocks, prose)
}

fn blocks() -> impl Iterator<Item = Block> {
    pages().flat_map(|(path, text)| split(&path, &text).0)
}

/// The anchors of a page, as GitHub makes them of its headings.
fn anchors(path: &Path, text: &str) -> BTreeSet<String> {
    let is_kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    let headings = split(path, text).1.into_iter().filter(|line| line.starts_with('#'));
    let titles = headings.map(|line| line.trim_start_matches('#').trim().to_lowercase());
    titles.map(|title| title.chars().filter(is_kept).collect::<String>().replace(' ', "-")).collect()
}

/// Why a link of a page leads nowhere; `None` where it leads somewhere, or out of the repository.
fn broken(page: &Path, link: &str) -> Option<String> {
    if link.starts_with("http") {
        return None;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let mut target = if file.is_empty() { page.to_owned() } else { page.parent().unwrap().join(file) };
    if target.is_dir() && !anchor.is_empty() {
        target.push("README.md");
    }
    let is_found = target.exists()
        && (anchor.is_empty() || anchors(&target, &fs::read_to_string(&target).unwrap()).contains(anchor));
    (!is_found).then(|| format!("{}: {link}", page.display()))
}

/// The links of a page.
fn links(path: &Path, text: &str) -> Vec<String> {
    let prose = split(path, text).1.join("\n");
    let links = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    links.map(|(link, _)| link.to_owned()).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut faults = Vec::new();
    for (path, text) in pages() {
        faults.extend(links(&path, &text).iter().filter_map(|link| broken(&path, link)));
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_book_has_every_page_once() {
    let docs = root().join("docs");
    let summary = docs.join("SUMMARY.md");
    let mut listed: Vec<_> = links(&summary, &read("docs/SUMMARY.md")).iter().map(|link| docs.join(link)).collect();
    let mut there: Vec<_> = files_below("docs", ".md").into_iter().filter(|path| *path != summary).collect();
    listed.sort();
    there.sort();
    assert_eq!(listed, there);
}

/// mdBook takes every page for one of the book, and makes a link to a page of HTML of it.
#[test]
fn the_book_links_to_no_page_outside_of_it() {
    let docs = root().join("docs").canonicalize().unwrap();
    let is_outside = |page: &Path, link: &str| {
        let file = link.split('#').next().unwrap();
        let target = page.parent().unwrap().join(file);
        !link.starts_with("http") && file.ends_with(".md") && !target.canonicalize().unwrap().starts_with(&docs)
    };
    for path in files_below("docs", ".md") {
        let outside: Vec<_> = links(&path, &fs::read_to_string(&path).unwrap());
        let outside: Vec<_> = outside.iter().filter(|link| is_outside(&path, link)).collect();
        assert!(outside.is_empty(), "{}: {outside:?}; a link to the folder works in both", path.display());
    }
}

#[test]
fn examples_of_json_toml_and_shell_can_be_read() {
    let fault = |Block { info, body, .. }: &Block| match info.as_str() {
        "json" => serde_json::from_str::<serde_json::Value>(body).err().map(|why| why.to_string()),
        "toml" => Config::parse("the example", body, &|_| None).err().map(|why| why.to_string()),
        "toml state" => toml::from_str::<furt_api::desired::DesiredState>(body).err().map(|why| why.to_string()),
        "toml fragment" => body.parse::<toml::Table>().err().map(|why| why.to_string()),
        "sh" => {
            let output = Command::new("bash").args(["-n", "-c", body]).output().unwrap();
            (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
        }
        _ => None,
    };
    let faults = blocks().filter_map(|block| Some(format!("{}: {}", block.place, fault(&block)?)));
    assert_eq!(faults.collect::<Vec<_>>(), Vec::<String>::new());
}

/// The words of what `furt … --help` prints, such as `drain`, `--wait` and `-o`.
fn help(verb: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_furt")).args(verb).arg("--help").output().unwrap();
    assert!(output.status.success(), "furt {verb:?} --help: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.split(|c: char| !c.is_alphanumeric() && c != '-').map(str::to_owned).collect()
}

/// What each `furt` of a shell block is given.
fn calls(body: &str) -> Vec<Vec<&str>> {
    let is_furt = |word: &str| word == "furt" || word.ends_with("/furt");
    let lines = body.lines().filter_map(|line| line.split("# ").next());
    let commands = lines.flat_map(|line| line.split(['|', '&', ';', '>', '(', ')']));
    let words = commands.map(|command| command.split_whitespace().collect::<Vec<_>>());
    let given = words.filter_map(|words| {
        let is_cargo = words.starts_with(&["cargo", "run"]);
        let at = words.iter().rposition(|word| if is_cargo { *word == "--" } else { is_furt(word) })?;
        Some(words[at + 1..].to_vec())
    });
    given.filter(|words| words.first().is_some_and(|word| word.starts_with(char::is_alphabetic))).collect()
}

#[test]
fn verbs_and_options_of_the_shell_examples_are_known() {
    let mut count = 0;
    for Block { body, place, .. } in blocks().filter(|block| block.info == "sh" && !block.is_ahead) {
        for call in calls(&body) {
            let has_verbs =
                ["keys", "store", "nodes", "cluster", "secret", "settings", "maintenance"].contains(&call[0]);
            let names_one = call.get(1).is_some_and(|word| word.starts_with(char::is_alphabetic));
            let verb = &call[..if has_verbs && names_one { 2 } else { 1 }];
            let known = help(verb);
            // What follows is another program's.
            let own = call.iter().take_while(|word| **word != "--");
            let options = own.filter(|word| word.len() > 1 && word.starts_with('-'));
            options.for_each(|option| assert!(known.contains(*option), "{place}: {verb:?} has no {option}"));
            count += 1;
        }
    }
    assert!(count > 20, "only {count} calls are found");
}

#[test]
fn pages_keep_their_size_and_speak_of_what_is_here() {
    let (words, bytes) = (read("README.md").split_whitespace().count(), read("ARCHITECTURE.md").len());
    assert!(words <= 1_200 && bytes <= 10 * 1024, "README.md: {words} words, ARCHITECTURE.md: {bytes} bytes");
    let folders = ["src", "crates", "benches", "tests", "fuzz/targets"];
    let sources: Vec<_> = folders.into_iter().flat_map(|folder| files_below(folder, ".rs")).collect();
    assert!(sources.len() > 200, "only {} sources are found", sources.len());
    let sources = sources.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap()));
    for (path, text) in pages().chain(sources) {
        // In two pieces, so that this source is none of them.
        assert!(!text.contains(concat!("DESIGN", " §")), "{} names a text that is not here", path.display());
    }
}

/// The texts in quotes of a source that begin so.
fn quoted<'s>(source: &'s str, start: &'s str) -> impl Iterator<Item = &'s str> {
    source.split('"').skip(1).step_by(2).filter(move |text| text.starts_with(start))
}

#[test]
fn nothing_that_can_be_listed_is_missing() {
    let mut missing = BTreeSet::new();
    let mut expect = |page: &str, what: String| {
        let is_missing = !read(page).contains(&what);
        missing.extend(is_missing.then(|| format!("{page}: {what}")));
    };
    let keys = read("conf/furt.toml");
    let keys = keys.lines().filter_map(|line| line.trim_start_matches('#').split_once(" = ")).map(|(key, _)| key);
    keys.filter(|key| !key.contains(' ')).for_each(|key| expect("docs/configuration.md", format!("`{key}`")));
    for source in files_below("src/telemetry", ".rs") {
        let source = fs::read_to_string(source).unwrap();
        let metrics = quoted(&source, "furt_").filter_map(|text| text.split('{').next());
        metrics.for_each(|metric| expect("docs/metrics.md", format!("`{metric}")));
    }
    let answers = read("src/wire/gateway_problem.rs");
    let problems = answers.lines().skip_while(|line| *line != "problems! {").skip(1).take_while(|line| *line != "}");
    for problem in problems {
        expect("docs/problems.md", format!("\n## {}\n", quoted(problem, "").next().unwrap()));
    }
    let codes = read("crates/furt-api/src/problem.rs");
    let codes = codes.lines().filter_map(|line| line.trim().split_once(" = \"")?.1.strip_suffix("\","));
    codes.for_each(|code| expect("docs/problems.md", format!("\n## {code}\n")));
    let verbs = "run,demo,register,deregister,drain,services,explain,events,top,keys new,keys rotate,check,store export,store import,\
                 nodes,nodes approve,cluster token,cluster join,cluster acl,settings set,settings get,settings diff";
    for verb in verbs.split(',') {
        let options = help(&verb.split(' ').collect::<Vec<_>>()).into_iter().filter(|word| word.starts_with("--"));
        options.filter(|option| option != "--help").for_each(|option| expect("docs/cli.md", option));
    }
    let join = help(&["join"]).into_iter().filter(|word| word.starts_with("--") && word != "--" && word != "--help");
    join.for_each(|option| expect("docs/joining.md", option));
    assert_eq!(missing, BTreeSet::new());
}
