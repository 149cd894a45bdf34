//! The demo's services: all instances together, from their start to the end of the last one.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};

use super::client::{agent, send};
use super::guide::{Member, Team};
use super::handlers;
use super::instance::Instance;
use super::joining::{Joining, Way};

/// The services, and how each joins.
const SERVICES: [(&str, Way); 2] = [("orders", Way::Routes), ("stock", Way::Heartbeats)];
/// Instances of each.
const EACH: usize = 3;
/// Of all.
pub(super) const INSTANCES: usize = SERVICES.len() * EACH;
/// How long the end may take: deregistering and the last requests have their own limits, and this is above both.
const LEAVING: Duration = Duration::from_secs(4);
/// Between two looks at whether the gateway is ready, and for one of them.
const LOOK: Duration = Duration::from_millis(20);
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);

/// All instances.
pub(super) struct Fleet {
    instances: Vec<Arc<Instance>>,
    lives: Mutex<JoinSet<()>>,
    stop: watch::Sender<bool>,
}

impl Fleet {
    /// Starts an instance on each of these ports; they register as soon as there is a gateway at `internal`.
    ///
    /// # Errors
    /// A port cannot be used.
    pub(super) fn start(runtime: &Runtime, internal: SocketAddr, ports: Vec<TcpListener>) -> Result<Self> {
        let stop = watch::Sender::new(false);
        let (mut instances, mut lives) = (Vec::new(), JoinSet::new());
        let names = SERVICES.iter().flat_map(|(service, way)| (1..=EACH).map(move |number| (*service, *way, number)));
        for ((service, way, number), port) in names.zip(ports) {
            port.set_nonblocking(true)?;
            let joining = Joining::new(way, service, number, port.local_addr()?, internal);
            let instance = Arc::new(Instance::new(joining));
            instances.push(Arc::clone(&instance));
            let (router, stop) = (handlers::router(Arc::clone(&instance)), stop.subscribe());
            lives.spawn_on(
                async move {
                    if let Err(error) = Arc::clone(&instance).live(port, router, stop).await {
                        log::error!("{} has ended: {error:#}", instance.id());
                    }
                },
                runtime.handle(),
            );
        }
        Ok(Self { instances, lives: Mutex::new(lives), stop })
    }

    /// Who is where, by service.
    pub(super) fn teams(&self) -> Vec<Team> {
        let team = |(service, way): &(&'static str, Way)| Team {
            service,
            way: *way,
            members: self.instances.iter().filter(|one| one.service() == *service).map(|one| member(one)).collect(),
        };
        SERVICES.iter().map(team).collect()
    }

    /// Waits until the gateway at `internal` takes requests and has registered every instance.
    pub(super) async fn joined(&self, internal: SocketAddr) {
        for instance in &self.instances {
            instance.registered().await;
        }
        let (agent, url) = (agent(LOOK_TIMEOUT), format!("http://{internal}/readyz"));
        loop {
            let (agent, url) = (agent.clone(), url.clone());
            let look = spawn_blocking(move || send(&agent, "GET", &url, &[], String::new()));
            if matches!(look.await, Ok(Ok((200, _)))) {
                return;
            }
            sleep(LOOK).await;
        }
    }

    /// Lets every instance deregister and end; whoever asks as well waits for the same.
    pub(super) async fn leave(&self) {
        self.stop.send_replace(true);
        let mut lives = self.lives.lock().await;
        let all_left = async { while lives.join_next().await.is_some() {} };
        if timeout(LEAVING, all_left).await.is_err() {
            log::warn!("not all instances have ended within {} s", LEAVING.as_secs());
        }
        lives.abort_all();
    }
}

fn member(instance: &Instance) -> Member {
    Member { id: instance.id().to_owned(), address: instance.address() }
}
