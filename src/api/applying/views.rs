//! What operators made, as a file says it; and what differs.

use furt_api::Ordered;
use furt_api::desired::{self, DesiredChange, DesiredGrant, DesiredKind, DesiredSplit};
use furt_api::grants::GrantRules;
use serde::Serialize;
use serde_json::Value;

use crate::wire;
use furt_core::model::{
    AuthMethods, Grant, KeyName, Maintenance, MaintenanceScope, RuntimeKey, ServiceName, SplitSpec,
};
use furt_core::registry::{DesiredKey, DesiredMaintenance, DesiredState, Difference};

pub(super) fn state(state: &DesiredState) -> desired::DesiredState {
    let DesiredState { grants, keys, maintenance, splits } = state;
    let grants = grants.as_ref().map(|all| all.iter().map(|(service, one)| grant(service, one)).collect());
    let keys = keys.as_ref().map(|all| all.iter().map(|(name, one)| key(name, one)).collect());
    let maintenance =
        maintenance.as_ref().map(|all| all.iter().map(|(scope, one)| of_maintenance(scope, one)).collect());
    let splits = splits.as_ref().map(|all| all.iter().map(|(service, one)| split(service, one)).collect());
    desired::DesiredState { grants, keys, maintenance, splits }
}

pub(super) fn change(difference: &Difference) -> DesiredChange {
    match difference {
        Difference::Grant { service, before, after } => {
            let shown = |one: &furt_core::model::RuntimeGrant| json(grant(service, &one.grant));
            of(DesiredKind::Grant, service, before.as_deref().map(shown), after.as_deref().map(shown))
        }
        Difference::Key { name, before, after } => {
            let shown = |one: &RuntimeKey| json(key(name, &desired_key(one)));
            of(DesiredKind::Key, name, before.as_deref().map(shown), after.as_deref().map(shown))
        }
        Difference::Maintenance { scope, before, after } => {
            let shown = |one: &Maintenance| json(of_maintenance(scope, &desired_maintenance(one)));
            of(DesiredKind::Maintenance, scope, before.as_deref().map(shown), after.as_deref().map(shown))
        }
        Difference::Split { service, before, after } => {
            let shown = |one: &furt_core::model::Split| json(split(service, &one.spec));
            of(DesiredKind::Split, service, before.as_deref().map(shown), after.as_deref().map(shown))
        }
    }
}

fn of(kind: DesiredKind, name: &impl ToString, before: Option<Value>, after: Option<Value>) -> DesiredChange {
    DesiredChange { kind, name: name.to_string(), before, after }
}

fn json(record: impl Serialize) -> Value {
    // Texts, numbers and lists of them always serialize.
    serde_json::to_value(record).unwrap_or_default()
}

fn desired_key(key: &RuntimeKey) -> DesiredKey {
    DesiredKey { spec: key.spec.clone(), expires_ms: key.expires_ms, old: Some(key.old.clone()) }
}

fn desired_maintenance(one: &Maintenance) -> DesiredMaintenance {
    DesiredMaintenance { allow_from: one.allow_from.clone(), message: one.message.clone(), ends_ms: one.ends_ms }
}

fn texts(all: impl IntoIterator<Item = impl ToString>) -> Vec<String> {
    all.into_iter().map(|one| one.to_string()).collect()
}

fn grant(service: &ServiceName, grant: &Grant) -> DesiredGrant {
    let Grant { permissions, paths, hosts, upstreams, public, origins, auth, token, certificate } = grant;
    let rules = GrantRules {
        permissions: texts(permissions.rules()),
        paths: texts(paths),
        hosts: texts(hosts),
        upstreams: upstreams.as_ref().map(|set| texts(set.networks())),
        public: *public,
        origins: texts(origins.texts()),
        auth: (*auth != AuthMethods::api_key()).then(|| auth.iter().map(|one| one.as_str().to_owned()).collect()),
        token_sha256: token.as_ref().map(ToString::to_string),
        certificate_sha256: certificate.as_ref().map(ToString::to_string),
    };
    DesiredGrant { service: service.as_str().into(), rules }
}

fn key(name: &KeyName, key: &DesiredKey) -> desired::DesiredKey {
    let DesiredKey { spec, expires_ms, old } = key;
    let old = old.as_ref().filter(|old| !old.is_empty());
    let shown = |one: &furt_core::model::OldDigest| desired::OldDigest {
        sha256: one.sha256.to_string(),
        until: wire::exact_time(one.until_ms),
    };
    desired::DesiredKey {
        name: name.as_str().into(),
        sha256: spec.sha256.to_string(),
        permissions: texts(spec.permissions.rules()),
        allow_from: texts(spec.allow_from.networks()),
        rate: spec.rate.map(|limit| limit.rate.to_string()),
        burst: spec.rate.map(|limit| limit.burst.get()),
        expires: expires_ms.map(wire::exact_time),
        old: old.map(|old| old.iter().map(shown).collect()),
    }
}

fn of_maintenance(scope: &MaintenanceScope, one: &DesiredMaintenance) -> desired::DesiredMaintenance {
    desired::DesiredMaintenance {
        service: scope.to_string(),
        allow_from: texts(one.allow_from.networks()),
        message: one.message.as_ref().map(|message| message.as_str().to_owned()),
        until: one.ends_ms.map(wire::exact_time),
    }
}

fn split(service: &ServiceName, spec: &SplitSpec) -> DesiredSplit {
    DesiredSplit {
        service: service.as_str().into(),
        versions: spec
            .versions
            .iter()
            .map(|one| (one.version.as_str().to_owned(), one.share.percent()))
            .collect::<Ordered<_>>(),
        header: spec.header.as_ref().map(|header| header.as_str().to_owned()),
        strict: spec.strict.then_some(true),
    }
}
