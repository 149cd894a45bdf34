//! `maintenance`: begins it for a service or for all, ends it, and lists what is in it.

use anyhow::Result;
use clap::{Args, Subcommand};
use furt_api::maintenance::{BeginMaintenance, BegunMaintenance, EndedMaintenance, Maintenances};
use furt_core::model::{CidrSet, MaintenanceMessage};

use super::client::{ask, show};
use super::output::{cell, clean, list, note, table, who};
use super::{Format, Target, examples};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct MaintenanceArgs {
    #[command(subcommand)]
    verb: Option<MaintenanceVerb>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

#[derive(Subcommand)]
enum MaintenanceVerb {
    /// Answer the requests for a service, or for all, with 503 until that is switched off
    #[command(after_help = examples::MAINTENANCE_ON)]
    On(OnArgs),
    /// Send requests to the service again
    #[command(after_help = examples::MAINTENANCE_OFF)]
    Off(OffArgs),
}

#[derive(Args)]
struct Whom {
    /// The service's name, registered or not
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    service: Option<String>,
    /// All services and static routes, instead of one service
    #[arg(long)]
    all: bool,
}

#[derive(Args)]
struct OnArgs {
    #[command(flatten)]
    whom: Whom,
    /// After which time it ends by itself, such as "90s", "30m" or "2h", at most "30d"; without it, not before `off`
    #[arg(long = "for", value_name = "TIME")]
    lasts: Option<String>,
    /// The clients that are let in all the same, such as "10.0.0.0/8"; more than once for more; none if left out
    #[arg(long = "allow-from", value_name = "ADDRESSES", value_parser = |text: &str| CidrSet::try_new(&[text]))]
    allow_from: Vec<CidrSet>,
    /// What the other clients are told, at most 500 characters
    #[arg(long, value_name = "TEXT", value_parser = message)]
    message: Option<String>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

#[derive(Args)]
struct OffArgs {
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

fn message(text: &str) -> Result<String, String> {
    let checked = MaintenanceMessage::try_new(text).map_err(|why| why.to_string())?;
    Ok(checked.as_str().to_owned())
}

pub(super) fn run(args: &MaintenanceArgs) -> Result<()> {
    match &args.verb {
        Some(MaintenanceVerb::On(args)) => on(args),
        Some(MaintenanceVerb::Off(args)) => off(args),
        None => list_all(args),
    }
}

fn on(args: &OnArgs) -> Result<()> {
    let body = BeginMaintenance {
        lasts: args.lasts.clone(),
        allow_from: args.allow_from.iter().map(ToString::to_string).collect(),
        message: args.message.clone(),
    };
    let answer = ask(&args.target, "PUT", &args.whom.path(), &[], Some(serde_json::to_string(&body)?))?;
    show(args.format, &answer, |answer: BegunMaintenance| {
        for warning in &answer.warnings {
            note(&clean(warning));
        }
        let until = answer.maintenance.until.as_ref();
        let until = until.map_or_else(|| "`furt maintenance off`".to_owned(), |until| clean(until.as_str()));
        format!("{} in maintenance until {until}\n", args.whom.with_verb())
    })
}

fn off(args: &OffArgs) -> Result<()> {
    let answer = ask(&args.target, "DELETE", &args.whom.path(), &[], None)?;
    show(args.format, &answer, |_: EndedMaintenance| format!("{} in maintenance no more\n", args.whom.with_verb()))
}

fn list_all(args: &MaintenanceArgs) -> Result<()> {
    let answer = ask(&args.target, "GET", &["internal", "maintenance"], &[], None)?;
    show(args.format, &answer, |answer: Maintenances| {
        if answer.maintenance.is_empty() {
            return "nothing is in maintenance\n".to_owned();
        }
        let rows = answer.maintenance.iter().map(|one| {
            let service = one.service.as_ref().map_or_else(|| "(all)".to_owned(), |name| clean(name.as_str()));
            let (since, until) = (clean(one.since.as_str()), cell(one.until.as_ref()));
            vec![
                service,
                since,
                until,
                who(&one.from, one.by.as_deref()),
                list(&one.allow_from),
                cell(one.message.as_ref()),
            ]
        });
        table(&["SERVICE", "SINCE", "UNTIL", "BY", "LETS IN", "MESSAGE"], &rows.collect::<Vec<_>>())
    })
}

impl Whom {
    fn path(&self) -> Vec<&str> {
        match &self.service {
            Some(service) => vec!["internal", "services", service, "maintenance"],
            None => vec!["internal", "maintenance"],
        }
    }

    /// As the subject of a sentence.
    fn with_verb(&self) -> String {
        self.service.as_ref().map_or_else(|| "all services are".to_owned(), |service| format!("{} is", clean(service)))
    }
}
