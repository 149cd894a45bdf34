//! The log: which lines are told, and that none of them tells a secret.
//!
//! Pingora, and the crates below it, log headers whole at `debug` and `trace`, with the API keys in them. So other crates are told
//! at `info` at most, whatever FURT_LOG says, and what still names a header that carries a secret ends there.

use std::fmt::Write as _;
use std::io::Write as _;

use log::{Level, LevelFilter, Log, Metadata, Record};
use serde_json::{Value, json};

use crate::clock;
use crate::config::LogFormat;

/// Headers whose values are secrets, in lower case.
const SECRET_HEADERS: [&str; 4] = ["x-api-key", "x_api_key", "authorization", "cookie"];
/// The most that other crates are told at.
const OTHER_CRATES: Level = Level::Info;

/// Logs what FURT_LOG says, otherwise what `filter` does.
pub(super) fn start(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    let filter = std::env::var("FURT_LOG").unwrap_or_else(|_| filter.to_owned());
    let mut builder = env_logger::Builder::new();
    builder.parse_filters(&filter);
    if format == LogFormat::Json {
        builder.format(|line, record| writeln!(line, "{}", as_json(record, clock::unix_ms())));
    }
    let logger = builder.build();
    let most = logger.filter();
    log::set_boxed_logger(Box::new(Discreet(logger)))?;
    log::set_max_level(most);
    if most > LevelFilter::Info {
        log::info!(
            "FURT_LOG: other crates than furt are told at info at most, since below they log headers with secrets"
        );
    }
    Ok(())
}

/// A line as an object.
fn as_json(record: &Record<'_>, unix_ms: i64) -> Value {
    json!({
        "time": clock::rfc3339_ms(unix_ms),
        "level": record.level().as_str(),
        "target": record.target(),
        "message": record.args().to_string(),
    })
}

/// A logger that keeps secrets.
struct Discreet<L>(L);

fn is_ours(target: &str) -> bool {
    target == "furt" || target.starts_with("furt::") || target.starts_with("furt_")
}

impl<L: Log> Log for Discreet<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        (metadata.level() <= OTHER_CRATES || is_ours(metadata.target())) && self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut text = String::new();
        // A `Display` that fails has said so far what it could.
        _ = write!(text, "{}", record.args());
        match secret_at(&text) {
            None => self.0.log(record),
            Some(end) => {
                let told = &text[..end];
                self.0.log(&record.to_builder().args(format_args!("{told} [the rest may hold a secret]")).build());
            }
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

/// Where a header with a secret begins, if one does: its name, and a colon or whatever an escaped or quoted form has there.
fn secret_at(text: &str) -> Option<usize> {
    // Lower case of the same length, so that places are the same.
    let lower = text.to_ascii_lowercase();
    let starts = SECRET_HEADERS.iter().filter_map(|name| {
        lower.match_indices(name).map(|(at, _)| at + name.len()).find(|end| is_followed_by_a_value(&lower[*end..]))
    });
    starts.min()
}

/// A word that is only mentioned is followed by a blank and another word, or by nothing.
fn is_followed_by_a_value(rest: &str) -> bool {
    let rest = rest.trim_start_matches(['"', '\'', '\\', ' ', ')']);
    rest.starts_with([':', '=', ','])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_with_a_secret_ends_the_line() {
        for text in [
            "X-API-Key: SECRET",
            "x-api-key:SECRET",
            "headers: {\"x-api-key\": \"SECRET\"}",
            "buf: \"GET / HTTP/1.1\\r\\nX-Api-Key: SECRET\\r\\n\"",
            "[(\"authorization\", \"SECRET\")]",
            "Cookie: SECRET",
            "Set-Cookie: SECRET",
            "X_API_KEY=SECRET",
            "é x-API-key : SECRET",
        ] {
            let end = secret_at(text).unwrap_or_else(|| panic!("{text}"));
            assert!(!text[..end].contains("SECRET"), "{text}");
        }
        for text in ["the X-API-Key header is missing", "no authorization", "listens on 127.0.0.1:80", ""] {
            assert_eq!(secret_at(text), None, "{text}");
        }
    }

    #[test]
    fn a_line_of_json_is_one_line_whatever_is_told() {
        let record = Record::builder().level(Level::Warn).target("furt::app").args(format_args!("a\n\"b\"")).build();
        let line = as_json(&record, 1_763_152_200_123).to_string();
        let expected =
            r#"{"time":"2025-11-14T20:30:00.123Z","level":"WARN","target":"furt::app","message":"a\n\"b\""}"#;
        assert_eq!(line, expected);
    }

    #[test]
    fn other_crates_are_told_at_info_at_most() {
        let logger = Discreet(env_logger::Builder::new().parse_filters("trace").build());
        let is_told = |target: &str, level| logger.enabled(&Metadata::builder().target(target).level(level).build());
        for (target, is_ours) in [
            ("furt", true),
            ("furt::proxy", true),
            ("furt_core::registry", true),
            ("pingora_core::protocols::http::v1::server", false),
            ("h2::codec", false),
            ("furtive", false),
        ] {
            assert!(is_told(target, Level::Info), "{target}");
            assert_eq!(is_told(target, Level::Debug), is_ours, "{target}");
            assert_eq!(is_told(target, Level::Trace), is_ours, "{target}");
        }
    }
}
