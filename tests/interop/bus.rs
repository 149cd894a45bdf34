//! The bus on a real RabbitMQ: the suite of every bus, and a broker that is stopped, killed, frozen, strict, flooded and spoken to by
//! strangers.

mod logs;
#[path = "../../crates/furt-bus/tests/conformance/suite.rs"]
pub(crate) mod suite;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use furt_bus::{
    AmqpBus, Bus as _, Discard, Event, Options, OptionsError, Outcome, Outgoing, Password, Properties, PublishError,
    Topology, Trouble, Value,
};
use suite::{Kind, Member, Names, PATIENCE, to};

use crate::foreign::fault_proxy::Network;
use crate::foreign::stranger::{Strange, Stranger, nested_arrays, nested_tables};
use crate::foreign::{FaultProxy, Rabbitmq};
use crate::support::eventually;

/// What takes a few of them takes seconds; a broker on a busy machine is not taken for a dead one.
const HEARTBEAT: Duration = Duration::from_secs(2);

fn options(url: &str, topology: Topology) -> Options {
    Options {
        url: url.parse().unwrap(),
        password: Password::text("guest"),
        ca: None,
        identity: None,
        name: "a test".to_owned(),
        heartbeat: HEARTBEAT,
        topology,
    }
}

fn joined_at(url: &str, topology: Topology) -> Member<AmqpBus> {
    Member::new(AmqpBus::start(options(url, topology)).unwrap())
}

/// One that is up.
async fn joined(broker: &Rabbitmq, topology: Topology) -> Member<AmqpBus> {
    let mut member = joined_at(&broker.url(), topology);
    member.is_up().await;
    member
}

fn persistent(key: &str, body: &[u8]) -> Outgoing {
    let properties = Properties { is_persistent: true, ..Properties::default() };
    Outgoing { properties, ..to(key, body) }
}

impl Kind for Rabbitmq {
    type Bus = AmqpBus;

    fn join(&self, topology: Topology) -> AmqpBus {
        AmqpBus::start(options(&self.url(), topology)).unwrap()
    }
}

#[tokio::test]
async fn amqp_passes_the_suite() {
    suite::passes(&Rabbitmq::start().await).await;
}

#[tokio::test]
async fn what_a_node_has_is_declared_anew_after_a_broker_was_stopped() {
    let mut broker = Rabbitmq::start().await;
    let names = Names("stopped");
    let mut node = joined(&broker, names.sharing("a")).await;
    node.bus.bind("status");
    node.sees("it is bound", |event| matches!(event, Event::Bound { result: Ok(()), .. }).then_some(())).await;
    // One that was not acknowledged comes again; what was transient does not.
    assert_eq!(node.publishes(persistent("shared", b"kept")).await, Outcome::Taken);
    node.takes().await;
    broker.stop().await;
    let trouble = node.is_down().await;
    assert!(matches!(&trouble, Trouble::Lost(text) if text.contains("CONNECTION_FORCED")), "{trouble:?}");
    assert_eq!(node.bus.publish(to("status", b"x")), Err(PublishError::Down));
    let trouble = node.is_down().await;
    assert!(matches!(&trouble, Trouble::Unreachable(_) | Trouble::Lost(_)), "{trouble:?}");
    broker.start_again().await;
    node.is_up().await;
    node.sees("it is bound again", |event| matches!(event, Event::Bound { result: Ok(()), .. }).then_some(())).await;
    let delivery = node.receives().await;
    assert_eq!((&delivery.body[..], delivery.is_redelivered), (&b"kept"[..], true));
    for key in ["status", &names.queue("a")] {
        assert_eq!(node.publishes(to(key, b"again")).await, Outcome::Taken);
        assert_eq!(node.receives().await.key, key);
    }
}

#[tokio::test]
async fn a_killed_broker_loses_nothing_that_it_answered_for() {
    let mut broker = Rabbitmq::start().await;
    let names = Names("killed");
    let mut node = joined(&broker, names.sharing("a")).await;
    node.is_sharing().await;
    // A broker of this version forgets a quorum queue that is younger than its last orderly stop.
    broker.stop().await;
    node.is_down().await;
    broker.start_again().await;
    node.is_up().await;
    node.is_sharing().await;
    let mut sent = BTreeMap::new();
    for number in 0..200_u8 {
        if number == 100 {
            broker.kill();
        }
        match node.bus.publish(persistent("shared", &[number])) {
            Ok(ticket) => drop(sent.insert(ticket, number)),
            Err(error) => assert!(number >= 100 && error == PublishError::Down, "{number}: {error}"),
        }
    }
    let mut answered = Vec::new();
    for (ticket, number) in sent {
        match node.outcome(ticket).await {
            Outcome::Taken => answered.push(number),
            outcome => assert!(matches!(outcome, Outcome::Unknown | Outcome::NotSent), "{outcome:?}"),
        }
    }
    node.is_down().await;
    broker.start_again().await;
    node.is_up().await;
    let mut delivered = Vec::new();
    let all = Instant::now() + PATIENCE;
    while !answered.iter().all(|number| delivered.contains(number)) {
        assert!(Instant::now() < all, "answered for: {answered:?}, delivered: {delivered:?}");
        delivered.push(node.receives().await.body[0]);
    }
}

#[tokio::test]
async fn a_shared_queue_that_its_broker_broke_holds_up_nothing_else() {
    let mut broker = Rabbitmq::start().await;
    let names = Names("broken");
    let mut node = joined(&broker, names.sharing("a")).await;
    node.is_sharing().await;
    // RabbitMQ 3.10 has not written down yet that it has the queue: it will answer nothing for it, or end the connection. Later versions may
    // give it.
    broker.kill();
    node.is_down().await;
    broker.start_again().await;
    node.is_up().await;
    is_taken_at_last(&mut node, &to(&names.queue("a"), b"x")).await;
    assert_eq!(node.receives().await.body, b"x");
    let shared = |event: &Event| match event {
        Event::Shared { queue, result } => Some((queue.clone(), result.clone())),
        _ => None,
    };
    let (queue, result) = node.sees("what became of the shared queue", shared).await;
    println!("after kill -9: {result:?}");
    assert_eq!(queue, names.queue("of-all"));
    let is_told = |text: &String| text.contains("says nothing") || text.contains("INTERNAL_ERROR");
    assert!(result.as_ref().err().is_none_or(is_told), "{result:?}");
    is_taken_at_last(&mut node, &to(&names.queue("a"), b"y")).await;
}

/// The connection may end before that, and come back.
async fn is_taken_at_last(node: &mut Member<AmqpBus>, message: &Outgoing) {
    let taken = async {
        loop {
            if let Ok(ticket) = node.bus.publish(message.clone())
                && node.outcome(ticket).await == Outcome::Taken
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, taken).await.expect("it is taken");
}

#[tokio::test]
async fn a_frozen_broker_is_noticed_by_its_silence() {
    let broker = Rabbitmq::start().await;
    let names = Names("frozen");
    let mut node = joined(&broker, names.node("a")).await;
    broker.freeze();
    let frozen = Instant::now();
    // One that it answered for just before may come first.
    while node.publishes(to(&names.queue("a"), b"x")).await == Outcome::Taken {}
    let noticed = frozen.elapsed();
    let trouble = node.is_down().await;
    assert!(matches!(&trouble, Trouble::Lost(text) if text.contains("nothing was heard")), "{trouble:?}");
    assert!(noticed >= HEARTBEAT, "{noticed:?}");
    // Its kernel still takes connections.
    let trouble = node.is_down().await;
    assert!(matches!(&trouble, Trouble::Unreachable(text) if text.contains("no answer")), "{trouble:?}");
    broker.thaw();
    let thawed = Instant::now();
    node.is_up().await;
    println!("noticed after {noticed:.1?}, back {:.1?} after it woke", thawed.elapsed());
    assert_eq!(node.publishes(to(&names.queue("a"), b"x")).await, Outcome::Taken);
}

#[tokio::test]
async fn the_lock_of_a_frozen_node_is_waited_out() {
    let broker = Rabbitmq::start().await;
    let names = Names("locked");
    let proxy = FaultProxy::to(broker.address);
    let mut frozen = joined_at(&proxy.url().replace("http", "amqp"), names.node("a"));
    frozen.is_up().await;
    proxy.set(Network::Frozen);
    let began = Instant::now();
    let mut next = joined(&broker, names.node("a")).await;
    println!("the lock was gone after {:.1?}", began.elapsed());
    let locked = next.is_down().await;
    let expected = Trouble::Locked { queue: names.queue("a"), within: HEARTBEAT * 3 };
    assert_eq!(locked, expected, "it was told why it waits");
    assert_eq!(next.publishes(to(&names.queue("a"), b"x")).await, Outcome::Taken);
    assert_eq!(next.receives().await.body, b"x");
    // The one that wakes learns that it was replaced.
    frozen.is_down().await;
    proxy.set(Network::Open);
    let taken = |event: &Event| matches!(event, Event::Down(Trouble::NameTaken { .. })).then_some(());
    frozen.sees("its name is another's", taken).await;
}

#[tokio::test]
async fn rights_of_the_broker_keep_taps_and_thieves_out_and_are_told() {
    let broker = Rabbitmq::start().await;
    let names = Names("strict");
    let other = joined(&broker, names.sharing("b")).await;
    broker.add_user("edge", "secret", ["^strict\\.a$", "^strict(\\.a|\\.of-all)?$", "^strict(\\.a|\\.of-all)?$"]);
    broker.allow_topics("edge", "strict", "^(strict\\..*|shared|status)$", "^(strict\\.a|shared|status)$");
    let url = format!("amqp://edge@{}", broker.address);
    let with_password = |text: &str, url: &str, topology| {
        let options = Options { password: Password::text(text), ..options(url, topology) };
        Member::new(AmqpBus::start(options).unwrap())
    };

    // It may not make the exchange and the shared queue, which are there.
    let mut node = with_password("secret", &url, names.sharing("a"));
    node.is_up().await;
    node.bus.bind("#");
    node.bus.bind("status");
    let mut bound = BTreeMap::new();
    for _ in 0..2 {
        let result = |event: &Event| match event {
            Event::Bound { key, result } => Some((key.clone(), result.clone())),
            _ => None,
        };
        let (key, result) = node.sees("whether it is bound", result).await;
        bound.insert(key, result);
    }
    assert!(bound["#"].as_ref().is_err_and(|text| text.contains("ACCESS_REFUSED")), "{bound:?}");
    assert_eq!(bound["status"], Ok(()));
    let sent: Vec<_> = ["status", "vault", "status"].map(|key| node.bus.publish(to(key, b"x")).unwrap()).into();
    let refused = node.outcome(sent[1]).await;
    assert!(matches!(&refused, Outcome::Refused(text) if text.contains("vault")), "{refused:?}");
    assert!(matches!(node.outcome(sent[0]).await, Outcome::Taken | Outcome::Unknown));
    assert_eq!(node.outcome(sent[2]).await, Outcome::NotSent);
    assert_eq!(node.publishes(to("status", b"y")).await, Outcome::Taken, "one key that is refused ends nothing");
    let foreign_user = Properties { user_id: Some("guest".into()), ..Properties::default() };
    let refused = node.publishes(Outgoing { properties: foreign_user, ..to("status", b"x") }).await;
    assert!(matches!(&refused, Outcome::Refused(text) if text.contains("PRECONDITION_FAILED")), "{refused:?}");
    assert_eq!(node.publishes(to("status", b"z")).await, Outcome::Taken);

    let mut thief = with_password("secret", &url, names.node("b"));
    let trouble = thief.is_down().await;
    assert!(matches!(&trouble, Trouble::Denied { what, .. } if what.contains("strict.b")), "{trouble:?}");
    let tap = Topology { bindings: vec!["#".into()], ..names.node("a") };
    drop(node);
    let mut tap = with_password("secret", &url, tap);
    let denied = |event: &Event| match event {
        Event::Down(Trouble::Denied { what, .. }) => Some(what.clone()),
        _ => None,
    };
    assert!(tap.sees("it is denied", denied).await.contains("to \"#\""));

    for (password, url) in [("wrong", url.clone()), ("secret", format!("{url}/elsewhere"))] {
        let mut stranger = with_password(password, &url, names.node("a"));
        let trouble = stranger.is_down().await;
        assert!(matches!(&trouble, Trouble::NotLetIn(_)), "{trouble:?}");
        assert!(!trouble.to_string().contains(password), "{trouble}");
    }
    drop(other);
}

#[tokio::test]
async fn what_strangers_send_ends_neither_the_process_nor_the_connection() {
    let broker = Rabbitmq::start().await;
    let names = Names("strange");
    let own = Topology { bindings: vec!["own.#".into()], ..names.sharing("a") };
    let mut node = joined(&broker, own).await;
    let mut stranger = Stranger::connect(broker.address).await;
    let key = || b"own.x".to_vec();
    for strange in [
        Strange { key: b"own.\xff".to_vec(), ..Strange::default() },
        Strange { key: key(), content_type: Some(b"\xff".to_vec()), ..Strange::default() },
        Strange { key: key(), headers: Some(b"\x01\xffV".to_vec()), ..Strange::default() },
        Strange {
            key: key(),
            headers: Some((0..100).flat_map(|name| [1, name, b'V']).collect()),
            ..Strange::default()
        },
        Strange { key: key(), body: vec![0; 10_000_000], ..Strange::default() },
        Strange { key: b"shared".to_vec(), body: vec![0; 200_000], ..Strange::default() },
        Strange { key: key(), headers: Some(nested_tables(20_000)), ..Strange::default() },
        Strange { key: key(), headers: Some(nested_arrays(20_000)), ..Strange::default() },
        stranger.full_frame(b"own.x"),
        stranger.full_frame(b"shared"),
    ] {
        stranger.publish("strange", &strange).await;
    }
    for headers in [nested_tables(2_500), nested_arrays(2_500), b"\x01aS\0\0\0\x02\xff\xfe".to_vec()] {
        stranger.publish("strange", &Strange { key: key(), headers: Some(headers), ..Strange::default() }).await;
    }
    stranger.is_heard().await;
    for expected in [Value::Other, Value::Other, Value::Bytes(vec![0xff, 0xfe])] {
        let headers = node.receives().await.properties.headers;
        assert_eq!(headers.into_values().collect::<Vec<_>>(), [expected]);
    }
    let (mut unreadable, mut large) = (0, 0);
    while (unreadable, large) != (8, 2) {
        let discarded = |event: &Event| match event {
            Event::Discarded { why, count, .. } => Some((why.clone(), *count)),
            _ => None,
        };
        match node.sees("what was thrown away", discarded).await {
            (Discard::TooLarge(_), count) => large += count,
            (Discard::Unreadable(_), count) => unreadable += count,
        }
    }
    assert_eq!(node.publishes(to("own.y", b"still here")).await, Outcome::Taken);
    assert_eq!(node.receives().await.body, b"still here");
    // They are not left in a queue either, for the next one to find.
    eventually("nothing waits", PATIENCE, async || {
        let queues = broker.ctl(&["list_queues", "name", "messages", "--no-table-headers"]);
        queues.lines().all(|line| line.ends_with("\t0")).then_some(())
    })
    .await;
}

/// Of this process, in bytes.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[tokio::test]
async fn a_flood_fills_a_queue_and_no_memory_and_each_message_has_an_outcome() {
    const FLOOD: usize = 10_000;
    let broker = Rabbitmq::start().await;
    let names = Names("flood");
    let (mut sender, mut receiver) = (joined(&broker, names.node("s")).await, joined(&broker, names.node("r")).await);
    let before = memory();
    let (began, body) = (Instant::now(), [7; 1000]);
    let (mut taken, mut refused) = (0, 0);
    let mut waiting = Vec::new();
    for number in 0..FLOOD {
        waiting.push(sender.bus.publish(to(&names.queue("r"), &body)).unwrap());
        if waiting.len() == 200 || number == FLOOD - 1 {
            for ticket in waiting.drain(..) {
                match sender.outcome(ticket).await {
                    Outcome::Taken => taken += 1,
                    Outcome::Refused(_) => refused += 1,
                    outcome => panic!("{outcome:?}"),
                }
            }
        }
    }
    let grown = memory().saturating_sub(before);
    println!("{FLOOD} in {:.1?}: {taken} taken, {refused} refused, {} KiB more memory", began.elapsed(), grown / 1024);
    assert!(refused > FLOOD / 2 && grown < 64 << 20, "{refused} refused, {grown} bytes");
    for _ in 0..taken {
        assert_eq!(receiver.receives().await.body, body);
    }
    receiver.receives_nothing().await;
    assert_eq!(sender.publishes(to(&names.queue("r"), b"after")).await, Outcome::Taken);
    assert_eq!(receiver.receives().await.body, b"after");
}

#[tokio::test]
async fn a_message_of_five_seconds_is_there_before_and_gone_after_them() {
    let broker = Rabbitmq::start().await;
    let names = Names("five");
    let mut node = joined(&broker, names.node("a")).await;
    joined(&broker, names.sharing("k")).await.bus.close().await;
    for (number, pause) in [(1, Duration::ZERO), (2, Duration::from_millis(5_500))] {
        // The queue is there, and nobody reads from it.
        for (body, seconds) in [([number, 0], 5), ([number, 1], 600)] {
            let mut message = to("shared", &body);
            message.properties.expires = Some(Duration::from_secs(seconds));
            assert_eq!(node.publishes(message).await, Outcome::Taken);
        }
        tokio::time::sleep(pause).await;
        let mut reader = joined(&broker, names.sharing("k")).await;
        if pause.is_zero() {
            assert_eq!(reader.receives().await.body, [number, 0]);
        }
        assert_eq!(reader.receives().await.body, [number, 1]);
        reader.receives_nothing().await;
        reader.bus.close().await;
    }
}

#[tokio::test]
async fn a_broker_under_tls_is_known_by_its_authority() {
    let broker = Rabbitmq::start().await;
    let names = Names("tls");
    let url = format!("amqps://{}", broker.tls);
    let with_ca = |ca: Option<&str>, url: &str, node| {
        let options = Options { ca: ca.map(|name| broker.file(name)), ..options(url, names.node(node)) };
        Member::new(AmqpBus::start(options).unwrap())
    };
    let mut node = with_ca(Some("ca.pem"), &url, "a");
    node.is_up().await;
    let body = vec![7; furt_bus::LARGEST_BODY];
    assert_eq!(node.publishes(to(&names.queue("a"), &body)).await, Outcome::Taken);
    assert_eq!(node.receives().await.body, body);
    // The system does not know the authority, the certificate is for another name, the file has none, it is no TLS.
    for (ca, url, expected) in [
        (None, url.clone(), "certificate"),
        (Some("ca.pem"), url.replace("127.0.0.1", "localhost"), "certificate"),
        (Some("env"), url.clone(), "there is none"),
        (Some("none.pem"), url.clone(), "none.pem"),
        (Some("ca.pem"), format!("amqps://{}", broker.address), "amqps://"),
    ] {
        let trouble = with_ca(ca, &url, "b").is_down().await.to_string();
        assert!(trouble.contains(expected), "{url}: {trouble}");
    }
    drop(node);
}

#[tokio::test]
async fn options_that_no_broker_takes_are_refused_at_once() {
    let heartbeat = |heartbeat| Options { heartbeat, ..options("amqp://127.0.0.1:1", Names("bad").node("a")) };
    for bad in [Duration::ZERO, Duration::from_millis(1500), Duration::from_secs(7200)] {
        assert!(matches!(AmqpBus::start(heartbeat(bad)), Err(OptionsError::Heartbeat(_))), "{bad:?}");
    }
    let empty = Topology { queue: String::new(), ..Names("bad").node("a") };
    assert!(matches!(AmqpBus::start(options("amqp://127.0.0.1:1", empty)), Err(OptionsError::Topology(_))));
    // Nobody is there; it is told once, and it is left at once.
    let mut alone = joined_at("amqp://127.0.0.1:1", Names("bad").node("a"));
    assert!(matches!(alone.is_down().await, Trouble::Unreachable(_)));
    alone.bus.close().await;
}
