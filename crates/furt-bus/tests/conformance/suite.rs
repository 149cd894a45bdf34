//! What every bus must do. One function a property; each has an exchange and queues of its own, so that one broker serves all.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use furt_bus::{
    Bus, Delivery, Entry, Event, LARGEST_BODY, LOG_BYTES, MOST_HEADERS, MOST_IN_FLIGHT, Outcome, Outgoing, Properties,
    PublishError, ReadingEnd, SharedQueue, Ticket, Topology, Trouble, Value,
};

/// For anything that must happen, on a machine that builds and tests beside it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// For what must not happen.
const A_WHILE: Duration = Duration::from_millis(400);

/// A kind of bus, all of whose members are at one broker.
pub(crate) trait Kind {
    /// Its type.
    type Bus: Bus;
    /// A node joins; its heartbeat is some seconds at most, where it has one.
    fn join(&self, topology: Topology) -> Self::Bus;
}

/// Queues and keys of one property, of which none is another's.
pub(crate) struct Names(pub(crate) &'static str);

impl Names {
    pub(crate) fn queue(&self, node: &str) -> String {
        format!("{}.{node}", self.0)
    }

    /// A node without shared queues, whose queue is bound to its name.
    pub(crate) fn node(&self, node: &str) -> Topology {
        let queue = self.queue(node);
        Topology {
            exchange: self.0.to_owned(),
            bindings: vec![queue.clone()],
            queue,
            shared: Vec::new(),
            logs: Vec::new(),
        }
    }

    /// The same with one shared queue, bound to `shared`.
    pub(crate) fn sharing(&self, node: &str) -> Topology {
        let shared = SharedQueue { name: self.queue("of-all"), bindings: vec!["shared".to_owned()] };
        Topology { shared: vec![shared], ..self.node(node) }
    }

    pub(crate) fn log(&self) -> String {
        self.queue("log")
    }

    /// The same with one log.
    pub(crate) fn logging(&self, node: &str) -> Topology {
        Topology { logs: vec![self.log()], ..self.node(node) }
    }
}

pub(crate) fn to(key: &str, body: &[u8]) -> Outgoing {
    Outgoing { key: key.to_owned(), is_mandatory: true, body: body.to_vec(), ..Outgoing::default() }
}

/// A bus under test, and what it told while something else was waited for.
pub(crate) struct Member<B> {
    pub(crate) bus: B,
    kept: Vec<Event>,
}

impl<B: Bus> Member<B> {
    pub(crate) fn new(bus: B) -> Self {
        Self { bus, kept: Vec::new() }
    }

    /// The first event that fits, now or later. Others are kept for later questions.
    pub(crate) async fn sees<T>(&mut self, what: &str, fits: impl Fn(&Event) -> Option<T>) -> T {
        self.sees_within(what, PATIENCE, fits).await
    }

    pub(crate) async fn sees_within<T>(
        &mut self,
        what: &str,
        within: Duration,
        fits: impl Fn(&Event) -> Option<T>,
    ) -> T {
        if let Some((at, found)) = self.kept.iter().enumerate().find_map(|(at, event)| Some((at, fits(event)?))) {
            self.kept.remove(at);
            return found;
        }
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(event) = tokio::time::timeout(left, self.bus.event()).await else {
                panic!("not within {within:?}: {what}; seen meanwhile: {:?}", self.kept);
            };
            match fits(&event) {
                Some(found) => return found,
                None => self.kept.push(event),
            }
        }
    }

    pub(crate) async fn is_up(&mut self) {
        self.sees("it is up", |event| matches!(event, Event::Up).then_some(())).await;
    }

    pub(crate) async fn is_sharing(&mut self) {
        self.sees("it takes part", |event| matches!(event, Event::Shared { result: Ok(()), .. }).then_some(())).await;
    }

    #[allow(dead_code, reason = "only the tests beside a real broker use it")]
    pub(crate) async fn is_down(&mut self) -> Trouble {
        let trouble = |event: &Event| match event {
            Event::Down(trouble) => Some(trouble.clone()),
            _ => None,
        };
        self.sees("it is down", trouble).await
    }

    pub(crate) async fn outcome(&mut self, of: Ticket) -> Outcome {
        let outcome = |event: &Event| match event {
            Event::Published { ticket, outcome } if *ticket == of => Some(outcome.clone()),
            _ => None,
        };
        self.sees("what became of a message", outcome).await
    }

    /// Publishes, and waits for what becomes of it.
    pub(crate) async fn publishes(&mut self, message: Outgoing) -> Outcome {
        let ticket = self.bus.publish(message).unwrap();
        self.outcome(ticket).await
    }

    /// The next delivery, acknowledged.
    pub(crate) async fn receives(&mut self) -> Delivery {
        let delivery = self.takes().await;
        self.bus.ack(delivery.receipt);
        delivery
    }

    /// The next delivery.
    pub(crate) async fn takes(&mut self) -> Delivery {
        let delivery = |event: &Event| match event {
            Event::Delivered(delivery) => Some((**delivery).clone()),
            _ => None,
        };
        self.sees("a message", delivery).await
    }

    pub(crate) async fn has_log(&mut self) {
        self.sees("its log is there", |event| matches!(event, Event::Log { result: Ok(()), .. }).then_some(())).await;
    }

    /// Appends, and waits until the broker answers for it.
    pub(crate) async fn appends(&mut self, log: &str, body: &[u8]) {
        let message = Outgoing { body: body.to_vec(), ..Outgoing::default() };
        let ticket = self.bus.append(log, message).unwrap();
        assert_eq!(self.outcome(ticket).await, Outcome::Taken);
    }

    /// The next entry of a log that is read, or the end of its reading.
    pub(crate) async fn reads(&mut self) -> Result<Entry, ReadingEnd> {
        let read = |event: &Event| match event {
            Event::Logged(entry) => Some(Ok((**entry).clone())),
            Event::ReadingEnded { why, .. } => Some(Err(why.clone())),
            _ => None,
        };
        self.sees("an entry", read).await
    }

    /// The bodies of a log's entries from `from` up to the one with the body `last`; the reading is stopped there.
    pub(crate) async fn reads_up_to(&mut self, log: &str, from: u64, last: &[u8]) -> Result<Vec<Vec<u8>>, ReadingEnd> {
        self.bus.read_log(log, from);
        let mut bodies = Vec::new();
        loop {
            bodies.push(self.reads().await?.message.unwrap().body);
            if bodies.last().is_some_and(|body| body == last) {
                self.bus.stop_log(log);
                return Ok(bodies);
            }
        }
    }

    /// Nothing is delivered for a while.
    pub(crate) async fn receives_nothing(&mut self) {
        let until = Instant::now() + A_WHILE;
        while let Ok(event) =
            tokio::time::timeout(until.saturating_duration_since(Instant::now()), self.bus.event()).await
        {
            self.kept.push(event);
        }
        let delivered: Vec<_> = self.kept.iter().filter(|event| matches!(event, Event::Delivered(_))).collect();
        assert!(delivered.is_empty(), "{delivered:?}");
    }
}

async fn joined<K: Kind>(kind: &K, topology: Topology) -> Member<K::Bus> {
    let mut member = Member::new(kind.join(topology));
    member.is_up().await;
    member
}

/// The same, once its log is there.
async fn logging<K: Kind>(kind: &K, topology: Topology) -> Member<K::Bus> {
    let mut member = joined(kind, topology).await;
    member.has_log().await;
    member
}

/// The same, once it takes part in the shared queue.
async fn sharing<K: Kind>(kind: &K, topology: Topology) -> Member<K::Bus> {
    let mut member = joined(kind, topology).await;
    member.is_sharing().await;
    member
}

/// All of them, one after the other.
pub(crate) async fn passes<K: Kind>(kind: &K) {
    a_message_arrives_as_it_was_sent(kind).await;
    a_message_reaches_each_queue_that_its_key_leads_to(kind).await;
    what_no_queue_takes_is_an_outcome_where_it_is_mandatory(kind).await;
    what_is_too_large_is_not_sent_and_the_largest_arrives(kind).await;
    messages_of_one_sender_arrive_in_their_order(kind).await;
    what_is_not_acknowledged_holds_the_rest_back_and_none_is_lost(kind).await;
    no_more_is_taken_than_may_wait_for_its_outcome(kind).await;
    a_shared_queue_is_one_nodes_at_a_time(kind).await;
    what_expires_is_not_delivered(kind).await;
    keys_are_bound_and_unbound_while_it_runs(kind).await;
    a_name_has_one_owner(kind).await;
    an_entry_is_read_as_it_was_appended(kind).await;
    everybody_reads_a_log_in_one_order_as_often_as_they_like(kind).await;
    a_reading_goes_on_with_what_is_appended_until_it_is_stopped(kind).await;
    of_many_bidders_everybody_finds_one_and_the_same_first(kind).await;
    a_log_that_has_lost_its_beginning_says_so(kind).await;
}

fn everything() -> Properties {
    Properties {
        content_type: Some("application/json".into()),
        content_encoding: Some("identity".into()),
        headers: BTreeMap::from([
            ("furt-boot".to_owned(), "ä".into()),
            ("furt-seq".to_owned(), Value::Integer(-7)),
            ("furt-sig".to_owned(), Value::Bytes(vec![0xff, 0, 1])),
            ("is".to_owned(), Value::Boolean(true)),
        ]),
        is_persistent: true,
        priority: Some(0),
        expires: Some(Duration::from_secs(60)),
        timestamp: Some(1_795_818_211),
        kind: Some("task".into()),
        app_id: Some("legion".into()),
        user_id: None,
    }
}

async fn a_message_arrives_as_it_was_sent<K: Kind>(kind: &K) {
    let names = Names("suite-as-sent");
    let mut node = joined(kind, names.node("a")).await;
    let key = names.queue("a");
    for (properties, body) in [(everything(), &b"{\"a\":\xff\x00}"[..]), (Properties::default(), b"")] {
        let message = Outgoing { properties: properties.clone(), ..to(&key, body) };
        assert_eq!(node.publishes(message).await, Outcome::Taken);
        let delivery = node.receives().await;
        assert_eq!((&delivery.properties, &delivery.body[..]), (&properties, body));
        assert_eq!((&delivery.key, &delivery.queue, delivery.is_redelivered), (&key, &key, false));
    }
}

async fn a_message_reaches_each_queue_that_its_key_leads_to<K: Kind>(kind: &K) {
    let names = Names("suite-keys");
    let bound =
        |node, keys: &[&str]| Topology { bindings: keys.iter().map(ToString::to_string).collect(), ..names.node(node) };
    let mut all = joined(kind, bound("all", &["node.crypt.#", "status"])).await;
    let mut one = joined(kind, bound("one", &["node.*.update_result"])).await;
    let mut twice = joined(kind, bound("twice", &["status", "#.status"])).await;
    for (key, expected) in [
        ("node.crypt", [1, 0, 0]),
        ("node.crypt.a.b", [1, 0, 0]),
        ("node.crypt.update_result", [1, 1, 0]),
        ("node.x.update_result", [0, 1, 0]),
        ("status", [1, 0, 1]),
        ("a.status", [0, 0, 1]),
    ] {
        assert_eq!(one.publishes(to(key, b"x")).await, Outcome::Taken, "{key}");
        for (member, count) in [(&mut all, expected[0]), (&mut one, expected[1]), (&mut twice, expected[2])] {
            if count == 1 {
                assert_eq!(member.receives().await.key, key);
            }
        }
    }
    for member in [&mut all, &mut one, &mut twice] {
        member.receives_nothing().await;
    }
}

async fn what_no_queue_takes_is_an_outcome_where_it_is_mandatory<K: Kind>(kind: &K) {
    let names = Names("suite-unroutable");
    let mut node = joined(kind, names.node("a")).await;
    assert_eq!(node.publishes(to("nowhere", b"x")).await, Outcome::Unroutable);
    let optional = Outgoing { is_mandatory: false, ..to("nowhere", b"x") };
    assert_eq!(node.publishes(optional).await, Outcome::Taken);
    // Each of many has its own outcome.
    let key = names.queue("a");
    let sent: Vec<_> = (0..40_u8)
        .map(|number| {
            let is_lost = number % 3 == 0;
            (node.bus.publish(to(if is_lost { "nowhere" } else { &key }, &[number])).unwrap(), is_lost)
        })
        .collect();
    for (ticket, is_lost) in sent {
        let expected = if is_lost { Outcome::Unroutable } else { Outcome::Taken };
        assert_eq!(node.outcome(ticket).await, expected, "{ticket:?}");
    }
}

async fn what_is_too_large_is_not_sent_and_the_largest_arrives<K: Kind>(kind: &K) {
    let names = Names("suite-large");
    let mut node = joined(kind, names.node("a")).await;
    let key = names.queue("a");
    let refused = node.bus.publish(to(&key, &vec![7; LARGEST_BODY + 1]));
    assert_eq!(refused, Err(PublishError::TooLarge { bytes: LARGEST_BODY + 1 }));
    assert_eq!(node.publishes(to(&key, &vec![7; LARGEST_BODY])).await, Outcome::Taken);
    assert_eq!(node.receives().await.body, vec![7; LARGEST_BODY]);
    node.receives_nothing().await;
}

async fn messages_of_one_sender_arrive_in_their_order<K: Kind>(kind: &K) {
    let names = Names("suite-order");
    let (mut sender, mut receiver) = (joined(kind, names.node("s")).await, joined(kind, names.node("r")).await);
    for round in 0..4_u8 {
        let numbers = 0..100_u8;
        let sent: Vec<_> = numbers
            .clone()
            .map(|number| sender.bus.publish(to(&names.queue("r"), &[round, number])).unwrap())
            .collect();
        for number in numbers {
            assert_eq!(receiver.receives().await.body, [round, number]);
        }
        for ticket in sent {
            assert_eq!(sender.outcome(ticket).await, Outcome::Taken);
        }
    }
}

async fn what_is_not_acknowledged_holds_the_rest_back_and_none_is_lost<K: Kind>(kind: &K) {
    let names = Names("suite-prefetch");
    let (mut sender, mut receiver) = (joined(kind, names.node("s")).await, joined(kind, names.node("r")).await);
    for number in 0..200_u8 {
        assert_eq!(sender.publishes(to(&names.queue("r"), &[number])).await, Outcome::Taken);
    }
    let mut taken = Vec::new();
    for _ in 0..64 {
        taken.push(receiver.takes().await);
    }
    receiver.receives_nothing().await;
    for delivery in &taken {
        receiver.bus.ack(delivery.receipt);
        // To say it twice does no harm.
        receiver.bus.ack(delivery.receipt);
    }
    for _ in 64..200 {
        taken.push(receiver.receives().await);
    }
    assert_eq!(taken.into_iter().map(|delivery| delivery.body[0]).collect::<Vec<_>>(), (0..200).collect::<Vec<_>>());
}

async fn no_more_is_taken_than_may_wait_for_its_outcome<K: Kind>(kind: &K) {
    let names = Names("suite-full");
    let mut node = joined(kind, names.node("a")).await;
    let sent: Vec<_> = (0..MOST_IN_FLIGHT).map(|_| node.bus.publish(to("nowhere", b"x")).unwrap()).collect();
    assert_eq!(node.bus.publish(to("nowhere", b"x")), Err(PublishError::Full));
    for ticket in sent {
        assert_eq!(node.outcome(ticket).await, Outcome::Unroutable);
    }
    assert_eq!(node.publishes(to("nowhere", b"x")).await, Outcome::Unroutable);
}

async fn a_shared_queue_is_one_nodes_at_a_time<K: Kind>(kind: &K) {
    let names = Names("suite-shared");
    let mut first = sharing(kind, names.sharing("a")).await;
    let mut second = sharing(kind, names.sharing("b")).await;
    let message = |number: u8| {
        let mut message = to("shared", &[number]);
        message.properties.is_persistent = true;
        message
    };
    for number in 0..3 {
        assert_eq!(second.publishes(message(number)).await, Outcome::Taken);
    }
    let (done, kept) = (first.takes().await, first.takes().await);
    assert_eq!((&done.body[..], &kept.body[..], &kept.queue), (&[0][..], &[1][..], &names.queue("of-all")));
    second.receives_nothing().await;
    first.bus.ack(done.receipt);
    first.bus.close().await;
    // What the first one did not deal with is the second one's now.
    let mut rest = vec![second.receives().await, second.receives().await];
    rest.sort_by(|one, other| one.body.cmp(&other.body));
    assert_eq!(rest.iter().map(|delivery| delivery.body[0]).collect::<Vec<_>>(), [1, 2]);
    assert!(rest[0].is_redelivered, "{rest:?}");
    // A receipt of a connection that is over means nothing to another one.
    second.bus.ack(kept.receipt);
    assert_eq!(second.publishes(message(3)).await, Outcome::Taken);
    assert_eq!(second.receives().await.body, [3]);
}

async fn what_expires_is_not_delivered<K: Kind>(kind: &K) {
    let names = Names("suite-expiry");
    let mut node = joined(kind, names.node("a")).await;
    let keeper = joined(kind, names.sharing("k")).await;
    keeper.bus.close().await;
    let message = |number: u8, expires: u64| {
        let mut message = to("shared", &[number]);
        message.properties.expires = Some(Duration::from_millis(expires));
        message
    };
    // The shared queue is there, and nobody reads from it.
    assert_eq!(node.publishes(message(1, 500)).await, Outcome::Taken);
    assert_eq!(node.publishes(message(2, 600_000)).await, Outcome::Taken);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let mut keeper = joined(kind, names.sharing("k")).await;
    assert_eq!(keeper.receives().await.body, [2]);
    keeper.receives_nothing().await;
}

async fn keys_are_bound_and_unbound_while_it_runs<K: Kind>(kind: &K) {
    let names = Names("suite-binding");
    let mut node = joined(kind, names.node("a")).await;
    assert_eq!(node.publishes(to("node.x.result", b"1")).await, Outcome::Unroutable);
    node.bus.bind("node.*.result");
    let bound = |event: &Event| match event {
        Event::Bound { key, result } => Some((key.clone(), result.clone())),
        _ => None,
    };
    assert_eq!(node.sees("it is bound", bound).await, ("node.*.result".to_owned(), Ok(())));
    assert_eq!(node.publishes(to("node.x.result", b"2")).await, Outcome::Taken);
    assert_eq!(node.receives().await.body, b"2");
    node.bus.unbind("node.*.result");
    let deadline = Instant::now() + PATIENCE;
    while node.publishes(to("node.x.result", b"3")).await != Outcome::Unroutable {
        node.receives().await;
        assert!(Instant::now() < deadline);
    }
}

async fn a_name_has_one_owner<K: Kind>(kind: &K) {
    let names = Names("suite-name");
    let mut owner = joined(kind, names.node("a")).await;
    let mut thief = Member::new(kind.join(names.node("a")));
    let queue = names.queue("a");
    let taken = |event: &Event| match event {
        Event::Down(trouble @ Trouble::NameTaken { .. }) => Some(trouble.clone()),
        _ => None,
    };
    assert_eq!(thief.sees("its name is another's", taken).await, Trouble::NameTaken { queue: queue.clone() });
    assert_eq!(thief.bus.publish(to(&queue, b"x")), Err(PublishError::Down));
    assert_eq!(owner.publishes(to(&queue, b"y")).await, Outcome::Taken);
    assert_eq!(owner.receives().await.body, b"y");
    owner.bus.close().await;
    thief.is_up().await;
    assert_eq!(thief.publishes(to(&queue, b"z")).await, Outcome::Taken);
    assert_eq!(thief.receives().await.body, b"z");
}

async fn an_entry_is_read_as_it_was_appended<K: Kind>(kind: &K) {
    let names = Names("suite-log-as-sent");
    let mut node = logging(kind, names.logging("a")).await;
    let log = names.log();
    let mut many = everything();
    many.headers.extend((many.headers.len()..MOST_HEADERS).map(|number| (number.to_string(), Value::Integer(1))));
    let sent = [(many, vec![0xff, 0, 7]), (Properties::default(), vec![7; LARGEST_BODY]), (everything(), Vec::new())];
    for (properties, body) in &sent {
        let message = Outgoing { properties: properties.clone(), body: body.clone(), ..Outgoing::default() };
        let ticket = node.bus.append(&log, message).unwrap();
        assert_eq!(node.outcome(ticket).await, Outcome::Taken);
    }
    node.bus.read_log(&log, 0);
    for (offset, (properties, body)) in (0..).zip(sent) {
        let entry = node.reads().await.unwrap();
        let message = entry.message.unwrap();
        let kept = Properties { is_persistent: true, expires: None, ..properties };
        assert_eq!((entry.offset, &entry.log, &message.key, &message.queue), (offset, &log, &log, &log));
        assert_eq!((message.properties, message.body == body), (kept, true));
    }
    // What may not be sent is not appended, and what is appended to a log that is not there is nowhere.
    let large = Outgoing { body: vec![7; LARGEST_BODY + 1], ..Outgoing::default() };
    assert_eq!(node.bus.append(&log, large), Err(PublishError::TooLarge { bytes: LARGEST_BODY + 1 }));
    let ticket = node.bus.append("nowhere", Outgoing::default()).unwrap();
    assert_eq!(node.outcome(ticket).await, Outcome::Unroutable);
    node.bus.stop_log(&log);
    node.bus.read_log("nowhere", 0);
    assert!(matches!(node.reads().await, Err(ReadingEnd::Failed(words)) if words.contains("no log")));
}

async fn everybody_reads_a_log_in_one_order_as_often_as_they_like<K: Kind>(kind: &K) {
    let names = Names("suite-log-order");
    let log = names.log();
    let (mut one, mut other) = (logging(kind, names.logging("a")).await, logging(kind, names.logging("b")).await);
    for number in 0..100_u8 {
        one.appends(&log, &[number, 0]).await;
        other.appends(&log, &[number, 1]).await;
    }
    let whole: Vec<_> = (0..100_u8).flat_map(|number| [vec![number, 0], vec![number, 1]]).collect();
    for _ in 0..3 {
        for member in [&mut one, &mut other] {
            assert_eq!(member.reads_up_to(&log, 0, &[99, 1]).await.unwrap(), whole);
            assert_eq!(member.reads_up_to(&log, 150, &[99, 1]).await.unwrap(), whole[150..]);
        }
    }
    // It outlives those who wrote it.
    one.bus.close().await;
    other.bus.close().await;
    let mut third = logging(kind, names.logging("c")).await;
    assert_eq!(third.reads_up_to(&log, 0, &[99, 1]).await.unwrap(), whole);
}

async fn a_reading_goes_on_with_what_is_appended_until_it_is_stopped<K: Kind>(kind: &K) {
    let names = Names("suite-log-follow");
    let log = names.log();
    let (mut writer, mut reader) = (logging(kind, names.logging("a")).await, logging(kind, names.logging("b")).await);
    reader.bus.read_log(&log, 0);
    for number in 0..3_u8 {
        writer.appends(&log, &[number]).await;
        let entry = reader.reads().await.unwrap();
        assert_eq!((entry.offset, entry.message.unwrap().body), (number.into(), vec![number]));
    }
    reader.bus.stop_log(&log);
    writer.appends(&log, &[3]).await;
    reader.receives_nothing().await;
    // A reading takes the place of the one before, at once and often.
    for _ in 0..5 {
        reader.bus.read_log(&log, 0);
        reader.bus.read_log(&log, 2);
        assert_eq!(reader.reads().await.unwrap().offset, 2);
    }
    reader.bus.stop_log(&log);
    reader.receives_nothing().await;
}

async fn of_many_bidders_everybody_finds_one_and_the_same_first<K: Kind>(kind: &K) {
    let names = Names("suite-log-bids");
    let log = names.log();
    let mut bidders = Vec::new();
    for number in 0..5_u8 {
        bidders.push((number, logging(kind, names.logging(&number.to_string())).await));
    }
    for generation in 0..10_u8 {
        let mut tickets = Vec::new();
        for (number, bidder) in &mut bidders {
            let message = Outgoing { body: vec![generation, *number], ..Outgoing::default() };
            tickets.push(bidder.bus.append(&log, message).unwrap());
        }
        let mut winners = Vec::new();
        for ((number, bidder), ticket) in bidders.iter_mut().zip(tickets) {
            assert_eq!(bidder.outcome(ticket).await, Outcome::Taken);
            let read = bidder.reads_up_to(&log, 0, &[generation, *number]).await.unwrap();
            winners.push(read.into_iter().find(|body| body[0] == generation).unwrap());
        }
        assert!(winners.windows(2).all(|two| two[0] == two[1]), "{winners:?}");
    }
}

async fn a_log_that_has_lost_its_beginning_says_so<K: Kind>(kind: &K) {
    let names = Names("suite-log-trimmed");
    let log = names.log();
    let mut node = logging(kind, names.logging("a")).await;
    let body = vec![7; LARGEST_BODY];
    let fill = LOG_BYTES / LARGEST_BODY as u64;
    let mut appended = 0_u64;
    let first = loop {
        let tickets: Vec<_> = (0..fill / 4)
            .map(|_| node.bus.append(&log, Outgoing { body: body.clone(), ..Outgoing::default() }).unwrap())
            .collect();
        for ticket in tickets {
            assert_eq!(node.outcome(ticket).await, Outcome::Taken);
            appended += 1;
        }
        let last = appended.to_be_bytes();
        node.appends(&log, &last).await;
        match node.reads_up_to(&log, 0, &last).await {
            Ok(_) => assert!(appended < fill * 3, "it grows without end"),
            Err(ReadingEnd::Trimmed { first }) => break first,
            Err(why) => panic!("{why}"),
        }
    };
    assert!(appended >= fill, "{appended} of {fill}");
    // What is left can be read by who asks for it, to the end.
    node.appends(&log, b"last").await;
    let left = node.reads_up_to(&log, first, b"last").await.unwrap().len();
    assert!(left as u64 >= fill / 2, "{left} of {fill}");
}
