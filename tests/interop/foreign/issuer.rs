//! Programs of `tokens` that issue tokens: each says in its first line of JSON where it listens, and ends with its input.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::{node, python};
use crate::support::Answer;
use crate::support::gateway::client_from;

/// For a start, on a machine that builds and tests beside it: one of them makes a dozen keys and some hundred tokens.
const START: Duration = Duration::from_secs(60);

/// A running one.
pub(crate) struct Issuer {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    client: reqwest::Client,
    /// Its first line.
    told: Value,
}

/// A token of which a test knows what must become of it.
pub(crate) struct Known {
    pub(crate) name: String,
    pub(crate) is_good: bool,
    /// As it stands behind `Bearer`.
    pub(crate) token: Vec<u8>,
}

impl Issuer {
    /// oidc-provider. After a rotation the keys of so many rotations before it stay in its set.
    pub(crate) async fn oidc_provider(kept: u32) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/tokens/provider.mjs");
        let mut command = node::command();
        command.arg(program).arg(kept.to_string());
        Self::start(command).await
    }

    /// One with tokens of every kind that must be refused, and some that must not; its tokens.
    pub(crate) async fn hostile() -> (Self, Vec<Known>) {
        let mut issuer = Self::start(python::script("tokens", "tokens/hostile.py")).await;
        let mut tokens = Vec::new();
        loop {
            let line = issuer.line().await;
            if line.is_empty() {
                return (issuer, tokens);
            }
            let known: Value = serde_json::from_str(&line).unwrap();
            let text = known["token"].as_str().unwrap();
            // Its bytes are those of Latin-1.
            let token = text.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect();
            let name = known["name"].as_str().unwrap().to_owned();
            tokens.push(Known { name, is_good: known["good"].as_bool().unwrap(), token });
        }
    }

    async fn start(mut command: Command) -> Self {
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.expect("a program that `make interop` unpacks");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut issuer = Self { child, lines, client: client_from(None), told: Value::Null };
        issuer.told = serde_json::from_str(&issuer.line().await).unwrap();
        issuer
    }

    async fn line(&mut self) -> String {
        let line = tokio::time::timeout(START, self.lines.next_line()).await.expect("a line in time");
        line.unwrap().expect("the program lives; its errors are above")
    }

    /// What it says of itself, such as its `url`.
    pub(crate) fn told(&self, name: &str) -> &str {
        self.told[name].as_str().unwrap()
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// A new access token of oidc-provider with these scopes.
    pub(crate) async fn token(&self, scopes: &str) -> String {
        let form = format!("grant_type=client_credentials&scope={}", scopes.replace(' ', "+"));
        let request = self.client.post(format!("{}/token", self.told("url"))).basic_auth("notes", Some("secret"));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
        let answer = Answer::of(request).await.ok();
        answer["access_token"].as_str().expect("a token").to_owned()
    }

    /// From now on oidc-provider signs with another key.
    pub(crate) async fn rotate(&self) {
        self.ask(Method::POST, "rotate").await;
    }

    /// How often it was asked for that.
    pub(crate) async fn count(&self, what: &str) -> u64 {
        self.counts().await[what].as_u64().unwrap_or_default()
    }

    /// How often it was asked for what.
    pub(crate) async fn counts(&self) -> Value {
        self.ask(Method::GET, "counts").await
    }

    async fn ask(&self, method: Method, path: &str) -> Value {
        Answer::of(self.client.request(method, format!("{}/{path}", self.told("url")))).await.ok()
    }
}
