//! Three nodes over a cluster of three brokers: one of them dies, the others go on, and it comes back.

use super::*;
use crate::foreign::brokers::{Balancer, Brokers};

/// The arbiter's log.
const LOG: &str = "node.control";

struct Three {
    nodes: Vec<Gateway>,
    /// One for each node: it begins with the broker of the node's number.
    balancers: Vec<Balancer>,
    brokers: Brokers,
    /// Of the secret and of the settings, in force.
    generations: [u64; 2],
    _folder: TempDir,
}

impl Three {
    async fn start() -> Self {
        let (brokers, folder) = (Brokers::start().await, tempfile::tempdir().unwrap());
        let balancers: Vec<_> = (0..3).map(|number| Balancer::beginning_at(number, &brokers)).collect();
        let mut nodes = Vec::new();
        for (name, balancer) in ["one", "two", "three"].into_iter().zip(&balancers) {
            let state = folder.path().join(name);
            let files = format!("state = '{}'\npassword_file = '{}'", state.display(), password(&state).display());
            let more = format!("{files}\nsettings = ['limits.*']");
            nodes.push(Gateway::start(&tail(&format!("amqp://{}", balancer.address), name, &more)).await);
        }
        succeeds(&nodes[0], &["cluster", "init"]).await;
        let token = folder.path().join("token");
        std::fs::write(&token, succeeds(&nodes[0], &["cluster", "token", "--uses", "2"]).await).unwrap();
        for node in &nodes[1..] {
            succeeds(node, &["cluster", "join", "--token-file", token.to_str().unwrap()]).await;
        }
        let mut three = Self { nodes, balancers, brokers, generations: [1, 0], _folder: folder };
        three.go_on(None).await;
        three
    }

    /// All nodes are connected to brokers but `dead` and hear each other; a secret and settings are given, to all, and nothing is wrong.
    async fn go_on(&mut self, dead: Option<usize>) {
        let began = Instant::now();
        for (node, balancer) in self.nodes.iter().zip(&self.balancers) {
            eventually("the node is connected", PATIENCE, async || {
                let is_elsewhere = dead.is_none() || balancer.leads_to(&self.brokers) != dead;
                (is_elsewhere && cluster(node).await["link"]["status"] == "up").then_some(())
            })
            .await;
            agrees(node, 3).await;
        }
        let connected = began.elapsed();
        succeeds(&self.nodes[0], &["secret", "rotate"]).await;
        let rotated = began.elapsed();
        let size = format!("limits.max_body={}", 1_000_000 + self.generations[1]);
        let said = succeeds(&self.nodes[0], &["settings", "set", &size, "--to", "all"]).await;
        assert_eq!(said.matches(": success").count(), 3, "{said}");
        println!("connected after {connected:.1?}, rotated after {rotated:.1?}, set after {:.1?}", began.elapsed());
        // One more each: none is passed over, and none is given twice.
        self.generations = self.generations.map(|generation| generation + 1);
        for node in &self.nodes {
            let told = eventually("secret and settings are in force and nothing is wrong", PATIENCE, async || {
                let cluster = cluster(node).await;
                let settings = cluster["settings"].as_array()?.iter().find(|one| one["node"].is_null())?.clone();
                let issues = cluster["issues"].as_array()?.clone();
                let generations = [&cluster["secret"]["active"], &settings].map(|id| id["generation"].as_u64());
                (generations == self.generations.map(Some) && issues.is_empty()).then_some(cluster)
            })
            .await;
            let members = told["members"].as_array().unwrap();
            assert!(members.iter().all(|member| member["state"] == "active"), "{told}");
        }
    }
}

/// What becomes of a broker, and how it comes back.
enum Loss {
    Killed,
    /// It holds its connections and says nothing, to nodes and to the other brokers.
    Frozen,
    /// From the other brokers.
    CutOff,
}

/// Loses a broker, and has it back.
async fn outlive(loss: Loss, choose: impl Fn(&Three) -> usize) {
    let mut three = Three::start().await;
    let lost = choose(&three);
    match loss {
        Loss::Killed => three.brokers.0[lost].kill(),
        Loss::Frozen => three.brokers.0[lost].freeze(),
        Loss::CutOff => three.brokers.cut_off(lost),
    }
    three.go_on(Some(lost)).await;
    match loss {
        Loss::CutOff => three.brokers.heal(lost),
        // One that hung does not join the others again by itself: its operator starts it anew.
        Loss::Killed | Loss::Frozen => {
            three.brokers.0[lost].kill();
            three.brokers.0[lost].start_again().await;
        }
    }
    three.brokers.are_together().await;
    three.go_on(None).await;
}

fn leader(three: &Three) -> usize {
    three.brokers.leader_of(LOG).unwrap()
}

#[tokio::test]
async fn a_broker_that_a_node_is_connected_to_is_killed_and_comes_back() {
    outlive(Loss::Killed, |three| (leader(three) + 1) % 3).await;
}

#[tokio::test]
async fn the_broker_that_leads_the_arbiter_s_log_is_killed_and_comes_back() {
    outlive(Loss::Killed, leader).await;
}

#[tokio::test]
async fn the_broker_that_leads_the_arbiter_s_log_freezes_and_is_started_again() {
    outlive(Loss::Frozen, leader).await;
}

#[tokio::test]
async fn the_broker_that_leads_the_arbiter_s_log_is_cut_off_from_the_others() {
    outlive(Loss::CutOff, leader).await;
}
