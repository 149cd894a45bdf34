//! The description itself.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::super::endpoints::{ENDPOINTS, Endpoint};
use super::super::query::{Form, Parameter, Presence, Query};
use super::super::right::Right;
use crate::config::DefaultValue;

/// Where types stand in the description.
const SCHEMAS: &str = "/components/schemas";

/// Groups of endpoints, by what their paths begin with; the first that fits.
const TAGS: &[(&str, &str, &str)] = &[
    ("/internal/register-service", "registering", "Services register themselves and their instances."),
    ("/internal/services/{service}/split", "splits", "A share of the callers of a service goes to a version of it."),
    ("/internal/splits", "splits", ""),
    ("/internal/services/{service}/grant", "grants", "What a service may register."),
    ("/internal/grants", "grants", ""),
    ("/internal/export", "state", "What operators make at run time, as a file."),
    ("/internal/apply", "state", ""),
    ("/internal/services/{service}/maintenance", "maintenance", "Clients of a service, or of all, get 503."),
    ("/internal/maintenance", "maintenance", ""),
    ("/internal/services", "services", "What is registered, and how it is."),
    ("/internal/instances", "lookup", "Clients find instances, and gateways."),
    ("/internal/nodes", "lookup", ""),
    ("/internal/cluster", "cluster", "Nodes of furt that speak to each other over a broker."),
    ("/internal/routes", "routes", "The table of routes, and what becomes of a request."),
    ("/internal/explain", "routes", ""),
    ("/internal/events", "observing", "What happened, counts and health."),
    ("/internal/stats", "observing", ""),
    ("/metrics", "observing", ""),
    ("/health", "observing", ""),
    ("/livez", "observing", ""),
    ("/readyz", "observing", ""),
    ("/internal/keys", "keys", "API keys that are made while furt runs."),
    ("/internal/certificates", "certificates", "Certificates that furt shows to clients."),
    ("/api/v1", "edgeproxy", "The Auto-Discovery API of edgeProxy, where `gateway.edgeproxy_api` switches it on."),
    ("/internal", "furt", "furt itself: its configuration, its program, its store."),
];

/// Whether an endpoint is described: keys of etcd have slashes, for which OpenAPI has no words.
pub(super) fn is_described(endpoint: &Endpoint) -> bool {
    !endpoint.path.starts_with("/v2/")
}

/// The whole description.
pub(super) fn description() -> Value {
    let settings = || SchemaSettings::draft2020_12().with(|settings| settings.definitions_path = SCHEMAS.into());
    let mut bodies = settings().for_deserialize().into_generator();
    let mut answers = settings().for_serialize().into_generator();
    let mut paths = Map::new();
    for endpoint in ENDPOINTS.iter().filter(|endpoint| is_described(endpoint)) {
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        path[endpoint.method.as_str().to_lowercase()] = operation(endpoint, &mut bodies, &mut answers);
    }
    let problem = answers.subschema_for::<furt_api::Problem>();
    let mut document = json!({
        "openapi": "3.1.1",
        "info": {
            "title": "furt, internal listener",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Services register here, and operators look and act here. Answers may get fields, and texts of a fixed \
                            set may get values, with a new version of furt: clients ignore what they do not know. furt refuses \
                            bodies and queries that have more than is described here.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": format!("http://{}", listener()), "description": "The default of `internal.listen`." }],
        "tags": tags(),
        "paths": paths,
        "components": {
            "schemas": schemas(&mut bodies, &mut answers),
            "responses": {
                "Problem": {
                    "description": "What is wrong, as problem+json (RFC 9457); `docs/problems.md` of furt says what to do.",
                    "content": { "application/problem+json": { "schema": problem } },
                },
            },
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The token of an operator (`[[operators]]`, `internal.operator_token_sha256`), or of a \
                                    service's grant.",
                },
            },
        },
    });
    as_text(&mut document);
    document
}

fn listener() -> &'static str {
    let reference = crate::config::reference();
    let keys = &reference.iter().find(|table| table.name == "internal").unwrap().keys;
    match keys.iter().find(|key| key.name == "internal.listen").unwrap().default {
        DefaultValue::Toml(text) => text.trim_matches('"'),
        DefaultValue::Absent { .. } => panic!("internal.listen has a default"),
    }
}

fn tags() -> Vec<Value> {
    let named = TAGS.iter().filter(|(_, _, text)| !text.is_empty());
    named.map(|(_, name, text)| json!({ "name": name, "description": text })).collect()
}

/// The group of an endpoint.
fn tag(endpoint: &Endpoint) -> &'static str {
    // Heartbeats and the end of an instance are the services' own.
    let is_of_instance = endpoint.path.contains("/instances/") && endpoint.right == Right::RegistrantOrOperate;
    let (_, tag, _) = TAGS.iter().find(|(begin, _, _)| endpoint.path.starts_with(begin)).unwrap();
    if is_of_instance { "registering" } else { tag }
}

fn operation(endpoint: &Endpoint, bodies: &mut SchemaGenerator, answers: &mut SchemaGenerator) -> Value {
    let mut operation = json!({
        "operationId": id(endpoint),
        "tags": [tag(endpoint)],
        "summary": sentence(endpoint.text),
        "description": who(endpoint.right),
        "parameters": parameters(endpoint),
    });
    if endpoint.body != "()" {
        operation["requestBody"] = json!({
            "required": !endpoint.body.starts_with("Option<"),
            "content": { "application/json": { "schema": without_null((endpoint.body_schema)(bodies).to_value()) } },
        });
    }
    let mut responses = Map::new();
    for status in endpoint.statuses {
        let content = match endpoint.response {
            "Text" => json!({ "text/plain": { "schema": { "type": "string" } } }),
            // Makers of clients read `true`, which is any JSON, as a mistake.
            "Json" => json!({ "application/json": { "schema": { "type": "object" } } }),
            _ => json!({ "application/json": { "schema": (endpoint.response_schema)(answers) } }),
        };
        let text = http::StatusCode::from_u16(*status).unwrap().canonical_reason().unwrap();
        responses.insert(status.to_string(), json!({ "description": text, "content": content }));
    }
    if endpoint.path == "/readyz" {
        let content = json!({ "text/plain": { "schema": { "type": "string" } } });
        responses.insert("503".to_owned(), json!({ "description": "furt takes no traffic.", "content": content }));
    }
    responses.insert("default".to_owned(), json!({ "$ref": "#/components/responses/Problem" }));
    operation["responses"] = responses.into();
    operation["security"] = match endpoint.right {
        Right::Everyone => json!([]),
        Right::AdminByToken => json!([{ "token": [] }]),
        _ => json!([{}, { "token": [] }]),
    };
    operation
}

/// Names an operation: its method and the words of its path.
fn id(endpoint: &Endpoint) -> String {
    let mut id = endpoint.method.as_str().to_lowercase();
    let segments: Vec<&str> = endpoint.path.split('/').filter(|segment| !["", "internal"].contains(segment)).collect();
    for (at, segment) in segments.iter().enumerate() {
        match segment.strip_prefix('{').and_then(|segment| segment.strip_suffix('}')) {
            Some(name) if at + 1 == segments.len() => id += &format!("_by_{name}"),
            Some(_) => {}
            None => id += &format!("_{}", segment.replace(['-', '.'], "_")),
        }
    }
    id
}

fn who(right: Right) -> &'static str {
    match right {
        Right::Everyone => "For everyone who can connect.",
        Right::Registrant => "For addresses that may register.",
        Right::RegistrantOrOperate => "For addresses that may register, and for operators with the role `operate`.",
        Right::Read => "For operators with the role `read`.",
        Right::Keys => "For operators with the role `keys`.",
        Right::Operate => "For operators with the role `operate`.",
        Right::Admin => "For operators with the role `admin`.",
        Right::AdminByToken => {
            "For operators with the role `admin`, who need a token or a certificate wherever they are."
        }
    }
}

fn parameters(endpoint: &Endpoint) -> Vec<Value> {
    let in_path = endpoint.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let in_path = in_path.map(|name| {
        let (text, schema) = match (name, endpoint.path) {
            ("service", _) => ("the service's name", json!({ "$ref": format!("#{SCHEMAS}/ServiceName") })),
            ("id", _) => ("the instance's id", json!({ "$ref": format!("#{SCHEMAS}/InstanceId") })),
            ("name", path) if path.starts_with("/internal/keys") => {
                ("the key's name", json!({ "$ref": format!("#{SCHEMAS}/KeyName") }))
            }
            ("name", _) => ("a host that the certificate is for", json!({ "type": "string" })),
            ("token", _) => ("the token's id", json!({ "type": "string" })),
            ("key", _) => {
                ("the node's fingerprint, or at least 8 digits that it begins with", json!({ "type": "string" }))
            }
            (name, path) => panic!("{name} of {path} has no description"),
        };
        json!({ "name": name, "in": "path", "required": true, "description": sentence(text), "schema": schema })
    });
    let Query::Only(known) = endpoint.query else { return in_path.collect() };
    let in_query = known.iter().map(|Parameter { name, presence, form, text, .. }| {
        let schema = match form {
            Form::Text => json!({ "type": "string", "minLength": 1 }),
            Form::Seconds { most } => json!({ "type": "number", "minimum": 0, "maximum": most }),
            Form::Whole { most } => json!({ "type": "integer", "minimum": 0, "maximum": most }),
            Form::OneOf(values) => json!({ "type": "string", "enum": values }),
        };
        let required = *presence == Presence::Required;
        json!({ "name": name, "in": "query", "required": required, "description": sentence(text), "schema": schema })
    });
    in_path.chain(in_query).collect()
}

/// Of a body that may be left out: it is no `null`.
fn without_null(schema: Value) -> Value {
    let kinds = schema["anyOf"].as_array();
    kinds.and_then(|kinds| kinds.iter().find(|kind| kind["type"] != "null")).cloned().unwrap_or(schema)
}

/// A field that may be absent is never `null`, unless that says something of its own: then it is marked as `nullable`.
fn without_needless_null(schema: &mut Value) {
    let required: Vec<Value> = schema["required"].as_array().cloned().unwrap_or_default();
    let Some(fields) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (name, field) in fields {
        let is_marked = field.as_object_mut().is_some_and(|field| {
            // Makers of clients take a field with a default for one that must be there. The text says what its absence means.
            field.shift_remove("default");
            field.shift_remove("nullable").is_some()
        });
        if is_marked || required.iter().any(|one| one == name) {
            continue;
        }
        if let Some(kinds) = field["type"].as_array().cloned() {
            let kinds: Vec<Value> = kinds.into_iter().filter(|kind| kind != "null").collect();
            field["type"] = if let [kind] = kinds.as_slice() { kind.clone() } else { kinds.into() };
        }
        let parts = field.get("anyOf").and_then(Value::as_array);
        let parts = parts.map(|parts| parts.iter().filter(|part| part["type"] != "null").cloned().collect::<Vec<_>>());
        if let (Some([part]), Some(field)) = (parts.as_deref(), field.as_object_mut()) {
            field.shift_remove("anyOf");
            field.extend(part.as_object().cloned().unwrap_or_default());
        }
    }
}

/// Every type, by name: what stands in bodies and in answers is the same there and there.
fn schemas(bodies: &mut SchemaGenerator, answers: &mut SchemaGenerator) -> Value {
    let mut all: Vec<(String, Value)> = answers.take_definitions(true).into_iter().collect();
    all.iter_mut().for_each(|(_, schema)| without_needless_null(schema));
    for (name, mut schema) in bodies.take_definitions(true) {
        without_needless_null(&mut schema);
        match all.iter().find(|(own, _)| *own == name) {
            Some((_, own)) => assert_eq!(*own, schema, "{name} differs as a body and as an answer"),
            None => all.push((name, schema)),
        }
    }
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    assert!(all.iter().all(|(name, _)| !name.ends_with(|last: char| last.is_ascii_digit())), "two types of one name");
    Value::Object(all.into_iter().collect())
}

/// Makes texts of what rustdoc reads: links to types are told as what stands in JSON, lines are joined.
fn as_text(value: &mut Value) {
    let texts = texts_of_values(&value["components"]["schemas"]);
    rewrite(value, &texts);
}

/// `Outcome::DrainEnded` as it is written in Rust without its case, and `drain-ended`.
fn texts_of_values(schemas: &Value) -> Vec<(String, String)> {
    let of_type = |(name, schema): (&String, &Value)| {
        let values = schema["anyOf"].as_array().into_iter().flatten().filter_map(|one| one["const"].as_str());
        let named = |text: &str| (format!("{name}::{}", text.replace('-', "")).to_lowercase(), text.to_owned());
        values.map(named).collect::<Vec<_>>()
    };
    schemas.as_object().unwrap().iter().flat_map(of_type).collect()
}

fn rewrite(value: &mut Value, texts: &[(String, String)]) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == "description" => *text = plain(text, texts),
                    member => rewrite(member, texts),
                }
            }
        }
        Value::Array(members) => members.iter_mut().for_each(|member| rewrite(member, texts)),
        _ => {}
    }
}

fn plain(text: &str, texts: &[(String, String)]) -> String {
    let paragraphs: Vec<String> =
        text.split("\n\n").map(|lines| lines.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let mut text = paragraphs.join("\n\n");
    while let Some((before, rest)) = text.split_once("[`") {
        let (name, after) = rest.split_once("`]").unwrap();
        let value = texts.iter().find(|(own, _)| *own == name.to_lowercase()).map(|(_, text)| text.as_str());
        let shown = value.unwrap_or_else(|| name.rsplit("::").next().unwrap());
        text = format!("{before}`{shown}`{after}");
    }
    text
}

/// A clause of the table as a sentence, without the targets of its links.
fn sentence(clause: &str) -> String {
    let mut text = clause.to_owned();
    while let Some((start, end)) = text.split_once("](") {
        let (before, label) = start.rsplit_once('[').unwrap();
        let (_, after) = end.split_once(')').unwrap();
        text = format!("{before}{label}{after}");
    }
    let mut chars = text.chars();
    let first = chars.next().map_or_else(String::new, |first| match text.starts_with("furt") {
        true => first.to_string(),
        false => first.to_uppercase().collect(),
    });
    format!("{first}{}.", chars.as_str())
}
