//! A broker in this process, for tests and demonstrations. What it keeps and tells is what RabbitMQ does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::bus::{Bus, Event};
use crate::clock;
use crate::inbox::{Inbox, Reading};
use crate::kept_log::KeptLog;
use crate::message::{Delivery, Entry, Outcome, Outgoing, PublishError, ReadingEnd, Receipt, Ticket};
use crate::topic::fits;
use crate::topology::{Topology, TopologyError};
use crate::trouble::Trouble;

/// Messages of a queue on their way to a node, as `amqp` asks for.
const PREFETCH: usize = 64;
/// Messages that a queue holds, as `amqp` declares.
const MOST_WAITING: usize = 4096;

/// The broker. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Broker(Arc<Mutex<State>>);

/// A node's bus on a [`Broker`]. See [`Bus`].
#[derive(Debug)]
pub struct MemoryBus {
    broker: Broker,
    id: u64,
    inbox: Arc<Inbox>,
}

#[derive(Debug, Default)]
struct State {
    is_stopped: bool,
    last_id: u64,
    queues: BTreeMap<String, Queue>,
    logs: BTreeMap<String, KeptLog>,
    /// In the order in which they joined.
    members: BTreeMap<u64, Member>,
}

#[derive(Debug)]
struct Queue {
    /// `None`: it is shared.
    owner: Option<u64>,
    bindings: BTreeSet<String>,
    waiting: VecDeque<Waiting>,
    /// The first one gets everything.
    consumers: Vec<u64>,
}

#[derive(Debug, Clone)]
struct Waiting {
    message: Arc<Outgoing>,
    expires: Option<Instant>,
    is_redelivered: bool,
}

#[derive(Debug)]
struct Member {
    topology: Topology,
    inbox: Arc<Inbox>,
    is_up: bool,
    session: u64,
    last_tag: u64,
    /// What it has not acknowledged, by its queue.
    outstanding: BTreeMap<u64, (String, Waiting)>,
    keys: BTreeSet<String>,
    told: Option<Trouble>,
    /// By the logs.
    readings: BTreeMap<String, Reader>,
}

#[derive(Debug)]
struct Reader {
    reading: Reading,
    /// The next entry to be sent.
    next: u64,
    /// Sent and not taken.
    ahead: usize,
}

impl Broker {
    /// One that runs, without a queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// A node joins. It is up at once where the broker runs and the name of its queue is free.
    ///
    /// # Errors
    /// A name is none that a broker takes.
    pub fn join(&self, topology: Topology) -> Result<MemoryBus, TopologyError> {
        topology.check()?;
        let inbox = Arc::new(Inbox::default());
        let mut state = self.state();
        state.last_id += 1;
        let id = state.last_id;
        let member = Member {
            topology,
            inbox: Arc::clone(&inbox),
            is_up: false,
            session: 0,
            last_tag: 0,
            outstanding: BTreeMap::new(),
            keys: BTreeSet::new(),
            told: None,
            readings: BTreeMap::new(),
        };
        state.members.insert(id, member);
        state.attach_all();
        drop(state);
        Ok(MemoryBus { broker: self.clone(), id, inbox })
    }

    /// Every connection is lost, and what is neither in a log nor both persistent and in a shared queue.
    pub fn stop(&self) {
        let mut state = self.state();
        state.is_stopped = true;
        let up: Vec<_> = state.members.iter().filter(|(_, member)| member.is_up).map(|(id, _)| *id).collect();
        for id in up {
            state.detach(id);
            state.tell_down(id, Trouble::Lost("the broker was stopped".to_owned()));
        }
        for queue in state.queues.values_mut() {
            queue.waiting.retain(|waiting| waiting.message.properties.is_persistent);
        }
    }

    /// It runs again, and nodes are connected.
    pub fn start(&self) {
        let mut state = self.state();
        state.is_stopped = false;
        state.attach_all();
    }

    /// Nothing panics while it is held.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn attach_all(&mut self) {
        let down: Vec<_> = self.members.iter().filter(|(_, member)| !member.is_up).map(|(id, _)| *id).collect();
        for id in down {
            self.attach(id);
        }
    }

    fn attach(&mut self, id: u64) {
        let Some(member) = self.members.get(&id) else { return };
        if self.is_stopped {
            return self.tell_down(id, Trouble::Unreachable("the broker is stopped".to_owned()));
        }
        let topology = member.topology.clone();
        if self.queues.contains_key(&topology.queue) {
            return self.tell_down(id, Trouble::NameTaken { queue: topology.queue });
        }
        let own = topology.bindings.iter().chain(&member.keys).cloned().collect();
        self.queues.insert(topology.queue, Queue::new(Some(id), own, id));
        for shared in topology.shared {
            let queue = self.queues.entry(shared.name).or_insert_with(|| Queue::new(None, BTreeSet::new(), id));
            queue.bindings.extend(shared.bindings);
            if !queue.consumers.contains(&id) {
                queue.consumers.push(id);
            }
        }
        for log in topology.logs {
            self.logs.entry(log).or_default();
        }
        if let Some(member) = self.members.get_mut(&id) {
            (member.is_up, member.told) = (true, None);
            member.session += 1;
            member.inbox.up();
            for shared in &member.topology.shared {
                member.inbox.push(Event::Shared { queue: shared.name.clone(), result: Ok(()) });
            }
            for log in &member.topology.logs {
                member.inbox.push(Event::Log { log: log.clone(), result: Ok(()) });
            }
            for key in &member.keys {
                member.inbox.push(Event::Bound { key: key.clone(), result: Ok(()) });
            }
        }
        self.send_all();
    }

    fn tell_down(&mut self, id: u64, trouble: Trouble) {
        let Some(member) = self.members.get_mut(&id) else { return };
        if member.told.as_ref() != Some(&trouble) {
            member.inbox.down(trouble.clone());
            member.told = Some(trouble);
        }
    }

    /// Its own queue is gone; what it had of others goes back to their fronts.
    fn detach(&mut self, id: u64) {
        let Some(member) = self.members.get_mut(&id) else { return };
        member.is_up = false;
        member.readings.clear();
        let outstanding = std::mem::take(&mut member.outstanding);
        self.queues.retain(|_, queue| queue.owner != Some(id));
        for queue in self.queues.values_mut() {
            queue.consumers.retain(|consumer| *consumer != id);
        }
        for (name, waiting) in outstanding.into_values().rev() {
            if let Some(queue) = self.queues.get_mut(&name) {
                queue.waiting.push_front(Waiting { is_redelivered: true, ..waiting });
            }
        }
    }

    fn publish(&mut self, message: Outgoing) -> Outcome {
        let message = Arc::new(message);
        let expires = message.properties.expires.map(|expires| clock::now() + expires);
        let is_bound = |queue: &&mut Queue| queue.bindings.iter().any(|binding| fits(binding, &message.key));
        let (mut has_route, mut is_full) = (false, false);
        for queue in self.queues.values_mut().filter(is_bound) {
            has_route = true;
            if queue.waiting.len() < MOST_WAITING {
                let message = Arc::clone(&message);
                queue.waiting.push_back(Waiting { message, expires, is_redelivered: false });
            } else {
                is_full = true;
            }
        }
        if let Some(log) = self.logs.get_mut(&message.key) {
            has_route = true;
            log.append(Arc::clone(&message));
        }
        self.send_all();
        match (has_route, is_full) {
            (true, true) => Outcome::Refused("a queue is full".to_owned()),
            (false, _) if message.is_mandatory => Outcome::Unroutable,
            (true, false) | (false, _) => Outcome::Taken,
        }
    }

    /// Sends ahead what may be.
    fn send_all(&mut self) {
        let now = clock::now();
        for (name, queue) in &mut self.queues {
            queue.waiting.retain(|waiting| waiting.expires.is_none_or(|expires| now < expires));
            let Some(member) = queue.consumers.first().and_then(|id| self.members.get_mut(id)) else { continue };
            let mut ahead = member.outstanding.values().filter(|(of, _)| of == name).count();
            while ahead < PREFETCH
                && let Some(waiting) = queue.waiting.pop_front()
            {
                member.send(name, waiting);
                ahead += 1;
            }
        }
        for member in self.members.values_mut() {
            member.send_entries(&self.logs);
        }
    }
}

impl Queue {
    fn new(owner: Option<u64>, bindings: BTreeSet<String>, consumer: u64) -> Self {
        Self { owner, bindings, waiting: VecDeque::new(), consumers: vec![consumer] }
    }
}

impl Member {
    fn send(&mut self, queue: &str, waiting: Waiting) {
        self.last_tag += 1;
        let receipt = Receipt { session: self.session, channel: 0, tag: self.last_tag };
        let Outgoing { key, properties, body, .. } = (*waiting.message).clone();
        let is_redelivered = waiting.is_redelivered;
        self.outstanding.insert(self.last_tag, (queue.to_owned(), waiting));
        let delivery = Delivery { queue: queue.to_owned(), key, is_redelivered, properties, body, receipt };
        self.inbox.push(Event::Delivered(Box::new(delivery)));
    }
}

impl Member {
    fn send_entries(&mut self, logs: &BTreeMap<String, KeptLog>) {
        let session = self.session;
        self.readings.retain(|name, reader| {
            let Some(log) = logs.get(name) else { return false };
            if reader.next < log.first() {
                self.inbox.end_reading(name, reader.reading, ReadingEnd::Trimmed { first: log.first() });
                return false;
            }
            while reader.ahead < PREFETCH
                && let Some(message) = log.get(reader.next)
            {
                let receipt = Receipt { session, channel: 0, tag: 0 };
                let Outgoing { key, properties, body, .. } = (**message).clone();
                let queue = name.clone();
                let delivery = Delivery { queue, key, is_redelivered: false, properties, body, receipt };
                let entry = Entry { log: name.clone(), offset: reader.next, message: Ok(delivery), receipt };
                self.inbox.logged(reader.reading, entry);
                (reader.next, reader.ahead) = (reader.next + 1, reader.ahead + 1);
            }
            true
        });
    }
}

impl MemoryBus {
    fn took(&self, log: &str) {
        let mut state = self.broker.state();
        let State { members, logs, .. } = &mut *state;
        if let Some(member) = members.get_mut(&self.id)
            && let Some(reader) = member.readings.get_mut(log)
        {
            reader.ahead = reader.ahead.saturating_sub(1);
            member.send_entries(logs);
        }
    }

    fn rebind(&self, key: &str, is_bound: bool) {
        let mut state = self.broker.state();
        let State { members, queues, .. } = &mut *state;
        let Some(member) = members.get_mut(&self.id) else { return };
        change_bindings(&mut member.keys, key, is_bound);
        if member.is_up
            && let Some(queue) = queues.get_mut(&member.topology.queue)
        {
            change_bindings(&mut queue.bindings, key, is_bound);
            if is_bound {
                member.inbox.push(Event::Bound { key: key.to_owned(), result: Ok(()) });
            }
        }
    }
}

fn change_bindings(bindings: &mut BTreeSet<String>, key: &str, is_bound: bool) {
    if is_bound {
        bindings.insert(key.to_owned());
    } else {
        bindings.remove(key);
    }
}

impl Bus for MemoryBus {
    fn publish(&mut self, message: Outgoing) -> Result<Ticket, PublishError> {
        message.check()?;
        let ticket = self.inbox.ticket()?;
        let outcome = self.broker.state().publish(message);
        self.inbox.published(ticket, outcome);
        Ok(ticket)
    }

    fn ack(&mut self, receipt: Receipt) {
        let mut state = self.broker.state();
        if let Some(member) = state.members.get_mut(&self.id)
            && member.session == receipt.session
            && member.outstanding.remove(&receipt.tag).is_some()
        {
            state.send_all();
        }
    }

    fn bind(&mut self, key: &str) {
        self.rebind(key, true);
    }

    fn unbind(&mut self, key: &str) {
        self.rebind(key, false);
    }

    fn is_up(&self) -> bool {
        self.inbox.is_up()
    }

    fn read_log(&mut self, log: &str, from: u64) {
        let reading = self.inbox.begin_reading(log);
        let mut state = self.broker.state();
        let State { members, logs, .. } = &mut *state;
        let Some(member) = members.get_mut(&self.id).filter(|member| member.is_up) else { return };
        if member.topology.logs.iter().any(|name| name == log) {
            member.readings.insert(log.to_owned(), Reader { reading, next: from, ahead: 0 });
            member.send_entries(logs);
        } else {
            self.inbox.end_reading(log, reading, ReadingEnd::Failed(format!("there is no log \"{log}\"")));
        }
    }

    fn stop_log(&mut self, log: &str) {
        self.inbox.stop_reading(log);
        if let Some(member) = self.broker.state().members.get_mut(&self.id) {
            member.readings.remove(log);
        }
    }

    async fn event(&mut self) -> Event {
        let event = self.inbox.next().await;
        if let Event::Logged(entry) = &event {
            self.took(&entry.log);
        }
        event
    }

    async fn close(self) {}
}

/// The connection ends.
impl Drop for MemoryBus {
    fn drop(&mut self) {
        let mut state = self.broker.state();
        state.detach(self.id);
        state.members.remove(&self.id);
        state.attach_all();
        state.send_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn topology(queue: &str) -> Topology {
        Topology {
            exchange: "node".into(),
            queue: queue.into(),
            bindings: vec![queue.into()],
            shared: Vec::new(),
            logs: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_stopped_broker_takes_nothing_and_connects_all_when_it_starts() {
        let broker = Broker::new();
        let mut bus = broker.join(topology("node.a")).unwrap();
        assert_eq!(bus.event().await, Event::Up);
        bus.bind("status");
        assert!(matches!(bus.event().await, Event::Bound { result: Ok(()), .. }));
        broker.stop();
        assert!(matches!(bus.event().await, Event::Down(Trouble::Lost(_))));
        assert_eq!(bus.publish(Outgoing::default()), Err(PublishError::Down));
        let mut late = broker.join(topology("node.b")).unwrap();
        assert!(matches!(late.event().await, Event::Down(Trouble::Unreachable(_))));
        broker.start();
        assert!(matches!(bus.event().await, Event::Down(Trouble::Unreachable(_))));
        assert_eq!((bus.event().await, late.event().await), (Event::Up, Event::Up));
        assert!(matches!(bus.event().await, Event::Bound { .. }));
        late.publish(Outgoing { key: "status".into(), ..Outgoing::default() }).unwrap();
        assert!(matches!(bus.event().await, Event::Delivered(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_expires_in_a_queue_is_gone() {
        let broker = Broker::new();
        let mut bus = broker.join(topology("node.a")).unwrap();
        let message = |seconds: Option<u64>| {
            let mut message = Outgoing { key: "node.a".into(), ..Outgoing::default() };
            message.properties.expires = seconds.map(Duration::from_secs);
            message
        };
        // What is sent ahead does not expire any more.
        for _ in 0..PREFETCH {
            bus.publish(message(Some(5))).unwrap();
        }
        bus.publish(message(Some(5))).unwrap();
        bus.publish(message(None)).unwrap();
        tokio::time::advance(Duration::from_secs(5)).await;
        let mut delivered = 0;
        loop {
            match tokio::time::timeout(Duration::from_secs(1), bus.event()).await {
                Ok(Event::Delivered(delivery)) => {
                    delivered += 1;
                    bus.ack(delivery.receipt);
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        assert_eq!(delivered, PREFETCH + 1);
    }
}
