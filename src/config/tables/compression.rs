//! `[compression]`: how answers are compressed of routes that ask for it.

use std::ops::RangeInclusive;

use crate::config::key::{DefaultValue, Key, TableVisitor};
use crate::config::types::{CompressionConfig, ContentCoding, MediaTypePattern};
use crate::config::value::{Commas, Parsed, Value, list, size};

/// The largest `min_size`.
const MOST_MIN_SIZE: u64 = 1024 * 1024;
/// What `max_memory` may be: an answer in any coding at least.
const MEMORY: RangeInclusive<u64> = 2 * 1024 * 1024..=64 * 1024 * 1024 * 1024;
/// The most patterns: each answer is held against them.
const MAX_TYPES: usize = 64;

pub(super) fn visit(keys: &mut impl TableVisitor) -> CompressionConfig {
    keys.table("compression", "How answers of routes with [`compress`](routes.md#compress) are compressed.");
    CompressionConfig {
        encodings: keys.value(
            Key {
                name: "compression.encodings",
                default: DefaultValue::Toml(r#"["zstd", "br", "gzip"]"#),
                range: "`\"zstd\"`, `\"br\"`, `\"gzip\"`; at least one, each once",
                text: "The encodings, in the order of preference. The client's preference comes first.",
                ..Key::ROW
            },
            encodings,
            |config| &config.compression.encodings,
        ),
        min_size: keys.value(
            Key {
                name: "compression.min_size",
                default: DefaultValue::Toml("1024"),
                range: "size, 1 to 1 MiB",
                text: "Answers with a shorter `Content-Length` stay as they are.",
                ..Key::ROW
            },
            min_size,
            |config| &config.compression.min_size,
        ),
        types: keys.value(
            Key {
                name: "compression.types",
                default: DefaultValue::Toml(
                    r#"["text/*", "application/json", "application/*+json", "application/javascript", "image/svg+xml"]"#,
                ),
                range: "1 to 64 media types; `*` after the `/` stands for any, and a suffix may follow it",
                text: "Answers with another `Content-Type`, or without one, stay as they are.",
                ..Key::ROW
            },
            types,
            |config| &config.compression.types,
        ),
        max_memory: keys.value(
            Key {
                name: "compression.max_memory",
                default: DefaultValue::Toml(r#""128MiB""#),
                range: "size, 2 MiB to 64 GiB",
                text: "The most memory for answers that are being compressed: 1.3 MiB for each with `zstd` or `br`, 0.4 MiB with `gzip`. An answer \
                       beyond that is sent as it is, and counted.",
                ..Key::ROW
            },
            max_memory,
            |config| &config.compression.max_memory,
        ),
    }
}

fn encodings(value: &Value<'_>) -> Parsed<Vec<ContentCoding>> {
    let all = list(Commas::Split, "an encoding", ContentCoding::try_new)(value)?;
    let is_twice = all.iter().enumerate().any(|(at, one)| all[..at].contains(one));
    if all.is_empty() || is_twice {
        return value.error("is empty or names an encoding twice; must be at least one, each once".to_owned());
    }
    Ok(all)
}

fn min_size(value: &Value<'_>) -> Parsed<u64> {
    match size(value)? {
        bytes if bytes <= MOST_MIN_SIZE => Ok(bytes),
        _ => value.error("is out of range; must be 1 to 1 MiB".to_owned()),
    }
}

fn max_memory(value: &Value<'_>) -> Parsed<u64> {
    match size(value)? {
        bytes if MEMORY.contains(&bytes) => Ok(bytes),
        _ => value.error("is out of range; must be \"2MiB\" to \"64GiB\"".to_owned()),
    }
}

fn types(value: &Value<'_>) -> Parsed<Vec<MediaTypePattern>> {
    let all = list(Commas::Split, "a media type", MediaTypePattern::try_new)(value)?;
    if (1..=MAX_TYPES).contains(&all.len()) {
        return Ok(all);
    }
    value.error(format!("has {} media types; must be 1 to {MAX_TYPES}", all.len()))
}
