//! `docs/api.md`, for people: the table of endpoints, and the fields of each type.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use super::super::endpoints::{ENDPOINTS, Endpoint};
use super::super::query::{Parameter, Presence, Query};
use super::super::right::Right;

const HEAD: &str = "\
# The API of the internal listener

This page and [openapi.json](openapi.json) are made from furt's code by `UPDATE_DOCS=1 cargo nextest run -p furt --lib openapi`; they are
not to be edited. A running furt has the same description at `GET /internal/openapi.json`. It is OpenAPI 3.1: tools make clients, forms
and tests from it. [clients.md](clients.md) has two small clients that register a service.

- [Endpoints](#endpoints)
- [Rules for all of them](#rules-for-all-of-them)
- [Types](#types)

## Endpoints

*For* is the least that a caller needs: *service* is an address that [may register](registering.md#who-may-register); *read*, *keys*,
*operate* and *admin* are the roles of [operators](operating.md#operators). Body and answer are [types](#types) of this page, and of the Rust crate `furt-api`. The endpoints below `/api/v1` are
[edgeProxy's API](registering.md#the-edgeproxy-api). Those below `/v2` are for
[etcd-registry](registering.md#coming-from-etcd-registry); the description has them not, since their paths have any number of slashes.

";

const RULES: &str = "
## Rules for all of them

- A body is JSON with `Content-Type: application/json`, at most 64 KiB; [a file](operating.md#as-a-file) has at most 4 MiB. furt refuses a field and a parameter that it does not know, and
  names all that is wrong at once.
- An error is [problem+json](problems.md) (RFC 9457), see [`Problem`](#problem).
- Answers may get fields with a new version of furt, and a field with a fixed set of texts may get new ones. A client ignores what it
  does not know.
- Fields of type *seconds* are numbers with a fraction or without. Other numbers have their unit last in their name. Times are in UTC.
- `HEAD` is answered wherever `GET` is.

## Types

A field that is *optional* may be absent. *or null* says that the field is there without a value.
";

/// The whole page.
pub(super) fn page(description: &Value) -> String {
    let schemas = description["components"]["schemas"].as_object().unwrap();
    let mut text = HEAD.to_owned() + &table() + RULES;
    for (name, schema) in schemas {
        text += &section(name, schema);
    }
    text
}

/// A query as the documentation has it: what may be left out in brackets, of which those at the end stand in one pair.
fn shown(query: Query) -> String {
    let Query::Only(parameters) = query else { return String::new() };
    let required = parameters.iter().take_while(|parameter| parameter.presence == Presence::Required).count();
    let mut text = String::new();
    for (position, Parameter { name, example, .. }) in parameters.iter().enumerate() {
        let opening = if position == required { "[" } else { "" };
        let separator = if position == 0 { "?" } else { "&" };
        text += &format!("{opening}{separator}{name}={example}");
    }
    text + if required < parameters.len() { "]" } else { "" }
}

fn table() -> String {
    let row = |endpoint: &Endpoint| {
        let who = match endpoint.right {
            Right::Everyone if ["/livez", "/readyz"].contains(&endpoint.path) => "everyone, with any `Host`",
            Right::Everyone => "everyone",
            Right::Registrant => "service",
            Right::RegistrantOrOperate => "service, operate",
            Right::Read => "read",
            Right::Keys => "keys",
            Right::Operate => "operate",
            Right::Admin => "admin",
            Right::AdminByToken => "admin, with the token",
        };
        let link = |name: &str| format!("[`{name}`](#{})", name.to_lowercase());
        let body = match (endpoint.body, endpoint.body.strip_prefix("Option<")) {
            ("()", _) => String::new(),
            (_, Some(name)) => format!("{}, or none", link(name.trim_end_matches('>'))),
            (name, None) => link(name),
        };
        let response = match endpoint.response {
            "Text" => "text".to_owned(),
            "Json" => "JSON".to_owned(),
            name => link(name),
        };
        let statuses: Vec<String> = endpoint.statuses.iter().map(u16::to_string).collect();
        let Endpoint { method, path, text, .. } = endpoint;
        let (query, statuses) = (shown(endpoint.query), statuses.join(", "));
        format!("| `{method} {path}{query}` | {who} | {body} | {statuses} {response} | {text} |\n")
    };
    let head = "| request | for | body | answer | what it does |\n|---|---|---|---|---|\n";
    head.to_owned() + &ENDPOINTS.iter().map(row).collect::<String>()
}

fn section(name: &str, schema: &Value) -> String {
    let mut text = format!("\n### {name}\n\n");
    if let Some(about) = schema["description"].as_str() {
        text += &format!("{}\n", escaped(about));
    }
    if let Some(values) =
        schema["anyOf"].as_array().filter(|values| values.iter().any(|one| one.get("const").is_some()))
    {
        text += "\n| text | what it says |\n|---|---|\n";
        for value in values.iter().filter(|value| value.get("const").is_some()) {
            let about = value["description"].as_str().unwrap_or_default();
            writeln!(text, "| `{}` | {} |", value["const"].as_str().unwrap(), in_cell(about)).unwrap();
        }
        return text;
    }
    let mut fields = Vec::new();
    collect(schema, &mut fields);
    if fields.is_empty() {
        return text + &format!("\nType: {}.\n", kind(schema));
    }
    text += "\n| field | type | what it says |\n|---|---|---|\n";
    let mut seen = BTreeSet::new();
    for (field, schema, is_required) in fields {
        if seen.insert(field) {
            let about = schema["description"].as_str().unwrap_or_default();
            let optional = if is_required { "" } else { ", optional" };
            writeln!(text, "| `{field}` | {}{optional} | {} |", kind(schema), in_cell(about)).unwrap();
        }
    }
    text
}

/// The fields of an object, and those of objects that are flattened into it.
fn collect<'a>(schema: &'a Value, fields: &mut Vec<(&'a str, &'a Value, bool)>) {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        fields.push((name, field, required.contains(&name.as_str())));
    }
    for part in ["allOf", "anyOf", "oneOf"].iter().flat_map(|part| schema[part].as_array()).flatten() {
        let before = fields.len();
        collect(part, fields);
        if part.get("$ref").is_none() && schema.get("anyOf").is_some() {
            fields[before..].iter_mut().for_each(|(_, _, is_required)| *is_required = false);
        }
    }
}

/// A type in words.
fn kind(schema: &Value) -> String {
    if schema.as_bool() == Some(true) {
        return "any JSON".to_owned();
    }
    if let Some(path) = schema["$ref"].as_str() {
        let name = path.rsplit('/').next().unwrap();
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(text) = schema["const"].as_str() {
        return format!("`{text}`");
    }
    if let Some(texts) = schema["enum"].as_array() {
        return texts.iter().map(|text| format!("`{}`", text.as_str().unwrap())).collect::<Vec<_>>().join(" or ");
    }
    for part in ["anyOf", "oneOf", "allOf"] {
        if let Some(parts) = schema[part].as_array() {
            return parts.iter().map(kind).collect::<Vec<_>>().join(" or ");
        }
    }
    let one = |kind: &str| match kind {
        "array" if schema.get("prefixItems").is_some() => {
            let items = schema["prefixItems"].as_array().unwrap();
            format!("array of {}", items.iter().map(self::kind).collect::<Vec<_>>().join(" and "))
        }
        "array" => format!("array of {}", self::kind(&schema["items"])),
        "object" => match schema.get("additionalProperties") {
            Some(of) if of.is_object() => format!("object of {}", self::kind(of)),
            _ => "object".to_owned(),
        },
        "string" if schema["format"] == "date-time" => "time".to_owned(),
        kind => kind.to_owned(),
    };
    match &schema["type"] {
        Value::String(kind) => one(kind),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).map(one).collect::<Vec<_>>().join(" or "),
        _ => "any JSON".to_owned(),
    }
}

fn in_cell(text: &str) -> String {
    escaped(text).replace("\n\n", " ").replace('|', "\\|")
}

/// What Markdown would take for its own.
fn escaped(text: &str) -> String {
    let pieces = text.split('`').enumerate().map(|(at, piece)| match at % 2 {
        0 => piece.replace('<', "\\<").replace('*', "\\*"),
        _ => format!("`{piece}`"),
    });
    pieces.collect()
}
