//! The stored form of the split of a service.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Parsed, RecordError, RecordKind, actor, text};
use furt_core::model::{self, Percentage, ServiceName, SplitSpec, SplitVersion, Version};

/// The service, and its split.
type Stored = (ServiceName, Arc<model::Split>);

/// A split as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::store) struct Split {
    service: String,
    /// In their order.
    versions: Vec<Share>,
    header: Option<String>,
    strict: bool,
    from: IpAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    set_ms: i64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Share {
    version: String,
    /// In hundredths of a percent.
    basis_points: u16,
}

impl Split {
    pub(in crate::store) fn from_core(service: &ServiceName, split: &model::Split) -> Self {
        let model::Split { spec: SplitSpec { versions, header, strict }, by, set_ms } = split;
        let share = |SplitVersion { version, share }: &SplitVersion| Share {
            version: version.as_str().to_owned(),
            basis_points: share.points(),
        };
        Self {
            service: service.to_string(),
            versions: versions.iter().map(share).collect(),
            header: header.as_ref().map(|header| header.as_str().to_owned()),
            strict: *strict,
            from: by.address,
            by: text(by.operator.as_ref()),
            set_ms: *set_ms,
        }
    }

    pub(in crate::store) fn to_json(&self) -> Vec<u8> {
        // Strings, numbers and lists of them always serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(in crate::store) fn parse(key: &str, json: &[u8]) -> Result<Stored, RecordError> {
        super::parse(RecordKind::Split, key, json, Self::name, Self::into_core)
    }

    /// The same, whatever fields it has beside those that this furt knows.
    pub(in crate::store) fn read(key: &str, json: &[u8]) -> Result<Parsed<Stored>, RecordError> {
        super::read(RecordKind::Split, key, json, Self::name, Self::into_core)
    }

    fn name(&self) -> String {
        self.service.clone()
    }

    fn into_core(self) -> Result<Stored, model::Invalid> {
        let share = |Share { version, basis_points }: &Share| {
            Ok(SplitVersion { version: Version::try_new(version)?, share: Percentage::try_new(*basis_points)? })
        };
        let spec = SplitSpec {
            versions: self.versions.iter().map(share).collect::<Result<_, model::Invalid>>()?,
            header: self.header.as_deref().map(SplitSpec::try_header).transpose()?,
            strict: self.strict,
        };
        spec.check()?;
        let split = model::Split { spec, by: actor(self.from, self.by.as_deref())?, set_ms: self.set_ms };
        Ok((ServiceName::try_new(&self.service)?, Arc::new(split)))
    }
}
