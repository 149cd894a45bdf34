//! `[keys]`: where API keys may be in a request.

use crate::config::key::{DefaultValue, Key, TableVisitor};
use crate::config::types::{KeyAccept, KeysConfig};
use crate::config::value::{Commas, Parsed, Value, list};
use furt_core::model::Invalid;

/// The word for `X-API-Key`.
const HEADER: &str = "header";

pub(super) fn visit(keys: &mut impl TableVisitor) -> KeysConfig {
    keys.table("keys", "Where [API keys](requests.md#api-keys-and-permissions) may be in a request.");
    KeysConfig {
        accept: keys.value(
            Key {
                name: "keys.accept",
                default: DefaultValue::Toml(r#"["header"]"#),
                range: "`\"header\"`, and `\"bearer\"` and `\"basic\"` as well",
                text: "`\"header\"` is `X-API-Key`. `\"bearer\"` is the token of `Authorization: Bearer`, `\"basic\"` the password of \
                       `Authorization: Basic`, with any user. `X-API-Key` goes before `Authorization`.",
                ..Key::ROW
            },
            accept,
            |config| &config.keys.accept,
        ),
    }
}

fn accept(value: &Value<'_>) -> Parsed<KeyAccept> {
    let word = |text: &str| match text {
        HEADER | "bearer" | "basic" => Ok(text.to_owned()),
        _ => Err(Invalid::new("must be \"header\", \"bearer\" or \"basic\"")),
    };
    let words = list(Commas::Split, "a way for keys", word)(value)?;
    let has = |word: &str| words.iter().any(|one| one == word);
    if !has(HEADER) {
        return value.error("must have \"header\": keys in X-API-Key are always taken".to_owned());
    }
    Ok(KeyAccept { bearer: has("bearer"), basic: has("basic") })
}
