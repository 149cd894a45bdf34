//! The core as the driver runs it, with a store that answers at once: a wish is checked, installed and published before
//! [`Registrar::apply`] returns. Sockets, JSON and the disk are not in it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use arc_swap::ArcSwap;
use furt_core::model::{
    CidrSet, Definition, Epoch, Host, InstanceId, InstanceSpec, KeyName, KeySpec, MethodRule, Pattern, Permission,
    PermissionRule, PermissionSet, RouteSpec, RuntimeKey, ServiceName, Sha256Digest, UpstreamUrl,
};
use furt_core::registry::{
    Deregistration, Effect, Event, HealthLimits, KeyCommand, Now, OnLastInstance, Registration, RegistrationKind,
    RegistrationPolicy, Registry, ReplyId, Revision, Settings, Sharing, Source, UnlistedRule,
};
use furt_core::routing::Snapshot;

const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9000);

/// A core and what it has published.
pub(super) struct Registrar {
    registry: Registry,
    published: ArcSwap<Snapshot>,
    now: Now,
}

impl Registrar {
    /// With nothing registered.
    ///
    /// # Errors
    /// Never: the settings are good.
    pub(super) fn try_new() -> Result<Self> {
        let settings = Settings {
            policy: RegistrationPolicy {
                grants: Default::default(),
                unlisted: UnlistedRule::Allow,
                upstreams: CidrSet::try_new(&["127.0.0.0/8"])?,
                static_routes: Vec::new(),
                apps_domain: Host::try_new("internal")?,
            },
            health: HealthLimits {
                interval: Duration::from_secs(30),
                interval_down: Duration::from_secs(120),
                failures_to_down: 3,
                failures_to_stop: 10,
                startup_time: Duration::from_secs(60),
                min_interval: Duration::from_secs(1),
            },
            heartbeat_ttl: Duration::from_secs(60),
            sharing: Sharing::Exclusive,
            outage_hold: Duration::from_secs(300),
            shares_limits: false,
            rules: Arc::default(),
        };
        let now = furt::driver::now();
        let epoch = Epoch(uuid::Uuid::nil());
        let (registry, _) = Registry::new(epoch, settings, Vec::new(), Vec::new(), now);
        Ok(Self { registry, published: ArcSwap::from_pointee(Snapshot::new(epoch)), now })
    }

    /// What requests see.
    pub(super) fn seen(&self) -> Arc<Snapshot> {
        self.published.load_full()
    }

    /// A wish and its write, and what it changes published.
    ///
    /// # Errors
    /// It is refused.
    pub(super) fn apply(&mut self, command: Event) -> Result<()> {
        let mut effects = self.registry.handle(command, self.now);
        loop {
            let mut next = Vec::new();
            for effect in &effects {
                match effect {
                    Effect::Write(write, _) => {
                        next.extend(self.registry.handle(Event::WriteDone(*write, Revision::default()), self.now))
                    }
                    Effect::Answer(_, Err(refusal)) => bail!("a wish is refused: {refusal}"),
                    _ => {}
                }
            }
            if next.is_empty() {
                break;
            }
            effects = next;
        }
        if let Some(snapshot) = self.registry.take_snapshot() {
            self.published.store(Arc::new(snapshot));
        }
        Ok(())
    }
}

fn source() -> Source {
    Source { address: ADDRESS.ip(), operator: None, token: None, certificate: None }
}

/// A service as it registers.
pub(super) struct Service {
    /// Its number.
    pub(super) number: u32,
    /// Its instance's; the first one is 0.
    pub(super) instance: u32,
    /// One that was registered before is replaced by another revision.
    pub(super) revision: u64,
    /// Its routes: method and path.
    pub(super) routes: Vec<(&'static str, String)>,
}

/// The four routes of a service: a literal, a `*` at the end, twice, and one in the middle.
pub(super) fn four_routes(number: u32, revision: u64) -> Vec<(&'static str, String)> {
    vec![
        ("GET", format!("/api/svc{number}/r{revision}/*")),
        ("POST", format!("/api/svc{number}/r{revision}/*")),
        ("GET", format!("/api/svc{number}/*/items{revision}")),
        ("GET", format!("/api/svc{number}/fixed{revision}")),
    ]
}

fn name_of(number: u32) -> Result<ServiceName> {
    Ok(ServiceName::try_new(&format!("svc{number}"))?)
}

fn id_of(service: u32, instance: u32) -> Result<InstanceId> {
    Ok(InstanceId::try_new(&format!("svc{service}-{instance}"))?)
}

/// The wish to register it.
///
/// # Errors
/// A route is not one.
pub(super) fn registration(wanted: Service) -> Result<Event> {
    let Service { number, instance, revision, routes } = wanted;
    let permission = Permission::try_new(&format!("svc{number}:use"))?;
    let route = |(method, path): (&str, String)| -> Result<RouteSpec> {
        Ok(RouteSpec {
            method: MethodRule::try_new(method)?,
            pattern: Pattern::try_new(&path)?,
            permission: Some(permission.clone()),
            options: Default::default(),
        })
    };
    let routes = routes.into_iter().map(route).collect::<Result<_>>()?;
    let spec = InstanceSpec::new(id_of(number, instance)?, url_of(number, instance)?);
    let command = Registration {
        kind: RegistrationKind::Full,
        // Never probed, so UP from its registration on.
        instance: InstanceSpec { health_endpoint: None, ..spec },
        definition: Definition { routes, revision, ..Definition::new(name_of(number)?) },
        addresses: Arc::new([ADDRESS]),
        source: source(),
    };
    Ok(Event::RegistrationRequested(Box::new(command), ReplyId(0)))
}

/// Within a service one url is one instance; whose it is besides is no concern of this.
fn url_of(service: u32, instance: u32) -> Result<UpstreamUrl> {
    let [_, a, b, c] = (service * 64 + instance % 64).to_be_bytes();
    Ok(UpstreamUrl::try_new(&format!("http://127.{a}.{b}.{c}:{}", 9000 + instance / 64))?)
}

/// The wish of an instance to leave, or of a service with all of them.
///
/// # Errors
/// Never: the names are good.
pub(super) fn leave(service: u32, instance: Option<u32>) -> Result<Event> {
    let instance = instance.map(|instance| id_of(service, instance)).transpose()?;
    let command = Deregistration {
        service: name_of(service)?,
        instance,
        incarnation: None,
        on_last_instance: OnLastInstance::RemoveService,
        source: source(),
    };
    Ok(Event::DeregistrationRequested(command, ReplyId(0)))
}

/// The digest of a key.
pub(super) fn digest(number: u32) -> Sha256Digest {
    Sha256Digest::of(format!("key {number}").as_bytes())
}

/// The wish for a key.
///
/// # Errors
/// Never: it is a good one.
pub(super) fn create_key(number: u32) -> Result<Event> {
    let spec = KeySpec {
        name: KeyName::try_new(&format!("client-{number}"))?,
        sha256: digest(number),
        permissions: PermissionSet::new(vec![PermissionRule::try_new("svc1:use")?]),
        allow_from: CidrSet::default(),
        rate: None,
    };
    let command = KeyCommand::Create(Box::new(RuntimeKey::try_new(spec, 0, None, Vec::new())?));
    Ok(Event::KeyRequested { command, by: ADDRESS.ip().into(), reply: ReplyId(0) })
}

/// The wish for its end.
///
/// # Errors
/// Never: the name is good.
pub(super) fn revoke_key(number: u32) -> Result<Event> {
    let command = KeyCommand::Revoke(KeyName::try_new(&format!("client-{number}"))?);
    Ok(Event::KeyRequested { command, by: ADDRESS.ip().into(), reply: ReplyId(0) })
}
