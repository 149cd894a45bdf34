//! The arrays of tables, `[[certificates]]`, `[[client_auth]]`, `[[operators]]`, `[[api_keys]]`, `[[issuers]]`, `[[forward_auth]]`, `[[grants]]`, `[[routes]]`, `[[rules]]`: a row for
//! each key, then the rules within an entry and between entries.
//!
//! One file for each array. Files of certificates, names, digests, issuers, granted services and static routes are unique. An entry with a fault is left
//! out, which is harmless: a configuration with a fault is never used. The registry decides whether a registration
//! overlaps a static route, or lies within its grant. Callers: `load`, `reference` and `changes`.

mod api_keys;
mod certificates;
mod client_auth;
mod earlier;
mod forward_auth;
mod grants;
mod identity_header;
mod issuers;
mod operators;
mod routes;
mod rules;
mod targets;

use super::key::{EntryVisitor, ReloadClass};
use super::location::Lines;
use super::section::Section;
use super::types::Config;
use super::value::{Commas, Parsed, Value, list};
use furt_core::model::{PermissionRule, PermissionSet};

/// An array as a whole: a reload compares it as one key.
pub(super) struct Array {
    pub(super) name: &'static str,
    pub(super) reload: ReloadClass,
    pub(super) differs: fn(&Config, &Config) -> bool,
}

/// Every array, in the order of `conf/furt.toml`.
pub(super) const ARRAYS: [Array; 9] = [
    Array { name: certificates::NAME, reload: ReloadClass::Reload, differs: |a, b| a.certificates != b.certificates },
    Array { name: client_auth::NAME, reload: ReloadClass::Reload, differs: |a, b| a.client_auth != b.client_auth },
    Array { name: operators::NAME, reload: ReloadClass::Reload, differs: |a, b| a.operators != b.operators },
    Array { name: api_keys::NAME, reload: ReloadClass::Reload, differs: |a, b| a.api_keys != b.api_keys },
    Array { name: issuers::NAME, reload: ReloadClass::Reload, differs: |a, b| a.issuers != b.issuers },
    Array { name: forward_auth::NAME, reload: ReloadClass::Reload, differs: |a, b| a.forward_auth != b.forward_auth },
    Array { name: grants::NAME, reload: ReloadClass::Reload, differs: |a, b| a.grants != b.grants },
    Array { name: routes::NAME, reload: ReloadClass::Reload, differs: |a, b| a.routes != b.routes },
    Array { name: rules::NAME, reload: ReloadClass::Reload, differs: |a, b| a.rules != b.rules },
];

/// Takes a visitor through the rows of every array, as of one entry each.
pub(super) fn visit(keys: &mut impl EntryVisitor) {
    _ = certificates::visit(keys);
    _ = client_auth::visit(keys);
    _ = operators::visit(keys);
    _ = api_keys::visit(keys);
    _ = issuers::visit(keys);
    _ = forward_auth::visit(keys);
    _ = grants::visit(keys);
    _ = routes::visit(keys);
    _ = rules::visit(keys);
}

/// Reads every array below `top` into `config`. Its single tables must be read already.
pub(super) fn read(top: &mut Section<'_>, config: &mut Config, lines: &Lines<'_>) {
    config.certificates = certificates::read(top.entries(certificates::NAME), lines);
    config.client_auth = client_auth::read(top.entries(client_auth::NAME), lines);
    config.operators = operators::read(top.entries(operators::NAME), lines, config);
    config.api_keys = api_keys::read(top.entries(api_keys::NAME), lines);
    let (issuers, servers) = (top.entries(issuers::NAME), top.entries(forward_auth::NAME));
    let count = issuers.len() + servers.len();
    config.issuers = issuers::read(issuers, lines);
    config.forward_auth = forward_auth::read(servers, lines, &config.issuers);
    // Of one with a fault nobody knows the name, and what names it is not to be called wrong as well.
    let are_known = config.issuers.len() + config.forward_auth.len() == count;
    config.grants = grants::read(top.entries(grants::NAME), lines, are_known.then_some(&*config));
    let listeners: Vec<_> =
        config.server.listen.iter().chain(&config.tls.listen).chain(&config.internal.listen).copied().collect();
    config.routes = routes::read(top.entries(routes::NAME), &listeners, lines);
    config.rules = rules::read(top.entries(rules::NAME), lines, are_known.then_some(&*config));
}

/// Permissions of a key or a grant.
fn permissions(value: &Value<'_>) -> Parsed<PermissionSet> {
    list(Commas::Refused, "a permission", PermissionRule::try_new)(value).map(PermissionSet::new)
}
