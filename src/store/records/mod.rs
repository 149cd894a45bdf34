//! The stored forms of what stores keep, whichever store: JSON whose fields are kept for as long as the format is. Definitions
//! and instances are here, the others in files of their own.

mod drain;
mod faults;
mod grant;
mod key;
mod maintenance;
mod options;
mod split;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(in crate::store) use drain::Drain;
pub use faults::{RecordError, RecordFault, RecordKind};
use furt_core::model;
use furt_core::registry::{DefinitionRecord, InstanceRecord};
pub(in crate::store) use grant::Grant;
pub(in crate::store) use key::Key;
pub(in crate::store) use maintenance::Maintenance;
use options::{Cors, Field, Restrictions, Rewrite};
pub(in crate::store) use split::Split;

/// The format of records: a furt that knows it knows every field of a record that restricts and names this one or a lower one. 2 has
/// what definitions and routes say of requests; without it an earlier furt would send them to the service otherwise than it asked
/// for. 3 has `auth`.
pub(in crate::store) const READS: u64 = 3;
/// The last one without `auth`.
const WITHOUT_AUTH: u64 = 2;

/// A definition as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::store) struct Definition {
    service: String,
    host: Option<String>,
    routes: Vec<Route>,
    policy: String,
    hash_key: Option<String>,
    /// Absent where it is by address, as all sticky services of an earlier furt are. One that shares the store goes by address
    /// for the others as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sticky_by: Option<String>,
    slow_start_ms: Option<u64>,
    connect_timeout_ms: Option<u64>,
    read_timeout_ms: Option<u64>,
    /// Absent where the service says nothing of it, so that an earlier furt reads such a record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    health_check: Option<HealthCheck>,
    /// Beside `health_check`, where an earlier furt that shares the store leaves it as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grpc_health: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "options::null_or")]
    cors: Field<Cors>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "options::null_or")]
    rewrite: Field<Rewrite>,
    /// An earlier furt sends the service's answers as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    compress: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    restrictions: Option<Restrictions>,
    /// The lowest format of records whose readers know everything in it that restricts; absent where that is 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reads: Option<u64>,
    metadata: BTreeMap<String, String>,
    revision: u64,
    registered_from: IpAddr,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct HealthCheck {
    interval_ms: Option<u64>,
    timeout_ms: Option<u64>,
    failures: Option<u32>,
    status: Option<String>,
    host: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Route {
    method: String,
    path: String,
    permission: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "options::null_or")]
    cors: Field<Cors>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "options::null_or")]
    rewrite: Field<Rewrite>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    compress: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    read_timeout_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    restrictions: Option<Restrictions>,
}

/// An instance as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::store) struct Instance {
    instance: String,
    service: String,
    url: String,
    protocol: String,
    tls_name: Option<String>,
    health_endpoint: Option<String>,
    heartbeat_ttl_ms: Option<u64>,
    weight: u8,
    soft_limit: u32,
    hard_limit: u32,
    region: Option<String>,
    country: Option<String>,
    addresses: Vec<SocketAddr>,
    registered_from: IpAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    incarnation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replaced: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    shared: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    document: Option<Value>,
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

/// A record as the core has it.
pub(in crate::store) struct Parsed<T> {
    pub(in crate::store) value: T,
    /// The first field that this furt does not know.
    unknown_field: Option<String>,
}

impl<T> Parsed<T> {
    /// Whether it has fields that this furt does not know.
    pub(in crate::store) fn has_unknown_fields(&self) -> bool {
        self.unknown_field.is_some()
    }
}

/// The record that is stored under `key`.
///
/// # Errors
/// It is no record of that kind, `name` says that it belongs under another key, or a value could not have been registered.
fn read<R: DeserializeOwned, T>(
    kind: RecordKind,
    key: &str,
    json: &[u8],
    name: impl Fn(&R) -> String,
    into_core: impl Fn(R) -> Result<T, model::Invalid>,
) -> Result<Parsed<T>, RecordError> {
    let read = || {
        let mut unknown_field = None;
        let mut json = serde_json::Deserializer::from_slice(json);
        let record: R = serde_ignored::deserialize(&mut json, |path| {
            unknown_field.get_or_insert_with(|| path.to_string());
        })
        .map_err(RecordFault::Json)?;
        json.end().map_err(RecordFault::Json)?;
        if name(&record) != key {
            return Err(RecordFault::OtherName(name(&record)));
        }
        let value = into_core(record).map_err(RecordFault::Value)?;
        Ok(Parsed { value, unknown_field })
    };
    read().map_err(|fault| RecordError { kind, key: key.to_owned(), fault })
}

/// The same without fields that this furt does not know.
///
/// # Errors
/// As above, and for any such field.
fn parse<R: DeserializeOwned, T>(
    kind: RecordKind,
    key: &str,
    json: &[u8],
    name: impl Fn(&R) -> String,
    into_core: impl Fn(R) -> Result<T, model::Invalid>,
) -> Result<T, RecordError> {
    let Parsed { value, unknown_field } = read(kind, key, json, name, into_core)?;
    match unknown_field {
        None => Ok(value),
        Some(field) => {
            let fault = RecordFault::Json(serde::de::Error::custom(format_args!("unknown field `{field}`")));
            Err(RecordError { kind, key: key.to_owned(), fault })
        }
    }
}

/// A record as JSON with the fields of `stored` that this furt does not know: they stay as they are.
pub(in crate::store) fn with_unknown_fields<R: Serialize + DeserializeOwned>(record: &R, stored: &[u8]) -> Vec<u8> {
    let mut unknown = Vec::new();
    let mut reader = serde_json::Deserializer::from_slice(stored);
    let read: Result<R, _> = serde_ignored::deserialize(&mut reader, |path| {
        if let serde_ignored::Path::Map { parent: serde_ignored::Path::Root, key } = path {
            unknown.push(key);
        }
    });
    let all = (read, serde_json::from_slice(stored), serde_json::to_value(record));
    let (Ok(_), Ok(Value::Object(mut stored)), Ok(Value::Object(mut fields))) = all else {
        return serde_json::to_vec(record).unwrap_or_default();
    };
    // What a newer furt wrote may restrict, as it did before.
    if stored.get("reads").and_then(Value::as_u64).is_some_and(|reads| reads > READS) {
        unknown.push("reads".to_owned());
    }
    fields.extend(unknown.into_iter().filter_map(|field| stored.swap_remove_entry(&field)));
    serde_json::to_vec(&fields).unwrap_or_default()
}

fn ms(duration: Option<Duration>) -> Option<u64> {
    duration.map(|duration| duration.as_millis().try_into().unwrap_or(u64::MAX))
}

/// Who gave a command, as records have it: an address, and an operator's name beside it.
fn actor(from: IpAddr, by: Option<&str>) -> Result<model::Actor, model::Invalid> {
    Ok(model::Actor { address: from, operator: by.map(model::OperatorName::try_new).transpose()? })
}

fn text(value: Option<&impl ToString>) -> Option<String> {
    value.map(ToString::to_string)
}

impl Definition {
    pub(in crate::store) fn from_core(record: &DefinitionRecord) -> Self {
        let DefinitionRecord { definition, registered_from } = record;
        let route = |route: &model::RouteSpec| Route {
            method: route.method.as_str().to_owned(),
            path: route.pattern.as_str().to_owned(),
            permission: text(route.permission.as_ref()),
            cors: options::stored(&route.options.cors, Cors::from_core),
            rewrite: options::stored(&route.options.rewrite, Rewrite::from_core),
            compress: options::stored_compress(&route.options.compress),
            read_timeout_ms: ms(route.options.read_timeout.value().copied()),
            restrictions: route.options.restrictions.as_deref().map(Restrictions::from_core),
        };
        Self {
            service: definition.service.to_string(),
            host: text(definition.host.as_ref()),
            routes: definition.routes.iter().map(route).collect(),
            policy: definition.policy.as_str().to_owned(),
            hash_key: text(definition.hash_key.as_ref()),
            sticky_by: Some(definition.sticky_by)
                .filter(|by| *by != model::StickyBy::default())
                .map(|by| by.as_str().to_owned()),
            slow_start_ms: ms(definition.slow_start),
            connect_timeout_ms: ms(definition.timeouts.connect),
            read_timeout_ms: ms(definition.timeouts.read),
            health_check: HealthCheck::from_core(&definition.health_check),
            grpc_health: text(definition.health_check.grpc.as_ref()),
            cors: options::stored(&definition.options.cors, Cors::from_core),
            rewrite: options::stored(&definition.options.rewrite, Rewrite::from_core),
            compress: options::stored_compress(&definition.options.compress),
            restrictions: definition.options.restrictions.as_deref().map(Restrictions::from_core),
            reads: options::reads(definition),
            metadata: definition.metadata.clone(),
            revision: definition.revision,
            registered_from: *registered_from,
        }
    }

    pub(in crate::store) fn to_json(&self) -> Vec<u8> {
        // Strings, numbers and lists of them always serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The definition.
    pub(in crate::store) fn parse(key: &str, json: &[u8]) -> Result<DefinitionRecord, RecordError> {
        parse(RecordKind::Service, key, json, |record: &Self| record.service.clone(), Self::into_core)
    }

    /// The same, whatever fields it has beside those that this furt knows.
    pub(in crate::store) fn read(key: &str, json: &[u8]) -> Result<Parsed<DefinitionRecord>, RecordError> {
        read(RecordKind::Service, key, json, |record: &Self| record.service.clone(), Self::into_core)
    }

    fn into_core(self) -> Result<DefinitionRecord, model::Invalid> {
        let route = |route: Route| {
            Ok(model::RouteSpec {
                method: model::MethodRule::try_new(&route.method)?,
                pattern: model::Pattern::try_new(&route.path)?,
                permission: route.permission.map(|permission| model::Permission::try_new(&permission)).transpose()?,
                options: model::RouteOptions {
                    cors: options::said(route.cors, Cors::into_core)?,
                    rewrite: options::said(route.rewrite, Rewrite::into_core)?,
                    compress: options::said_compress(route.compress),
                    read_timeout: route
                        .read_timeout_ms
                        .map_or(model::Said::Nothing, |ms| model::Said::Is(Duration::from_millis(ms))),
                    restrictions: route.restrictions.map(Restrictions::into_core).transpose()?,
                    ..model::RouteOptions::default()
                },
            })
        };
        let policy = model::LoadBalancingPolicy::from_name(&self.policy);
        let definition = model::Definition {
            service: model::ServiceName::try_new(&self.service)?,
            host: self.host.map(|host| model::Host::try_new(&host)).transpose()?,
            routes: self.routes.into_iter().map(route).collect::<Result<_, _>>()?,
            policy: policy.ok_or_else(|| model::Invalid::new("its policy is unknown"))?,
            hash_key: self.hash_key.map(|key| model::Definition::try_hash_key(&key)).transpose()?,
            sticky_by: self.sticky_by.map(|by| model::StickyBy::try_new(&by)).transpose()?.unwrap_or_default(),
            slow_start: self.slow_start_ms.map(Duration::from_millis),
            timeouts: model::Timeouts {
                connect: self.connect_timeout_ms.map(Duration::from_millis),
                read: self.read_timeout_ms.map(Duration::from_millis),
            },
            options: model::RouteOptions {
                cors: options::said(self.cors, Cors::into_core)?,
                rewrite: options::said(self.rewrite, Rewrite::into_core)?,
                compress: options::said_compress(self.compress),
                restrictions: self.restrictions.map(Restrictions::into_core).transpose()?,
                ..model::RouteOptions::default()
            },
            health_check: self.health_check.unwrap_or_default().into_core(self.grpc_health)?,
            metadata: self.metadata,
            revision: self.revision,
        };
        definition.check()?;
        Ok(DefinitionRecord { definition: Arc::new(definition), registered_from: self.registered_from })
    }
}

impl HealthCheck {
    /// `None`: it says nothing.
    fn from_core(check: &model::HealthCheck) -> Option<Self> {
        let record = Self {
            interval_ms: ms(check.interval),
            timeout_ms: ms(check.timeout),
            failures: check.failures,
            status: text(check.status.as_ref()),
            host: text(check.host.as_ref()),
        };
        Some(record).filter(|record| *record != Self::default())
    }

    fn into_core(self, grpc: Option<String>) -> Result<model::HealthCheck, model::Invalid> {
        Ok(model::HealthCheck {
            interval: self.interval_ms.map(Duration::from_millis),
            timeout: self.timeout_ms.map(Duration::from_millis),
            failures: self.failures,
            status: self.status.map(|status| model::StatusRange::try_new(&status)).transpose()?,
            host: self.host.map(|host| model::Host::try_new(&host)).transpose()?,
            grpc: grpc.map(|name| model::HealthCheck::try_grpc(&name)).transpose()?,
        })
    }
}

impl Instance {
    pub(in crate::store) fn from_core(record: &InstanceRecord) -> Self {
        let InstanceRecord { service, spec, addresses, registered_from, replaced } = record;
        Self {
            instance: spec.id.to_string(),
            service: service.to_string(),
            url: spec.url.to_string(),
            protocol: spec.protocol.as_str().to_owned(),
            tls_name: text(spec.tls_name.as_ref()),
            health_endpoint: text(spec.health_endpoint.as_ref()),
            heartbeat_ttl_ms: ms(spec.heartbeat_ttl),
            weight: spec.weight,
            soft_limit: spec.soft_limit,
            hard_limit: spec.hard_limit,
            region: text(spec.region.as_ref()),
            country: text(spec.country.as_ref()),
            addresses: addresses.to_vec(),
            registered_from: *registered_from,
            incarnation: text(spec.incarnation.as_ref()),
            replaced: text(replaced.as_ref()),
            version: text(spec.version.as_ref()),
            shared: spec.shared,
            document: spec.document.as_ref().map(|document| Value::Object(document.fields())),
        }
    }

    pub(in crate::store) fn to_json(&self) -> Vec<u8> {
        // Strings, numbers and lists of them always serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The instance.
    pub(in crate::store) fn parse(key: &str, json: &[u8]) -> Result<InstanceRecord, RecordError> {
        parse(RecordKind::Instance, key, json, |record: &Self| record.instance.clone(), Self::into_core)
    }

    /// The same, whatever fields it has beside those that this furt knows.
    pub(in crate::store) fn read(key: &str, json: &[u8]) -> Result<Parsed<InstanceRecord>, RecordError> {
        read(RecordKind::Instance, key, json, |record: &Self| record.instance.clone(), Self::into_core)
    }

    /// The record of an instance that is found elsewhere now; `None`: this is no record.
    pub(in crate::store) fn moved(json: &[u8], addresses: &[SocketAddr]) -> Option<Vec<u8>> {
        let record: Self = serde_json::from_slice(json).ok()?;
        Some(Self { addresses: addresses.to_vec(), ..record }.to_json())
    }

    fn into_core(self) -> Result<InstanceRecord, model::Invalid> {
        let endpoint = self.health_endpoint;
        let incarnation = |text: Option<String>| text.map(|text| model::Incarnation::try_new(&text)).transpose();
        let spec = model::InstanceSpec {
            id: model::InstanceId::try_new(&self.instance)?,
            url: model::UpstreamUrl::try_new(&self.url)?,
            incarnation: incarnation(self.incarnation)?,
            version: self.version.map(|version| model::Version::try_new(&version)).transpose()?,
            protocol: model::Protocol::try_new(&self.protocol)
                .map_err(|_| model::Invalid::new("its protocol is unknown"))?,
            tls_name: self.tls_name.map(|name| model::InstanceSpec::try_tls_name(&name)).transpose()?,
            health_endpoint: endpoint.map(|path| model::InstanceSpec::try_health_endpoint(&path)).transpose()?,
            heartbeat_ttl: self.heartbeat_ttl_ms.map(Duration::from_millis),
            weight: self.weight,
            soft_limit: self.soft_limit,
            hard_limit: self.hard_limit,
            region: self.region.map(|region| model::Region::try_new(&region)).transpose()?,
            country: self.country.map(|country| model::Country::try_new(&country)).transpose()?,
            shared: self.shared,
            document: self.document.as_ref().map(model::Document::try_new).transpose()?,
        };
        spec.check()?;
        Ok(InstanceRecord {
            service: model::ServiceName::try_new(&self.service)?,
            spec: Arc::new(spec),
            addresses: self.addresses.into(),
            registered_from: self.registered_from,
            replaced: incarnation(self.replaced)?,
        })
    }
}
