//! Where each record is in etcd: keys below `/furt/<namespace>/`. docs/etcd.md has them as a contract with other programs.

use std::collections::BTreeSet;
use std::net::IpAddr;

use furt_core::model::{GatewayName, InstanceId, KeyName, MaintenanceScope, Place, ServiceName, Sha256Digest};
use furt_core::registry::{Claim, InstanceRef, Record};

/// The format of all keys and values. A furt that finds another one does not start.
pub(super) const FORMAT: u64 = 1;
/// Fences that claims are spread over. With 1,024 and 80 changes of definitions a second by 8 gateways 0.5 % of them met by chance;
/// instances claim two each and come in greater numbers.
const BUCKETS: u64 = 4096;
/// A definition with more routes claims all fences at once: a transaction has room for so many comparisons.
const FEW_ROUTES: usize = 16;

/// The keys of one namespace.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    root: String,
    records: String,
}

/// What is stored under a key of its own, and followed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::enum_variant_names, reason = "an API key is called so everywhere")]
pub(super) enum Key {
    Definition(ServiceName),
    Instance(InstanceRef),
    /// The TTL that an instance is held to which named none.
    Ttl(InstanceRef),
    Drain(InstanceRef),
    Hold(InstanceRef),
    ApiKey(KeyName),
    Digest(Sha256Digest),
    Maintenance(MaintenanceScope),
    Split(ServiceName),
    Grant(ServiceName),
    /// The last entry of the audit by the gateway of that name.
    AuditHead(GatewayName),
    /// What a gateway has in flight at an instance that takes no new requests.
    Busy(InstanceRef, String),
    /// A gateway that is there.
    Gateway(String),
}

/// A key without a meaning of its own: whoever may conflict with another compares and puts the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Fence {
    Bucket(u64),
    /// Put by every definition.
    Any,
    /// Put by definitions with many routes.
    Large,
}

/// The fences of one claim.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fences {
    /// Nobody else may have put one of these meanwhile.
    pub(super) compared: BTreeSet<Fence>,
    pub(super) put: BTreeSet<Fence>,
}

impl Layout {
    pub(super) fn new(namespace: &str) -> Self {
        let root = format!("/furt/{namespace}/");
        Self { records: format!("{root}v{FORMAT}/"), root }
    }

    /// What all keys of the namespace begin with.
    pub(super) fn root(&self) -> &str {
        &self.root
    }

    /// What all keys that are followed begin with.
    pub(super) fn records(&self) -> &str {
        &self.records
    }

    /// The format, and the registry's identity.
    pub(super) fn meta(&self) -> String {
        format!("{}meta", self.root)
    }

    /// Put at each start of a gateway, so that its version counts them.
    pub(super) fn starts(&self) -> String {
        format!("{}starts", self.root)
    }

    /// What the gateways' sticky cookies are made with.
    pub(super) fn affinity_secret(&self) -> String {
        format!("{}affinity_secret", self.root)
    }

    /// What the keys of all entries of the audit begin with. They are in the order of time, and nobody follows them.
    pub(super) fn audit(&self) -> String {
        format!("{}audit/", self.root)
    }

    /// An entry of the audit: when it was asked for, and its number among those of its gateway.
    pub(super) fn audit_entry(&self, at_ms: i64, gateway: &GatewayName, number: u64) -> String {
        format!("{}{:015}/{gateway}/{number:010}", self.audit(), at_ms.max(0))
    }

    pub(super) fn fence(&self, fence: Fence) -> String {
        match fence {
            Fence::Bucket(number) => format!("{}f/{number}", self.root),
            Fence::Any => format!("{}f/any", self.root),
            Fence::Large => format!("{}f/large", self.root),
        }
    }

    pub(super) fn key(&self, key: &Key) -> String {
        let records = &self.records;
        match key {
            Key::Definition(service) => format!("{records}services/{service}"),
            Key::Instance(instance) => format!("{records}instances/{instance}"),
            Key::Ttl(instance) => format!("{records}ttls/{instance}"),
            Key::Drain(instance) => format!("{records}draining/{instance}"),
            Key::Hold(instance) => format!("{records}holds/{instance}"),
            Key::ApiKey(name) => format!("{records}keys/{name}"),
            Key::Digest(sha256) => format!("{records}digests/{sha256}"),
            Key::Maintenance(scope) => format!("{records}maintenance/{scope}"),
            Key::Split(service) => format!("{records}splits/{service}"),
            Key::Grant(service) => format!("{records}grants/{service}"),
            Key::AuditHead(gateway) => format!("{records}audit/{gateway}"),
            Key::Busy(instance, gateway) => format!("{records}busy/{instance}/{gateway}"),
            Key::Gateway(id) => format!("{records}gateways/{id}"),
        }
    }

    /// What the keys of all digests of API keys begin with.
    pub(super) fn digests(&self) -> String {
        format!("{}digests/", self.records)
    }

    /// What the keys of a service's instances begin with, and those of what belongs to them.
    pub(super) fn of_service(&self, service: &ServiceName) -> [String; 3] {
        ["instances", "ttls", "draining"].map(|kind| format!("{}{kind}/{service}/", self.records))
    }

    /// Whether a key stands among those of a kind of record, and its name is none of that kind. Other kinds are a newer furt's.
    pub(super) fn is_misnamed(&self, key: &[u8]) -> bool {
        const KINDS: [&[u8]; 13] = [
            b"services/",
            b"instances/",
            b"ttls/",
            b"draining/",
            b"holds/",
            b"keys/",
            b"digests/",
            b"maintenance/",
            b"splits/",
            b"grants/",
            b"audit/",
            b"busy/",
            b"gateways/",
        ];
        let rest = key.strip_prefix(self.records.as_bytes());
        rest.is_some_and(|rest| KINDS.iter().any(|kind| rest.starts_with(kind))) && self.parse(key).is_none()
    }

    /// `None`: no key that furt stores a record under.
    pub(super) fn parse(&self, key: &[u8]) -> Option<Key> {
        let (kind, name) = std::str::from_utf8(key).ok()?.strip_prefix(&self.records)?.split_once('/')?;
        Some(match kind {
            "services" => Key::Definition(ServiceName::try_new(name).ok()?),
            "instances" => Key::Instance(instance(name)?),
            "ttls" => Key::Ttl(instance(name)?),
            "draining" => Key::Drain(instance(name)?),
            "holds" => Key::Hold(instance(name)?),
            "keys" => Key::ApiKey(KeyName::try_new(name).ok()?),
            "digests" => {
                Key::Digest(Sha256Digest::try_from_hex(name).ok().filter(|sha256| sha256.to_string() == name)?)
            }
            "maintenance" => Key::Maintenance(MaintenanceScope::from_name(name).ok()?),
            "splits" => Key::Split(ServiceName::try_new(name).ok()?),
            "grants" => Key::Grant(ServiceName::try_new(name).ok()?),
            "audit" => Key::AuditHead(GatewayName::try_new(name).ok()?),
            "busy" => {
                let (name, gateway) = name.rsplit_once('/')?;
                Key::Busy(instance(name)?, gateway.to_owned())
            }
            "gateways" if !name.contains('/') => Key::Gateway(name.to_owned()),
            _ => return None,
        })
    }
}

fn instance(name: &str) -> Option<InstanceRef> {
    let (service, id) = name.split_once('/')?;
    Some(InstanceRef { service: ServiceName::try_new(service).ok()?, id: InstanceId::try_new(id).ok()? })
}

impl From<&Record> for Key {
    fn from(record: &Record) -> Self {
        match record {
            Record::Definition(service) => Self::Definition(service.clone()),
            Record::Instance(instance) => Self::Instance(instance.clone()),
            Record::Drain(instance) => Self::Drain(instance.clone()),
            Record::Hold(instance) => Self::Hold(instance.clone()),
            Record::Key(name) => Self::ApiKey(name.clone()),
            Record::Digest(sha256) => Self::Digest(*sha256),
            Record::Maintenance(scope) => Self::Maintenance(scope.clone()),
            Record::Split(service) => Self::Split(service.clone()),
            Record::Grant(service) => Self::Grant(service.clone()),
        }
    }
}

impl Fences {
    /// Any two claims that conflict have a fence that one puts and the other compares.
    pub(super) fn of(claim: &Claim) -> Self {
        let only = |bucket| Self { compared: BTreeSet::from([bucket]), put: BTreeSet::from([bucket]) };
        match claim {
            Claim::Id(id) => only(bucket(&["id", id.as_str()])),
            Claim::Place(service, place) => only(match place {
                Place::Address(address, port) => {
                    bucket(&["place", service.as_str(), &canonical(*address), &port.to_string()])
                }
                Place::Name(name, port, tls_name) => bucket(&[
                    "place",
                    service.as_str(),
                    name,
                    &port.to_string(),
                    tls_name.as_deref().unwrap_or_default(),
                ]),
            }),
            Claim::Routes(definition) => {
                let host = definition.host.as_ref().map(ToString::to_string).unwrap_or_default();
                let routes = definition.routes.iter();
                let buckets: BTreeSet<_> =
                    routes.map(|route| bucket(&["route", &host, route.pattern.as_str()])).collect();
                if buckets.len() > FEW_ROUTES {
                    return Self {
                        compared: BTreeSet::from([Fence::Any]),
                        put: BTreeSet::from([Fence::Any, Fence::Large]),
                    };
                }
                let with = |fence| buckets.iter().copied().chain([fence]).collect();
                Self { compared: with(Fence::Large), put: with(Fence::Any) }
            }
        }
    }
}

fn canonical(address: IpAddr) -> String {
    address.to_canonical().to_string()
}

/// FNV-1a, the same for each gateway whatever its version and machine; a byte that no part has stands between two.
fn bucket(parts: &[&str]) -> Fence {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0xff]));
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    Fence::Bucket(bytes.fold(0xcbf2_9ce4_8422_2325, step) % BUCKETS)
}
