//! `[[client_auth]]`: of which hosts the clients show a certificate. `tls` reads the files.

use std::path::PathBuf;

use super::earlier::EarlierEntries;
use crate::config::key::{DefaultValue, EntryVisitor, Key};
use crate::config::location::Lines;
use crate::config::section::Section;
use crate::config::types::{ClientAuthConfig, ClientAuthHost, ClientAuthMode};
use crate::config::value::{Commas, dns_name, file, list, one_of};
use furt_core::model::Invalid;

pub(super) const NAME: &str = "client_auth";

const MODES: &[(&str, ClientAuthMode)] = &[("require", ClientAuthMode::Require), ("ask", ClientAuthMode::Ask)];

/// The values of an entry. `None`: absent, or invalid and reported.
pub(super) struct ClientAuthValues {
    hosts: Option<Vec<ClientAuthHost>>,
    ca: Option<PathBuf>,
    crl: Option<PathBuf>,
    mode: Option<ClientAuthMode>,
}

pub(super) fn visit(keys: &mut impl EntryVisitor) -> ClientAuthValues {
    keys.array(
        NAME,
        "Hosts of `[tls]` whose clients show a certificate; [Client certificates](client-certificates.md) has more. Files that \
         change are put in force by themselves.",
    );
    ClientAuthValues {
        hosts: keys.required(
            Key {
                name: "client_auth.hosts",
                default: DefaultValue::required(r#"["admin.example.org"]"#),
                range: "host names, `\"*.example.org\"`, `\"*\"`",
                text: "The hosts, each in one entry alone. `*.` stands for one label; `\"*\"` is every other host, and clients that name \
                       none.",
                ..Key::ROW
            },
            list(Commas::Split, "a host", host),
        ),
        ca: keys.required(
            Key {
                name: "client_auth.ca",
                default: DefaultValue::required(r#""/etc/furt/clients.pem""#),
                range: "a PEM file",
                text: "The authorities whose certificates are accepted.",
                ..Key::ROW
            },
            file,
        ),
        crl: keys.optional(
            Key {
                name: "client_auth.crl",
                default: DefaultValue::absent("none", r#""/etc/furt/clients.crl""#),
                range: "a PEM file",
                text: "What those authorities have revoked: a list of each.",
                ..Key::ROW
            },
            file,
        ),
        mode: keys.optional(
            Key {
                name: "client_auth.mode",
                default: DefaultValue::absent("`\"require\"`", r#""ask""#),
                range: "`\"require\"`, `\"ask\"`",
                text: "Whether a client without a certificate is refused, or served without one.",
                ..Key::ROW
            },
            one_of(MODES),
        ),
    }
}

fn host(text: &str) -> Result<ClientAuthHost, Invalid> {
    match text.strip_prefix("*.") {
        Some(parent) => dns_name(parent).map(ClientAuthHost::Below),
        None if text == "*" => Ok(ClientAuthHost::Any),
        None => dns_name(text).map(ClientAuthHost::Exact),
    }
}

/// Reads all entries. No host is in two.
pub(super) fn read(entries: Vec<Section<'_>>, lines: &Lines<'_>) -> Vec<ClientAuthConfig> {
    let mut hosts = EarlierEntries::new(lines);
    entries.into_iter().enumerate().filter_map(|(index, entry)| read_one(entry, index, &mut hosts)).collect()
}

fn read_one(
    mut entry: Section<'_>,
    index: usize,
    earlier: &mut EarlierEntries<'_, ClientAuthHost>,
) -> Option<ClientAuthConfig> {
    let ClientAuthValues { hosts, ca, crl, mode } = visit(&mut entry);
    entry.finish();
    let hosts = hosts?;
    if hosts.is_empty() {
        entry.refuse("hosts", "is empty; must be at least one host");
    }
    for host in &hosts {
        if let Some(line) = earlier.duplicate(host.clone(), entry.at("hosts")) {
            entry.refuse("hosts", format!("\"{host}\" is named in line {line} already; must be named once"));
        }
    }
    for name in ["hosts", "ca", "crl"] {
        entry.record_location(name, ClientAuthConfig::place(index, name));
    }
    Some(ClientAuthConfig { hosts, ca: ca?, crl, mode: mode.unwrap_or(ClientAuthMode::Require) })
}
