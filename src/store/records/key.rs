//! The stored form of runtime keys: JSON whose fields are kept for as long as the format is. Digests, and never a key.

use std::num::NonZeroU32;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Parsed, RecordError, RecordKind};
use furt_core::model;

/// A runtime key as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::store) struct Key {
    name: String,
    sha256: String,
    permissions: Vec<String>,
    allow_from: Vec<String>,
    rate: Option<String>,
    /// Left out where it is the rate's own, as in records from before there were bursts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    burst: Option<NonZeroU32>,
    created_ms: i64,
    expires_ms: Option<i64>,
    old: Vec<Old>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Old {
    sha256: String,
    until_ms: i64,
}

impl Key {
    pub(in crate::store) fn from_core(key: &model::RuntimeKey) -> Self {
        let model::RuntimeKey { spec, created_ms, expires_ms, old } = key;
        Self {
            name: spec.name.to_string(),
            sha256: spec.sha256.to_string(),
            permissions: spec.permissions.rules().iter().map(ToString::to_string).collect(),
            allow_from: spec.allow_from.networks().iter().map(ToString::to_string).collect(),
            rate: spec.rate.map(|limit| limit.rate.to_string()),
            burst: spec.rate.filter(|limit| *limit != model::RateLimit::new(limit.rate, None)).map(|limit| limit.burst),
            created_ms: *created_ms,
            expires_ms: *expires_ms,
            old: old.iter().map(|old| Old { sha256: old.sha256.to_string(), until_ms: old.until_ms }).collect(),
        }
    }

    pub(in crate::store) fn to_json(&self) -> Vec<u8> {
        // Strings, numbers and lists of them always serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The key.
    pub(in crate::store) fn parse(stored_as: &str, json: &[u8]) -> Result<Arc<model::RuntimeKey>, RecordError> {
        super::parse(RecordKind::ApiKey, stored_as, json, |record: &Self| record.name.clone(), Self::into_core)
            .map(Arc::new)
    }

    /// The same, whatever fields it has beside those that this furt knows.
    pub(in crate::store) fn read(stored_as: &str, json: &[u8]) -> Result<Parsed<Arc<model::RuntimeKey>>, RecordError> {
        let into_core = |record: Self| record.into_core().map(Arc::new);
        super::read(RecordKind::ApiKey, stored_as, json, |record: &Self| record.name.clone(), into_core)
    }

    fn into_core(self) -> Result<model::RuntimeKey, model::Invalid> {
        let rule = |text: &String| model::PermissionRule::try_new(text);
        let rate = self.rate.map(|text| model::Rate::try_new(&text)).transpose()?;
        let spec = model::KeySpec {
            name: model::KeyName::try_new(&self.name)?,
            sha256: model::Sha256Digest::try_from_hex(&self.sha256)?,
            permissions: model::PermissionSet::new(self.permissions.iter().map(rule).collect::<Result<_, _>>()?),
            allow_from: model::CidrSet::try_new(&self.allow_from)?,
            rate: model::RateLimit::try_of(rate, self.burst)?,
        };
        let old = |old: Old| {
            let sha256 = model::Sha256Digest::try_from_hex(&old.sha256)?;
            Ok(model::OldDigest { sha256, until_ms: old.until_ms })
        };
        let old = self.old.into_iter().map(old).collect::<Result<_, _>>()?;
        model::RuntimeKey::try_new(spec, self.created_ms, self.expires_ms, old)
    }
}
