//! The stored form of a grant that was made at run time.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Parsed, RecordError, RecordKind, actor, text};
use furt_core::model::{
    self, AuthMethods, CidrSet, Host, Origins, Pattern, PermissionRule, PermissionSet, RuntimeGrant, ServiceName,
    Sha256Digest,
};

/// The service, and its grant.
type Stored = (ServiceName, Arc<RuntimeGrant>);

/// A grant as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::store) struct Grant {
    service: String,
    permissions: Vec<String>,
    paths: Vec<String>,
    hosts: Vec<String>,
    upstreams: Option<Vec<String>>,
    public: bool,
    origins: Vec<String>,
    auth: Vec<String>,
    token_sha256: Option<String>,
    certificate_sha256: Option<String>,
    from: IpAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    set_ms: i64,
}

impl Grant {
    pub(in crate::store) fn from_core(service: &ServiceName, stored: &RuntimeGrant) -> Self {
        let RuntimeGrant { grant, by, set_ms } = stored;
        let model::Grant { permissions, paths, hosts, upstreams, public, origins, auth, token, certificate } = &**grant;
        let networks = |set: &CidrSet| set.networks().iter().map(ToString::to_string).collect();
        Self {
            service: service.to_string(),
            permissions: permissions.rules().iter().map(ToString::to_string).collect(),
            paths: paths.iter().map(|path| path.as_str().to_owned()).collect(),
            hosts: hosts.iter().map(|host| host.as_str().to_owned()).collect(),
            upstreams: upstreams.as_ref().map(networks),
            public: *public,
            origins: origins.texts().into_iter().map(str::to_owned).collect(),
            auth: auth.iter().map(|method| method.as_str().to_owned()).collect(),
            token_sha256: text(token.as_ref()),
            certificate_sha256: text(certificate.as_ref()),
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
        super::parse(RecordKind::Grant, key, json, Self::name, Self::into_core)
    }

    /// The same, whatever fields it has beside those that this furt knows.
    pub(in crate::store) fn read(key: &str, json: &[u8]) -> Result<Parsed<Stored>, RecordError> {
        super::read(RecordKind::Grant, key, json, Self::name, Self::into_core)
    }

    fn name(&self) -> String {
        self.service.clone()
    }

    fn into_core(self) -> Result<Stored, model::Invalid> {
        let digest = |text: &Option<String>| text.as_deref().map(Sha256Digest::try_from_hex).transpose();
        let rules = self.permissions.iter().map(|text| PermissionRule::try_new(text));
        let grant = model::Grant {
            permissions: PermissionSet::new(rules.collect::<Result<_, _>>()?),
            paths: self.paths.iter().map(|text| Pattern::try_new(text)).collect::<Result<_, _>>()?,
            hosts: self.hosts.iter().map(|text| Host::try_new(text)).collect::<Result<_, _>>()?,
            upstreams: self.upstreams.as_deref().map(CidrSet::try_new).transpose()?,
            public: self.public,
            origins: if self.origins.is_empty() { Origins::default() } else { Origins::try_new(&self.origins)? },
            auth: AuthMethods::try_new(&self.auth)?,
            token: digest(&self.token_sha256)?,
            certificate: digest(&self.certificate_sha256)?,
        };
        grant.check()?;
        let by = actor(self.from, self.by.as_deref())?;
        let stored = RuntimeGrant { grant: Arc::new(grant), by, set_ms: self.set_ms };
        Ok((ServiceName::try_new(&self.service)?, Arc::new(stored)))
    }
}
