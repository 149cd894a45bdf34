//! What is refused, and the exact lines that say so. Each table holds a text and its errors without the file's name.

mod entries;
mod form;
mod forward_auth;
mod issuers;
mod mirror;
mod operators;
mod targets;
mod values;

use super::super::Config;

/// Checks that each text gives exactly these errors, in this order.
fn check(table: &[(&str, &[&str])]) {
    for (text, expected) in table {
        let errors = Config::parse("furt.toml", text, &|_| None).err().map(|errors| errors.to_string());
        let lines: Vec<_> = expected.iter().map(|line| format!("furt.toml:{line}")).collect();
        assert_eq!(errors, Some(lines.join("\n")), "{text}");
    }
}
