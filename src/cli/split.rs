//! `split`: sends a share of a service's callers to instances of a version, ends that, and lists what is split.

use anyhow::{Result, bail};
use clap::Args;
use furt_api::Ordered;
use furt_api::splits::{NewSplit, RemovedSplit, SetSplit, Split, Splits};
use furt_core::model::{Percentage, SplitSpec, Version};

use super::client::{ask, show};
use super::output::{cell, clean, note, table, who};
use super::{Format, Target};

#[derive(Args)]
pub(super) struct SplitArgs {
    /// The service's name, registered or not; without it, all splits are listed
    service: Option<String>,
    /// A version with its share of the callers, such as 2.4.0=5%; more than one, in their order, for more
    #[arg(value_name = "VERSION=SHARE", value_parser = share, requires = "service", conflicts_with = "off")]
    shares: Vec<(String, f64)>,
    /// The header by which a client says where it goes: a version, or "stable" for all other instances
    #[arg(long, value_name = "NAME", value_parser = header, requires = "shares")]
    header: Option<String>,
    /// Answer 503 where no instance of a caller's version can be asked, instead of sending it to others
    #[arg(long, requires = "shares")]
    strict: bool,
    /// Send the service's callers to all instances again
    #[arg(long, requires = "service")]
    off: bool,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

fn share(text: &str) -> Result<(String, f64), String> {
    let (version, share) = text.split_once('=').ok_or("must be a version and its share, such as 2.4.0=5%")?;
    let checked = Version::try_new(version).and_then(|version| SplitSpec::check_version(&version));
    checked.map_err(|why| format!("the version {why}"))?;
    let share = Percentage::from_text(share).map_err(|why| format!("the share {why}"))?;
    Ok((version.to_owned(), share.percent()))
}

fn header(text: &str) -> Result<String, String> {
    SplitSpec::try_header(text).map(|_| text.to_owned()).map_err(|why| why.to_string())
}

pub(super) fn run(args: &SplitArgs) -> Result<()> {
    match args.service.as_deref() {
        None => list_all(args),
        Some(service) if args.off => off(args, service),
        Some(service) if args.shares.is_empty() => show_one(args, service),
        Some(service) => set(args, service),
    }
}

fn set(args: &SplitArgs, service: &str) -> Result<()> {
    for (at, (version, _)) in args.shares.iter().enumerate() {
        if args.shares[..at].iter().any(|(other, _)| other == version) {
            bail!("the version \"{version}\" is there twice; must have one share");
        }
    }
    let body = NewSplit {
        versions: Ordered(args.shares.clone()),
        header: args.header.clone(),
        strict: args.strict.then_some(true),
    };
    let answer = ask(&args.target, "PUT", &path(service), &[], Some(serde_json::to_string(&body)?))?;
    show(args.format, &answer, |answer: SetSplit| {
        for warning in &answer.warnings {
            note(&clean(warning));
        }
        format!("callers of {}: {}\n", clean(service), shares(&answer.split))
    })
}

fn off(args: &SplitArgs, service: &str) -> Result<()> {
    let answer = ask(&args.target, "DELETE", &path(service), &[], None)?;
    show(args.format, &answer, |_: RemovedSplit| {
        format!(
            "callers of {} are split no more; instances bring what they say of the service when they register again\n",
            clean(service)
        )
    })
}

fn show_one(args: &SplitArgs, service: &str) -> Result<()> {
    let answer = ask(&args.target, "GET", &path(service), &[], None)?;
    show(args.format, &answer, |split: Split| rows(&[split]))
}

fn list_all(args: &SplitArgs) -> Result<()> {
    let answer = ask(&args.target, "GET", &["internal", "splits"], &[], None)?;
    show(args.format, &answer, |answer: Splits| match answer.splits.as_slice() {
        [] => "no service has a split\n".to_owned(),
        splits => rows(splits),
    })
}

fn rows(splits: &[Split]) -> String {
    let row = |one: &Split| {
        let strict = if one.strict { "yes" } else { "no" }.to_owned();
        let (since, header) = (clean(one.since.as_str()), cell(one.header.as_ref()));
        vec![clean(one.service.as_str()), since, who(&one.from, one.by.as_deref()), header, strict, shares(one)]
    };
    table(&["SERVICE", "SINCE", "BY", "HEADER", "STRICT", "SHARES"], &splits.iter().map(row).collect::<Vec<_>>())
}

/// Such as `5% to 2.4.0, 95% to stable`.
pub(super) fn shares(split: &Split) -> String {
    let named = split.versions.0.iter().map(|(version, share)| format!("{share}% to {}", clean(version)));
    named.chain([format!("{}% to stable", split.stable)]).collect::<Vec<_>>().join(", ")
}

fn path(service: &str) -> [&str; 4] {
    ["internal", "services", service, "split"]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_version_and_a_percentage() {
        for (text, expected) in [("2.4.0=5%", ("2.4.0", 5.0)), ("a=0.25", ("a", 0.25)), ("b-1=100%", ("b-1", 100.0))] {
            assert_eq!(share(text), Ok((expected.0.to_owned(), expected.1)), "{text}");
        }
        for bad in
            ["2.4.0", "2.4.0=", "=5%", "a=5%%", "a=101%", "a=-1", "a=1e1", "a=0.001%", "stable=5%", "a b=1", "a=nan"]
        {
            assert!(share(bad).is_err(), "{bad}");
        }
    }
}
