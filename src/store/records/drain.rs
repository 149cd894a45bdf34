//! The stored form of a drain: beside its instance, or as the hold of an id.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Parsed, RecordError, RecordKind, actor, text};
use furt_core::model::{self, DrainMark, DrainUntil, Incarnation, InstanceId, ServiceName};
use furt_core::registry::InstanceRef;

/// A drain as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::store) struct Drain {
    instance: String,
    /// The service whose id is held; `None`: the drain of a stored instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    until: String,
    from: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    began_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    incarnation: Option<String>,
}

impl Drain {
    pub(in crate::store) fn of_instance(id: &InstanceId, mark: &DrainMark) -> Self {
        Self {
            instance: id.to_string(),
            service: None,
            until: mark.until.as_str().to_owned(),
            from: mark.by.as_ref().map(|by| by.address),
            by: mark.by.as_ref().and_then(|by| text(by.operator.as_ref())),
            began_ms: mark.began_ms,
            incarnation: mark.incarnation.as_ref().map(ToString::to_string),
        }
    }

    pub(in crate::store) fn of_id(held: &InstanceRef, mark: &DrainMark) -> Self {
        Self { service: Some(held.service.to_string()), ..Self::of_instance(&held.id, mark) }
    }

    pub(in crate::store) fn to_json(&self) -> Vec<u8> {
        // Strings and numbers always serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The drain of a stored instance.
    pub(in crate::store) fn parse(key: &str, json: &[u8]) -> Result<(InstanceId, Arc<DrainMark>), RecordError> {
        super::parse(RecordKind::Drain, key, json, Self::id, Self::into_drain)
    }

    /// The same, whatever fields it has beside those that this furt knows.
    pub(in crate::store) fn read(key: &str, json: &[u8]) -> Result<Parsed<(InstanceId, Arc<DrainMark>)>, RecordError> {
        super::read(RecordKind::Drain, key, json, Self::id, Self::into_drain)
    }

    /// The hold of an id.
    pub(in crate::store) fn parse_hold(key: &str, json: &[u8]) -> Result<(InstanceRef, Arc<DrainMark>), RecordError> {
        super::parse(RecordKind::Hold, key, json, Self::held_name, Self::into_hold)
    }

    /// The same, whatever fields it has beside those that this furt knows.
    pub(in crate::store) fn read_hold(
        key: &str,
        json: &[u8],
    ) -> Result<Parsed<(InstanceRef, Arc<DrainMark>)>, RecordError> {
        super::read(RecordKind::Hold, key, json, Self::held_name, Self::into_hold)
    }

    fn into_drain(self) -> Result<(InstanceId, Arc<DrainMark>), model::Invalid> {
        if self.service.is_some() || self.until == DrainUntil::Undo.as_str() {
            return Err(model::Invalid::new("it is the hold of an id"));
        }
        Ok((InstanceId::try_new(&self.instance)?, self.mark()?))
    }

    fn into_hold(self) -> Result<(InstanceRef, Arc<DrainMark>), model::Invalid> {
        let service = ServiceName::try_new(self.service.as_deref().unwrap_or_default())?;
        if self.until != DrainUntil::Undo.as_str() {
            return Err(model::Invalid::new("it is no hold of an id"));
        }
        Ok((InstanceRef { service, id: InstanceId::try_new(&self.instance)? }, self.mark()?))
    }

    fn id(&self) -> String {
        self.instance.clone()
    }

    /// The key under which a hold is stored.
    fn held_name(&self) -> String {
        format!("{}/{}", self.service.as_deref().unwrap_or_default(), self.instance)
    }

    fn mark(&self) -> Result<Arc<DrainMark>, model::Invalid> {
        let until = DrainUntil::from_name(&self.until);
        Ok(Arc::new(DrainMark {
            until: until.ok_or_else(|| model::Invalid::new("what ends it is unknown"))?,
            by: self.from.map(|from| actor(from, self.by.as_deref())).transpose()?,
            began_ms: self.began_ms,
            incarnation: self.incarnation.as_deref().map(Incarnation::try_new).transpose()?,
        }))
    }
}
