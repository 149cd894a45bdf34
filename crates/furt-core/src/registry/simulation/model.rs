//! The registry as plainly as it can be told: lists that are searched from end to end, and the rules of DESIGN §5 in words.
//!
//! It shares the wishes with the core and nothing else. [`super`] compares what the two make of the same events.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::model::{Definition, InstanceId, InstanceSpec, ServiceName, Status};
use crate::registry::{Drain, DrainWish, HealthLimits, InstanceRef, Registration, ReplyId};

const HOLD: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_secs(1);

/// A route as `(host, method, path)`; any host is "".
pub(super) type Route = (String, String, String);

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    Registered { status: Status, routes: usize, is_change: bool },
    Heard(Status),
    Probing(Status),
    Left(usize),
    Drained(usize),
    Refused(&'static str),
}

pub(super) struct Member {
    pub(super) spec: InstanceSpec,
    pub(super) from: IpAddr,
    pub(super) status: Status,
    pub(super) failures: u32,
    pub(super) is_stopped: bool,
    pub(super) ttl: Option<Duration>,
    pub(super) heard: Instant,
    /// When it is looked at next.
    pub(super) look: Option<Instant>,
    pub(super) is_leaving: bool,
    pub(super) is_draining: bool,
}

pub(super) struct Service {
    pub(super) definition: Definition,
    pub(super) from: IpAddr,
    pub(super) members: Vec<Member>,
    pub(super) held: Option<Instant>,
    pub(super) is_leaving: bool,
}

#[derive(Clone)]
pub(super) enum Wish {
    Register(Box<Registration>, ReplyId),
    Leave { service: ServiceName, id: Option<InstanceId>, from: IpAddr, reply: ReplyId },
    Drain(Box<DrainWish>, ReplyId),
}

#[derive(Clone, Copy, PartialEq)]
enum Cause {
    Asked(ReplyId),
    Silent,
    HoldOver,
}

enum Write {
    Register {
        wish: Box<Registration>,
        brings_definition: bool,
        reply: ReplyId,
    },
    Remove {
        service: ServiceName,
        id: Option<InstanceId>,
        cause: Cause,
    },
    Drain {
        wish: Box<DrainWish>,
        ids: Vec<InstanceId>,
        reply: ReplyId,
    },
    /// One that is draining registers just so.
    Return {
        wish: Box<Registration>,
        reply: ReplyId,
    },
}

pub(super) struct Model {
    pub(super) now: Instant,
    pub(super) limits: HealthLimits,
    pub(super) default_ttl: Duration,
    pub(super) services: Vec<Service>,
    writes: VecDeque<Write>,
    parked: VecDeque<Wish>,
    pub(super) outcomes: BTreeMap<ReplyId, Outcome>,
}

impl Service {
    pub(super) fn status(&self) -> Status {
        let staying = || self.members.iter().filter(|one| !one.is_leaving);
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
    let clash = |a: &Route, b: &Route| a.0 == b.0 && a.2 == b.2 && (a.1 == b.1 || a.1 == "*" || b.1 == "*");
    ours.iter().any(|a| theirs.iter().any(|b| clash(a, b)))
}

fn may(registered_from: IpAddr, from: IpAddr) -> bool {
    from == registered_from || from.is_loopback()
}

impl Write {
    fn service(&self) -> &ServiceName {
        match self {
            Self::Register { wish, .. } | Self::Return { wish, .. } => &wish.definition.service,
            Self::Remove { service, .. } => service,
            Self::Drain { wish, .. } => &wish.service,
        }
    }
}

impl Wish {
    fn service(&self) -> &ServiceName {
        match self {
            Self::Register(wish, _) => &wish.definition.service,
            Self::Leave { service, .. } => service,
            Self::Drain(wish, _) => &wish.service,
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
    pub(super) fn member(&mut self, instance: &InstanceRef) -> Option<&mut Member> {
        self.service(&instance.service)?.members.iter_mut().find(|one| one.spec.id == instance.id)
    }

    fn writes_of<'a>(&'a self, service: &'a ServiceName) -> impl Iterator<Item = &'a Write> {
        self.writes.iter().filter(move |write| write.service() == service)
    }

    pub(super) fn wish(&mut self, wish: Wish) {
        match wish {
            Wish::Register(wish, reply) => self.register(wish, reply),
            Wish::Leave { service, id, from, reply } => self.leave(service, id, from, reply),
            Wish::Drain(wish, reply) => self.drain(wish, reply),
        }
    }

    fn refuse(&mut self, reply: ReplyId, why: &'static str) {
        self.outcomes.insert(reply, Outcome::Refused(why));
    }

    fn register(&mut self, wish: Box<Registration>, reply: ReplyId) {
        let name = wish.definition.service.clone();
        let from = wish.source.address;
        let own = self.services.iter().find(|one| one.definition.service == name);
        let is_older = own.is_some_and(|own| own.definition.revision > wish.definition.revision);
        let keeps = is_older || own.is_some_and(|own| own.definition == wish.definition);
        let member = own.and_then(|own| own.members.iter().find(|one| one.spec.id == wish.instance.id));
        let replaces_other =
            own.is_some_and(|own| !keeps && !may(own.from, from)) || member.is_some_and(|one| !may(one.from, from));
        if replaces_other {
            return self.refuse(reply, "owner");
        }
        let others = || self.services.iter().filter(|one| one.definition.service != name);
        let pending = || {
            self.writes.iter().filter_map(|write| match write {
                Write::Register { wish: before, brings_definition, .. } if before.definition.service != name => {
                    Some((before, *brings_definition))
                }
                _ => None,
            })
        };
        let id_taken = others().any(|one| one.members.iter().any(|member| member.spec.id == wish.instance.id))
            || pending().any(|(before, _)| before.instance.id == wish.instance.id);
        let asked = routes(&wish.definition);
        let route_taken = others().any(|one| conflict(&asked, &routes(&one.definition)))
            || pending().any(|(before, brings)| brings && conflict(&asked, &routes(&before.definition)));
        // The one static route, GET /s, is exclusive; the routes by host of a service without any are not its concern.
        let over_static = !wish.definition.routes.is_empty()
            && asked.iter().any(|(_, method, path)| (method == "GET" || method == "*") && path == "/*");
        if id_taken || (!is_older && (route_taken || over_static)) {
            return self.refuse(reply, "taken");
        }
        if self.parked.iter().any(|one| *one.service() == name) || self.register_waits(&wish) {
            return self.parked.push_back(Wish::Register(wish, reply));
        }
        if keeps && member.is_some_and(|one| !one.is_leaving && one.spec == wish.instance) {
            let instance = InstanceRef { service: name, id: wish.instance.id.clone() };
            let is_draining = member.is_some_and(|one| one.is_draining);
            self.hear(&instance);
            if is_draining {
                return self.writes.push_back(Write::Return { wish, reply });
            }
            return self.answer_registered(&instance, reply, false);
        }
        self.writes.push_back(Write::Register { wish, brings_definition: !keeps, reply });
    }

    fn register_waits(&self, wish: &Registration) -> bool {
        self.writes_of(&wish.definition.service).any(|write| match write {
            Write::Register { wish: before, brings_definition, .. } => {
                before.definition != wish.definition
                    || before.instance.id == wish.instance.id
                    || (*brings_definition && before.source.address != wish.source.address)
            }
            Write::Remove { .. } | Write::Drain { .. } | Write::Return { .. } => true,
        })
    }

    fn answer_registered(&mut self, instance: &InstanceRef, reply: ReplyId, is_change: bool) {
        let status = self.member(instance).unwrap().status;
        let routes = self.service(&instance.service).unwrap().definition.routes.len();
        self.outcomes.insert(reply, Outcome::Registered { status, routes, is_change });
    }

    fn hear(&mut self, instance: &InstanceRef) {
        let now = self.now;
        let member = self.member(instance).unwrap();
        member.heard = now;
        if member.look.is_none() {
            member.look = member.ttl.map(|ttl| now + ttl);
        }
        if member.is_stopped {
            (member.status, member.failures, member.is_stopped) = (Status::Unknown, 0, false);
        }
    }

    fn leave(&mut self, service: ServiceName, id: Option<InstanceId>, from: IpAddr, reply: ReplyId) {
        if self.writes_of(&service).next().is_some() {
            return self.parked.push_back(Wish::Leave { service, id, from, reply });
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
            Some(id) => own.members.iter().find(|one| one.spec.id == *id && !one.is_leaving).map(|one| one.from),
            None => Some(own.from),
        });
        match registered_from {
            None => Some("unknown"),
            Some(registered_from) => (!may(registered_from, from)).then_some("owner"),
        }
    }

    fn drain(&mut self, wish: Box<DrainWish>, reply: ReplyId) {
        if self.writes_of(&wish.service).next().is_some() {
            return self.parked.push_back(Wish::Drain(wish, reply));
        }
        if let Some(why) = self.why_not_theirs(&wish.service, wish.instance.as_ref(), wish.source.address) {
            return self.refuse(reply, why);
        }
        let begins = wish.drain == Drain::Begins;
        let concerned = self.concerned(&wish).filter(|one| one.is_draining != begins);
        let ids: Vec<_> = concerned.map(|one| one.spec.id.clone()).collect();
        if ids.is_empty() {
            return self.answer_drained(&wish, &ids, reply);
        }
        self.writes.push_back(Write::Drain { wish, ids, reply });
    }

    fn concerned<'a>(&'a self, wish: &'a DrainWish) -> impl Iterator<Item = &'a Member> {
        let services = self.services.iter().filter(|one| one.definition.service == wish.service);
        let members = services.flat_map(|one| &one.members).filter(|one| !one.is_leaving);
        members.filter(|one| wish.instance.as_ref().is_none_or(|id| one.spec.id == *id))
    }

    fn answer_drained(&mut self, wish: &DrainWish, changed: &[InstanceId], reply: ReplyId) {
        let begins = wish.drain == Drain::Begins;
        let count = self.concerned(wish).filter(|one| begins || changed.contains(&one.spec.id)).count();
        self.outcomes.insert(reply, Outcome::Drained(count));
    }

    fn begin(&mut self, name: ServiceName, id: Option<InstanceId>, cause: Cause) {
        let service = self.service(&name).unwrap();
        for member in service.members.iter_mut().filter(|one| id.as_ref().is_none_or(|id| one.spec.id == *id)) {
            member.is_leaving = true;
        }
        let is_empty = service.members.iter().all(|one| one.is_leaving);
        service.is_leaving = is_empty && cause != Cause::Silent;
        self.writes.push_back(Write::Remove { service: name, id, cause });
    }

    /// What becomes of an instance that can be spoken to; `Err`: why it cannot.
    fn reach(&mut self, instance: &InstanceRef, from: IpAddr) -> Result<&mut Member, Outcome> {
        match self.member(instance) {
            Some(member) if !member.is_leaving && may(member.from, from) => Ok(member),
            Some(member) if !member.is_leaving => Err(Outcome::Refused("owner")),
            _ => Err(Outcome::Refused("unknown")),
        }
    }

    pub(super) fn heartbeat(&mut self, instance: &InstanceRef, from: IpAddr, reply: ReplyId) {
        let ttl = self.default_ttl;
        let outcome = match self.reach(instance, from) {
            Ok(member) => {
                member.ttl.get_or_insert(ttl);
                self.hear(instance);
                Outcome::Heard(self.member(instance).unwrap().status)
            }
            Err(refused) => refused,
        };
        self.outcomes.insert(reply, outcome);
    }

    pub(super) fn ask_for_probe(&mut self, instance: &InstanceRef, from: IpAddr, reply: ReplyId) {
        let outcome = match self.reach(instance, from) {
            Ok(member) if member.spec.health_endpoint.is_none() => Outcome::Refused("unprobed"),
            Ok(member) => {
                if member.is_stopped {
                    (member.status, member.failures, member.is_stopped) = (Status::Unknown, 0, false);
                }
                Outcome::Probing(member.status)
            }
            Err(refused) => refused,
        };
        self.outcomes.insert(reply, outcome);
    }
}

mod turns;
