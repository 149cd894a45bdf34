//! A cluster of three RabbitMQ brokers, and a balancer before them, which leads each connection to another one.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::Rabbitmq;
use crate::support::{eventually, ports};

/// For the last broker to be known to the others.
const JOINED: Duration = Duration::from_secs(60);

/// The brokers.
pub(crate) struct Brokers(pub(crate) [Rabbitmq; 3]);

impl Brokers {
    pub(crate) async fn start() -> Self {
        let mut first = Rabbitmq::beside(&[]);
        first.start_again().await;
        let second = Rabbitmq::beside(std::slice::from_ref(&first));
        let mut brokers = vec![first, second];
        brokers.push(Rabbitmq::beside(&brokers));
        // They find the first one: two without it could each found a cluster of its own.
        brokers[1..].iter_mut().for_each(Rabbitmq::begin);
        for broker in &mut brokers[1..] {
            broker.speaks().await;
        }
        let Ok(brokers) = brokers.try_into() else { unreachable!("there are three") };
        let brokers = Self(brokers);
        brokers.are_together().await;
        brokers
    }

    /// Waits until each of them says that all three run.
    pub(crate) async fn are_together(&self) {
        for broker in &self.0 {
            eventually("three brokers are a cluster", JOINED, async || {
                // One that was cut off has paused itself, and says nothing until it goes on.
                let said = broker.try_ctl(&["cluster_status", "--formatter", "json"]).ok()?;
                let status: Value = serde_json::from_str(&said).ok()?;
                (status["running_nodes"].as_array()?.len() == 3).then_some(())
            })
            .await;
        }
    }

    /// Ends the connections of one broker to the others, and lets none be made: it takes another cookie for theirs than they have.
    pub(crate) fn cut_off(&self, number: usize) {
        self.set_cookies(number, "other");
    }

    /// Undoes [`Self::cut_off`].
    pub(crate) fn heal(&self, number: usize) {
        self.set_cookies(number, "furt");
    }

    /// At once: brokers that lose each other one after the other judge each other otherwise.
    fn set_cookies(&self, number: usize, cookie: &str) {
        let one = &self.0[number];
        let others = self.0.iter().filter(|other| other.address != one.address);
        let names: Vec<_> = others.map(|other| format!("'{}'", other.name())).collect();
        one.ctl(&[
            "eval",
            &format!(
                "[begin erlang:set_cookie(Name, {cookie}), erlang:disconnect_node(Name) end || Name <- [{}]].",
                names.join(", ")
            ),
        ]);
    }

    /// Which of them leads a stream, as the first one knows it.
    pub(crate) fn leader_of(&self, stream: &str) -> Option<usize> {
        let said = self.0[0].ctl(&["list_queues", "--no-table-headers", "name", "leader"]);
        let line = said.lines().find(|line| line.split('\t').next() == Some(stream))?.to_owned();
        self.0.iter().position(|broker| line.contains(&broker.name()))
    }
}

/// One address that leads to the brokers in turns, but for those that take no connections.
pub(crate) struct Balancer {
    pub(crate) address: SocketAddr,
    /// Where the latest connection led to.
    led_to: Arc<Mutex<Option<SocketAddr>>>,
    task: JoinHandle<()>,
}

impl Balancer {
    /// Leads to the broker of that number at first, and to the one after it next.
    pub(crate) fn beginning_at(number: usize, brokers: &Brokers) -> Self {
        let mut servers: Vec<_> = brokers.0.iter().map(|broker| broker.address).collect();
        servers.rotate_left(number);
        let (listener, _) = ports::service();
        let (address, led_to) = (listener.local_addr().unwrap(), Arc::default());
        let task = tokio::spawn(accept(listener, servers, Arc::clone(&led_to)));
        Self { address, led_to, task }
    }

    /// The number of the broker that the latest connection led to.
    pub(crate) fn leads_to(&self, brokers: &Brokers) -> Option<usize> {
        let led_to = (*self.led_to.lock().unwrap())?;
        brokers.0.iter().position(|broker| broker.address == led_to)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, mut servers: Vec<SocketAddr>, led_to: Arc<Mutex<Option<SocketAddr>>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((client, _)) = listener.accept() => {
                connections.spawn(connection(client, servers.clone(), Arc::clone(&led_to)));
                servers.rotate_left(1);
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(mut client: TcpStream, servers: Vec<SocketAddr>, led_to: Arc<Mutex<Option<SocketAddr>>>) {
    for address in servers {
        let Ok(mut server) = TcpStream::connect(address).await else { continue };
        *led_to.lock().unwrap() = Some(address);
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        // An end of either side is the end of both.
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        return;
    }
}
