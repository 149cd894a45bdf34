//! What `furt cluster acl` prints, run as it is at a real RabbitMQ: a node may what a node does, and nothing else.

use std::process::Command;
use std::time::Duration;

use furt_bus::{AmqpBus, Bus as _, Event, Options, Outcome, Password, Topology, Trouble};

use crate::bus::suite::{Member, to};
use crate::foreign::Rabbitmq;

const KEY: &str = "e1d00f3b51c2a9d4e1d00f3b51c2a9d4e1d00f3b51c2a9d4e1d00f3b51c2a9d4";
const OTHER: &str = "00000000000000000000000000000000000000000000000000000000deadbeef";

fn node(broker: &Rabbitmq, name: &str, keys: &[&str]) -> Member<AmqpBus> {
    let topology = Topology {
        exchange: "node".to_owned(),
        queue: format!("node.{name}"),
        bindings: keys.iter().map(|key| (*key).to_owned()).collect(),
        shared: Vec::new(),
        logs: vec!["node.control".to_owned()],
    };
    let options = Options {
        url: format!("amqp://edge-1@{}", broker.address).parse().unwrap(),
        password: Password::text("it's secret"),
        ca: None,
        identity: None,
        name: "a test".to_owned(),
        heartbeat: Duration::from_secs(2),
        topology,
    };
    Member::new(AmqpBus::start(options).unwrap())
}

#[tokio::test]
async fn a_node_has_the_rights_that_it_needs_and_no_other() {
    let broker = Rabbitmq::start().await;
    let arguments = ["cluster", "acl", "--user", "edge-1", "--host", "edge-1.example", "--fingerprint", KEY];
    let printed = Command::new(env!("CARGO_BIN_EXE_furt")).args(arguments).output().unwrap();
    assert!(printed.status.success(), "{printed:?}");
    broker.shell(&String::from_utf8(printed.stdout).unwrap(), "it's secret\n");

    let (name, all) = ("edge-1_example.4711", "node.all");
    let (own, key) = (format!("node.{name}"), format!("node.{KEY}"));
    let mut one = node(&broker, name, &[&own, &key, all, "status"]);
    one.is_up().await;
    for known in [own.as_str(), &key, all, "status"] {
        assert_eq!(one.publishes(to(known, b"x")).await, Outcome::Taken);
        assert_eq!(one.receives().await.key, known);
    }
    let log = |event: &Event| if let Event::Log { result, .. } = event { Some(result.clone()) } else { None };
    assert_eq!(one.sees("whether there is a log", log).await, Ok(()));
    assert_eq!(one.publishes(to("node.control", b"a bid")).await, Outcome::Taken);
    one.bus.read_log("node.control", 0);
    let entry = |event: &Event| if let Event::Logged(entry) = event { Some(entry.message.clone()) } else { None };
    assert_eq!(one.sees("what is in the log", entry).await.unwrap().body, b"a bid");
    one.bus.stop_log("node.control");
    // Nobody is there, but it may say so.
    for other in ["node.edge_2.7".to_owned(), format!("node.{OTHER}")] {
        assert_eq!(one.publishes(to(&other, b"x")).await, Outcome::Unroutable);
    }
    for forbidden in ["vault", "node", "node.all.x", "node.edge_2", "status.x", "xstatus"] {
        let outcome = one.publishes(to(forbidden, b"x")).await;
        assert!(
            matches!(&outcome, Outcome::Refused(why) if why.contains("ACCESS_REFUSED")),
            "{forbidden}: {outcome:?}"
        );
    }
    for tap in ["#", "*", "node.#", "node.*", "node.edge_2.7", &format!("node.{OTHER}"), "status.#"] {
        one.bus.bind(tap);
        let result = |event: &Event| match event {
            Event::Bound { key, result } if key == tap => Some(result.clone()),
            _ => None,
        };
        let result = one.sees("whether it is bound", result).await;
        assert!(result.as_ref().is_err_and(|why| why.contains("ACCESS_REFUSED")), "{tap}: {result:?}");
    }
    for stolen in ["edge_2.7", "edge-1_example", "edge-1_example.1x", "crypt"] {
        let mut thief = node(&broker, stolen, &["status"]);
        let trouble = thief.is_down().await;
        assert!(matches!(&trouble, Trouble::Denied { what, .. } if what.contains(stolen)), "{stolen}: {trouble:?}");
    }
    assert_eq!(one.publishes(to("status", b"y")).await, Outcome::Taken, "none of it ends the node");
}
