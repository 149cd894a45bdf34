//! `drain`, and `deregister`, which may drain as well: they say what is in flight, and exit with 1 where waiting for its
//! end was in vain, so that a script goes on only when it may.

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use furt_api::deregistration::{DrainUntil, Drained};

use super::client::{Answer, ask_patiently, show};
use super::output::{clean, counted};
use super::{Format, Target};

#[derive(Args)]
pub(super) struct DrainArgs {
    /// The service's name
    service: String,
    /// Only this instance; by default all that the service has now
    #[arg(long, value_name = "ID")]
    instance: Option<String>,
    /// Wait until none of its requests is in flight, at most so long (0 to 3600); exit with 1 if some still are
    #[arg(long, value_name = "SECONDS", value_parser = seconds, conflicts_with = "undo")]
    wait: Option<Wait>,
    /// Hold its id until that is undone, whoever registers under it; by default the drain ends when it restarts
    #[arg(long, conflicts_with = "undo")]
    keep: bool,
    /// Give it requests again
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

#[derive(Args)]
pub(super) struct DeregisterArgs {
    /// The service's name
    service: String,
    /// Only this instance; the service stays while it has others
    #[arg(long, value_name = "ID")]
    instance: Option<String>,
    /// Wait until none of its requests is in flight, at most so long (0 to 3600); exit with 1 if some still are
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    drain: Option<Wait>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

/// How long someone wants to wait, as it was given and as it is.
#[derive(Clone)]
pub(super) struct Wait {
    text: String,
    pub(super) time: Duration,
}

pub(super) fn seconds(text: &str) -> Result<Wait, String> {
    let number = text.parse::<f64>().ok().filter(|number| (0.0..=3600.0).contains(number));
    let time = number.and_then(|number| Duration::try_from_secs_f64(number).ok());
    let time = time.ok_or("must be a number of seconds from 0 to 3600")?;
    Ok(Wait { text: text.to_owned(), time })
}

pub(super) fn drain(args: &DrainArgs) -> Result<()> {
    let mut path = path_to(&args.service, args.instance.as_deref());
    path.push("drain");
    let method = if args.undo { "DELETE" } else { "POST" };
    let whom = whom(&args.service, args.instance.as_deref());
    let mut query = waiting("wait", args.wait.as_ref());
    if !args.undo {
        query.push(("until", if args.keep { "undo" } else { "restart" }));
    }
    let answer = ask(&args.target, method, &path, &query, args.wait.as_ref())?;
    show(args.format, &answer, |answer: Drained| match (args.undo, answer.instances as u64) {
        (true, 0) => format!("{whom} was not draining\n"),
        (true, instances) => format!("ended the drain of {whom}: {} asked again\n", counted(instances, "instance")),
        (false, instances) => {
            let in_flight = counted(answer.in_flight, "request");
            let (instances, holds) = (counted(instances, "instance"), what_holds(&answer));
            format!("draining {whom}: {instances}, {in_flight} in flight; {holds}\n")
        }
    })?;
    ensure_idle(args.wait.as_ref(), &answer)
}

pub(super) fn deregister(args: &DeregisterArgs) -> Result<()> {
    let path = path_to(&args.service, args.instance.as_deref());
    let query = waiting("drain", args.drain.as_ref());
    let answer = ask(&args.target, "DELETE", &path, &query, args.drain.as_ref())?;
    show(args.format, &answer, |answer: Drained| {
        let whom = whom(&args.service, args.instance.as_deref());
        let removed = counted(answer.instances as u64, "instance");
        format!("deregistered {whom}: {removed} removed, {} in flight\n", counted(answer.in_flight, "request"))
    })?;
    ensure_idle(args.drain.as_ref(), &answer)
}

fn waiting<'a>(name: &'a str, wait: Option<&'a Wait>) -> Vec<(&'a str, &'a str)> {
    wait.map(|wait| (name, wait.text.as_str())).into_iter().collect()
}

fn ask(target: &Target, method: &str, path: &[&str], query: &[(&str, &str)], wait: Option<&Wait>) -> Result<Answer> {
    ask_patiently(target, method, path, query, None, wait.map_or(Duration::ZERO, |wait| wait.time))
}

/// What ends the drain.
fn what_holds(answer: &Drained) -> String {
    if answer.ended > 0 {
        return format!("the drain of {} ended meanwhile: asked again", counted(answer.ended as u64, "instance"));
    }
    match &answer.until {
        Some(DrainUntil::Undo) => "held until --undo".to_owned(),
        Some(DrainUntil::Restart) if answer.needs_undo == 0 => "until it restarts".to_owned(),
        Some(DrainUntil::Restart) if answer.needs_undo == answer.instances => {
            "only --undo ends it, since it names no incarnation".to_owned()
        }
        Some(DrainUntil::Restart) => {
            format!("until they restart, {} of them until --undo", answer.needs_undo)
        }
        Some(DrainUntil::Registration) => "until it registers again".to_owned(),
        Some(DrainUntil::Other(until)) => format!("until {}", clean(until)),
        Some(_) | None => "nothing drains it".to_owned(),
    }
}

/// What was asked is done in any case; but who waited may not go on as if nothing were cut by it.
fn ensure_idle(wait: Option<&Wait>, answer: &Answer) -> Result<()> {
    if wait.is_some() {
        let Drained { in_flight, ended, .. } = answer.read::<Drained>()?;
        ensure!(ended == 0, "the drain of {} was ended", counted(ended as u64, "instance"));
        ensure!(in_flight == 0, "{} still in flight", counted(in_flight, "request"));
    }
    Ok(())
}

fn path_to<'a>(service: &'a str, instance: Option<&'a str>) -> Vec<&'a str> {
    let mut path = vec!["internal", "services", service];
    path.extend(instance.iter().flat_map(|instance| ["instances", instance]));
    path
}

fn whom(service: &str, instance: Option<&str>) -> String {
    instance.map_or_else(|| service.to_owned(), |instance| format!("{service}/{instance}"))
}
