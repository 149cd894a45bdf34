//! The rows of the keys, and the files that are written from them: `conf/furt.toml` below its first paragraph, and the
//! tables of `docs/configuration.md`. With `UPDATE_DOCS=1` in the environment this test writes them; without, it compares.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use crate::config::{DefaultValue, Key, ReloadClass, Table, TableKind, reference};

/// Columns of a line of `conf/furt.toml`.
const WIDTH: usize = 120;

/// Compares a file of the repository with what it should be, or writes it.
fn check_file(path: &str, render: impl Fn(&str) -> String) {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = std::fs::read_to_string(&full).unwrap();
    let expected = render(&text);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(full, expected).unwrap();
    } else {
        let differing = text.lines().zip(expected.lines()).find(|(is, should)| is != should);
        let (is, should) = differing.unwrap_or_default();
        assert!(
            text == expected,
            "{path} differs from the rows, UPDATE_DOCS=1 writes it:\n is: {is}\n should: {should}"
        );
    }
}

/// Markdown as it is read in a configuration file: links without their targets.
fn plain(markdown: &str) -> String {
    let mut text = markdown.to_owned();
    while let Some((start, end)) = text.split_once("](") {
        let (before, label) = start.rsplit_once('[').unwrap();
        let (_, after) = end.split_once(')').unwrap();
        text = format!("{before}{label}{after}");
    }
    // A value in quotes needs no more of them.
    let is_value = |piece: &str| piece.len() > 1 && piece.starts_with('"') && piece.ends_with('"');
    let pieces = text.split('`').enumerate().map(|(index, piece)| match index % 2 == 0 || is_value(piece) {
        true => piece.to_owned(),
        false => format!("`{piece}`"),
    });
    pieces.collect()
}

/// A remark in lines of at most [`WIDTH`] columns.
fn remark(text: &str) -> String {
    let (mut lines, mut line) = (String::new(), "#".to_owned());
    for word in text.split(' ') {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines += &(std::mem::replace(&mut line, "#".to_owned()) + "\n");
        }
        line = line + " " + word;
    }
    lines + &line + "\n"
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map_or_else(String::new, |first| first.to_uppercase().collect());
    format!("{first}{}.", chars.as_str())
}

/// Everything about a key in one paragraph.
fn paragraph(key: &Key) -> String {
    let mut text = match key.reload {
        ReloadClass::Reload => String::new(),
        ReloadClass::Restart => "[restart] ".to_owned(),
    };
    text += key.text;
    if key.range.contains(" to ") || key.range.contains("unique") {
        write!(text, " Range: {}.", key.range).unwrap();
    }
    match key.default {
        DefaultValue::Absent { means, .. } if means.starts_with("required") => text += &format!(" {}", sentence(means)),
        DefaultValue::Absent { means, .. } if means != "none" => text += &format!(" Default: {means}."),
        DefaultValue::Absent { .. } | DefaultValue::Toml(_) => {}
    }
    plain(&text)
}

fn shown_key(key: &Key) -> String {
    match key.default {
        DefaultValue::Toml(value) => format!("{}{} = {value}\n", remark(&paragraph(key)), key.key()),
        DefaultValue::Absent { example: Some(value), .. } => {
            format!("{}#{} = {value}\n", remark(&paragraph(key)), key.key())
        }
        DefaultValue::Absent { example: None, .. } => String::new(),
    }
}

fn shown_table(table: &Table) -> String {
    let header = match table.kind {
        TableKind::Single => format!("[{}]\n", table.name),
        TableKind::Array => format!("#[[{}]]\n", table.name),
    };
    let keys: String = table.keys.iter().map(shown_key).collect();
    format!("\n{}{header}{keys}", remark(&plain(table.text)))
}

#[test]
fn the_shipped_file_is_written_from_the_rows() {
    check_file("conf/furt.toml", |text| {
        let introduction = text.split_inclusive('\n').take_while(|line| line.starts_with('#'));
        introduction.map(str::to_owned).chain(reference().iter().map(shown_table)).collect()
    });
}

fn documented_key(key: &Key, kind: TableKind) -> String {
    let default = match key.default {
        DefaultValue::Toml(value) => format!("`{value}`"),
        DefaultValue::Absent { means, .. } => means.to_owned(),
    };
    let effect = match (kind, key.reload) {
        (TableKind::Single, ReloadClass::Reload) => " | reload",
        (TableKind::Single, ReloadClass::Restart) => " | restart",
        (TableKind::Array, _) => "",
    };
    let effect = if key.pushable { format!("{effect}, pushable") } else { effect.to_owned() };
    let cells = format!("`{}` | {default} | {}{effect} | {}", key.key(), key.range, key.text.replace('|', "\\|"));
    format!("| {cells} |\n")
}

fn documented_table(table: &Table) -> String {
    let header = match table.kind {
        TableKind::Single => "| key | default | range | takes effect | |\n|---|---|---|---|---|\n",
        TableKind::Array => "| key | default | range | |\n|---|---|---|---|\n",
    };
    let keys: String = table.keys.iter().map(|key| documented_key(key, table.kind)).collect();
    format!("{header}{keys}")
}

fn documented_aliases() -> String {
    let keys = reference().into_iter().flat_map(|table| table.keys);
    let aliases = keys.filter_map(|key| key.alias.map(|alias| format!("| `{alias}` | `{}` |\n", key.name)));
    format!("| variable | stands for |\n|---|---|\n{}", aliases.collect::<String>())
}

/// The text with another table below the heading.
fn with_table(text: &str, heading: &str, table: &str) -> String {
    let (before, rest) = text.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no ## {heading}"));
    let start = rest.find("\n| ").unwrap_or_else(|| panic!("no table below ## {heading}")) + 1;
    let length: usize =
        rest[start..].split_inclusive('\n').take_while(|line| line.starts_with('|')).map(str::len).sum();
    assert!(!rest[..start].contains("\n## "), "no table below ## {heading}");
    format!("{before}\n## {heading}\n{}{table}{}", &rest[..start], &rest[start + length..])
}

#[test]
fn the_tables_of_the_documentation_are_written_from_the_rows() {
    check_file("docs/configuration.md", |text| {
        let text = with_table(text, "Environment variables", &documented_aliases());
        reference().iter().fold(text, |text, table| with_table(&text, table.name, &documented_table(table)))
    });
}

#[test]
fn every_row_says_all_of_its_key() {
    let mut names = BTreeSet::new();
    for table in reference() {
        assert!(!table.text.is_empty() && !table.keys.is_empty(), "{}", table.name);
        for key in table.keys {
            assert_eq!(key.table(), table.name, "{}", key.name);
            assert!(!key.range.is_empty() && !key.text.is_empty(), "{}", key.name);
            assert!(names.insert(key.name), "{} has two rows", key.name);
            let is_allowed =
                ["server", "gateway", "registration", "client", "limits", "upstream"].contains(&table.name);
            assert!(
                !key.pushable || is_allowed,
                "{}: who may do what, and where traffic goes, is a node's own",
                key.name
            );
            let is_array = table.kind == TableKind::Array;
            assert!(!is_array || key.reload == ReloadClass::Reload, "{}: an array is changed as a whole", key.name);
            assert!(!is_array || key.alias.is_none(), "{}: the environment has no entries", key.name);
        }
    }
}
