//! Who a caller is among the operators, by its address and its credentials.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};

use crate::config::{Config, OperatorConfig, Sourced};
use crate::vault::Values;
use furt_core::model::{Operator, OperatorName, Role, Sha256Digest};
use furt_core::registry::Source;

/// Who sends these headers from an address, with a certificate.
pub(super) fn source(
    config: &Config,
    values: &Values,
    address: IpAddr,
    certificate: Option<Sha256Digest>,
    headers: &HeaderMap,
) -> Source {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| Sha256Digest::of(token.trim().as_bytes()))
    });
    let address = address.to_canonical();
    let operator = operator(config, values, address, bearer, certificate);
    Source { address, operator, token: bearer, certificate }
}

/// Who comes from an address with these credentials: the first of the configuration, in its order.
pub(super) fn operator(
    config: &Config,
    values: &Values,
    address: IpAddr,
    token: Option<Sha256Digest>,
    certificate: Option<Sha256Digest>,
) -> Option<Operator> {
    let internal = &config.internal;
    // While a Vault has not given it nobody has it.
    let is_token = |wanted: &Sourced<Sha256Digest>| token.is_some() && token == values.digest(wanted);
    let is_named = |one: &&OperatorConfig| {
        let has_token = one.token_sha256.as_ref().is_some_and(is_token);
        let has_certificate = certificate.is_some() && certificate == one.certificate_sha256;
        (has_token || has_certificate) && one.from.as_ref().unwrap_or(&internal.operators_from).contains(address)
    };
    if let Some(OperatorConfig { name, role, .. }) = config.operators.iter().find(is_named) {
        return Some(Operator { name: Some(name.clone()), role: *role });
    }
    let name = match &internal.operator_token_sha256 {
        Some(wanted) if is_token(wanted) => Some(OperatorName::unnamed()),
        None if config.operators.is_empty() => None,
        Some(_) | None => return None,
    };
    internal.operators_from.contains(address).then_some(Operator { name, role: Role::Admin })
}
