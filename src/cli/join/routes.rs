//! The file of `--routes`: what the service is, beside where it runs.

use std::path::Path;

use anyhow::{Context, anyhow, bail, ensure};
use furt_client::{Document, Registration, Route, Service};
use serde_json::{Map, Value, json};

/// What `join` says itself.
const OWN: [&str; 5] = ["service", "url", "instance", "incarnation", "heartbeat_ttl"];

/// Adds what the file says.
///
/// # Errors
/// It cannot be read, or it has something wrong in it; with its name.
pub(super) fn read(file: &Path, service: Service) -> anyhow::Result<Service> {
    let name = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
    let value: Value = serde_json::from_str(&text).map_err(|why| anyhow!("{name} is not JSON: {why}"))?;
    add(value, service).map_err(|why| anyhow!("{name}: {why}"))
}

fn add(value: Value, service: Service) -> anyhow::Result<Service> {
    match value {
        Value::Array(routes) => {
            let routes = routes.into_iter().enumerate().map(|(number, route)| {
                serde_json::from_value::<Route>(route).map_err(|why| anyhow!("route {}: {why}", number + 1))
            });
            Ok(service.routes(routes.collect::<Result<Vec<_>, _>>()?))
        }
        Value::Object(fields) => {
            if let Some(field) = OWN.iter().find(|field| fields.contains_key(**field)) {
                bail!("\"{field}\" does not belong here: join fills it in");
            }
            let mut registration = registration(fields)?;
            let document = registration.document.take();
            let service = service.registration(|all| *all = registration);
            let fields = document.map(|Document(fields)| fields).unwrap_or_default();
            Ok(fields.into_iter().fold(service, |service, (name, value)| service.field(name, value)))
        }
        _ => bail!("it must be a list of routes, or an object with fields of a registration"),
    }
}

fn registration(mut fields: Map<String, Value>) -> anyhow::Result<Registration> {
    ensure!(!fields.is_empty(), "the object is empty");
    // furt's own default is to probe; join's is not to.
    fields.entry("health_endpoint").or_insert(Value::Null);
    fields.insert("service".to_owned(), json!(""));
    fields.insert("url".to_owned(), json!(""));
    Ok(serde_json::from_value(Value::Object(fields))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_or_an_object_is_taken_and_anything_else_is_told() {
        for good in [
            json!([]),
            json!([{"method": "GET", "path": "/a/*"}]),
            json!({"routes": [{"method": "GET", "path": "/a/*", "permission": "a:read"}], "policy": "least_conn"}),
            json!({"weight": 3, "document": {"zone": "b"}}),
        ] {
            assert!(add(good.clone(), Service::new(1)).is_ok(), "{good}");
        }
        for (bad, expected) in [
            (json!(1), "must be a list of routes"),
            (json!({}), "the object is empty"),
            (json!([{"method": "GET"}]), "route 1: missing field `path`"),
            (json!([{"method": "GET", "path": "/", "x": 1}]), "route 1: unknown field `x`"),
            (json!({"url": "http://a"}), "\"url\" does not belong here"),
            (json!({"polcy": "edge"}), "unknown field `polcy`"),
        ] {
            let said = add(bad, Service::new(1)).unwrap_err().to_string();
            assert!(said.contains(expected), "{said}");
        }
    }
}
