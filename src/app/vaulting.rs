//! `[vault]`: what is wrong with it and with references beside each key alone, and the thread that reads values.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use furt_cluster::model::NodeName;
use furt_seal::WrappedToken;
use tokio::sync::mpsc;

use super::acquiring::place;
use crate::cluster::{VaultCalls, VaultDoor};
use crate::config::{Config, ConfigError, KeyLocations, SecretRef, Sourced};
use crate::published::Snapshots;
use crate::telemetry::Telemetry;
use crate::tls::check_roots;
use crate::vault::{Client, Keeper, NewToken, Running, Token, TokenFile, Values, Wanted};
use furt_core::model::Sha256Digest;

/// Where a token is kept that another node had made for this one, in `cluster.state`.
const GIVEN: &str = "vault-token";
/// Tokens that were made and wait for the cluster's thread.
const MOST_MADE: usize = 32;

/// Keys that are of no use without others, files that cannot be used, and references without a Vault. No reference is resolved.
pub(super) fn faults(config: &Config, locations: &KeyLocations, path: &Path) -> Vec<ConfigError> {
    let vault = &config.vault;
    let fault = |key: &str, message: String| ConfigError {
        location: place(key, locations, path),
        key: key.to_owned(),
        message,
    };
    let Some(url) = &vault.url else {
        let useless = wanted(config).into_iter().map(|one| {
            fault(one.key, format!("names {}, and there is no Vault; vault.url must be set as well", one.place))
        });
        return useless.collect();
    };
    let mut faults = Vec::new();
    let is_of_vault = matches!(config.cluster.password, Some(Sourced::Vault(_)));
    match &vault.token_file {
        Some(file) => faults.extend(Token::read(file).err().map(|why| fault("vault.token_file", why.to_string()))),
        None if config.cluster.url.is_none() => {
            let why = "is of no use alone; vault.token_file must be set as well, or cluster.url, to ask the cluster for a token";
            faults.push(fault("vault.url", why.to_owned()));
        }
        None if is_of_vault => {
            let why = "is in Vault, for which this node asks its cluster for a token, which needs the password; \
                       vault.token_file must be set as well, or cluster.password_file instead";
            faults.push(fault("cluster.password", why.to_owned()));
        }
        None => {}
    }
    if !vault.policies.is_empty() && (vault.token_file.is_none() || config.cluster.url.is_none()) {
        let why = "is of no use: it needs vault.token_file and cluster.url, to make tokens for other nodes";
        faults.push(fault("vault.policies", why.to_owned()));
    }
    let is_secure = url.starts_with("https:");
    if vault.ca.is_some() && !is_secure {
        faults.push(fault("vault.ca", "is of no use: vault.url does not begin with https://".to_owned()));
    } else if is_secure {
        faults.extend(check_roots(vault.ca.as_deref()).err().map(|why| fault("vault.ca", why.to_string())));
    }
    faults
}

/// The values that a configuration wants of a Vault.
fn wanted(config: &Config) -> Vec<Wanted> {
    let one = |key, place: Option<&SecretRef>, check| place.cloned().map(|place| Wanted { key, place, check });
    let password = config.cluster.password.as_ref().and_then(Sourced::reference);
    let digest = config.internal.operator_token_sha256.as_ref().and_then(Sourced::reference);
    let password = one("cluster.password", password, check_password);
    let of_operators = config.operators.iter().filter_map(|operator| operator.token_sha256.as_ref()?.reference());
    let of_operators = of_operators.filter_map(|place| one("operators.token_sha256", Some(place), check_digest));
    password
        .into_iter()
        .chain(one("internal.operator_token_sha256", digest, check_digest))
        .chain(of_operators)
        .collect()
}

fn check_password(text: &str) -> Result<(), String> {
    let has_control = text.chars().any(char::is_control);
    if has_control { Err("it has a line break or another control character".to_owned()) } else { Ok(()) }
}

fn check_digest(text: &str) -> Result<(), String> {
    Sha256Digest::try_from_hex(text).map(|_| ()).map_err(|why| format!("it is not a SHA-256; {why}"))
}

/// The thread; `None`: there is no Vault.
///
/// # Errors
/// Its authorities cannot be used, or it does not start.
pub(super) fn start(
    config: &Config,
    snapshots: &Snapshots,
    telemetry: &Telemetry,
    values: &Values,
) -> Result<Option<Running>> {
    let vault = &config.vault;
    let Some(url) = &vault.url else { return Ok(None) };
    let token_file = match vault.token_file.clone() {
        Some(file) => TokenFile::Own(file),
        None => TokenFile::Given(config.cluster.state.join(GIVEN)),
    };
    let client = Client::try_new(url, vault.ca.as_deref(), vault.namespace.as_deref(), &vault.mount);
    let (in_force, snapshots) = (Arc::clone(snapshots), Arc::clone(snapshots));
    let keeper = Keeper {
        client: client.context("vault.ca")?,
        token_file,
        makes_tokens: Box::new(move || !snapshots.load().config.vault.policies.is_empty()),
        wanted: Box::new(move || wanted(&in_force.load().config)),
        values: values.clone(),
        metrics: telemetry.show_vault().context("counters of Vault cannot be made")?,
    };
    keeper.start().context("no thread can be started for Vault").map(Some)
}

/// The thread, as the cluster asks it for tokens.
pub(super) fn door(running: &Running, snapshots: &Snapshots) -> VaultDoor {
    let (made, receiver) = mpsc::channel(MOST_MADE);
    let (maker, keeper, snapshots) = (running.clone(), running.clone(), Arc::clone(snapshots));
    let make = move |to, name: &NodeName| {
        let vault = &snapshots.load().config.vault;
        let (policies, period) = (vault.policies.clone(), vault.period);
        let new = NewToken { display_name: name.to_string(), policies, period };
        let made = made.clone();
        let take = move |outcome: Result<Token, String>| {
            let wrapped = outcome.and_then(|token| {
                WrappedToken::try_new(token.reveal())
                    .ok_or("its wrapping token is longer than 190 characters".to_owned())
            });
            // A cluster that has ended needs none.
            _ = made.try_send((to, wrapped));
        };
        maker.make_token(new, Box::new(take));
    };
    let keep = move |wrapped: WrappedToken| keeper.keep_token(wrapped.text());
    VaultDoor { calls: VaultCalls { make: Box::new(make), keep: Box::new(keep) }, made: receiver }
}
