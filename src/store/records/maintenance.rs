//! The stored form of maintenance: of a service by its name, or of all of them (`*`).

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Parsed, RecordError, RecordKind, actor, text};
use furt_core::model::{self, CidrSet, MaintenanceMessage, MaintenanceScope};

/// What the maintenance is of, and the maintenance.
type Stored = (MaintenanceScope, Arc<model::Maintenance>);

/// A maintenance as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::store) struct Maintenance {
    service: String,
    allow_from: Vec<String>,
    message: Option<String>,
    from: IpAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    began_ms: i64,
    ends_ms: Option<i64>,
}

impl Maintenance {
    pub(in crate::store) fn from_core(scope: &MaintenanceScope, maintenance: &model::Maintenance) -> Self {
        let model::Maintenance { allow_from, message, by, began_ms, ends_ms } = maintenance;
        Self {
            service: scope.to_string(),
            allow_from: allow_from.networks().iter().map(ToString::to_string).collect(),
            message: message.as_ref().map(|message| message.as_str().to_owned()),
            from: by.address,
            by: text(by.operator.as_ref()),
            began_ms: *began_ms,
            ends_ms: *ends_ms,
        }
    }

    pub(in crate::store) fn to_json(&self) -> Vec<u8> {
        // Strings, numbers and lists of them always serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(in crate::store) fn parse(key: &str, json: &[u8]) -> Result<Stored, RecordError> {
        super::parse(RecordKind::Maintenance, key, json, Self::name, Self::into_core)
    }

    /// The same, whatever fields it has beside those that this furt knows.
    pub(in crate::store) fn read(key: &str, json: &[u8]) -> Result<Parsed<Stored>, RecordError> {
        super::read(RecordKind::Maintenance, key, json, Self::name, Self::into_core)
    }

    fn name(&self) -> String {
        self.service.clone()
    }

    fn into_core(self) -> Result<Stored, model::Invalid> {
        let maintenance = model::Maintenance {
            allow_from: CidrSet::try_new(&self.allow_from)?,
            message: self.message.as_deref().map(MaintenanceMessage::try_new).transpose()?,
            by: actor(self.from, self.by.as_deref())?,
            began_ms: self.began_ms,
            ends_ms: self.ends_ms,
        };
        maintenance.check()?;
        Ok((MaintenanceScope::from_name(&self.service)?, Arc::new(maintenance)))
    }
}
