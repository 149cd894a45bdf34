//! `join`: runs a program as a service that joins the registry when it accepts connections, and leaves before it ends.
//!
//! The program comes first: it runs on while the registry is away or refuses, and its exit code is that of the verb. It may be the
//! first process of a container: processes that lost their parent are reaped.

mod port;
mod program;
mod routes;
mod running;
mod signals;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use furt_client::{Builder, Registry, Service};
use furt_core::model::Version;

use super::draining::{Wait, seconds};
use super::output;

/// As `timeout`, `env` and `docker run` have them: the wrapper failed; the program cannot be executed; it is not there.
const FAILED: u8 = 125;
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;
const MISUSED: u8 = 2;

/// How `join` and `lookup` find the registry.
#[derive(Args, Clone)]
pub(super) struct RegistryArgs {
    /// The registry: a url, or several hosts and a namespace as furt://host1,host2/namespace
    #[arg(long, env = "FURT_URL", default_value = "http://127.0.0.1:8081", hide_env_values = true)]
    url: String,
    /// The grant's token, where one is set; safer in FURT_TOKEN, since others see arguments
    #[arg(long, env = "FURT_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

impl RegistryArgs {
    pub(super) fn connect(&self) -> Result<Registry, furt_client::Error> {
        let builder = Builder::new(self.url.as_str());
        self.token.as_ref().map_or(builder.clone(), |token| builder.token(token.as_str())).connect()
    }
}

#[derive(Args)]
pub(super) struct JoinArgs {
    /// The service's name, without the namespace
    name: String,
    /// Where the program listens; by default a free port. The program finds it in the environment variable PORT
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Under which name or address others reach this machine; by default the address from which it reaches the registry
    #[arg(long, value_name = "HOST")]
    hostname: Option<String>,
    /// A JSON file with the service's routes: a list of them, or an object with fields of a registration
    #[arg(long, value_name = "FILE")]
    routes: Option<PathBuf>,
    /// The path that furt probes, such as /health; by default furt does not probe
    #[arg(long, value_name = "PATH")]
    health: Option<String>,
    /// The instance's id; by default made of the name, the address and the port
    #[arg(long, value_name = "ID")]
    instance: Option<String>,
    /// The version of the program, by which a split sends it callers
    #[arg(long, value_name = "VERSION", value_parser = version)]
    version: Option<String>,
    /// How long the program may take until it accepts connections
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "30")]
    start_timeout: Wait,
    /// How long to wait for the program's requests before a signal is passed on to it
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10")]
    drain: Wait,
    #[command(flatten)]
    registry: RegistryArgs,
    /// What to run, with its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

/// Why the program was not started, or was ended, and with which exit code.
pub(super) struct Failure {
    code: u8,
    error: anyhow::Error,
}

impl Failure {
    fn new(code: u8, error: impl Into<anyhow::Error>) -> Self {
        Self { code, error: error.into() }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(FAILED, error)
    }
}

fn version(text: &str) -> Result<String, String> {
    Version::try_new(text).map(|_| text.to_owned()).map_err(|why| why.to_string())
}

/// What the arguments mean.
struct Plan {
    registry: Registry,
    name: String,
    service: Service,
    port: u16,
    hostname: Option<String>,
    start_timeout: Duration,
    drain: Duration,
    program: Vec<OsString>,
}

/// Runs the program to its end; gives its exit code.
pub(super) fn run(args: JoinArgs) -> ExitCode {
    let outcome = prepare(args).and_then(|plan| {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().context("join cannot be started")?;
        runtime.block_on(running::run(plan))
    });
    ExitCode::from(outcome.unwrap_or_else(|Failure { code, error }| {
        output::fail(&error);
        code
    }))
}

fn prepare(args: JoinArgs) -> Result<Plan, Failure> {
    let misused = |error: furt_client::Error| Failure::new(MISUSED, error);
    let registry = args.registry.connect().map_err(misused)?;
    let port = match args.port {
        Some(port) => port,
        None => port::free().context("there is no free port; --port names one")?,
    };
    let mut service = Service::new(port);
    if let Some(file) = &args.routes {
        service = routes::read(file, service)?;
    }
    if let Some(health) = &args.health {
        service = service.health(health.as_str());
    }
    if let Some(instance) = &args.instance {
        service = service.instance(instance.as_str());
    }
    if let Some(version) = &args.version {
        service = service.registration(|all| all.version = Some(version.clone()));
    }
    if let Some(hostname) = &args.hostname {
        service = service.hostname(hostname.as_str());
    }
    registry.check(&args.name, &service).map_err(misused)?;
    if args.program.first().is_none_or(|program| program.is_empty()) {
        return Err(Failure::new(MISUSED, anyhow!("the program's name is empty")));
    }
    let (name, hostname, program) = (args.name, args.hostname, args.program);
    let (start_timeout, drain) = (args.start_timeout.time, args.drain.time);
    Ok(Plan { registry, name, service, port, hostname, start_timeout, drain, program })
}
