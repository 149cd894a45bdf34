//! OpenBao, which has HashiCorp Vault's API, with everything in its memory.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::time::Duration;

use reqwest::RequestBuilder;
use serde_json::Value;
use tempfile::TempDir;

use super::program::{self, Program};
use crate::support::gateway::client_from;
use crate::support::{eventually, ports};

/// For a start, on a machine that builds and tests beside it.
const START: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(10);

/// The server. Killed, it has forgotten everything.
pub(crate) struct Openbao {
    /// Where clients connect to. The next port is its own as well.
    pub(crate) address: SocketAddr,
    program: Option<Program>,
    dir: TempDir,
}

impl Openbao {
    /// The token of one who may do everything.
    pub(crate) const ROOT_TOKEN: &str = "root-of-a-test";

    pub(crate) async fn start() -> Self {
        let mut server = Self { address: two_ports(), program: None, dir: TempDir::new().unwrap() };
        server.start_again().await;
        server
    }

    /// On the same port, with nothing in it.
    pub(crate) async fn start_again(&mut self) {
        let mut command = Command::new(program::path("openbao", "bao"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("BAO_") || name.starts_with("VAULT_")) {
            command.env_remove(name);
        }
        command.env("HOME", self.dir.path());
        command.args(["server", "-dev", "-dev-no-store-token", &format!("-dev-root-token-id={}", Self::ROOT_TOKEN)]);
        command.arg(format!("-dev-listen-address={}", self.address));
        self.program = Some(Program::start(&mut command, &self.dir.path().join("log")));
        eventually("OpenBao answers", START, async || self.ask("GET", "sys/health", None, None).await).await;
    }

    /// SIGTERM, and waits for the end.
    pub(crate) async fn stop(&mut self) {
        let mut program = self.program.take().unwrap();
        program.signal("TERM");
        eventually("OpenBao ends", START, async || program.has_ended().then_some(())).await;
    }

    /// SIGKILL.
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

    /// Its url.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What an operator asks with the root token, such as `POST` of `auth/token/create-orphan`: status and body.
    pub(crate) async fn ctl(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        self.ask(method, path, Some(Self::ROOT_TOKEN), body).await.expect("an answer of OpenBao")
    }

    /// The same of a `POST`, its answer wrapped for a minute: the token that unwraps it, once.
    pub(crate) async fn wrapped(&self, path: &str, body: Value) -> String {
        let request = self.request("POST", path, Some(Self::ROOT_TOKEN), Some(body)).header("X-Vault-Wrap-TTL", "60s");
        let (_, answer) = answered(request).await.expect("an answer of OpenBao");
        answer["wrap_info"]["token"].as_str().expect("a token that unwraps").to_owned()
    }

    /// The same as `ctl` with any token, or none; `None`: there is no answer.
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> Option<(u16, Value)> {
        answered(self.request(method, path, token, body)).await
    }

    fn request(&self, method: &str, path: &str, token: Option<&str>, body: Option<Value>) -> RequestBuilder {
        let method = method.parse().unwrap();
        let mut request = client_from(None).request(method, format!("{}/v1/{path}", self.url()));
        if let Some(token) = token {
            request = request.header("X-Vault-Token", token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        request
    }
}

async fn answered(request: RequestBuilder) -> Option<(u16, Value)> {
    let answer = request.timeout(ANSWER).send().await.ok()?;
    let status = answer.status().as_u16();
    Some((status, answer.json().await.unwrap_or(Value::Null)))
}

/// A port whose successor is free as well.
fn two_ports() -> SocketAddr {
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let pairs = std::iter::repeat_with(ports::free_address).take(100);
    pairs.into_iter().find(|address| is_free(address.port() + 1)).expect("two free ports side by side")
}
