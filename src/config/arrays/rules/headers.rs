//! `headers` in an entry of `[[rules]]`.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use toml::de::DeValue;

use crate::config::key::{DefaultValue, EntryVisitor, Key, Nested};
use crate::config::location::RawLocation;
use crate::config::printable::printable;
use crate::config::section::Section;
use crate::config::value::{Commas, Parsed, RawValue, Value, list};
use furt_core::model::{HeaderEdits, Message, MessageHeaders, Said};

/// The values in an entry. `None`: absent, or invalid and reported.
pub(super) struct HeaderValues {
    request: Nested<EditValues>,
    response: Nested<EditValues>,
}

struct EditValues {
    set: Option<Vec<(HeaderName, HeaderValue)>>,
    remove: Option<Vec<HeaderName>>,
}

pub(super) fn visit<V: EntryVisitor>(keys: &mut V) -> HeaderValues {
    HeaderValues {
        request: keys.table("rules.headers.request", |keys: &mut V| EditValues {
            set: keys.optional(
                Key {
                    name: "rules.headers.request.set",
                    default: DefaultValue::absent("nothing", r#"{ X-Environment = "production" }"#),
                    range: "a table of names and values",
                    text: "Headers that the service gets, in the place of what the client sends. [`set` and `remove`](routes.md#headers) \
                           together name at most 32 headers. `headers = false` removes what earlier rules say.",
                    ..Key::ROW
                },
                values_of(Message::Request),
            ),
            remove: keys.optional(
                Key {
                    name: "rules.headers.request.remove",
                    default: DefaultValue::absent("nothing", r#"["Cookie"]"#),
                    range: "names of headers",
                    text: "Headers that the service does not get.",
                    ..Key::ROW
                },
                list(Commas::Refused, "a header's name", |text| Message::Request.try_header(text)),
            ),
        }),
        response: keys.table("rules.headers.response", |keys: &mut V| EditValues {
            set: keys.optional(
                Key {
                    name: "rules.headers.response.set",
                    default: DefaultValue::absent("nothing", r#"{ X-Frame-Options = "DENY" }"#),
                    range: "a table of names and values",
                    text: "Headers that the client gets, in the place of what the service sends; also with furt's own answers of the route.",
                    ..Key::ROW
                },
                values_of(Message::Response),
            ),
            remove: keys.optional(
                Key {
                    name: "rules.headers.response.remove",
                    default: DefaultValue::absent("nothing", r#"["Server"]"#),
                    range: "names of headers",
                    text: "Headers that the client does not get.",
                    ..Key::ROW
                },
                list(Commas::Refused, "a header's name", |text| Message::Response.try_header(text)),
            ),
        }),
    }
}

/// Headers by name, each with its value; every one that is wrong is told.
fn values_of(message: Message) -> impl Fn(&Value<'_>) -> Parsed<Vec<(HeaderName, HeaderValue)>> {
    move |value| {
        let RawValue::Toml(DeValue::Table(table)) = value.raw else {
            return value.error(
                "must be a table of headers and their values, such as { X-Frame-Options = \"DENY\" }".to_owned(),
            );
        };
        let (mut good, mut errors) = (Vec::new(), Vec::new());
        for (key, element) in table {
            let name = key.get_ref().as_ref();
            let at = |span: std::ops::Range<usize>| RawLocation::Offset(span.start);
            let refused = |why: &dyn std::fmt::Display| format!("\"{}\": {why}", printable(name));
            let own = message.try_header(name).map_err(|why| errors.push((at(key.span()), refused(&why)))).ok();
            let text = element.get_ref().as_str();
            let own_value = match text.map(Message::try_value) {
                Some(Ok(value)) => Some(value),
                Some(Err(why)) => {
                    errors.push((at(element.span()), refused(&why)));
                    None
                }
                None => {
                    errors.push((at(element.span()), refused(&"must have a value in quotes")));
                    None
                }
            };
            good.extend(own.zip(own_value));
        }
        if errors.is_empty() { Ok(good) } else { Err(errors) }
    }
}

pub(super) fn read(values: Nested<HeaderValues>, entry: &Section<'_>) -> Said<Arc<MessageHeaders>> {
    let HeaderValues { request, response } = match values {
        Nested::Absent => return Said::Nothing,
        Nested::Off => return Said::Off,
        Nested::Is(values) => values,
    };
    // What is wrong is reported already.
    if entry.has_faults_in("headers") {
        return Said::Nothing;
    }
    let edits = |values: Nested<EditValues>, key: &str| match values {
        Nested::Absent => HeaderEdits::default(),
        Nested::Off => {
            entry.refuse("headers", format!("cannot have {key} = false; must be a table with set or remove"));
            HeaderEdits::default()
        }
        Nested::Is(EditValues { set, remove }) => {
            let edits = HeaderEdits::try_new(set.unwrap_or_default(), remove.unwrap_or_default());
            edits.unwrap_or_else(|why| {
                entry.refuse("headers", format!("{key} {why}"));
                HeaderEdits::default()
            })
        }
    };
    let headers = MessageHeaders { request: edits(request, "request"), response: edits(response, "response") };
    if headers.request.is_empty() && headers.response.is_empty() && !entry.has_faults_in("headers") {
        entry.refuse("headers", "says nothing; must set or remove a header of request or response");
    }
    Said::Is(Arc::new(headers))
}
