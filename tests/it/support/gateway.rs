//! furt as a process: a configuration in a directory of its own, free ports, captured output, never left behind.
//!
//! [`Gateway::start`] lays the test's own TOML over [`base`], whose numbers are small, so that what takes minutes in
//! production is seen within a second. It returns once `/readyz` is 200. Dropping it kills the process; a test that
//! fails shows its log.

use std::fs::{self, File, Permissions};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use furt_core::model::Sha256Digest;
use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;

use super::{ADMIN, Answer, READER, SOON, WRITER, eventually, ports};

/// How long a start may take, on a machine that builds and tests beside it.
const START: Duration = Duration::from_secs(10);
/// Two processes that pick the same of 22,000 ports more often than this are no chance.
const MOST_STARTS: usize = 5;

/// A running furt.
pub(crate) struct Gateway {
    /// Its public listener.
    pub(crate) public: SocketAddr,
    /// Its internal listener.
    pub(crate) internal: SocketAddr,
    /// Its configuration file.
    pub(crate) config: PathBuf,
    program: PathBuf,
    child: Option<Child>,
    /// The processes that have taken over, the last one last.
    successors: Vec<u32>,
    client: reqwest::Client,
    /// What a shell does before it becomes furt.
    before: Option<&'static str>,
    dir: TempDir,
}

/// The configuration under every test.
fn base(public: SocketAddr, internal: SocketAddr) -> String {
    let sha256 = |key: &str| Sha256Digest::of(key.as_bytes());
    format!(
        r#"
        [server]
        listen = ["{public}"]
        grace = "2s"
        threads = 2
        [internal]
        listen = "{internal}"
        [gateway]
        health_check_interval = "200ms"
        health_check_interval_down = "400ms"
        health_check_timeout = "300ms"
        [store]
        kind = "memory"
        [[api_keys]]
        name = "reader"
        sha256 = "{}"
        permissions = ["comments:read"]
        [[api_keys]]
        name = "writer"
        sha256 = "{}"
        permissions = ["comments:read", "comments:write"]
        [[api_keys]]
        name = "admin"
        sha256 = "{}"
        permissions = ["*"]
        "#,
        sha256(READER),
        sha256(WRITER),
        sha256(ADMIN)
    )
}

/// `over` on top of `under`: tables key by key, arrays of tables one after the other, everything else replaced.
fn lay_over(under: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(toml::Value::Table(under)), toml::Value::Table(over)) => lay_over(under, over),
            (Some(toml::Value::Array(under)), toml::Value::Array(over)) if over.iter().any(toml::Value::is_table) => {
                under.extend(over);
            }
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

/// The configuration of a gateway with `tail` over the base. `{internal}` in it is the internal listener's address.
fn whole(public: SocketAddr, internal: SocketAddr, tail: &str) -> String {
    let mut table: toml::Table = base(public, internal).parse().unwrap();
    let tail = tail.replace("{internal}", &internal.to_string());
    lay_over(&mut table, tail.parse().expect("the test's own TOML"));
    table.to_string()
}

/// The client that tests use: no proxy of the environment, no redirects, a bound on everything.
pub(crate) fn client_from(source: Option<IpAddr>) -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .local_address(source)
        .timeout(Duration::from_secs(30))
        .build()
        .unwrap()
}

/// `furt` with `arguments`, in an environment that configures nothing.
pub(crate) fn furt(arguments: &[&str]) -> Command {
    furt_at(Path::new(env!("CARGO_BIN_EXE_furt")), arguments)
}

fn furt_at(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    let configuring = |name: &str| ["FURT_", "EDGEPROXY_", "RUST_LOG"].iter().any(|prefix| name.starts_with(prefix));
    for (name, _) in std::env::vars().filter(|(name, _)| configuring(name)) {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// The same command, started by a shell that does something before.
fn under_shell(script: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

/// Runs `command` to its end without holding up the origins of the test.
pub(crate) async fn output_of(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

impl Gateway {
    /// Starts furt with `tail` over the base configuration, and waits until it is ready.
    pub(crate) async fn start(tail: &str) -> Self {
        Self::start_with(tail, None).await
    }

    /// The same, to be given [limits](Self::limit_files) on its files.
    pub(crate) async fn start_limited(tail: &str) -> Self {
        Self::start_after("trap '' XFSZ", tail).await
    }

    /// The same, by a shell that does `before` first.
    pub(crate) async fn start_after(before: &'static str, tail: &str) -> Self {
        Self::start_with(tail, Some(before)).await
    }

    async fn start_with(tail: &str, before: Option<&'static str>) -> Self {
        Self::start_of(env!("CARGO_BIN_EXE_furt").into(), tail, before).await
    }

    async fn start_of(program: PathBuf, tail: &str, before: Option<&'static str>) -> Self {
        for _ in 0..MOST_STARTS {
            let (public, internal) = (ports::free_address(), ports::free_address());
            if public == internal {
                continue;
            }
            let dir = TempDir::new().unwrap();
            let config = dir.path().join("furt.toml");
            fs::write(&config, whole(public, internal, tail)).unwrap();
            let client = client_from(None);
            let successors = Vec::new();
            let program = program.clone();
            let mut gateway = Self { public, internal, config, program, child: None, successors, client, before, dir };
            if gateway.spawn_until_ready().await {
                return gateway;
            }
        }
        panic!("no start without a port clash in {MOST_STARTS}");
    }

    /// `false` where another process took a port since it was found free.
    async fn spawn_until_ready(&mut self) -> bool {
        let output = |name: &str| File::options().create(true).append(true).open(self.dir.path().join(name)).unwrap();
        // Where a file grows beyond its limit, that is an error of the write: as a full disk, and not the end.
        let mut command = furt_at(&self.program, &["run", "--config", self.config.to_str().unwrap()]);
        if let Some(before) = self.before {
            command = under_shell(&format!("{before}; exec \"$0\" \"$@\""), &command);
        }
        command.env("RUST_LOG", "info").current_dir(self.dir.path()).stdout(output("stdout")).stderr(output("stderr"));
        self.child = Some(command.spawn().unwrap());
        let deadline = Instant::now() + START;
        loop {
            if let Some(status) = self.exited() {
                if self.log().to_lowercase().contains("in use") {
                    return false;
                }
                panic!("furt ended at its start with {status}\n{}", self.log());
            }
            let ready = self.client.get(self.internal_url("/readyz")).timeout(Duration::from_secs(1)).send().await;
            if ready.is_ok_and(|answer| answer.status() == 200) {
                return true;
            }
            assert!(Instant::now() < deadline, "not ready within {START:?}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Puts another configuration in its file's place: `tail` over the base. As operators should, in one step.
    pub(crate) fn configure(&self, tail: &str) {
        self.write_config(whole(self.public, self.internal, tail));
    }

    /// Puts these bytes there.
    pub(crate) fn write_config(&self, bytes: impl AsRef<[u8]>) {
        let new = self.config.with_extension("new");
        fs::write(&new, bytes).unwrap();
        fs::rename(new, &self.config).unwrap();
    }

    /// The answer to the wish for a reload.
    pub(crate) async fn reload(&self) -> Answer {
        Answer::of(self.operate(Method::POST, "/internal/reload")).await
    }

    /// Configures and reloads, which must succeed; gives the answer's body.
    pub(crate) async fn reloaded(&self, tail: &str) -> Value {
        self.configure(tail);
        self.reload().await.ok()
    }

    /// What it wrote so far, stdout first.
    pub(crate) fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        read("stdout") + &read("stderr")
    }

    /// Its working directory.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Sends SIGTERM and returns at once.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends the signal of that name and returns at once.
    pub(crate) fn signal(&self, name: &str) {
        assert!(signal(self.id(), name));
    }

    /// Its process: the one that has taken over last.
    pub(crate) fn id(&self) -> u32 {
        self.successors.last().copied().unwrap_or_else(|| self.child.as_ref().expect("a running furt").id())
    }

    /// From now on this process is the gateway, and ends with it.
    pub(crate) fn replaced_by(&mut self, successor: u32) {
        self.successors.push(successor);
        // A connection that is kept leads to the process that was.
        self.client = client_from(None);
    }

    /// Starts furt from a copy of its own, which can be replaced.
    pub(crate) async fn start_from(program: &Path, tail: &str) -> Self {
        fs::copy(env!("CARGO_BIN_EXE_furt"), program).unwrap();
        fs::set_permissions(program, Permissions::from_mode(0o755)).unwrap();
        Self::start_of(program.to_owned(), tail, None).await
    }

    /// From now on none of its files grows beyond that size; `None`: as far as the disk goes.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) {
        let limit = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
        let mut command = Command::new("prlimit");
        command.args(["--pid", &self.id().to_string(), &format!("--fsize={limit}:unlimited")]);
        assert!(command.status().expect("prlimit, of util-linux").success());
    }

    /// From now on it opens no file or connection that would be beyond so many.
    pub(crate) fn limit_open_files(&self, most: u32) {
        let mut command = Command::new("prlimit");
        command.args(["--pid", &self.id().to_string(), &format!("--nofile={most}:")]);
        assert!(command.status().expect("prlimit, of util-linux").success());
    }

    /// Its status, once it has ended.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().expect("a started furt").try_wait().unwrap()
    }

    /// Its status when it ends by itself, which it must `within` that time.
    pub(crate) async fn ended(&mut self, within: Duration) -> ExitStatus {
        eventually("furt ends", within, async || self.exited()).await
    }

    /// SIGTERM, and waits for the end.
    pub(crate) async fn stop(&mut self) -> ExitStatus {
        self.terminate();
        self.ended(SOON).await
    }

    /// SIGKILL, as a crash.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops it, and starts it on the same ports.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    /// Starts it on the same ports, after it ended or was killed.
    pub(crate) async fn start_again(&mut self) {
        assert!(self.spawn_until_ready().await, "a port was taken meanwhile\n{}", self.log());
    }

    /// A url of the public listener.
    pub(crate) fn public_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.public)
    }

    /// A url of the internal listener.
    pub(crate) fn internal_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.internal)
    }

    /// A request to the public listener with `key`.
    pub(crate) fn request(&self, method: Method, path: &str, key: &str) -> reqwest::RequestBuilder {
        self.client.request(method, self.public_url(path)).header("x-api-key", key)
    }

    /// A request to the public listener without a key.
    pub(crate) fn anonymous(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, self.public_url(path))
    }

    /// A request to the internal listener.
    pub(crate) fn operate(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, self.internal_url(path))
    }

    /// GET on the public listener with the reader's key.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path, READER)).await
    }

    /// The answer to a registration.
    pub(crate) async fn register(&self, body: &Value) -> Answer {
        Answer::of(self.operate(Method::POST, "/internal/register-service").json(body)).await
    }

    /// Registers what must be taken; gives the answer's body.
    pub(crate) async fn registered(&self, body: &Value) -> Value {
        let answer = self.register(body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Registers, and waits until the service is UP.
    pub(crate) async fn registered_and_up(&self, body: &Value) {
        self.registered(body).await;
        self.status_becomes(body["service"].as_str().unwrap(), "UP").await;
    }

    /// The answer to a heartbeat.
    pub(crate) async fn heartbeat(&self, service: &str, instance: &str) -> Answer {
        let path = format!("/internal/services/{service}/instances/{instance}/heartbeat");
        Answer::of(self.operate(Method::POST, &path)).await
    }

    /// GET on the internal listener, as JSON of an answer that must be 2xx.
    pub(crate) async fn seen(&self, path: &str) -> Value {
        Answer::of(self.operate(Method::GET, path)).await.ok()
    }

    /// Its metrics.
    pub(crate) async fn metrics(&self) -> String {
        Answer::of(self.operate(Method::GET, "/metrics")).await.body
    }

    /// What the internal listener says about a service; `None` where it knows none of that name.
    pub(crate) async fn service(&self, service: &str) -> Option<Value> {
        let answer = Answer::of(self.operate(Method::GET, &format!("/internal/services/{service}"))).await;
        (answer.status != 404).then(|| answer.ok())
    }

    /// The first instance of a service that must be known.
    pub(crate) async fn instance(&self, service: &str) -> Value {
        self.service(service).await.expect("a registered service")["instances"][0].clone()
    }

    /// Waits for a status.
    pub(crate) async fn status_becomes(&self, service: &str, status: &str) {
        let what = format!("{service} becomes {status}");
        eventually(&what, SOON, async || {
            let seen = self.service(service).await?;
            (seen["status"] == status).then_some(())
        })
        .await;
    }

    /// Runs a verb against this gateway's internal listener.
    pub(crate) async fn cli(&self, arguments: &[&str]) -> Output {
        let mut command = furt(arguments);
        command.env("FURT_URL", self.internal_url("")).current_dir(self.dir.path());
        output_of(command).await
    }
}

/// Sends a process the signal of that name; `false`: it is gone.
fn signal(id: u32, name: &str) -> bool {
    // The shell's own kill: there is none in std, and the program of that name is not on every machine.
    let mut kill = Command::new("sh");
    kill.args(["-c", &format!("kill -{name} {id}")]).stderr(Stdio::null()).status().unwrap().success()
}

/// The processes that run with that configuration.
fn processes_of(config: &Path) -> impl Iterator<Item = u32> {
    let ids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.filter(move |id: &u32| {
        let arguments = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        arguments.split(|byte| *byte == 0).any(|argument| argument == config.as_os_str().as_encoded_bytes())
    })
}

impl Drop for Gateway {
    fn drop(&mut self) {
        for successor in &self.successors {
            signal(*successor, "KILL");
        }
        self.kill();
        // One that the test has not heard of, where it failed before.
        if self.log().contains(" has taken over") {
            processes_of(&self.config).for_each(|id| _ = signal(id, "KILL"));
        }
        if std::thread::panicking() {
            eprintln!("--- furt's output\n{}---", self.log());
        }
    }
}
