//! Short ways to write what a script needs: commands, sources, instances by name, the rules that hold by default.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::model::{
    CidrSet, Definition, HealthCheck, Host, Incarnation, InstanceId, InstanceSpec, MethodRule, Operator, OperatorName,
    Pattern, Permission, Protocol, Role, RouteSpec, ServiceName, Sha256Digest, UpstreamHost, UpstreamUrl, Version,
};
use crate::registry::{
    HealthLimits, InstanceRef, Registration, RegistrationKind, RegistrationPolicy, Settings, Sharing, Source,
    UnlistedRule,
};

/// A registration in short: by default from 127.0.0.1, of one instance named as the service, at a port of 127.0.0.1 that
/// goes by its id, without a TTL.
#[derive(Clone)]
pub(in crate::registry) struct Command(pub(in crate::registry) Registration);

impl Command {
    pub(in crate::registry) fn new(service: &str, routes: &[&str]) -> Self {
        let definition = definition_of(service, routes);
        let id = InstanceId::from(&definition.service);
        let (url, addresses) = place_of(&id);
        let instance = InstanceSpec::new(id, url);
        let kind = RegistrationKind::Full;
        Self(Registration { definition, kind, instance, addresses, source: source("127.0.0.1") })
    }

    fn changed(mut self, change: impl FnOnce(&mut Registration)) -> Self {
        change(&mut self.0);
        self
    }

    /// Another instance, elsewhere unless it is said where.
    pub(in crate::registry) fn id(self, id: &str) -> Self {
        self.changed(|command| {
            let is_said = command.instance.url != place_of(&command.instance.id).0;
            command.instance.id = InstanceId::try_new(id).unwrap();
            if !is_said {
                (command.instance.url, command.addresses) = place_of(&command.instance.id);
            }
        })
    }

    pub(in crate::registry) fn shared(self) -> Self {
        self.changed(|command| command.instance.shared = true)
    }

    /// Without a word about the service.
    pub(in crate::registry) fn joining(self) -> Self {
        self.changed(|command| command.kind = RegistrationKind::Joining)
    }

    /// With some, and none about its routes.
    pub(in crate::registry) fn without_routes(self) -> Self {
        self.changed(|command| command.kind = RegistrationKind::WithoutRoutes)
    }

    /// Without a word about the service, as a backend of `/api/v1`.
    pub(in crate::registry) fn alone(self) -> Self {
        self.changed(|command| command.kind = RegistrationKind::InstanceOnly)
    }

    pub(in crate::registry) fn host(self, host: &str) -> Self {
        self.changed(|command| command.definition.host = Some(Host::try_new(host).unwrap()))
    }

    pub(in crate::registry) fn revision(self, revision: u64) -> Self {
        self.changed(|command| command.definition.revision = revision)
    }

    pub(in crate::registry) fn incarnation(self, incarnation: &str) -> Self {
        self.changed(|command| command.instance.incarnation = Some(Incarnation::try_new(incarnation).unwrap()))
    }

    pub(in crate::registry) fn version(self, version: &str) -> Self {
        self.changed(|command| command.instance.version = Some(Version::try_new(version).unwrap()))
    }

    pub(in crate::registry) fn weight(self, weight: u8) -> Self {
        self.changed(|command| command.instance.weight = weight)
    }

    pub(in crate::registry) fn protocol(self, protocol: Protocol) -> Self {
        self.changed(|command| command.instance.protocol = protocol)
    }

    pub(in crate::registry) fn health_endpoint(self, path: &str) -> Self {
        self.changed(|command| command.instance.health_endpoint = Some(path.into()))
    }

    pub(in crate::registry) fn check(self, check: HealthCheck) -> Self {
        self.changed(|command| command.definition.health_check = check)
    }

    pub(in crate::registry) fn ttl(self, seconds: u64) -> Self {
        self.changed(|command| command.instance.heartbeat_ttl = Some(Duration::from_secs(seconds)))
    }

    pub(in crate::registry) fn unprobed(self) -> Self {
        self.changed(|command| command.instance.health_endpoint = None)
    }

    pub(in crate::registry) fn from(self, from: &str) -> Self {
        self.changed(|command| command.source.address = source(from).address)
    }

    pub(in crate::registry) fn certificate(self, certificate: Sha256Digest) -> Self {
        self.changed(|command| command.source.certificate = Some(certificate))
    }

    pub(in crate::registry) fn token(self, token: &str) -> Self {
        self.changed(|command| command.source.token = Some(Sha256Digest::of(token.as_bytes())))
    }

    /// An instance at `url`, whose host, where it is a name, leads to `addresses`.
    pub(in crate::registry) fn at(self, url: &str, addresses: &[&str]) -> Self {
        self.changed(|command| {
            command.instance.url = UpstreamUrl::try_new(url).unwrap();
            command.addresses = match &command.instance.url.host {
                UpstreamHost::Address(_) => Arc::from([command.instance.url.socket_address().unwrap()]),
                UpstreamHost::Name(_) => addresses.iter().map(|text| address(text)).collect(),
            };
        })
    }
}

/// Where an instance of this id is that says nothing else.
fn place_of(id: &InstanceId) -> (UpstreamUrl, Arc<[SocketAddr]>) {
    let hash = id.as_str().bytes().fold(7_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
    let url = UpstreamUrl::try_new(&format!("http://127.0.0.1:{}", 10_000 + hash % 50_000)).unwrap();
    let addresses = Arc::from([url.socket_address().unwrap()]);
    (url, addresses)
}

/// Routes as `METHOD PATH [PERMISSION]`.
pub(in crate::registry) fn definition_of(service: &str, routes: &[&str]) -> Definition {
    let route = |text: &&str| {
        let mut parts = text.split(' ');
        RouteSpec {
            method: MethodRule::try_new(parts.next().unwrap()).unwrap(),
            pattern: Pattern::try_new(parts.next().unwrap()).unwrap(),
            permission: parts.next().map(|text| Permission::try_new(text).unwrap()),
            options: Default::default(),
        }
    };
    Definition { routes: routes.iter().map(route).collect(), ..Definition::new(ServiceName::try_new(service).unwrap()) }
}

pub(in crate::registry) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(in crate::registry) fn source(from: &str) -> Source {
    Source { address: from.parse::<IpAddr>().unwrap(), operator: None, token: None, certificate: None }
}

pub(in crate::registry) fn operator(from: &str) -> Source {
    Source { operator: Some(Operator { name: Some(OperatorName::unnamed()), role: Role::Admin }), ..source(from) }
}

/// `service/instance`, or a service whose instance has its name.
pub(in crate::registry) fn instance(whom: &str) -> InstanceRef {
    let (service, id) = parts(whom);
    let id = id.unwrap_or_else(|| InstanceId::from(&service));
    InstanceRef { service, id }
}

pub(in crate::registry) fn parts(whom: &str) -> (ServiceName, Option<InstanceId>) {
    match whom.split_once('/') {
        Some((service, id)) => (ServiceName::try_new(service).unwrap(), Some(InstanceId::try_new(id).unwrap())),
        None => (ServiceName::try_new(whom).unwrap(), None),
    }
}

/// Everyone may register anything at a private address.
pub(in crate::registry) fn policy() -> RegistrationPolicy {
    RegistrationPolicy {
        grants: BTreeMap::new(),
        unlisted: UnlistedRule::Allow,
        upstreams: CidrSet::try_new(&["127.0.0.0/8", "10.0.0.0/8"]).unwrap(),
        static_routes: Vec::new(),
        apps_domain: Host::try_new("internal").unwrap(),
    }
}

/// The default numbers, with a TTL of 60 s.
pub(in crate::registry) fn settings(policy: RegistrationPolicy) -> Settings {
    let seconds = Duration::from_secs;
    let health = HealthLimits {
        interval: seconds(30),
        interval_down: seconds(120),
        failures_to_down: 3,
        failures_to_stop: 10,
        startup_time: seconds(60),
        min_interval: Duration::from_secs(1),
    };
    Settings {
        policy,
        health,
        heartbeat_ttl: seconds(60),
        sharing: Sharing::Exclusive,
        outage_hold: seconds(300),
        shares_limits: false,
        rules: Arc::default(),
    }
}
