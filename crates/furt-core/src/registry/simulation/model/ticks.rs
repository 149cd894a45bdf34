//! What happens to the model's services without their asking: deadlines, the outcome of writes.

use std::time::Duration;

use super::{Cause, Command, HOLD, InstanceEntry, Model, Outcome, RETRY, Service, Write, ends};
use crate::model::{DrainUntil, InstanceId, ServiceName, Status};
use crate::registry::{InstanceRef, Registration, ReplyId};

impl Model {
    pub(in super::super) fn clock_gap(&mut self, lag: Duration) {
        self.services.iter_mut().flat_map(|one| &mut one.instances).for_each(|instance| instance.heard += lag);
    }

    pub(in super::super) fn next_deadline(&self) -> Option<std::time::Instant> {
        let looks = self.services.iter().flat_map(|one| &one.instances).filter_map(|one| one.look);
        looks.chain(self.services.iter().filter_map(|one| one.held)).min()
    }

    pub(in super::super) fn deadlines(&mut self) {
        let now = self.now;
        let mut due = Vec::new();
        for service in &mut self.services {
            let name = service.definition.service.clone();
            for instance in &mut service.instances {
                if let Some(at) = instance.look.take_if(|at| *at <= now) {
                    due.push((at, 0, name.clone(), Some(instance.spec.id.clone())));
                }
            }
            if let Some(at) = service.held.take_if(|at| *at <= now) {
                due.push((at, 1, name, None));
            }
        }
        due.sort();
        for (_, _, name, id) in due {
            match id {
                Some(id) => self.look(name, id),
                None if self.writes_of(&name).next().is_none() => self.begin(name, None, Cause::HoldOver),
                None => self.service(&name).unwrap().held = Some(now + RETRY),
            }
        }
    }

    fn look(&mut self, name: ServiceName, id: InstanceId) {
        let now = self.now;
        let is_writing = self.writes_of(&name).next().is_some();
        let is_registering = self.writes_of(&name).any(|write| match write {
            Write::Register { command, replaces, .. } => command.instance.id == id || replaces.contains(&id),
            Write::Return { command, .. } => command.instance.id == id,
            Write::Remove { .. } | Write::Drain { .. } | Write::Split { .. } => false,
        });
        let is_entry_being_removed = self.service(&name).unwrap().is_being_removed;
        let installed = self.installed(&InstanceRef { service: name.clone(), id: id.clone() }).unwrap();
        let end = installed.heard + installed.ttl.unwrap();
        if end > now && !installed.is_being_removed {
            installed.look = Some(end);
        } else if is_entry_being_removed || is_registering || (installed.is_being_removed && is_writing) {
            installed.look = Some(now + RETRY);
        } else {
            self.begin(name, Some(id), Cause::Silent);
        }
    }

    /// The first write that waits is done or refused.
    pub(in super::super) fn written(&mut self, is_done: bool) {
        let write = self.writes.pop_front().unwrap();
        let Some(name) = write.service().cloned() else { return self.split_written(write, is_done) };
        match write {
            Write::Register { command, brings_definition, is_canary, replaces, reply } if is_done => {
                self.install(*command, (brings_definition, is_canary), &replaces, reply);
            }
            Write::Drain { command, drains, reply } if is_done => {
                let changed = drains.len();
                for (id, mark) in drains {
                    let instance = InstanceRef { service: name.clone(), id };
                    match &mark {
                        Some(hold) if hold.0 == DrainUntil::Undo => self.holds.insert(instance.clone(), hold.clone()),
                        _ => self.holds.remove(&instance),
                    };
                    if let Some(one) = self.installed(&instance) {
                        one.drain = mark;
                    }
                }
                self.answer_drained(&command, changed, reply);
            }
            Write::Return { command, reply } if is_done => {
                let instance = InstanceRef { service: name.clone(), id: command.instance.id.clone() };
                self.installed(&instance).unwrap().drain = None;
                self.hear(&instance);
                let is_canary = self.joins(&command);
                self.answer_registered(&instance, reply, is_canary, true);
            }
            Write::Split { .. } => unreachable!("is of no service"),
            Write::Register { reply, .. } | Write::Drain { reply, .. } | Write::Return { reply, .. } => {
                self.refuse(reply, "failed");
            }
            Write::Remove { service, id, cause } if is_done => self.remove(&service, id, cause),
            Write::Remove { service, id, cause } => self.put_back(&service, id, cause),
        }
        let (mine, others) = std::mem::take(&mut self.parked).into_iter().partition(|one| *one.service() == name);
        self.parked = others;
        let mut mine: std::collections::VecDeque<Command> = mine;
        while let Some(mut command) = mine.pop_front() {
            if let Command::Register(command, _) = &mut command {
                self.renew(command);
            }
            let waits = match &command {
                Command::Register(command, _) => self.register_waits(command),
                Command::Leave { .. } | Command::Drain(..) => self.writes_of(&name).next().is_some(),
            };
            if waits {
                mine.push_front(command);
                break;
            }
            self.command(command);
        }
        self.parked.extend(mine);
    }

    fn split_written(&mut self, write: Write, is_done: bool) {
        let Write::Split { service, versions, reply } = write else { unreachable!("all others are of a service") };
        if !is_done {
            return self.refuse(reply, "failed");
        }
        match versions {
            Some(versions) => self.splits.insert(service, versions),
            None => self.splits.remove(&service),
        };
        self.outcomes.insert(reply, Outcome::Split);
    }

    fn install(
        &mut self,
        command: Registration,
        (brings_definition, is_canary): (bool, bool),
        replaces: &[InstanceId],
        reply: ReplyId,
    ) {
        let now = self.now;
        let instance = InstanceRef { service: command.definition.service.clone(), id: command.instance.id.clone() };
        let from = command.source.address;
        match self.service(&instance.service) {
            Some(own) if brings_definition && own.definition != command.definition => {
                (own.definition, own.from) = (command.definition, from);
            }
            Some(_) => {}
            None => self.services.push(Service {
                definition: command.definition,
                from,
                instances: Vec::new(),
                held: None,
                is_being_removed: false,
            }),
        }
        let hold = self.holds.get(&instance).cloned();
        let service = self.service(&instance.service).unwrap();
        service.held = None;
        let before = service.instances.iter().find(|one| one.spec.id == instance.id);
        let newer = command.instance.incarnation.as_ref();
        let stays =
            |one: &InstanceEntry| one.drain.clone().filter(|mark| mark.0 != DrainUntil::Undo && !ends(mark, newer));
        let mut taken = service.instances.iter().filter(|one| replaces.contains(&one.spec.id));
        let drain = hold.or_else(|| before.and_then(stays)).or_else(|| taken.find_map(stays));
        let replaced = before.and_then(|before| match &before.spec.incarnation {
            Some(older) if Some(older) != newer => Some(older.clone()),
            _ => before.replaced.clone(),
        });
        service.instances.retain(|one| !replaces.contains(&one.spec.id));
        let spec = command.instance;
        let mut new = InstanceEntry {
            status: if spec.health_endpoint.is_some() { Status::Unknown } else { Status::Up },
            from,
            failures: 0,
            counted: 0,
            is_stopped: false,
            startup: Some((now, 0)),
            period: None,
            ttl: spec.heartbeat_ttl,
            heard: now,
            look: spec.heartbeat_ttl.map(|ttl| now + ttl),
            is_being_removed: false,
            drain,
            replaced,
            spec,
        };
        let at = service.instances.iter().position(|one| one.spec.id == instance.id);
        let before = at.map(|at| service.instances.remove(at)).filter(|before| new.is_same_process(before));
        if let Some(before) = &before {
            new.take_health_of(before);
        }
        service.instances.push(new);
        self.order(&instance);
        if before.is_some() {
            self.sign_of_life(&instance);
        }
        self.answer_registered(&instance, reply, is_canary, true);
    }

    fn remove(&mut self, name: &ServiceName, id: Option<InstanceId>, cause: Cause) {
        let now = self.now;
        let service = self.service(name).unwrap();
        let before = service.instances.len();
        let is_whole = service.is_being_removed;
        service.instances.retain(|one| !is_whole && id.as_ref().is_some_and(|id| one.spec.id != *id));
        let left = before - service.instances.len();
        if is_whole {
            self.services.retain(|one| one.definition.service != *name);
        } else if service.instances.is_empty() {
            service.held = Some(now + HOLD);
        }
        if let Cause::Asked(reply) = cause {
            self.outcomes.insert(reply, Outcome::Left(left));
        }
    }

    fn put_back(&mut self, name: &ServiceName, id: Option<InstanceId>, cause: Cause) {
        let now = self.now;
        let service = self.service(name).unwrap();
        let concerned = service.instances.iter_mut().filter(|one| id.as_ref().is_none_or(|id| one.spec.id == *id));
        match cause {
            Cause::Silent => concerned.for_each(|one| one.look = Some(now + RETRY)),
            Cause::HoldOver => (service.is_being_removed, service.held) = (false, Some(now + RETRY)),
            Cause::Asked(reply) => {
                concerned.for_each(|one| one.is_being_removed = one.ttl.is_some_and(|ttl| one.heard + ttl <= now));
                service.is_being_removed = false;
                self.refuse(reply, "failed");
            }
        }
    }
}
