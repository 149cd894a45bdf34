//! The registry as plainly as it can be written: lists that are searched from end to end, and the registry's rules in words.
//!
//! It shares the commands with the core and nothing else. [`super`] compares what the two make of the same events.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::model::{Definition, DrainUntil, Incarnation, InstanceId, InstanceSpec, Role, ServiceName, Status, Version};
use crate::registry::{Drain, DrainCommand, HealthLimits, InstanceRef, Registration, RegistrationKind, ReplyId};

const HOLD: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_secs(1);

/// A route as `(host, method, path)`; any host is "".
pub(super) type Route = (String, String, String);

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    Registered { status: Status, routes: usize, is_canary: bool, is_change: bool },
    Heard(Status),
    Probing(Status),
    Left(usize),
    Drained(usize),
    Split,
    Refused(&'static str),
}

pub(super) struct InstanceEntry {
    pub(super) spec: InstanceSpec,
    pub(super) from: IpAddr,
    pub(super) status: Status,
    pub(super) failures: u32,
    /// Those that bring the end of probing nearer.
    pub(super) counted: u32,
    pub(super) is_stopped: bool,
    /// When its start-up time began, and the failures in it.
    pub(super) startup: Option<(Instant, u32)>,
    /// The time between its probes as it was ordered last.
    pub(super) period: Option<Duration>,
    pub(super) ttl: Option<Duration>,
    pub(super) heard: Instant,
    /// When it is looked at next.
    pub(super) look: Option<Instant>,
    pub(super) is_being_removed: bool,
    pub(super) drain: Option<Mark>,
    /// The incarnation that it replaced.
    pub(super) replaced: Option<Incarnation>,
}

/// What ends a drain, and the incarnation that was there when it began.
pub(super) type Mark = (DrainUntil, Option<Incarnation>);

pub(super) struct Service {
    pub(super) definition: Definition,
    pub(super) from: IpAddr,
    pub(super) instances: Vec<InstanceEntry>,
    pub(super) held: Option<Instant>,
    pub(super) is_being_removed: bool,
}

#[derive(Clone)]
pub(super) enum Command {
    Register(Box<Registration>, ReplyId),
    Leave { service: ServiceName, id: Option<InstanceId>, from: IpAddr, reply: ReplyId },
    Drain(Box<DrainCommand>, ReplyId),
}

#[derive(Clone, Copy, PartialEq)]
enum Cause {
    Asked(ReplyId),
    Silent,
    HoldOver,
}

enum Write {
    Register {
        command: Box<Registration>,
        brings_definition: bool,
        is_canary: bool,
        replaces: Vec<InstanceId>,
        reply: ReplyId,
    },
    Remove {
        service: ServiceName,
        id: Option<InstanceId>,
        cause: Cause,
    },
    Drain {
        command: Box<DrainCommand>,
        drains: Vec<(InstanceId, Option<Mark>)>,
        reply: ReplyId,
    },
    /// One that is draining registers just so.
    Return {
        command: Box<Registration>,
        reply: ReplyId,
    },
    /// The versions that are named from then on; `None`: the split is removed.
    Split {
        service: ServiceName,
        versions: Option<Vec<Version>>,
        reply: ReplyId,
    },
}

pub(super) struct Model {
    pub(super) now: Instant,
    pub(super) limits: HealthLimits,
    pub(super) default_ttl: Duration,
    pub(super) services: Vec<Service>,
    /// What holds ids, by service and id.
    pub(super) holds: BTreeMap<InstanceRef, Mark>,
    /// The versions that splits name, by services.
    pub(super) splits: BTreeMap<ServiceName, Vec<Version>>,
    writes: VecDeque<Write>,
    parked: VecDeque<Command>,
    pub(super) outcomes: BTreeMap<ReplyId, Outcome>,
}

impl Service {
    pub(super) fn status(&self) -> Status {
        let staying = || self.instances.iter().filter(|one| !one.is_being_removed);
        match () {
            () if staying().any(|one| one.status == Status::Up) => Status::Up,
            () if staying().any(|one| one.status == Status::Unknown) => Status::Unknown,
            () => Status::Down,
        }
    }
}

/// A service without routes has all paths of its own host.
pub(super) fn routes(definition: &Definition) -> Vec<Route> {
    if definition.routes.is_empty() {
        let host = format!("{}.internal", definition.service);
        return ["/", "/*"].map(|path| (host.clone(), "*".to_owned(), path.to_owned())).to_vec();
    }
    let host = definition.host.as_ref().map(ToString::to_string).unwrap_or_default();
    definition.routes.iter().map(|one| (host.clone(), one.method.to_string(), one.pattern.to_string())).collect()
}

fn conflict(ours: &[Route], theirs: &[Route]) -> bool {
    let clash = |a: &Route, b: &Route| a.0 == b.0 && a.2 == b.2 && a.1 == b.1;
    ours.iter().any(|a| theirs.iter().any(|b| clash(a, b)))
}

/// Whether a registration of this incarnation ends a drain.
pub(super) fn ends((until, of): &Mark, by: Option<&Incarnation>) -> bool {
    match until {
        DrainUntil::Registration => true,
        DrainUntil::Restart => by.is_some() && by != of.as_ref(),
        DrainUntil::Undo => false,
    }
}

/// What is compared where urls are.
pub(super) fn place(spec: &InstanceSpec) -> String {
    let tls_name = spec.tls_name.as_ref().filter(|_| spec.url.socket_address().is_none());
    format!("{:?} {} {tls_name:?}", spec.url.host, spec.url.port)
}

/// Others of the service that are where an instance is.
fn rivals<'a>(own: &'a Service, spec: &'a InstanceSpec) -> impl Iterator<Item = &'a InstanceEntry> {
    own.instances.iter().filter(|one| one.spec.id != spec.id && place(&one.spec) == place(spec))
}

fn may(registered_from: IpAddr, from: IpAddr) -> bool {
    from == registered_from || from.is_loopback()
}

impl Write {
    /// Whose commands wait for it; nobody's for a split.
    fn service(&self) -> Option<&ServiceName> {
        match self {
            Self::Register { command, .. } | Self::Return { command, .. } => Some(&command.definition.service),
            Self::Remove { service, .. } => Some(service),
            Self::Drain { command, .. } => Some(&command.service),
            Self::Split { .. } => None,
        }
    }
}

impl Command {
    fn service(&self) -> &ServiceName {
        match self {
            Self::Register(command, _) => &command.definition.service,
            Self::Leave { service, .. } => service,
            Self::Drain(command, _) => &command.service,
        }
    }
}

impl Model {
    pub(super) fn new(now: Instant, limits: HealthLimits, default_ttl: Duration) -> Self {
        Self {
            now,
            limits,
            default_ttl,
            services: Vec::new(),
            holds: BTreeMap::new(),
            splits: BTreeMap::new(),
            writes: VecDeque::new(),
            parked: VecDeque::new(),
            outcomes: BTreeMap::new(),
        }
    }

    pub(super) fn waiting_writes(&self) -> usize {
        self.writes.len()
    }

    fn service(&mut self, name: &ServiceName) -> Option<&mut Service> {
        self.services.iter_mut().find(|one| one.definition.service == *name)
    }

    /// An instance, also one that leaves.
    pub(super) fn installed(&mut self, instance: &InstanceRef) -> Option<&mut InstanceEntry> {
        self.service(&instance.service)?.instances.iter_mut().find(|one| one.spec.id == instance.id)
    }

    fn writes_of<'a>(&'a self, service: &'a ServiceName) -> impl Iterator<Item = &'a Write> {
        self.writes.iter().filter(move |write| write.service() == Some(service))
    }

    pub(super) fn command(&mut self, command: Command) {
        match command {
            Command::Register(command, reply) => self.register(command, reply),
            Command::Leave { service, id, from, reply } => self.leave(service, id, from, reply),
            Command::Drain(command, reply) => self.drain(command, reply),
        }
    }

    /// Whether a command about its split waits for the store.
    pub(super) fn is_splitting(&self, name: &ServiceName) -> bool {
        self.writes.iter().any(|write| matches!(write, Write::Split { service, .. } if service == name))
    }

    pub(super) fn split(&mut self, service: ServiceName, versions: Option<Vec<Version>>, reply: ReplyId) {
        if versions.is_none() && !self.splits.contains_key(&service) {
            return self.refuse(reply, "no split");
        }
        self.writes.push_back(Write::Split { service, versions, reply });
    }

    fn is_canary(&self, service: &ServiceName, spec: &InstanceSpec) -> bool {
        let named = self.splits.get(service);
        named.zip(spec.version.as_ref()).is_some_and(|(named, own)| named.contains(own))
    }

    fn refuse(&mut self, reply: ReplyId, why: &'static str) {
        self.outcomes.insert(reply, Outcome::Refused(why));
    }

    /// Who says nothing of the service takes over what is there.
    fn renew(&self, command: &mut Registration) {
        if command.kind == RegistrationKind::Joining {
            let name = command.definition.service.clone();
            let own = self.services.iter().find(|one| one.definition.service == name && !one.is_being_removed);
            command.definition = own.map_or_else(|| Definition::new(name), |own| own.definition.clone());
        }
    }

    fn register(&mut self, mut command: Box<Registration>, reply: ReplyId) {
        self.renew(&mut command);
        let name = command.definition.service.clone();
        let from = command.source.address;
        let own = self.services.iter().find(|one| one.definition.service == name);
        let is_canary = self.is_canary(&name, &command.instance);
        let is_older = own.is_some_and(|own| is_canary || own.definition.revision > command.definition.revision);
        let keeps = is_older || own.is_some_and(|own| own.definition == command.definition);
        let installed = own.and_then(|own| own.instances.iter().find(|one| one.spec.id == command.instance.id));
        let replaces_other =
            own.is_some_and(|own| !keeps && !may(own.from, from)) || installed.is_some_and(|one| !may(one.from, from));
        if replaces_other {
            return self.refuse(reply, "owner");
        }
        let others = || self.services.iter().filter(|one| one.definition.service != name);
        let pending = || {
            self.writes.iter().filter_map(|write| match write {
                Write::Register { command: before, brings_definition, .. } if before.definition.service != name => {
                    Some((before, *brings_definition))
                }
                _ => None,
            })
        };
        let id_taken = others()
            .any(|one| one.instances.iter().any(|installed| installed.spec.id == command.instance.id))
            || pending().any(|(before, _)| before.instance.id == command.instance.id);
        let asked = routes(&command.definition);
        let route_taken = others().any(|one| conflict(&asked, &routes(&one.definition)))
            || pending().any(|(before, kind)| kind && conflict(&asked, &routes(&before.definition)));
        // The one static route, GET /s, is exclusive; the routes by host of a service without any are not its concern.
        let over_static = !command.definition.routes.is_empty()
            && asked.iter().any(|(_, method, path)| (method == "GET" || method == "*") && path == "/*");
        if id_taken || (!is_older && (route_taken || over_static)) {
            return self.refuse(reply, "taken");
        }
        if self.parked.iter().any(|one| *one.service() == name) || self.register_waits(&command) {
            return self.parked.push_back(Command::Register(command, reply));
        }
        let has_routes = own.is_some_and(|own| !own.definition.routes.is_empty());
        if command.kind == RegistrationKind::WithoutRoutes && has_routes && !is_older {
            return self.refuse(reply, "routes missing");
        }
        let was_replaced = |one: &InstanceEntry| {
            let is_protected = one.status == Status::Up || one.is_starting(&self.limits, self.now);
            one.replaced.is_some() && one.replaced == command.instance.incarnation && is_protected
        };
        if installed.is_some_and(|one| !one.is_being_removed && was_replaced(one)) {
            return self.refuse(reply, "replaced");
        }
        let rivals: Vec<_> = own.into_iter().flat_map(|own| rivals(own, &command.instance)).collect();
        if rivals.iter().any(|one| !may(one.from, from)) {
            return self.refuse(reply, "owner");
        }
        let is_alone = rivals.is_empty();
        if is_alone && keeps && installed.is_some_and(|one| !one.is_being_removed && one.spec == command.instance) {
            let instance = InstanceRef { service: name, id: command.instance.id.clone() };
            let incarnation = command.instance.incarnation.as_ref();
            let ends_drain = installed.and_then(|one| one.drain.as_ref()).is_some_and(|mark| ends(mark, incarnation));
            self.hear(&instance);
            if ends_drain {
                return self.writes.push_back(Write::Return { command, reply });
            }
            let is_canary = self.joins(&command);
            return self.answer_registered(&instance, reply, is_canary, false);
        }
        let replaces = rivals.iter().map(|one| one.spec.id.clone()).collect();
        let is_canary = self.joins(&command);
        self.writes.push_back(Write::Register { command, brings_definition: !keeps, is_canary, replaces, reply });
    }

    fn register_waits(&self, command: &Registration) -> bool {
        let own = self.services.iter().filter(|one| one.definition.service == command.definition.service);
        let rivals: Vec<_> =
            own.flat_map(|own| rivals(own, &command.instance)).map(|one| one.spec.id.clone()).collect();
        self.writes_of(&command.definition.service).any(|write| match write {
            Write::Register { command: before, brings_definition, replaces, .. } => {
                let of_before = || replaces.iter().chain([&before.instance.id]);
                before.definition != command.definition
                    || place(&before.instance) == place(&command.instance)
                    || of_before().any(|id| *id == command.instance.id || rivals.contains(id))
                    || (*brings_definition && before.source.address != command.source.address)
            }
            Write::Remove { .. } | Write::Drain { .. } | Write::Return { .. } | Write::Split { .. } => true,
        })
    }

    /// Whether the service stays as it is, other than the command says, since a split names the instance's version.
    fn joins(&self, command: &Registration) -> bool {
        let name = &command.definition.service;
        let own = self.services.iter().find(|one| one.definition.service == *name);
        own.is_some_and(|own| own.definition != command.definition) && self.is_canary(name, &command.instance)
    }

    fn answer_registered(&mut self, instance: &InstanceRef, reply: ReplyId, is_canary: bool, is_change: bool) {
        let status = self.installed(instance).unwrap().status;
        let routes = self.service(&instance.service).unwrap().definition.routes.len();
        self.outcomes.insert(reply, Outcome::Registered { status, routes, is_canary, is_change });
    }

    fn hear(&mut self, instance: &InstanceRef) {
        let now = self.now;
        let installed = self.installed(instance).unwrap();
        installed.heard = now;
        if installed.look.is_none() {
            installed.look = installed.ttl.map(|ttl| now + ttl);
        }
        self.sign_of_life(instance);
    }

    fn leave(&mut self, service: ServiceName, id: Option<InstanceId>, from: IpAddr, reply: ReplyId) {
        if self.writes_of(&service).next().is_some() {
            return self.parked.push_back(Command::Leave { service, id, from, reply });
        }
        match self.why_not_theirs(&service, id.as_ref(), from) {
            Some(why) => self.refuse(reply, why),
            None => self.begin(service, id, Cause::Asked(reply)),
        }
    }

    /// Why someone may not speak for a service or one of its instances.
    fn why_not_theirs(&mut self, service: &ServiceName, id: Option<&InstanceId>, from: IpAddr) -> Option<&'static str> {
        let own = self.service(service);
        let registered_from = own.and_then(|own| match id {
            Some(id) => {
                own.instances.iter().find(|one| one.spec.id == *id && !one.is_being_removed).map(|one| one.from)
            }
            None => Some(own.from),
        });
        match registered_from {
            None => Some("unknown"),
            Some(registered_from) => (!may(registered_from, from)).then_some("owner"),
        }
    }

    fn drain(&mut self, command: Box<DrainCommand>, reply: ReplyId) {
        if self.writes_of(&command.service).next().is_some() {
            return self.parked.push_back(Command::Drain(command, reply));
        }
        let is_meant = |held: &InstanceRef| {
            held.service == command.service && command.instance.as_ref().is_none_or(|id| *id == held.id)
        };
        let held: Vec<_> = self.holds.keys().filter(|held| is_meant(held)).cloned().collect();
        let source = &command.source;
        let ends_hold = command.drain == Drain::Ends && !held.is_empty();
        match self.why_not_theirs(&command.service, command.instance.as_ref(), source.address) {
            Some("unknown") if ends_hold => {}
            Some("owner") if source.may(Role::Operate) => {}
            None => {}
            Some(why) => return self.refuse(reply, why),
        }
        let needs_operator = match command.drain {
            Drain::Begins(until) => until != DrainUntil::Registration,
            Drain::Ends => {
                let is_operators =
                    |one: &InstanceEntry| one.drain.as_ref().is_some_and(|mark| mark.0 != DrainUntil::Registration);
                ends_hold || self.concerned(&command).any(is_operators)
            }
        };
        if needs_operator && !source.may(Role::Operate) {
            return self.refuse(reply, "operators");
        }
        let drains: Vec<_> = match command.drain {
            Drain::Begins(until) => {
                let concerned =
                    self.concerned(&command).filter(|one| one.drain.as_ref().is_none_or(|mark| mark.0 < until));
                concerned.map(|one| (one.spec.id.clone(), Some((until, one.spec.incarnation.clone())))).collect()
            }
            Drain::Ends => {
                let draining =
                    self.concerned(&command).filter(|one| one.drain.is_some()).map(|one| one.spec.id.clone());
                let mut ids: Vec<_> = draining.chain(held.into_iter().map(|held| held.id)).collect();
                ids.sort();
                ids.dedup();
                ids.into_iter().map(|id| (id, None)).collect()
            }
        };
        if drains.is_empty() {
            return self.answer_drained(&command, 0, reply);
        }
        self.writes.push_back(Write::Drain { command, drains, reply });
    }

    fn concerned<'a>(&'a self, command: &'a DrainCommand) -> impl Iterator<Item = &'a InstanceEntry> {
        let services = self.services.iter().filter(|one| one.definition.service == command.service);
        let instances = services.flat_map(|one| &one.instances).filter(|one| !one.is_being_removed);
        instances.filter(|one| command.instance.as_ref().is_none_or(|id| one.spec.id == *id))
    }

    fn answer_drained(&mut self, command: &DrainCommand, changed: usize, reply: ReplyId) {
        let count = match command.drain {
            Drain::Begins(_) => self.concerned(command).count(),
            Drain::Ends => changed,
        };
        self.outcomes.insert(reply, Outcome::Drained(count));
    }

    fn begin(&mut self, name: ServiceName, id: Option<InstanceId>, cause: Cause) {
        let service = self.service(&name).unwrap();
        for instance in service.instances.iter_mut().filter(|one| id.as_ref().is_none_or(|id| one.spec.id == *id)) {
            instance.is_being_removed = true;
        }
        let is_empty = service.instances.iter().all(|one| one.is_being_removed);
        service.is_being_removed = is_empty && cause != Cause::Silent;
        self.writes.push_back(Write::Remove { service: name, id, cause });
    }

    /// What becomes of an instance that can be spoken to; `Err`: why it cannot.
    fn reach(&mut self, instance: &InstanceRef, from: IpAddr) -> Result<&mut InstanceEntry, Outcome> {
        match self.installed(instance) {
            Some(installed) if !installed.is_being_removed && may(installed.from, from) => Ok(installed),
            Some(installed) if !installed.is_being_removed => Err(Outcome::Refused("owner")),
            _ => Err(Outcome::Refused("unknown")),
        }
    }

    pub(super) fn heartbeat(
        &mut self,
        instance: &InstanceRef,
        incarnation: Option<&Incarnation>,
        from: IpAddr,
        reply: ReplyId,
    ) {
        let ttl = self.default_ttl;
        let outcome = match self.reach(instance, from) {
            Ok(installed) if incarnation.is_some() && incarnation != installed.spec.incarnation.as_ref() => {
                Outcome::Refused("another incarnation")
            }
            Ok(installed) => {
                installed.ttl.get_or_insert(ttl);
                self.hear(instance);
                Outcome::Heard(self.installed(instance).unwrap().status)
            }
            Err(refused) => refused,
        };
        self.outcomes.insert(reply, outcome);
    }

    pub(super) fn ask_for_probe(&mut self, instance: &InstanceRef, from: IpAddr, reply: ReplyId) {
        let outcome = match self.reach(instance, from) {
            Ok(installed) if installed.spec.health_endpoint.is_none() => Outcome::Refused("unprobed"),
            Ok(installed) => {
                if installed.is_stopped {
                    installed.begin_afresh(None);
                }
                self.order(instance);
                Outcome::Probing(self.installed(instance).unwrap().status)
            }
            Err(refused) => refused,
        };
        self.outcomes.insert(reply, outcome);
    }
}

mod health;
mod ticks;
