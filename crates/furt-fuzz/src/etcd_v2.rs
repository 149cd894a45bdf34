//! The target `etcd_v2`: what clients of etcd's v2 API put, from the path and the form to an instance.
//!
//! An input is the path behind `/v2/keys/`, a line end, and the form. It is refused with one of the answers that clients know, or
//! taken for a service of its key's namespace, with the document that was put.

use std::net::SocketAddr;
use std::sync::Arc;

use furt::api::read_etcd_v2;
use furt::store::stored;
use furt_core::registry::{Change, InstanceRecord};

/// Asserts that a put is refused with a reason, or taken for what it says.
pub fn etcd_v2(data: &[u8]) {
    let Some(end) = data.iter().position(|byte| *byte == b'\n') else { return };
    let Ok(path) = std::str::from_utf8(&data[..end]) else { return };
    let form = &data[end + 1..];
    let (definition, instance) = match read_etcd_v2(path, form) {
        Ok(read) => read,
        Err((status, why)) => {
            assert!([400, 403, 422].contains(&status) && !why.is_empty(), "{status}: {why}");
            return;
        }
    };
    let segments: Vec<_> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let [root, namespaces @ .., name, id] = segments.as_slice() else { panic!("{path} is taken") };
    assert_eq!(*root, "services");
    let namespace: String = namespaces.iter().map(|segment| format!("{segment}.")).collect();
    let service = definition.service.as_str();
    let own = service.strip_prefix(&namespace).unwrap_or_else(|| panic!("{service} is not in {namespace}"));
    assert_eq!(own.len(), name.len(), "no name is written as another one");
    assert!(definition.routes.is_empty(), "it is reached by its host alone");
    assert!(!namespaces.is_empty() || instance.id.as_str() == *id);
    let put = |name: &str| url::form_urlencoded::parse(form).find(|(one, _)| one == name).map(|(_, value)| value);
    let said: Option<serde_json::Value> = put("value").and_then(|value| serde_json::from_str(&value).ok());
    let document = instance.document.as_ref().map(|document| serde_json::Value::Object(document.fields()));
    assert_eq!(said, document, "lookup gives what was put");
    let ttl = put("ttl").filter(|text| !text.is_empty()).map(|text| text.parse::<u64>().ok());
    assert_eq!(ttl.flatten(), instance.heartbeat_ttl.map(|ttl| ttl.as_secs()));
    let address = instance.url.socket_address().unwrap_or(SocketAddr::from(([127, 0, 0, 1], instance.url.port)));
    let change = Change::PutInstance(InstanceRecord {
        service: definition.service,
        spec: Arc::new(instance),
        addresses: Arc::new([address]),
        registered_from: [127, 0, 0, 1].into(),
        replaced: None,
    });
    let read = stored(&change).map(|read| read.unwrap_or_else(|why| panic!("{why}")));
    assert_eq!(read, Some(change), "stored and read, it is the same");
}
