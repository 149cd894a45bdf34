//! `cors` in an entry of `[[rules]]`.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use crate::config::key::{DefaultValue, EntryVisitor, Key, Nested};
use crate::config::section::Section;
use crate::config::value::{Commas, Parsed, Value, age, boolean, list, origins};
use furt_core::model::{CORS_MAX_AGE, Cors, LONGEST_CORS_MAX_AGE, Origins, Said};

/// The values of `cors` in an entry.
pub(super) struct CorsValues {
    origins: Option<Origins>,
    headers: Option<Vec<HeaderName>>,
    expose: Option<Vec<HeaderName>>,
    credentials: Option<bool>,
    max_age: Option<Duration>,
}

pub(super) fn visit<V: EntryVisitor>(keys: &mut V) -> CorsValues {
    CorsValues {
        origins: keys.required(
            Key {
                name: "rules.cors.origins",
                default: DefaultValue::absent("required in `cors`", r#"["https://app.example.org"]"#),
                range: "1 to 64 origins, or `[\"*\"]`",
                text: "[Pages of these origins](routes.md#cors) may read answers. `cors = false` in the place of the table removes what a \
                       service says.",
                ..Key::ROW
            },
            origins,
        ),
        headers: keys.optional(
            Key {
                name: "rules.cors.headers",
                default: DefaultValue::absent("what they ask for", r#"["x-api-key", "content-type"]"#),
                range: "at most 64 names of headers",
                text: "The headers that their requests may have.",
                ..Key::ROW
            },
            list(Commas::Refused, "a header's name", Cors::try_header),
        ),
        expose: keys.optional(
            Key {
                name: "rules.cors.expose",
                default: DefaultValue::absent("none", r#"["x-total"]"#),
                range: "at most 64 names of headers",
                text: "The answer's headers that they may read, beside `X-Request-Id`, `Retry-After` and `WWW-Authenticate`.",
                ..Key::ROW
            },
            list(Commas::Refused, "a header's name", Cors::try_header),
        ),
        credentials: keys.optional(
            Key {
                name: "rules.cors.credentials",
                default: DefaultValue::absent("`false`", "false"),
                range: "true, false",
                text: "Whether their requests may have cookies; not with the origin `\"*\"`.",
                ..Key::ROW
            },
            boolean,
        ),
        max_age: keys.optional(
            Key {
                name: "rules.cors.max_age",
                default: DefaultValue::absent("`\"10m\"`", r#""10m""#),
                range: "0 to 1 day, whole seconds",
                text: "How long a browser may keep the answer to a preflight.",
                ..Key::ROW
            },
            max_age,
        ),
    }
}

fn max_age(value: &Value<'_>) -> Parsed<Duration> {
    match age(value)? {
        age if age <= LONGEST_CORS_MAX_AGE => Ok(age),
        _ => value.error("is out of range; must be 0 to 1 day".to_owned()),
    }
}

pub(super) fn read(values: Nested<CorsValues>, entry: &Section<'_>) -> Said<Arc<Cors>> {
    let values = match values {
        Nested::Absent => return Said::Nothing,
        Nested::Off => return Said::Off,
        Nested::Is(values) => values,
    };
    let Some(origins) = values.origins else { return Said::Nothing };
    let cors = Cors {
        origins,
        headers: values.headers.map(Vec::into_boxed_slice),
        expose: values.expose.unwrap_or_default().into(),
        credentials: values.credentials.unwrap_or_default(),
        max_age: values.max_age.unwrap_or(CORS_MAX_AGE),
    };
    if let Err(why) = cors.check() {
        entry.refuse("cors", why.to_string());
    }
    Said::Is(Arc::new(cors))
}
