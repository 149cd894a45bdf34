//! Printing: tables for people, JSON for programs, errors to stderr. The one place that writes to either.

use std::io::{self, Read, Write};

use anyhow::Context;
use furt_api::reload::Place;
use serde::Serialize;

/// Whether what is printed is still read.
pub(super) enum Reader {
    Reads,
    Gone,
}

/// Prints to stdout. A reader that went away (`furt routes | head`) is no failure.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    try_print(text).map(|_| ())
}

/// Prints what comes, as it comes.
pub(super) fn print_all(mut from: impl Read) -> anyhow::Result<()> {
    let mut piece = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut piece).context("the answer broke off")?;
        if length == 0 {
            return Ok(());
        }
        if let Reader::Gone = write(&piece[..length])? {
            return Ok(());
        }
    }
}

/// The same for what prints again and again: it ends with its reader.
pub(super) fn try_print(text: &str) -> anyhow::Result<Reader> {
    write(text.as_bytes())
}

fn write(bytes: &[u8]) -> anyhow::Result<Reader> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        outcome => outcome.map(|()| Reader::Reads).context("cannot print"),
    }
}

/// Tells something beside what was asked for; nothing is left to do where that does not work.
pub(super) fn note(text: &str) {
    _ = writeln!(io::stderr().lock(), "furt: {text}");
}

/// Prints a value as JSON.
pub(super) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// Tells why the verb failed; nothing is left to do where not even that works.
pub(super) fn fail(error: &anyhow::Error) {
    let mut out = io::stderr().lock();
    let causes: Vec<_> = error.chain().map(ToString::to_string).collect();
    for (number, line) in causes.join(": ").lines().enumerate() {
        let start = if number == 0 { "furt: " } else { "      " };
        _ = writeln!(out, "{start}{line}");
    }
}

/// Rows under a header, each column as wide as its widest cell; no spaces at a line's end.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(header.get(column).map(|name| name.len())).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..header.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    let head = line(header.to_vec());
    rows.iter().map(|row| line(row.iter().map(String::as_str).collect())).fold(head, |text, line| text + &line)
}

/// A value as a table's cell; `-` where there is none.
pub(super) fn cell(value: Option<&(impl ToString + ?Sized)>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| clean(&value.to_string()))
}

/// Who gave a command: its address, after the operator's name where that is known.
pub(super) fn who(from: &str, by: Option<&str>) -> String {
    match by {
        Some(name) => format!("{} at {}", clean(name), clean(from)),
        None => clean(from),
    }
}

/// Texts as one cell; `-` where there are none.
pub(super) fn list(texts: &[impl ToString]) -> String {
    match texts {
        [] => "-".to_owned(),
        texts => texts.iter().map(|text| clean(&text.to_string())).collect::<Vec<_>>().join(" "),
    }
}

/// A number and what it counts, in the plural where it is not 1.
pub(super) fn counted(number: u64, word: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{number} {word}{end}")
}

/// Without what a terminal would obey: some texts are of services' own making.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// A text as a shell takes it for one word.
pub(super) fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// `file:line:column: ` as far as an answer has it; the variable where the environment is to blame.
pub(super) fn place(place: &Place) -> String {
    let names = [&place.variable, &place.file].into_iter().flatten().map(|name| clean(name));
    let numbers = [place.line, place.column].into_iter().flatten().map(|number| number.to_string());
    let place: Vec<_> = names.chain(numbers).collect();
    if place.is_empty() { String::new() } else { place.join(":") + ": " }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_clean() {
        let rows = vec![vec!["a".to_owned(), "-".to_owned()], vec!["longer".to_owned(), "x".to_owned()]];
        assert_eq!(table(&["NAME", "B"], &rows), "NAME    B\na       -\nlonger  x\n");
    }

    #[test]
    fn a_text_that_a_shell_would_read_differently_is_quoted() {
        assert_eq!(quoted("/usr/local/bin/furt"), "/usr/local/bin/furt");
        assert_eq!(quoted("/home/a b/furt"), "'/home/a b/furt'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
