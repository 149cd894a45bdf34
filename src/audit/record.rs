//! The stored form of an entry, and where a chain of them ends.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use furt_core::model::{
    Actor, AuditAction, AuditEntry, Grant, Maintenance, MaintenanceScope, RuntimeKey, ServiceName, Sha256Digest, Split,
};

/// Texts of one list that an entry has.
const MOST_TEXTS: usize = 100;
/// Numbers are exact in every reader of JSON.
const MOST_NUMBER: u64 = 1 << 53;

/// An entry as it is stored: these fields as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The gateway that took the command.
    pub gateway: String,
    /// Its number among that gateway's entries, from 1.
    pub number: u64,
    /// When it was asked for, in ms since the Unix epoch.
    pub at_ms: i64,
    /// The address that the command came from.
    pub from: IpAddr,
    /// The operator whose token or certificate came with it.
    pub by: Option<String>,
    /// What was done.
    pub action: String,
    /// The service that it is about.
    pub service: Option<String>,
    /// The instance that it is about.
    pub instance: Option<String>,
    /// The API key that it is about.
    pub key: Option<String>,
    /// What else there is to say; never a secret.
    pub details: Map<String, Value>,
    /// The SHA-256 of the gateway's entry before as it is stored; `None`: it is the first one.
    pub previous: Option<String>,
}

/// An entry as it was stored, and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedEntry {
    /// Grows in the order in which entries of all gateways were stored; where several have the same one, they were stored at once.
    pub position: u64,
    /// The entry; `Err`: what is stored there is none, and why.
    pub record: Result<Record, String>,
    /// The SHA-256 of what is stored.
    pub sha256: Sha256Digest,
}

impl RecordedEntry {
    /// What is stored at a position.
    pub fn of(position: u64, stored: &[u8]) -> Self {
        let record = serde_json::from_slice(stored).map_err(|error| error.to_string());
        Self { position, record, sha256: Sha256Digest::of(stored) }
    }
}

/// The last entry of a gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    number: u64,
    sha256: Option<String>,
}

impl Head {
    /// From the last entry as it is stored.
    pub fn of(stored: &[u8]) -> Self {
        let number = serde_json::from_slice::<Record>(stored).map_or(0, |record| record.number);
        Self { number, sha256: Some(Sha256Digest::of(stored).to_string()) }
    }

    /// As [`Self::to_json`] gave it; `None`: it is something else.
    pub fn parse(json: &[u8]) -> Option<Self> {
        let is_good = |head: &Self| {
            let is_digest = |text: &String| Sha256Digest::try_from_hex(text).is_ok();
            head.number < MOST_NUMBER && head.sha256.as_ref().is_none_or(is_digest)
        };
        serde_json::from_slice(json).ok().filter(is_good)
    }

    /// As a store keeps it that keeps it by itself.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings and numbers always serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The number of the last entry; 0: there is none.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The next entry as it is to be stored; it is the last one from then on.
    pub fn append(&mut self, gateway: &str, entry: &AuditEntry) -> Vec<u8> {
        let AuditEntry { at_ms, by: Actor { address, operator }, action } = entry;
        let Described { service, instance, key, details } = Described::of(action);
        let record = Record {
            gateway: gateway.to_owned(),
            number: self.number.saturating_add(1),
            at_ms: *at_ms,
            from: *address,
            by: operator.as_ref().map(ToString::to_string),
            action: action.as_str().to_owned(),
            service,
            instance,
            key,
            details,
            previous: self.sha256.take(),
        };
        // Texts, numbers and lists of them always serialize.
        let json = serde_json::to_vec(&record).unwrap_or_default();
        *self = Self::of(&json);
        json
    }
}

#[derive(Default)]
struct Described {
    service: Option<String>,
    instance: Option<String>,
    key: Option<String>,
    details: Map<String, Value>,
}

impl Described {
    fn of(action: &AuditAction) -> Self {
        match action {
            AuditAction::CreateKey(key) | AuditAction::RotateKey(key) => {
                Self { key: Some(key.name().to_string()), details: of_key(key), ..Self::default() }
            }
            AuditAction::ChangeKey { before, after } => Self { key: Some(after.name().to_string()), ..Self::default() }
                .with("before", Some(Value::Object(of_key(before))))
                .with("after", Some(Value::Object(of_key(after))))
                .with("secret", (!before.digests().eq(after.digests())).then_some("another".into())),
            AuditAction::RevokeKey(name) | AuditAction::TakeBackKey(name) => {
                Self { key: Some(name.to_string()), ..Self::default() }
            }
            AuditAction::BeginMaintenance { scope, before, after } => Self::of_scope(scope)
                .with("before", before.as_ref().map(|before| of_maintenance(before)))
                .with("after", Some(of_maintenance(after))),
            AuditAction::EndMaintenance { scope, before } => {
                Self::of_scope(scope).with("before", Some(of_maintenance(before)))
            }
            AuditAction::SetSplit { service, before, after } => Self::of_service(service)
                .with("before", before.as_ref().map(|before| of_split(before)))
                .with("after", Some(of_split(after))),
            AuditAction::RemoveSplit { service, before } => {
                Self::of_service(service).with("before", Some(of_split(before)))
            }
            AuditAction::SetGrant { service, before, after } => Self::of_service(service)
                .with("before", before.as_ref().map(|before| of_grant(&before.grant)))
                .with("after", Some(of_grant(&after.grant))),
            AuditAction::RemoveGrant { service, before } => {
                Self::of_service(service).with("before", Some(of_grant(&before.grant)))
            }
            AuditAction::BeginDrain { service, instances, until } => Self::of_service(service)
                .with("instances", Some(texts(instances)))
                .with("until", Some(until.as_str().into())),
            AuditAction::EndDrain { service, instances } => {
                Self::of_service(service).with("instances", Some(texts(instances)))
            }
            AuditAction::Register { service, instance, is_defined, replaces } => Self {
                instance: Some(instance.to_string()),
                ..Self::of_service(service)
                    .with("definition", is_defined.then_some(Value::Bool(true)))
                    .with("replaced", Some(texts(replaces)).filter(|_| !replaces.is_empty()))
            },
            AuditAction::Deregister { service, instances, is_whole } => Self::of_service(service)
                .with("instances", Some(texts(instances)))
                .with("whole", is_whole.then_some(Value::Bool(true))),
            AuditAction::Order { order: _, service, instance, detail } => Self {
                service: service.as_ref().map(ToString::to_string),
                instance: instance.as_ref().map(ToString::to_string),
                ..Self::default()
            }
            .with("detail", detail.as_deref().map(Value::from)),
        }
    }

    fn of_service(service: &ServiceName) -> Self {
        Self { service: Some(service.to_string()), ..Self::default() }
    }

    /// Without a service it is about all of them.
    fn of_scope(scope: &MaintenanceScope) -> Self {
        Self { service: scope.service().map(ToString::to_string), ..Self::default() }
    }

    fn with(mut self, name: &str, value: Option<Value>) -> Self {
        self.details.extend(value.map(|value| (name.to_owned(), value)));
        self
    }
}

/// Whether something guards it, and never by what.
fn of_grant(grant: &Grant) -> Value {
    let Grant { permissions, paths, hosts, upstreams, public, origins, auth, token, certificate } = grant;
    let methods: Vec<_> = auth.iter().map(|method| method.as_str()).collect();
    let fields = [
        ("permissions", Some(texts(permissions.rules()))),
        ("paths", Some(texts(paths))),
        ("hosts", Some(texts(hosts)).filter(|_| !hosts.is_empty())),
        ("upstreams", upstreams.as_ref().map(|set| texts(set.networks()))),
        ("public", public.then_some(Value::Bool(true))),
        ("origins", Some(texts(&origins.texts())).filter(|_| *origins != Default::default())),
        ("auth", Some(json!(methods))),
        ("token", token.map(|_| Value::Bool(true))),
        ("certificate", certificate.map(|_| Value::Bool(true))),
    ];
    let said = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(said.collect())
}

/// Neither the key nor its digest.
fn of_key(key: &RuntimeKey) -> Map<String, Value> {
    let RuntimeKey { spec, created_ms: _, expires_ms, old } = key;
    let rate = spec.rate.map(|limit| limit.rate.to_string());
    let old_until_ms: Vec<_> = old.iter().map(|old| old.until_ms).collect();
    let fields = [
        ("permissions", Some(texts(spec.permissions.rules()))),
        ("allow_from", Some(texts(spec.allow_from.networks()))),
        ("rate", rate.map(Value::from)),
        ("burst", spec.rate.map(|limit| limit.burst.get().into())),
        ("expires_ms", expires_ms.map(Value::from)),
        ("old_until_ms", Some(json!(old_until_ms)).filter(|_| !old.is_empty())),
    ];
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn of_maintenance(maintenance: &Maintenance) -> Value {
    let Maintenance { allow_from, message, by: _, began_ms: _, ends_ms } = maintenance;
    let message = message.as_ref().map(|message| message.as_str());
    json!({ "ends_ms": ends_ms, "allow_from": texts(allow_from.networks()), "message": message })
}

fn of_split(split: &Split) -> Value {
    let shares = split.spec.versions.iter().map(|one| (one.version.to_string(), one.share.to_string().into()));
    let header = split.spec.header.as_ref().map(|header| header.as_str());
    json!({ "versions": shares.collect::<Map<_, _>>(), "header": header, "strict": split.spec.strict })
}

/// At most [`MOST_TEXTS`] of them, and how many more there are: an entry is as large as it is read.
fn texts(all: &[impl ToString]) -> Value {
    let more = all.len().saturating_sub(MOST_TEXTS);
    let first = all.iter().take(MOST_TEXTS).map(ToString::to_string);
    first.chain((more > 0).then(|| format!("… ({more} more)"))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use furt_core::model::{InstanceId, KeyName, Order};

    use super::*;
    use crate::store::conformance;

    fn entry(action: AuditAction) -> AuditEntry {
        AuditEntry { at_ms: 5_000, by: conformance::alice(), action }
    }

    fn revoked(name: &str) -> AuditEntry {
        entry(AuditAction::RevokeKey(KeyName::try_new(name).unwrap()))
    }

    #[test]
    fn each_entry_names_the_one_before_it() {
        let mut head = Head::default();
        let stored: Vec<_> = ["a", "b", "c"].map(|name| head.append("g:1", &revoked(name))).into();
        let read: Vec<_> = stored.iter().map(|json| RecordedEntry::of(1, json)).collect();
        let record = |at: usize| read[at].record.as_ref().unwrap();
        assert_eq!((record(0).number, record(0).previous.as_ref()), (1, None));
        for at in [1, 2] {
            assert_eq!(record(at).number, at as u64 + 1);
            assert_eq!(record(at).previous, Some(read[at - 1].sha256.to_string()));
        }
        assert_eq!((Head::of(&stored[2]), Head::parse(&head.to_json())), (head.clone(), Some(head)));
        assert_eq!((record(0).by.as_deref(), record(0).from.to_string().as_str()), (Some("alice"), "10.0.0.1"));
    }

    #[test]
    fn no_entry_has_a_secret() {
        let furt_core::registry::Change::PutKey(key) = conformance::api_key("k", "secret") else { unreachable!() };
        for action in [AuditAction::CreateKey(Arc::clone(&key)), AuditAction::RotateKey(Arc::clone(&key))] {
            let text = String::from_utf8(Head::default().append("g:1", &entry(action))).unwrap();
            assert!(text.contains(r#""permissions":["*","a:*","a:b"]"#), "{text}");
            assert!(key.digests().all(|sha256| !text.contains(&sha256.to_string())), "{text}");
        }
    }

    #[test]
    fn an_entry_says_what_was_and_what_is() {
        let service = ServiceName::try_new("a").unwrap();
        let split = |share: f64| {
            let change = conformance::split("a", &[("2", share)]);
            let furt_core::registry::Change::PutSplit(_, split) = change else { unreachable!() };
            split
        };
        let of = |action| {
            let json = Head::default().append("g:1", &entry(action));
            serde_json::from_slice::<Value>(&json).unwrap()
        };
        let set = of(AuditAction::SetSplit { service: service.clone(), before: Some(split(5.0)), after: split(10.0) });
        assert_eq!((&set["action"], &set["service"]), (&"split-set".into(), &"a".into()));
        assert_eq!(set["details"]["before"]["versions"], json!({"2": "5%"}));
        assert_eq!(set["details"]["after"]["versions"], json!({"2": "10%"}));
        let detail = Some("x".to_owned());
        let order = of(AuditAction::Order { order: Order::Cluster, service: None, instance: None, detail });
        assert_eq!((&order["action"], &order["details"]), (&"cluster".into(), &json!({"detail": "x"})));
    }

    #[test]
    fn an_end_that_no_gateway_wrote_is_none() {
        let sha256 = Sha256Digest::of(b"x");
        for (json, is_good) in [
            (format!(r#"{{"number":7,"sha256":"{sha256}"}}"#), true),
            (r#"{"number":0,"sha256":null}"#.to_owned(), true),
            (format!(r#"{{"number":18446744073709551615,"sha256":"{sha256}"}}"#), false),
            (r#"{"number":7,"sha256":"x"}"#.to_owned(), false),
            ("7".to_owned(), false),
        ] {
            assert_eq!(Head::parse(json.as_bytes()).is_some(), is_good, "{json}");
        }
    }

    #[test]
    fn a_long_list_is_cut_and_says_so() {
        let instances = (0..250).map(|number| InstanceId::try_new(&format!("i{number}")).unwrap()).collect();
        let service = ServiceName::try_new("a").unwrap();
        let json = Head::default().append("g:1", &entry(AuditAction::EndDrain { service, instances }));
        let list = &serde_json::from_slice::<Value>(&json).unwrap()["details"]["instances"];
        assert_eq!(
            (list.as_array().unwrap().len(), &list[99], &list[100]),
            (101, &json!("i99"), &json!("… (150 more)"))
        );
    }

    #[test]
    fn what_is_no_entry_is_told_as_such() {
        let read = RecordedEntry::of(7, b"{}");
        assert_eq!((read.position, read.record.is_err()), (7, true));
    }
}
