//! Logs on a real RabbitMQ: bids of nodes while it is stopped, killed and frozen, strangers and floods in a log, and brokers that have no
//! log to give.

use std::time::{Duration, Instant};

use furt_bus::{
    AmqpBus, Bus as _, Discard, Event, Options, Outcome, Outgoing, Password, ReadingEnd, Topology, Trouble,
};

use super::suite::{Member, Names, PATIENCE, to};
use super::{HEARTBEAT, joined, joined_at, memory, options};
use crate::foreign::Rabbitmq;
use crate::foreign::stranger::{Strange, Stranger, nested_arrays, nested_tables};

async fn logging(broker: &Rabbitmq, topology: Topology) -> Member<AmqpBus> {
    let mut member = joined(broker, topology).await;
    member.has_log().await;
    member
}

fn bid(body: &[u8]) -> Outgoing {
    Outgoing { body: body.to_vec(), ..Outgoing::default() }
}

/// What became of the log, told last.
fn of_log(event: &Event) -> Option<Result<(), String>> {
    match event {
        Event::Log { result, .. } => Some(result.clone()),
        _ => None,
    }
}

/// Appends until the broker answers for it, over as many connections as it takes.
async fn bids(member: &mut Member<AmqpBus>, log: &str, body: &[u8]) {
    let until = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < until, "nobody takes it");
        match member.bus.append(log, bid(body)) {
            Ok(ticket) if member.outcome(ticket).await == Outcome::Taken => return,
            Ok(_) => {}
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Reads a log as [`Member::reads_up_to`], over as many connections as it takes.
async fn finds(member: &mut Member<AmqpBus>, log: &str, last: &[u8]) -> Vec<Vec<u8>> {
    let until = Instant::now() + PATIENCE;
    loop {
        match member.reads_up_to(log, 0, last).await {
            Ok(bodies) => return bodies,
            Err(why @ ReadingEnd::Trimmed { .. }) => panic!("{why}"),
            Err(ReadingEnd::Failed(why)) => assert!(Instant::now() < until, "{why}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn bids_are_decided_the_same_whatever_becomes_of_the_broker() {
    let mut broker = Rabbitmq::start().await;
    let names = Names("bids");
    let log = names.log();
    let (mut one, mut other) = (logging(&broker, names.logging("a")).await, logging(&broker, names.logging("b")).await);
    // A broker of this version forgets its first stream if it is killed within half a second of making it.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut known: Vec<Vec<u8>> = Vec::new();
    for generation in 0..3_u8 {
        // Both bid at once, and it dies meanwhile; at first no orderly stop was before.
        let under_way: Vec<_> = (0..20)
            .filter_map(|_| {
                Some((one.bus.append(&log, bid(b"noise")).ok()?, other.bus.append(&log, bid(b"noise")).ok()?))
            })
            .collect();
        if generation == 1 {
            broker.stop().await;
        } else {
            broker.kill();
        }
        for (ours, theirs) in under_way {
            one.outcome(ours).await;
            other.outcome(theirs).await;
        }
        broker.start_again().await;
        let [ours, theirs] = [1, 2].map(|node| [generation, node]);
        tokio::join!(bids(&mut one, &log, &ours), bids(&mut other, &log, &theirs));
        let mut all = Vec::new();
        for (member, own) in [(&mut one, ours), (&mut other, theirs)] {
            let bodies = finds(member, &log, &own).await;
            all.push(bodies.iter().find(|body| body.len() == 2 && body[0] == generation).cloned());
            // What was read before is there, in its order.
            assert_eq!(bodies[..known.len()], known);
        }
        assert_eq!(all[0], all[1]);
        known = finds(&mut one, &log, &ours).await;
    }
}

#[tokio::test]
async fn a_reading_ends_with_a_frozen_broker_and_can_be_begun_again() {
    let broker = Rabbitmq::start().await;
    let names = Names("frozen-log");
    let log = names.log();
    let mut node = logging(&broker, names.logging("a")).await;
    node.appends(&log, b"before").await;
    node.bus.read_log(&log, 0);
    assert_eq!(node.reads().await.unwrap().message.unwrap().body, b"before");
    broker.freeze();
    let frozen = Instant::now();
    let ticket = node.bus.append(&log, bid(b"meanwhile")).unwrap();
    assert!(matches!(node.reads().await, Err(ReadingEnd::Failed(why)) if why.contains("lost")));
    assert!(frozen.elapsed() >= HEARTBEAT);
    assert_eq!(node.outcome(ticket).await, Outcome::Unknown);
    node.bus.read_log(&log, 0);
    assert!(matches!(node.reads().await, Err(ReadingEnd::Failed(why)) if why.contains("no connection")));
    broker.thaw();
    bids(&mut node, &log, b"after").await;
    // The one of which nobody knew is there or not, and for everybody the same.
    let bodies = finds(&mut node, &log, b"after").await;
    assert_eq!((&bodies[0][..], bodies.last().map(|body| &body[..])), (&b"before"[..], Some(&b"after"[..])));
    let mut other = logging(&broker, names.logging("b")).await;
    assert_eq!(finds(&mut other, &log, b"after").await, bodies);
}

#[tokio::test]
async fn what_strangers_append_is_passed_over_and_moves_nothing() {
    let broker = Rabbitmq::start().await;
    let names = Names("strange-log");
    let log = names.log();
    let (mut one, mut other) = (logging(&broker, names.logging("a")).await, logging(&broker, names.logging("b")).await);
    one.appends(&log, b"first").await;
    let mut stranger = Stranger::connect(broker.address).await;
    let key = || log.clone().into_bytes();
    let offset = |number: u8| [b"\x0fx-stream-offsetl\0\0\0\0\0\0\0", &[number][..]].concat();
    for headers in [
        b"\x01\xffV".to_vec(),
        b"\x01aS\0\0\0\x02\xff\xfe".to_vec(),
        (0..100).flat_map(|name| [1, name, b'V']).collect(),
        nested_tables(2_500),
        nested_tables(20_000),
        nested_arrays(20_000),
        offset(0),
        [offset(0), offset(90)].concat(),
        [offset(90), b"\x01aV".to_vec(), offset(0)].concat(),
    ] {
        stranger.publish("strange-log", &Strange { key: key(), headers: Some(headers), ..Strange::default() }).await;
    }
    for strange in [
        stranger.full_frame(log.as_bytes()),
        Strange { key: key(), content_type: Some(b"\xff".to_vec()), ..Strange::default() },
        Strange { key: key(), body: vec![0; 10_000_000], ..Strange::default() },
        Strange { key: key(), body: b"last".to_vec(), ..Strange::default() },
    ] {
        stranger.publish("strange-log", &strange).await;
    }
    stranger.is_heard().await;
    one.appends(&log, b"own").await;
    let mut seen = Vec::new();
    for member in [&mut one, &mut other] {
        member.bus.read_log(&log, 0);
        let mut entries = Vec::new();
        loop {
            let entry = member.reads().await.unwrap();
            let is_last = entry.message.as_ref().is_ok_and(|message| message.body == b"own");
            entries.push((entry.offset, entry.message.map(|message| message.body)));
            if is_last {
                break;
            }
        }
        member.bus.stop_log(&log);
        seen.push(entries);
    }
    assert_eq!(seen[0], seen[1]);
    let [entries, _] = &seen[..] else { panic!() };
    println!("{entries:?}");
    assert!(entries.windows(2).all(|two| two[0].0 < two[1].0), "{entries:?}");
    assert_eq!(entries[0], (0, Ok(b"first".to_vec())));
    assert!(entries.contains(&(entries[entries.len() - 2].0, Ok(b"last".to_vec()))));
    assert!(entries.iter().any(|(_, body)| matches!(body, Err(Discard::TooLarge(10_000_000)))), "{entries:?}");
    assert!(entries.iter().any(|(_, body)| matches!(body, Err(Discard::Unreadable(_)))), "{entries:?}");
    // Nobody has lost the connection over it.
    for member in [&mut one, &mut other] {
        member.receives_nothing().await;
        assert!(member.bus.is_up());
        assert_eq!(member.publishes(to(&names.queue("a"), b"x")).await, Outcome::Taken);
    }
}

#[tokio::test]
async fn a_flood_in_a_log_makes_a_bid_slow_and_takes_no_memory() {
    const FLOOD: usize = 20_000;
    let broker = Rabbitmq::start().await;
    let names = Names("flooded-log");
    let log = names.log();
    let (mut flooder, mut node) = (joined(&broker, names.node("s")).await, logging(&broker, names.logging("a")).await);
    node.appends(&log, b"first").await;
    let mut waiting = Vec::new();
    for number in 0..FLOOD {
        waiting.push(flooder.bus.publish(to(&log, &[7; 1000])).unwrap());
        if waiting.len() == 200 || number == FLOOD - 1 {
            for ticket in waiting.drain(..) {
                assert_eq!(flooder.outcome(ticket).await, Outcome::Taken);
            }
        }
    }
    let (before, began) = (memory(), Instant::now());
    node.appends(&log, b"own").await;
    node.bus.read_log(&log, 0);
    // One who takes nothing has no more of it than is sent ahead.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let grown = memory().saturating_sub(before);
    let mut read = 0;
    while node.reads().await.unwrap().message.unwrap().body != b"own" {
        read += 1;
    }
    node.bus.stop_log(&log);
    println!("{read} entries before the own one in {:.1?}, {} KiB more memory", began.elapsed(), grown / 1024);
    assert!(read == FLOOD + 1 && grown < 16 << 20, "{read} read, {grown} bytes");
}

#[tokio::test]
async fn a_broker_without_streams_refuses_the_log_and_nothing_else() {
    let mut broker = Rabbitmq::start_without_streams().await;
    let names = Names("no-streams");
    let log = names.log();
    let topology = |node| Topology { logs: vec![names.log()], ..names.sharing(node) };
    let mut node = joined_at(&broker.url(), topology("a"));
    let refused = node.sees("the log is refused", of_log).await.unwrap_err();
    assert!(refused.contains("feature flag is disabled"), "{refused}");
    node.is_sharing().await;
    for key in [&names.queue("a"), "shared"] {
        assert_eq!(node.publishes(to(key, b"x")).await, Outcome::Taken);
        assert_eq!(node.receives().await.key, *key);
    }
    let ticket = node.bus.append(&log, bid(b"x")).unwrap();
    assert_eq!(node.outcome(ticket).await, Outcome::Unroutable);
    node.bus.read_log(&log, 0);
    assert_eq!(node.reads().await, Err(ReadingEnd::Failed(refused)));
    // The broker ended one connection over it, and no more than that.
    let is_lost =
        |event: &Event| matches!(event, Event::Down(Trouble::Lost(why)) if why.contains("feature flag")).then_some(());
    node.sees("one connection is lost", is_lost).await;
    node.receives_nothing().await;
    assert!(node.bus.is_up());
    assert_eq!(node.publishes(to("shared", b"y")).await, Outcome::Taken);
    assert_eq!(node.receives().await.body, b"y");
    // It is there once its operator has switched them on, at the latest with the connection after the next.
    broker.ctl(&["enable_feature_flag", "stream_queue"]);
    broker.stop().await;
    broker.start_again().await;
    let until = Instant::now() + PATIENCE;
    while node.sees("what becomes of the log", of_log).await.is_err() {
        assert!(Instant::now() < until);
    }
    bids(&mut node, &log, b"z").await;
    assert_eq!(finds(&mut node, &log, b"z").await, [b"z"]);
}

#[tokio::test]
async fn rights_and_names_that_are_in_the_way_of_a_log_are_told() {
    let broker = Rabbitmq::start().await;
    let names = Names("strict-log");
    let log = names.log();
    let mut first = logging(&broker, names.logging("b")).await;
    let as_user = |name: &str, topology| {
        let url = format!("amqp://{name}@{}", broker.address);
        Member::new(AmqpBus::start(Options { password: Password::text("secret"), ..options(&url, topology) }).unwrap())
    };
    // One may not make it, and one may not even read it.
    let own = "^strict-log\\.(a|c)$";
    broker.add_user("edge", "secret", [own, "^strict-log(\\..*)?$", "^strict-log(\\..*)?$"]);
    broker.add_user("tap", "secret", [own, "^strict-log(\\..*)?$", "^strict-log(\\.c)?$"]);
    let mut edge = as_user("edge", names.logging("a"));
    edge.has_log().await;
    edge.appends(&log, b"x").await;
    assert_eq!(edge.reads_up_to(&log, 0, b"x").await.unwrap(), [b"x"]);
    let mut tap = as_user("tap", names.logging("c"));
    tap.is_up().await;
    tap.bus.read_log(&log, 0);
    let refused = tap.reads().await;
    assert!(matches!(&refused, Err(ReadingEnd::Failed(why)) if why.contains("ACCESS_REFUSED")), "{refused:?}");
    assert_eq!(tap.publishes(to(&names.queue("c"), b"y")).await, Outcome::Taken);
    assert_eq!(tap.receives().await.body, b"y");

    // The name is another kind of queue's: nobody reads what is no log.
    let shared = names.queue("of-all");
    let keeper = joined(&broker, names.sharing("k")).await;
    let mut node = joined(&broker, Topology { logs: vec![shared.clone()], ..names.node("d") }).await;
    let refused = node.sees("what becomes of the log", of_log).await;
    assert!(refused.as_ref().is_err_and(|why| why.contains("PRECONDITION_FAILED")), "{refused:?}");
    node.bus.read_log(&shared, 0);
    assert!(matches!(node.reads().await, Err(ReadingEnd::Failed(why)) if why.contains("PRECONDITION_FAILED")));
    drop(keeper);
    // One that is deleted while it is read.
    first.bus.read_log(&log, 0);
    first.reads().await.unwrap();
    broker.ctl(&["delete_queue", &log]);
    assert!(matches!(first.reads().await, Err(ReadingEnd::Failed(why)) if why.contains("gone")));
    bids(&mut first, &log, b"anew").await;
    assert_eq!(finds(&mut first, &log, b"anew").await, [b"anew"]);
}
