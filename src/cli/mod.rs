//! The command line: one file a family of verbs. Exit codes: 0 done, 1 failed, 2 misused; `diff` has 3, `join` its program's.
//!
//! `run` and `check` take a configuration; `store` reads a store's file; `keys` and the other verbs speak to a running furt over
//! its internal listener. What people asked for goes to stdout, everything else to stderr.

mod audit;
mod certificates;
mod check;
mod client;
mod cluster;
mod demo;
mod draining;
mod events;
mod examples;
mod gateway;
mod grant;
mod join;
mod keys;
mod logging;
mod lookup;
mod maintenance;
mod members;
mod nodes;
mod output;
mod polling;
mod reload;
mod secret;
mod services;
mod settings;
mod shell;
mod split;
mod state;
mod store;
mod terminal;
mod tls;
mod top;
mod update;
mod upgrade;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

const AFTER_HELP: &str = "\
Environment: FURT_CONFIG (run, check, store), FURT_URL, FURT_TOKEN, FURT_CA, FURT_CERT and FURT_KEY (verbs that speak to a running furt), FURT_LOG (run, demo).
Exit codes: 0 done, 1 failed, 2 misused. diff: 3 something differs. join has its program's.";

/// An API gateway that services register themselves with.
#[derive(Parser)]
#[command(name = "furt", version = env!("FURT_VERSION"), about, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the gateway until SIGTERM or Ctrl-C
    #[command(after_help = examples::RUN)]
    Run(gateway::ConfigArgs),
    /// Try furt: a gateway on free ports, with services that misbehave on command
    #[command(after_help = examples::DEMO)]
    Demo(demo::DemoArgs),
    /// Check a configuration and print every error as file:line:column
    #[command(after_help = examples::CHECK)]
    Check(check::CheckArgs),
    /// Register a service: FILE holds the body of POST /internal/register-service, "-" is stdin
    #[command(after_help = examples::REGISTER)]
    Register(client::RegisterArgs),
    /// Run a program as a service: it joins when it accepts connections, and leaves before it ends
    #[command(after_help = examples::JOIN)]
    Join(join::JoinArgs),
    /// Print the url of one instance of a service that takes requests
    #[command(after_help = examples::LOOKUP)]
    Lookup(lookup::LookupArgs),
    /// Deregister a service, or one of its instances
    #[command(visible_alias = "leave", after_help = examples::DEREGISTER)]
    Deregister(draining::DeregisterArgs),
    /// Give a service, or one of its instances, no new requests until it restarts
    #[command(after_help = examples::DRAIN)]
    Drain(draining::DrainArgs),
    /// List what is in maintenance; `on` and `off` begin and end it for a service, or for all
    #[command(after_help = examples::MAINTENANCE)]
    Maintenance(maintenance::MaintenanceArgs),
    /// Send a share of a service's callers to instances of another version, or list such splits
    #[command(after_help = examples::SPLIT)]
    Split(split::SplitArgs),
    /// Say what a service may register, or list such grants
    #[command(after_help = examples::GRANT)]
    Grant(grant::GrantArgs),
    /// Print what operators made at run time, as a file that apply takes
    #[command(after_help = examples::EXPORT)]
    Export(state::ExportArgs),
    /// Tell what differs between a file and what is there; exits with 3 where something does
    #[command(after_help = examples::DIFF)]
    Diff(state::DiffArgs),
    /// Make grants, API keys, maintenance and splits what a file says, all at once or not at all
    #[command(after_help = examples::APPLY)]
    Apply(state::ApplyArgs),
    /// Show how each service is, or one with its instances and routes
    #[command(visible_alias = "list", after_help = examples::SERVICES)]
    Services(services::ServicesArgs),
    /// Show what happened in the registry, a line an event
    #[command(after_help = examples::EVENTS)]
    Events(events::EventsArgs),
    /// Show what happens in the registry until Ctrl-C: events --follow
    #[command(after_help = examples::WATCH)]
    Watch(events::WatchArgs),
    /// Show what operators did, a line an entry
    #[command(after_help = examples::AUDIT)]
    Audit(audit::AuditArgs),
    /// Watch requests, latencies and errors of every service, live
    #[command(after_help = examples::TOP)]
    Top(top::TopArgs),
    /// List the nodes of the cluster and what is wrong with it, or else the gateways that share the registry
    #[command(after_help = examples::NODES)]
    Nodes(nodes::NodesArgs),
    /// Make a cluster of nodes, or let them join it
    #[command(subcommand)]
    Cluster(cluster::ClusterVerb),
    /// Look at the secret that the nodes of a cluster share, and rotate it
    #[command(subcommand)]
    Secret(secret::SecretVerb),
    /// Set keys of the configuration at the nodes of a cluster, and show what is set
    #[command(subcommand)]
    Settings(settings::SettingsVerb),
    /// List every route, static and registered
    #[command(after_help = examples::ROUTES)]
    Routes(client::RoutesArgs),
    /// Tell which route a request would take, and why the others would not
    #[command(after_help = examples::EXPLAIN)]
    Explain(client::ExplainArgs),
    /// Show the certificates that clients see: names, issuer, end, next renewal, last error
    #[command(after_help = examples::CERTIFICATES)]
    Certificates(certificates::CertificatesArgs),
    /// Get certificates by ACME before they are due
    #[command(subcommand)]
    Acme(certificates::AcmeVerb),
    /// Have the running furt read its configuration again, and tell what changed
    #[command(after_help = examples::RELOAD)]
    Reload(reload::ReloadArgs),
    /// Replace the running furt by the program that is in its place now, without losing a connection
    #[command(after_help = examples::UPGRADE)]
    Upgrade(upgrade::UpgradeArgs),
    /// Have a node of the cluster run another version of furt, if that node's file allows it
    #[command(after_help = examples::UPDATE)]
    Update(update::UpdateArgs),
    /// Exit with 0 if the running furt takes requests, for health checks
    #[command(after_help = examples::READY)]
    Ready(client::ReadyArgs),
    /// Make, list, rotate and revoke API keys
    #[command(subcommand)]
    Keys(keys::KeysVerb),
    /// Look at a store, copy it as JSON, make one of a copy
    #[command(subcommand)]
    Store(store::StoreVerb),
    /// Print a script with which a shell completes furt's verbs and options
    #[command(after_help = examples::COMPLETIONS)]
    Completions(shell::CompletionsArgs),
    /// Print furt's page for man, or write the pages of all verbs into a directory
    #[command(after_help = examples::MAN)]
    Man(shell::ManArgs),
}

/// How a verb finds a running furt.
#[derive(Args, Clone)]
struct Target {
    /// Where the running furt's internal listener is
    #[arg(long, env = "FURT_URL", default_value = "http://127.0.0.1:8081")]
    url: String,
    /// The grant's or the operators' token, where one is set; safer in FURT_TOKEN, since others see arguments
    #[arg(long, env = "FURT_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// How a verb prints.
#[derive(Args, Clone, Copy)]
struct Format {
    /// How to print: text for people, json for programs
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Runs the verb that the arguments name.
pub fn main() -> ExitCode {
    // Wrong arguments end here, with exit code 2.
    let cli = Cli::parse();
    let outcome = match cli.verb {
        Verb::Run(args) => gateway::run(&args),
        Verb::Demo(args) => demo::run(&args),
        Verb::Check(args) => check::run(&args),
        // Its program's exit code, whatever that is.
        Verb::Join(args) => return join::run(args),
        Verb::Lookup(args) => lookup::run(&args),
        Verb::Register(args) => client::register(&args),
        Verb::Deregister(args) => draining::deregister(&args),
        Verb::Drain(args) => draining::drain(&args),
        Verb::Maintenance(args) => maintenance::run(&args),
        Verb::Split(args) => split::run(&args),
        Verb::Grant(args) => grant::run(&args),
        Verb::Export(args) => state::export(&args),
        Verb::Diff(args) => return state::diff(&args),
        Verb::Apply(args) => state::apply(&args),
        Verb::Services(args) => services::run(&args),
        Verb::Events(args) => events::run(&args),
        Verb::Watch(args) => events::watch(&args),
        Verb::Audit(args) => audit::run(&args),
        Verb::Top(args) => top::run(&args),
        Verb::Nodes(args) => nodes::run(&args),
        Verb::Cluster(verb) => cluster::run(&verb),
        Verb::Secret(verb) => secret::run(&verb),
        Verb::Settings(verb) => settings::run(&verb),
        Verb::Routes(args) => client::routes(&args),
        Verb::Explain(args) => client::explain(&args),
        Verb::Certificates(args) => certificates::run(&args),
        Verb::Acme(verb) => certificates::acme(&verb),
        Verb::Reload(args) => reload::run(&args),
        Verb::Upgrade(args) => upgrade::run(&args),
        Verb::Update(args) => update::run(&args),
        Verb::Ready(args) => client::ready(&args),
        Verb::Keys(verb) => keys::run(&verb),
        Verb::Store(verb) => store::run(&verb),
        Verb::Completions(args) => shell::completions(&args),
        Verb::Man(args) => shell::man(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::fail(&error);
            ExitCode::FAILURE
        }
    }
}
