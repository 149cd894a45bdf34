//! One member of etcd.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::program::{self, Program};
use crate::support::gateway::client_from;
use crate::support::ports;

/// A member that is frozen or gone does not answer; nobody waits for it.
const PATIENCE: Duration = Duration::from_millis(500);

/// The member. It can be killed, frozen, and started again with its data and on its ports.
pub(crate) struct Member {
    pub(super) name: String,
    /// Where clients connect to.
    pub(crate) client: SocketAddr,
    pub(super) peer: SocketAddr,
    /// Health and metrics, without TLS and rights.
    metrics: SocketAddr,
    dir: PathBuf,
    flags: Vec<String>,
    program: Option<Program>,
}

impl Member {
    pub(super) fn new(name: String, dir: PathBuf) -> Self {
        let [client, peer, metrics] = [(); 3].map(|()| ports::free_address());
        std::fs::create_dir_all(&dir).unwrap();
        Self { name, client, peer, metrics, dir, flags: Vec::new(), program: None }
    }

    pub(super) fn has_port_clash(&self) -> bool {
        self.client == self.peer || self.client == self.metrics || self.peer == self.metrics
    }

    /// With what it is started from now on, beside its name, addresses and folder.
    pub(super) fn set_flags(&mut self, flags: Vec<String>) {
        self.flags = flags;
    }

    pub(super) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Starts it, or starts it again.
    pub(crate) fn start(&mut self) {
        let mut command = Command::new(program::path("etcd", "etcd"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ETCD")) {
            command.env_remove(name);
        }
        command.args(["--logger", "zap", "--log-level", "warn", "--name", &self.name]);
        command.arg("--data-dir").arg(self.data());
        command.args(["--listen-metrics-urls", &format!("http://{}", self.metrics)]);
        command.args(&self.flags);
        self.program = Some(Program::start(&mut command, &self.dir.join("log")));
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill(&mut self) {
        self.program = None;
    }

    /// SIGSTOP: it holds its connections and says nothing.
    pub(crate) fn freeze(&self) {
        self.running().signal("STOP");
    }

    /// SIGCONT.
    pub(crate) fn thaw(&self) {
        self.running().signal("CONT");
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.running().id()
    }

    fn running(&self) -> &Program {
        self.program.as_ref().expect("a running member")
    }

    pub(crate) fn is_running(&self) -> bool {
        self.program.is_some()
    }

    /// `true` where another process had one of its ports.
    pub(super) fn failed_for_a_port(&mut self) -> bool {
        let Some(program) = &mut self.program else { return false };
        if !program.has_ended() {
            return false;
        }
        let log = program.log();
        assert!(log.contains("address already in use"), "{} ended at its start\n{log}", self.name);
        true
    }

    async fn page(&self, path: &str) -> Option<String> {
        let url = format!("http://{}{path}", self.metrics);
        let answer = client_from(None).get(url).timeout(PATIENCE).send().await.ok()?;
        answer.text().await.ok()
    }

    /// Whether it can serve: it knows a leader and reads through it.
    pub(super) async fn is_healthy(&self) -> bool {
        self.program.is_some() && self.page("/health").await.is_some_and(|body| body.contains("\"true\""))
    }

    /// One of its metrics; `None` where it does not answer, or has none of that name.
    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        let page = self.page("/metrics").await?;
        page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }
}
