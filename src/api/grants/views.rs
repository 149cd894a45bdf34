//! Grants as operators are shown them.

use furt_api::grants::Grant;
use furt_api::keys::KeySource;

use crate::config::GrantConfig;
use crate::wire;
use furt_core::model::{self, RuntimeGrant, ServiceName};

pub(super) fn configured(config: &GrantConfig) -> Grant {
    shown(&config.service, &config.grant, KeySource::Config)
}

/// `is_configured`: the configuration has another one, which is in force.
pub(super) fn runtime(service: &ServiceName, runtime: &RuntimeGrant, is_configured: bool) -> Grant {
    Grant {
        since: Some(wire::time(runtime.set_ms)),
        from: Some(runtime.by.address.to_string()),
        by: wire::operator(&runtime.by),
        blocked: is_configured.then(|| "the configuration has a grant of this service".to_owned()),
        ..shown(service, &runtime.grant, KeySource::Runtime)
    }
}

fn shown(service: &ServiceName, grant: &model::Grant, source: KeySource) -> Grant {
    let model::Grant { permissions, paths, hosts, upstreams, public, origins, auth, token, certificate } = grant;
    let networks = |set: &model::CidrSet| set.networks().iter().map(ToString::to_string).collect();
    Grant {
        service: service.as_str().into(),
        source,
        permissions: permissions.rules().iter().map(ToString::to_string).collect(),
        paths: paths.iter().map(|path| path.as_str().to_owned()).collect(),
        hosts: hosts.iter().map(|host| host.as_str().to_owned()).collect(),
        upstreams: upstreams.as_ref().map(networks),
        public: *public,
        origins: origins.texts().into_iter().map(str::to_owned).collect(),
        auth: auth.iter().map(|method| method.as_str().to_owned()).collect(),
        token: token.is_some(),
        certificate: certificate.is_some(),
        since: None,
        from: None,
        by: None,
        blocked: None,
    }
}
