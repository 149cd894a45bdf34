//! What happens to the model's services without their asking: probes, deadlines, the outcome of writes.

use std::time::Duration;

use super::{Cause, HOLD, Member, Model, Outcome, RETRY, Service, Wish, Write};
use crate::model::{InstanceId, ServiceName, Status};
use crate::registry::{Drain, InstanceRef, Registration, ReplyId};

impl Model {
    pub(in super::super) fn probed(&mut self, instance: &InstanceRef, is_good: bool) {
        let limits = self.limits;
        let Some(member) = self.member(instance).filter(|one| !one.is_leaving) else { return };
        if is_good {
            (member.status, member.failures) = (Status::Up, 0);
            return;
        }
        member.failures += 1;
        if member.failures >= limits.failures_to_down {
            member.status = Status::Down;
        }
        member.is_stopped = member.failures >= limits.failures_to_stop;
    }

    pub(in super::super) fn held_up(&mut self, lag: Duration) {
        self.services.iter_mut().flat_map(|one| &mut one.members).for_each(|member| member.heard += lag);
    }

    pub(in super::super) fn next_deadline(&self) -> Option<std::time::Instant> {
        let looks = self.services.iter().flat_map(|one| &one.members).filter_map(|one| one.look);
        looks.chain(self.services.iter().filter_map(|one| one.held)).min()
    }

    pub(in super::super) fn deadlines(&mut self) {
        let now = self.now;
        let mut due = Vec::new();
        for service in &mut self.services {
            let name = service.definition.service.clone();
            for member in &mut service.members {
                if let Some(at) = member.look.take_if(|at| *at <= now) {
                    due.push((at, 0, name.clone(), Some(member.spec.id.clone())));
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
            Write::Register { wish, .. } | Write::Return { wish, .. } => wish.instance.id == id,
            Write::Remove { .. } | Write::Drain { .. } => false,
        });
        let is_entry_leaving = self.service(&name).unwrap().is_leaving;
        let member = self.member(&InstanceRef { service: name.clone(), id: id.clone() }).unwrap();
        let end = member.heard + member.ttl.unwrap();
        if end > now && !member.is_leaving {
            member.look = Some(end);
        } else if is_entry_leaving || is_registering || (member.is_leaving && is_writing) {
            member.look = Some(now + RETRY);
        } else {
            self.begin(name, Some(id), Cause::Silent);
        }
    }

    /// The first write that waits is done or refused.
    pub(in super::super) fn written(&mut self, is_done: bool) {
        let write = self.writes.pop_front().unwrap();
        let name = write.service().clone();
        match write {
            Write::Register { wish, brings_definition, reply } if is_done => {
                self.install(*wish, brings_definition, reply);
            }
            Write::Drain { wish, ids, reply } if is_done => {
                let own = self.services.iter_mut().filter(|one| one.definition.service == name);
                let members = own.flat_map(|one| &mut one.members).filter(|one| ids.contains(&one.spec.id));
                members.for_each(|one| one.is_draining = wish.drain == Drain::Begins);
                self.answer_drained(&wish, &ids, reply);
            }
            Write::Return { wish, reply } if is_done => {
                let instance = InstanceRef { service: name.clone(), id: wish.instance.id };
                self.member(&instance).unwrap().is_draining = false;
                self.hear(&instance);
                self.answer_registered(&instance, reply, true);
            }
            Write::Register { reply, .. } | Write::Drain { reply, .. } | Write::Return { reply, .. } => {
                self.refuse(reply, "failed");
            }
            Write::Remove { service, id, cause } if is_done => self.remove(&service, id, cause),
            Write::Remove { service, id, cause } => self.put_back(&service, id, cause),
        }
        let (mine, others) = std::mem::take(&mut self.parked).into_iter().partition(|one| *one.service() == name);
        self.parked = others;
        let mut mine: std::collections::VecDeque<Wish> = mine;
        while let Some(wish) = mine.pop_front() {
            let waits = match &wish {
                Wish::Register(wish, _) => self.register_waits(wish),
                Wish::Leave { .. } | Wish::Drain(..) => self.writes_of(&name).next().is_some(),
            };
            if waits {
                mine.push_front(wish);
                break;
            }
            self.wish(wish);
        }
        self.parked.extend(mine);
    }

    fn install(&mut self, wish: Registration, brings_definition: bool, reply: ReplyId) {
        let now = self.now;
        let instance = InstanceRef { service: wish.definition.service.clone(), id: wish.instance.id.clone() };
        let from = wish.source.address;
        match self.service(&instance.service) {
            Some(own) if brings_definition && own.definition != wish.definition => {
                (own.definition, own.from) = (wish.definition, from);
            }
            Some(_) => {}
            None => self.services.push(Service {
                definition: wish.definition,
                from,
                members: Vec::new(),
                held: None,
                is_leaving: false,
            }),
        }
        let service = self.service(&instance.service).unwrap();
        service.held = None;
        service.members.retain(|one| one.spec.id != instance.id);
        let spec = wish.instance;
        service.members.push(Member {
            status: if spec.health_endpoint.is_some() { Status::Unknown } else { Status::Up },
            from,
            failures: 0,
            is_stopped: false,
            ttl: spec.heartbeat_ttl,
            heard: now,
            look: spec.heartbeat_ttl.map(|ttl| now + ttl),
            is_leaving: false,
            is_draining: false,
            spec,
        });
        self.answer_registered(&instance, reply, true);
    }

    fn remove(&mut self, name: &ServiceName, id: Option<InstanceId>, cause: Cause) {
        let now = self.now;
        let service = self.service(name).unwrap();
        let before = service.members.len();
        let is_whole = service.is_leaving;
        service.members.retain(|one| !is_whole && id.as_ref().is_some_and(|id| one.spec.id != *id));
        let left = before - service.members.len();
        if is_whole {
            self.services.retain(|one| one.definition.service != *name);
        } else if service.members.is_empty() {
            service.held = Some(now + HOLD);
        }
        if let Cause::Asked(reply) = cause {
            self.outcomes.insert(reply, Outcome::Left(left));
        }
    }

    fn put_back(&mut self, name: &ServiceName, id: Option<InstanceId>, cause: Cause) {
        let now = self.now;
        let service = self.service(name).unwrap();
        let concerned = service.members.iter_mut().filter(|one| id.as_ref().is_none_or(|id| one.spec.id == *id));
        match cause {
            Cause::Silent => concerned.for_each(|one| one.look = Some(now + RETRY)),
            Cause::HoldOver => (service.is_leaving, service.held) = (false, Some(now + RETRY)),
            Cause::Asked(reply) => {
                concerned.for_each(|one| one.is_leaving = one.ttl.is_some_and(|ttl| one.heard + ttl <= now));
                service.is_leaving = false;
                self.refuse(reply, "failed");
            }
        }
    }
}
