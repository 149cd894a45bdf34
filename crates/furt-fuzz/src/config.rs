//! The target `config`: a configuration's text and its environment.
//!
//! An input is a file. Its lines `#env NAME=value`, remarks to TOML, are the environment. What is taken is taken again,
//! also between remarks; what is refused is refused with places that are in it, in short lines, without secrets.

use std::collections::{BTreeMap, BTreeSet};

use furt::config::{Config, ConfigError, ConfigErrors, SourceLocation};

/// Longer than any text that an error repeats: it repeats 80 characters, an escape of each may take 10.
const MOST_BYTES_OF_AN_ERROR: usize = 1500;

/// Asserts that a configuration is taken for what it says, or refused with good reasons.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let variables: BTreeMap<_, _> =
        text.lines().filter_map(|line| line.strip_prefix("#env ")?.split_once('=')).collect();
    let env = |name: &str| variables.get(name).map(|value| (*value).to_owned());
    let parse = |text: &str| Config::parse("furt.toml", text, &env);
    let parsed = parse(text);
    assert_eq!(parse(text), parsed);
    match &parsed {
        Ok(_) => {
            assert_eq!(parse(&format!("{text}\n# the end")), parsed, "a remark at the end changes nothing");
            assert_eq!(parse(&format!("\u{feff}{}", unmarked(text))), parsed, "a byte order mark changes nothing");
            let unknown: Vec<_> =
                parse(&format!("zzzz_unknown = 1\n{}", unmarked(text))).map_or_else(places, |_| Vec::new());
            assert_eq!(unknown, [("zzzz_unknown".to_owned(), Some((1, 1)))], "one more key is one error");
        }
        Err(errors) => check_errors(text, &variables, errors),
    }
    if unmarked(text).starts_with('\u{feff}') {
        // One more at the start is told by furt, one within a line by the parser.
        return;
    }
    let moved = parse(&format!("# a remark\n{}", unmarked(text)));
    let down = |(key, place): (String, Option<(usize, usize)>)| {
        let has_position = !key.ends_with(WITHOUT_POSITION);
        (key, place.map(|(line, column)| (line + usize::from(has_position), column)))
    };
    match (parsed, moved) {
        (Ok(config), moved) => assert_eq!(moved, Ok(config), "a remark at the start changes nothing"),
        (Err(errors), moved) => {
            let moved: BTreeSet<_> = moved.map_or_else(places, |_| Vec::new()).into_iter().collect();
            assert_eq!(moved, places(errors).into_iter().map(down).collect(), "it moves every place down");
        }
    }
}

fn unmarked(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// What ends an error that is no error of the file's first line, although it stands there.
const WITHOUT_POSITION: &str = "at a place that is not told";

/// Keys, with line and column where they are in the file.
fn places(errors: ConfigErrors) -> Vec<(String, Option<(usize, usize)>)> {
    let place = |error: &ConfigError| match error.location {
        SourceLocation::Position { line, column, .. } => Some((line, column)),
        SourceLocation::File { .. } | SourceLocation::Variable { .. } => None,
    };
    let suffix = |error: &ConfigError| if error.message.ends_with(WITHOUT_POSITION) { WITHOUT_POSITION } else { "" };
    errors.iter().map(|error| (format!("{}{}", error.key, suffix(error)), place(error))).collect()
}

fn check_errors(text: &str, variables: &BTreeMap<&str, &str>, errors: &ConfigErrors) {
    let lines: Vec<_> = unmarked(text).split('\n').map(|line| line.chars().count()).collect();
    let mut previous = None;
    for error in errors.iter() {
        match &error.location {
            SourceLocation::Position { file, line, column } => {
                let length = line.checked_sub(1).and_then(|at| lines.get(at));
                let is_there = length.is_some_and(|length| (1..=length + 1).contains(column));
                assert!(is_there && file == "furt.toml", "{error}: not in the file");
            }
            SourceLocation::Variable { name } => assert!(variables.contains_key(name.as_str()), "{error}: not set"),
            SourceLocation::File { .. } => panic!("{error}: it was read"),
        }
        let line = error.to_string();
        assert!(!line.chars().any(char::is_control) && line.len() <= MOST_BYTES_OF_AN_ERROR, "{line:?}");
        assert!(!error.key.is_empty() && !error.message.is_empty(), "{line:?}");
        assert!(previous.is_none_or(|previous| previous < error), "{line:?}: out of order");
        previous = Some(error);
    }
    assert!(previous.is_some(), "refused without a reason");
    let told = errors.to_string();
    for secret in secrets(text) {
        // Where it stands elsewhere, too, an error may name it.
        assert!(text.matches(&secret).count() > 1 || !told.contains(&secret), "{secret:?} is told: {told}");
    }
}

/// What stands where a secret is expected, and is long enough to be one.
fn secrets(text: &str) -> Vec<String> {
    let Ok(file) = unmarked(text).parse::<toml::Table>() else { return Vec::new() };
    let mut secrets = Vec::new();
    for (name, section) in &file {
        let tables = match section {
            toml::Value::Array(entries) => entries.iter().filter_map(toml::Value::as_table).collect(),
            section => section.as_table().into_iter().collect::<Vec<_>>(),
        };
        for (key, value) in tables.into_iter().flatten() {
            let is_secret = matches!(
                (name.as_str(), key.as_str()),
                ("api_keys", "sha256")
                    | ("grants", "token_sha256")
                    | ("internal", "operator_token_sha256")
                    | ("routes", "url")
            );
            secrets.extend(value.as_str().filter(|text| is_secret && text.len() >= 8).map(str::to_owned));
        }
    }
    secrets
}
