//! What every end-to-end test stands on: the gateway as a process, the services behind it, and waiting for them.

pub(crate) mod answer;
pub(crate) mod answers;
pub(crate) mod asking;
pub(crate) mod authority;
pub(crate) mod frames;
pub(crate) mod gateway;
pub(crate) mod grpc;
pub(crate) mod h2_client;
pub(crate) mod load;
pub(crate) mod mmdb;
pub(crate) mod origin;
pub(crate) mod ports;
pub(crate) mod recorder;
pub(crate) mod scripted;
pub(crate) mod signer;
pub(crate) mod sources;
pub(crate) mod tls;
pub(crate) mod wait;
pub(crate) mod wire;

pub(crate) use answer::Answer;
pub(crate) use gateway::Gateway;
pub(crate) use load::Load;
pub(crate) use origin::{Health, Mode, Origin};
pub(crate) use wait::{SOON, eventually, throughout};

use serde_json::{Value, json};

/// A key with `comments:read` alone.
pub(crate) const READER: &str = "reader-4f6d2c1ab09e";
/// A key with `comments:read` and `comments:write`.
pub(crate) const WRITER: &str = "writer-77be01c35d42";
/// A key with every permission.
pub(crate) const ADMIN: &str = "admin-c90d5e83f1a6";

/// A registration with four routes, each with a permission of its own.
pub(crate) fn sagjan(url: &str) -> Value {
    json!({
        "service": "sagjan",
        "url": url,
        "health_endpoint": "/health",
        "routes": [
            {"method": "POST", "path": "/api/comments/*", "permission": "comments:write"},
            {"method": "GET", "path": "/api/comments/*", "permission": "comments:read"},
            {"method": "PUT", "path": "/api/comments/*", "permission": "comments:moderate"},
            {"method": "DELETE", "path": "/api/comments/*", "permission": "comments:delete"}
        ]
    })
}

/// A service with one public route for every method, at `path`, never probed: UP from registration on.
pub(crate) fn public_service(service: &str, url: &str, path: &str) -> Value {
    json!({
        "service": service,
        "url": url,
        "health_endpoint": null,
        "routes": [{"method": "*", "path": path}]
    })
}

/// `base` with the members of `changes` over it.
pub(crate) fn with(mut base: Value, changes: Value) -> Value {
    let (Value::Object(members), Value::Object(changes)) = (&mut base, changes) else { panic!("both must be objects") };
    members.extend(changes);
    base
}
