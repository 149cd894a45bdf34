//! RabbitMQ, a broker in a folder that exists for one test. Several can be a cluster.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::program::{self, Program};
use crate::support::authority::Authority;
use crate::support::{eventually, ports};

/// For a start, on a machine that builds and tests beside it: 7 s of its processor.
const START: Duration = Duration::from_secs(120);
/// For an end by SIGTERM.
const STOP: Duration = Duration::from_secs(60);
/// What a client says first.
const PROTOCOL: &[u8] = b"AMQP\0\0\x09\x01";

/// Where its packages are unpacked.
fn room() -> PathBuf {
    let erl = program::path("rabbitmq", "erl");
    erl.parent().and_then(std::path::Path::parent).unwrap().to_owned()
}

fn scripts() -> PathBuf {
    room().join("usr/lib/rabbitmq/bin")
}

/// Where brokers of one machine find each other: Erlang's epmd.
pub(super) struct Names {
    at: SocketAddr,
    _program: Program,
    _dir: TempDir,
}

impl Names {
    fn start() -> Self {
        let (at, dir) = (ports::free_address(), TempDir::new().unwrap());
        let mut command = Command::new(program::path("rabbitmq", "epmd"));
        command.args(["-address", "127.0.0.1", "-port", &at.port().to_string()]);
        let program = Program::start(&mut command, &dir.path().join("epmd.log"));
        Self { at, _program: program, _dir: dir }
    }
}

/// The broker. It can be stopped, killed, frozen, and started again with its data and on its ports.
pub(crate) struct Rabbitmq {
    /// Where clients connect to.
    pub(crate) address: SocketAddr,
    /// The same under TLS, with a certificate for 127.0.0.1 of the authority in `ca.pem`.
    pub(crate) tls: SocketAddr,
    distribution: SocketAddr,
    program: Option<Program>,
    /// Features that are switched on instead of all that it knows.
    features: Option<&'static str>,
    /// All that were begun before and itself, where it is one of a cluster.
    cluster: Vec<String>,
    /// After the broker, which leaves its own behind where it finds none.
    names: Arc<Names>,
    dir: TempDir,
}

impl Rabbitmq {
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    /// One whose streams are switched off, as one that was upgraded from an old version has it.
    pub(crate) async fn start_without_streams() -> Self {
        Self::start_with(Some("quorum_queue,implicit_default_bindings")).await
    }

    async fn start_with(features: Option<&'static str>) -> Self {
        let mut broker = Self::new(features, Arc::new(Names::start()), None);
        broker.start_again().await;
        broker
    }

    /// One that will be of the cluster of those that are running.
    pub(super) fn beside(others: &[Self]) -> Self {
        let names = others.first().map_or_else(|| Arc::new(Names::start()), |first| Arc::clone(&first.names));
        Self::new(None, names, Some(others))
    }

    fn new(features: Option<&'static str>, names: Arc<Names>, others: Option<&[Self]>) -> Self {
        let dir = TempDir::new().unwrap();
        let authority = Authority::new();
        let (certificate, key) = authority.signed("127.0.0.1");
        for (name, text) in [("ca.pem", authority.pem()), ("cert.pem", certificate), ("key.pem", key)] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let [address, tls, distribution] = [(); 3].map(|()| ports::free_address());
        let cluster = Vec::new();
        let mut broker = Self { address, tls, distribution, program: None, features, cluster, names, dir };
        if let Some(others) = others {
            broker.cluster = others.iter().chain([&broker]).map(Self::name).collect();
        }
        broker.write_files();
        broker
    }

    /// What other brokers call it.
    pub(super) fn name(&self) -> String {
        format!("at{}@localhost", self.address.port())
    }

    fn write_files(&self) {
        let file = |name: &str| self.dir.path().join(name).display().to_string();
        let mut config = format!(
            "listeners.ssl.1 = {}\nssl_options.cacertfile = {}\nssl_options.certfile = {}\nssl_options.keyfile = {}\n\
             ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = false\n",
            self.tls,
            file("ca.pem"),
            file("cert.pem"),
            file("key.pem")
        );
        if !self.cluster.is_empty() {
            config.push_str("cluster_formation.peer_discovery_backend = classic_config\n");
            config.push_str("cluster_partition_handling = pause_minority\n");
            for (number, name) in (1..).zip(&self.cluster) {
                config.push_str(&format!("cluster_formation.classic_config.nodes.{number} = {name}\n"));
            }
        }
        fs::write(file("rabbitmq.conf"), config).unwrap();
        fs::write(file("plugins"), "[].").unwrap();
        fs::write(file("env"), "").unwrap();
    }

    /// Its url for the user that it has by itself.
    pub(crate) fn url(&self) -> String {
        format!("amqp://{}", self.address)
    }

    /// A file of its folder, such as `ca.pem`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A script of the broker's, with its environment.
    fn command(&self, script: &str) -> Command {
        self.in_its_environment(scripts().join(script))
    }

    /// A program that finds the broker's scripts, and they the broker.
    fn in_its_environment(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let room = room();
        let mut command = Command::new(program);
        let is_foreign = |name: &str| ["RABBITMQ", "ERL", "NOTIFY"].iter().any(|start| name.starts_with(start));
        for (name, _) in std::env::vars().filter(|(name, _)| is_foreign(name)) {
            command.env_remove(name);
        }
        let others = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{}:{others}", scripts().display(), room.join("bin").display());
        let libraries = room.join("usr/lib").join(format!("{}-linux-gnu", std::env::consts::ARCH));
        let of = |name: &str| self.dir.path().join(name);
        command.env("PATH", path).env("LD_LIBRARY_PATH", libraries).env("HOME", self.dir.path());
        for (name, file) in [
            ("CONF_ENV_FILE", "env"),
            ("CONFIG_FILE", "rabbitmq.conf"),
            ("ENABLED_PLUGINS_FILE", "plugins"),
            ("MNESIA_BASE", "data"),
            ("LOG_BASE", "logs"),
            ("PID_FILE", "pid"),
            ("FEATURE_FLAGS_FILE", "features"),
            ("PLUGINS_EXPAND_DIR", "expanded"),
            ("GENERATED_CONFIG_DIR", "generated"),
        ] {
            command.env(format!("RABBITMQ_{name}"), of(file));
        }
        command.env("RABBITMQ_NODENAME", self.name());
        command.env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1");
        command.env("RABBITMQ_NODE_PORT", self.address.port().to_string());
        command.env("RABBITMQ_DIST_PORT", self.distribution.port().to_string());
        command.env("RABBITMQ_LOGS", "-");
        command.env("ERL_EPMD_ADDRESS", "127.0.0.1").env("ERL_EPMD_PORT", self.names.at.port().to_string());
        // Brokers of a cluster notice after 8 s that one of them hangs; by themselves they take a minute.
        let arguments =
            "-kernel inet_dist_use_interface {127,0,0,1} -kernel net_ticktime 8 -setcookie furt +S 1:1 +sbwt none";
        command.env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", arguments);
        command.env("RABBITMQ_CTL_ERL_ARGS", "-setcookie furt");
        command.env("ERL_CRASH_DUMP", self.dir.path().join("erl_crash.dump"));
        if let Some(features) = self.features {
            command.env("RABBITMQ_FEATURE_FLAGS", features);
        }
        // The script becomes the broker instead of waiting for it, so that signals reach that one.
        command.env("RUNNING_UNDER_SYSTEMD", "true");
        command
    }

    /// Starts it on the same data and ports, and waits until it speaks.
    pub(crate) async fn start_again(&mut self) {
        self.begin();
        self.speaks().await;
    }

    /// Starts it on the same data and ports.
    pub(super) fn begin(&mut self) {
        self.program = Some(Program::start(&mut self.command("rabbitmq-server"), &self.dir.path().join("log")));
    }

    /// Waits until it takes connections.
    pub(super) async fn speaks(&mut self) {
        eventually("the broker speaks", START, async || {
            let program = self.program.as_mut().unwrap();
            assert!(!program.has_ended(), "the broker ended at its start");
            let mut socket = TcpStream::connect(self.address).await.ok()?;
            socket.write_all(PROTOCOL).await.ok()?;
            let answer = tokio::time::timeout(Duration::from_secs(5), socket.read_u8()).await;
            answer.is_ok_and(|byte| byte.is_ok()).then_some(())
        })
        .await;
    }

    /// SIGTERM, and waits for the end.
    pub(crate) async fn stop(&mut self) {
        let mut program = self.program.take().unwrap();
        program.signal("TERM");
        eventually("the broker ends", STOP, async || program.has_ended().then_some(())).await;
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill(&mut self) {
        self.program = None;
    }

    /// SIGSTOP: it holds its connections and says nothing.
    pub(crate) fn freeze(&self) {
        self.program.as_ref().unwrap().freeze();
    }

    /// SIGCONT.
    pub(crate) fn thaw(&self) {
        self.program.as_ref().unwrap().signal("CONT");
    }

    /// What `rabbitmqctl` says; it must succeed.
    pub(crate) fn ctl(&self, arguments: &[&str]) -> String {
        self.try_ctl(arguments).unwrap_or_else(|why| panic!("{arguments:?}: {why}"))
    }

    /// The same, where it may fail.
    pub(crate) fn try_ctl(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self.command("rabbitmqctl").arg("--quiet").args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        match output.status.success() {
            true => Ok(said),
            false => Err(said + &String::from_utf8_lossy(&output.stderr)),
        }
    }

    /// Runs a script that calls `rabbitmqctl`, as an operator would paste it; what it asks for is `given`.
    pub(crate) fn shell(&self, script: &str, given: &str) {
        let mut command = self.in_its_environment("sh");
        command.args(["-e", "-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut shell = command.spawn().unwrap();
        shell.stdin.take().unwrap().write_all(given.as_bytes()).unwrap();
        let output = shell.wait_with_output().unwrap();
        assert!(output.status.success(), "{script}\n{output:?}");
    }

    /// A user with these rights in the virtual host `/`: to configure, to write, to read.
    pub(crate) fn add_user(&self, name: &str, password: &str, rights: [&str; 3]) {
        self.ctl(&["add_user", name, password]);
        let [configure, write, read] = rights;
        self.ctl(&["set_permissions", "-p", "/", name, configure, write, read]);
    }

    /// Which keys of an exchange it may send to, and which it may bind.
    pub(crate) fn allow_topics(&self, name: &str, exchange: &str, write: &str, read: &str) {
        self.ctl(&["set_topic_permissions", "-p", "/", name, exchange, write, read]);
    }
}
