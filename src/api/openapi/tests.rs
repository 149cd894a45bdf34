use std::fs;
use std::path::Path;

use super::description::description;
use super::page::page;

/// Compares a file of the repository with what it should be, or writes it.
fn check_file(path: &str, expected: &str) {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(full, expected).unwrap();
        return;
    }
    let text = fs::read_to_string(full).unwrap();
    let differing = text.lines().zip(expected.lines()).find(|(is, should)| is != should);
    assert!(text == expected, "{path} is not what the code says, UPDATE_DOCS=1 writes it: {differing:?}");
}

#[test]
fn the_description_and_its_page_are_those_of_the_code() {
    let description = description();
    check_file("docs/openapi.json", &(serde_json::to_string_pretty(&description).unwrap() + "\n"));
    check_file("docs/api.md", &page(&description));
}
