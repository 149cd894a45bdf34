//! The page `docs/peers/routes.md`: its tables, and the list of differences that their last column names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::rig::GATEWAYS;

/// A row that was seen: what was asked, and a cell for each gateway.
pub(super) type Row = (String, [String; GATEWAYS]);

/// The heading of the list.
const DIFFERENCES: &str = "## Differences";

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/peers/routes.md")
}

pub(super) fn text() -> String {
    std::fs::read_to_string(path()).unwrap()
}

/// The lines of the first table below a heading, without its two lines of titles.
fn table<'t>(text: &'t str, heading: &str) -> (usize, Vec<&'t str>) {
    let below = text.lines().position(|line| line == heading).unwrap_or_else(|| panic!("no {heading:?} on the page"));
    let is_row = |line: &&str| line.starts_with('|');
    let from = below + text.lines().skip(below).position(|line| line.starts_with("|---")).expect("a table") + 1;
    (from, text.lines().skip(from).take_while(is_row).collect())
}

fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

/// The same table with these rows. A row that is there keeps the differences that it names.
pub(super) fn with_rows(text: &str, heading: &str, rows: &[Row]) -> String {
    let (from, old) = table(text, heading);
    let named = |asked: &str| {
        let row = old.iter().map(|line| cells(line)).find(|cells| cells[0] == asked);
        row.and_then(|cells| cells.get(GATEWAYS + 1).copied().map(str::to_owned)).unwrap_or_default()
    };
    let line =
        |(asked, seen): &Row| format!("| {asked} | {} | {} |", seen.join(" | "), named(asked)).replace("|  |", "| |");
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let new = rows.iter().map(line);
    let all = lines[..from].iter().cloned().chain(new).chain(lines[from + old.len()..].iter().cloned());
    all.map(|line| line + "\n").collect()
}

/// Compares the page with what it should be, or writes it, with `UPDATE_DOCS=1` in the environment.
pub(super) fn check(expected: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return std::fs::write(path(), expected).unwrap();
    }
    let text = text();
    let differing = text.lines().zip(expected.lines()).filter(|(is, should)| is != should);
    let shown: Vec<_> = differing.map(|(is, should)| format!(" is: {is}\n should: {should}")).collect();
    assert!(text == expected, "the page is not what is seen, UPDATE_DOCS=1 writes it:\n{}", shown.join("\n"));
}

/// What is wrong between the last column and the list: a row that differs names a difference, one that does not names none, and
/// each difference is named.
pub(super) fn faults(text: &str, headings: &[&str]) -> Vec<String> {
    let list = text.split_once(DIFFERENCES).map(|(_, list)| list).unwrap_or_default();
    let numbers = list.lines().filter_map(|line| line.split_once(". ")?.0.parse().ok());
    let (listed, mut named) = (numbers.collect::<BTreeSet<u8>>(), BTreeSet::new());
    let mut faults = Vec::new();
    for row in headings.iter().flat_map(|heading| table(text, heading).1) {
        let cells = cells(row);
        let numbers: Vec<u8> = cells[GATEWAYS + 1].split(", ").filter_map(|number| number.parse().ok()).collect();
        let differs = cells[1..=GATEWAYS].iter().any(|cell| *cell != cells[1] && *cell != "–");
        if differs == numbers.is_empty() || numbers.iter().any(|number| !listed.contains(number)) {
            faults.push(row.to_owned());
        }
        named.extend(numbers);
    }
    faults.extend(listed.difference(&named).map(|number| format!("no row names difference {number}")));
    faults
}
