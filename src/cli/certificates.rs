//! `certificates`: what clients are shown, and what they should be. `acme renew`: another certificate before it is due.

use anyhow::Result;
use clap::{Args, Subcommand};
use furt_api::certificates::{Certificate, Certificates, RenewalAsked};

use super::client::{ask, show};
use super::output::{cell, clean, list, table};
use super::{Format, Target, examples};

#[derive(Args)]
pub(super) struct CertificatesArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

#[derive(Subcommand)]
pub(super) enum AcmeVerb {
    /// Have the running furt get another certificate for a name now
    #[command(after_help = examples::ACME_RENEW)]
    Renew(RenewArgs),
}

#[derive(Args)]
pub(super) struct RenewArgs {
    /// As `furt certificates` lists it
    name: String,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

pub(super) fn run(args: &CertificatesArgs) -> Result<()> {
    let answer = ask(&args.target, "GET", &["internal", "certificates"], &[], None)?;
    show(args.format, &answer, |answer: Certificates| {
        let row = |one: &Certificate| {
            let source = one.file.clone().unwrap_or_else(|| match &one.service {
                Some(service) => format!("{} for {service}", one.source),
                None => one.source.to_string(),
            });
            vec![
                list(&one.names),
                cell(one.issuer.as_deref()),
                cell(one.not_after.as_ref()),
                clean(&source),
                cell(one.next_renewal.as_ref()),
                cell(one.last_error.as_deref()),
            ]
        };
        let rows: Vec<_> = answer.certificates.iter().map(row).collect();
        table(&["NAMES", "ISSUER", "END", "SOURCE", "NEXT RENEWAL", "LAST ERROR"], &rows)
    })
}

pub(super) fn acme(verb: &AcmeVerb) -> Result<()> {
    let AcmeVerb::Renew(args) = verb;
    let answer = ask(&args.target, "POST", &["internal", "certificates", &args.name, "renew"], &[], None)?;
    show(args.format, &answer, |answer: RenewalAsked| {
        format!("a certificate for {} is asked for; furt certificates shows what comes of it\n", clean(&answer.name))
    })
}
