//! furt: a configuration with the keys, and one registration a service. The store is in memory: no workload writes to it
//! within a request.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use furt_api::Problem;
use furt_api::registration::{HealthEndpoint, Registered, Registration, Route};
use furt_api::route_options::{Cors, Limits, Rewrite};
use furt_core::model::Sha256Digest;

use super::super::workload::ORIGIN;
use super::{Setup, Site, UPSTREAM_IDLE, write};

/// How long furt may take until it is ready; under valgrind it takes fifty times as long as usual.
const READY: Duration = Duration::from_secs(120);

pub(super) fn command(program: &Path, setup: &Setup<'_>) -> Result<Command> {
    let plain = if setup.certificate.is_some() { setup.plain } else { setup.listen };
    let mut text = format!(
        "[server]\nlisten = [\"{}\"]\nthreads = {}\nmax_connections = {}\n[internal]\nlisten = \"{}\"\n\
         [upstream]\nidle_timeout = {}\n[registration]\nrate = \"100000/s\"\nburst = 100000\n[store]\n\
         kind = \"memory\"\n",
        plain,
        setup.threads,
        setup.clients,
        setup.internal,
        UPSTREAM_IDLE.as_secs()
    );
    if let Some(certificate) = setup.certificate {
        writeln!(
            text,
            "[tls]\nlisten = [\"{}\"]\nstate = \"{}\"\n[[certificates]]\ncert = \"{}\"\nkey = \"{}\"",
            setup.listen,
            setup.dir.join("tls").display(),
            certificate.cert.display(),
            certificate.key.display()
        )?;
    }
    if setup.site == Site::Fleet {
        writeln!(text, "[access_log]\npath = \"{}\"", setup.dir.join("access.log").display())?;
        for key in 0..setup.fleet.keys {
            let (name, secret) = (setup.fleet.key_name(key), setup.fleet.key(key));
            let sha256 = Sha256Digest::of(secret.as_bytes());
            let team = setup.fleet.team_of_key(key);
            writeln!(text, "[[api_keys]]\nname = \"{name}\"\nsha256 = \"{sha256}\"\npermissions = [\"team{team}:*\"]")?;
        }
    }
    let path = write(setup, "furt.toml", &text)?;
    let mut command = Command::new(program);
    // The environment beats the file: nothing of whoever runs the bench may.
    let configures = |name: &str| ["FURT_", "EDGEPROXY_", "RUST_LOG"].iter().any(|prefix| name.starts_with(prefix));
    for (name, _) in std::env::vars_os().filter(|(name, _)| configures(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    command.arg("run").arg("--config").arg(path).env("RUST_LOG", "warn");
    Ok(command)
}

/// Registers what the site has.
pub(super) fn register(setup: &Setup<'_>) -> Result<()> {
    let registrar = Registrar::new(setup.internal);
    registrar.wait_until_ready()?;
    registrations(setup).try_for_each(|one| registrar.register(&one))
}

/// Of each service of the site.
pub(super) fn registrations(setup: &Setup<'_>) -> impl Iterator<Item = Registration> {
    let (public, services) = match setup.site {
        Site::Public => (Some(setup.origin), 0),
        Site::Fleet => (None, setup.fleet.services),
    };
    let public = public.map(|origin| Registration {
        health_endpoint: HealthEndpoint::Unprobed,
        routes: Some(vec![Route::public("*", "/pass/*"), ruled()]),
        ..Registration::new("pass", format!("http://{origin}"))
    });
    public.into_iter().chain((0..services).map(|service| setup.fleet.registration(service, None)))
}

/// A route of the public site that asks for what its clients get elsewhere without it.
fn ruled() -> Route {
    let rewrite = Rewrite { strip: Some("/ruled".to_owned()), add: Some("/pass".to_owned()), redirects: None };
    // More than any client sends, and counted all the same.
    let limits = Limits { rate: Some("1000000/s".to_owned()), burst: Some(1_000_000), ..Limits::default() };
    Route {
        cors: Some(Some(Cors::new([ORIGIN]))),
        rewrite: Some(Some(rewrite)),
        limits: Some(limits),
        ..Route::public("*", "/ruled/*")
    }
}

/// Registers services over one kept connection.
pub(crate) struct Registrar {
    agent: ureq::Agent,
    base: String,
}

impl Registrar {
    /// At furt's internal listener.
    pub(crate) fn new(internal: std::net::SocketAddr) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(30)))
            .http_status_as_error(false)
            .proxy(None);
        Self { agent: config.build().new_agent(), base: format!("http://{internal}") }
    }

    /// Its sockets are bound before anything else is there.
    fn wait_until_ready(&self) -> Result<()> {
        let deadline = Instant::now() + READY;
        let is_ready =
            || self.agent.get(format!("{}/readyz", self.base)).call().is_ok_and(|answer| answer.status() == 200);
        while !is_ready() {
            ensure!(Instant::now() < deadline, "it is not ready after {} s", READY.as_secs());
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Registers one.
    ///
    /// # Errors
    /// furt refuses, or does not answer.
    pub(crate) fn register(&self, registration: &Registration) -> Result<()> {
        let mut answer = self
            .agent
            .post(format!("{}/internal/register-service", self.base))
            .send_json(registration)
            .context("no answer to a registration")?;
        let status = answer.status();
        if status.is_success() {
            answer.body_mut().read_json::<Registered>().context("the answer to a registration cannot be read")?;
            return Ok(());
        }
        let problem = answer.body_mut().read_json::<Problem>().with_context(|| format!("registration: {status}"))?;
        bail!("a registration is refused by {status}, {}: {}", problem.code, problem.detail.unwrap_or(problem.title));
    }
}
