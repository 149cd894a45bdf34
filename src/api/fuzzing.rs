//! What the fuzz targets see of this room: bodies of registrations as they are read. Not in a furt that runs.

use serde_json::Value;

use super::{json, registration};
use furt_core::model::{Definition, InstanceSpec};

/// A body as JSON.
///
/// # Errors
/// Not JSON, or a name twice in one object.
pub fn read_json(body: &[u8]) -> serde_json::Result<Value> {
    json::parse(body)
}

/// What a body says.
///
/// # Errors
/// Each field that is wrong: its pointer, and what would be right.
pub fn read_registration(body: Value) -> Result<(Definition, InstanceSpec), Vec<(String, String)>> {
    let (parsed, errors) = registration::parse(body);
    let told = || errors.iter().map(|error| (error.pointer.clone(), error.detail.clone())).collect();
    parsed.whole.filter(|_| errors.is_empty()).ok_or_else(told)
}
