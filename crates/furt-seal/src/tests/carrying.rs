//! Over a bus: what is sent reaches the queues that the keys of a node lead to.

use furt_bus::{Broker, Bus as _, Event, MemoryBus, Topology};
use furt_cluster::model::NodeName;
use furt_cluster::{Body, Opened, Protect, To};

use super::samples::{beat, given, message, seal};
use crate::{Seal, bindings};

struct Node {
    seal: Seal,
    bus: MemoryBus,
}

fn join(broker: &Broker, number: usize) -> Node {
    let seal = seal(number);
    let name = NodeName::try_new(&format!("edge.{}", number + 1)).unwrap();
    let topology = Topology {
        exchange: "node".to_owned(),
        queue: format!("node.{name}"),
        bindings: bindings(&name, &seal.fingerprint()),
        shared: Vec::new(),
        logs: Vec::new(),
    };
    Node { bus: broker.join(topology).unwrap(), seal }
}

impl Node {
    async fn next(&mut self) -> Opened {
        loop {
            if let Event::Delivered(delivery) = self.bus.event().await {
                self.bus.ack(delivery.receipt);
                return self.seal.open(&delivery).unwrap().0;
            }
        }
    }
}

#[tokio::test]
async fn a_broadcast_reaches_every_node_and_other_messages_one() {
    let broker = Broker::new();
    let mut nodes: Vec<_> = (0..3).map(|number| join(&broker, number)).collect();
    let second = To::Node(nodes[1].seal.fingerprint());
    for (seq, (to, body)) in
        [(To::All, Body::Beat(Box::new(beat()))), (second, Body::RecordsAsked), (To::All, Body::BeatsAsked)]
            .into_iter()
            .enumerate()
    {
        let mut message = message(to, Protect::Signed, body);
        message.seq = seq as u64 + 1;
        let packet = nodes[0].seal.seal(&message).unwrap();
        nodes[0].bus.publish(packet).unwrap();
    }
    let packet = given(&nodes[0].seal);
    nodes[0].bus.publish(packet).unwrap();
    for node in [0, 2] {
        assert_eq!([nodes[node].next().await.seq, nodes[node].next().await.seq], [1, 3]);
    }
    let came = &mut nodes[1];
    assert_eq!([came.next().await.seq, came.next().await.seq, came.next().await.seq], [1, 2, 3]);
    assert!(matches!(came.next().await.body, Body::SecretGiven { .. }));
}

#[test]
fn a_node_binds_its_name_its_key_and_what_is_for_all() {
    let (name, own) = (NodeName::try_new("edge_1.4711").unwrap(), super::samples::fingerprint(0xab));
    let expected =
        ["node.edge_1.4711".to_owned(), format!("node.{}", "ab".repeat(32)), "node.all".into(), "status".into()];
    assert_eq!(bindings(&name, &own), expected);
}
