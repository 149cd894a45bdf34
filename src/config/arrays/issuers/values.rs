//! Parsers of the values of `[[issuers]]`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderName;
use toml::de::{DeTable, DeValue};
use url::Url;

use super::super::identity_header::identity_header;
use super::super::permissions;
use crate::config::location::RawLocation;
use crate::config::printable::printable;
use crate::config::types::{IssuerConfig, JwksSource, TokenAlgorithm};
use crate::config::value::{Commas, Parsed, RawValue, Value, Zero, duration, list, text};
use furt_core::model::{Invalid, MAX_HEADER_EDITS, PermissionSet};

/// The longest claim `iss`, and the longest audience.
const MAX_BYTES: usize = 512;
const MAX_AUDIENCES: usize = 32;
const MAX_TYPES: usize = 8;
const MAX_CLAIM: usize = 256;
const SKEWS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(300);
const REFRESHES: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(24 * 3600);
const URL: &str = "must be an https:// url such as \"https://login.example.org/keys\", or the absolute path of a file";

pub(super) fn issuer(text: &str) -> Result<String, Invalid> {
    if (1..=MAX_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err(Invalid::new(format!("must be 1 to {MAX_BYTES} visible ASCII characters, as the claim iss has them")))
    }
}

pub(super) fn audience(value: &Value<'_>) -> Parsed<Vec<String>> {
    let one = |text: &str| match text.len() {
        1..=MAX_BYTES if !text.contains(char::is_control) => Ok(text.to_owned()),
        _ => Err(Invalid::new(format!("must be 1 to {MAX_BYTES} bytes without control characters"))),
    };
    some(list(Commas::Refused, "an audience", one)(value)?, MAX_AUDIENCES, "audiences", value)
}

pub(super) fn algorithms(value: &Value<'_>) -> Parsed<Vec<TokenAlgorithm>> {
    let all = TokenAlgorithm::ALL;
    some(list(Commas::Refused, "an algorithm", algorithm)(value)?, all.len(), "algorithms", value)
}

fn algorithm(text: &str) -> Result<TokenAlgorithm, Invalid> {
    let known = TokenAlgorithm::ALL.into_iter().find(|one| one.as_str() == text);
    known.ok_or_else(|| {
        let all = TokenAlgorithm::ALL.map(TokenAlgorithm::as_str).join(", ");
        Invalid::new(format!(
            "must be one of {all}; those by a shared secret (HS256 and its like) and none do not exist here"
        ))
    })
}

pub(super) fn types(value: &Value<'_>) -> Parsed<Vec<String>> {
    let one = |text: &str| {
        let typ = IssuerConfig::normalized_type(text);
        let is_sign = |byte: u8| byte.is_ascii_graphic() && !b"\"\\".contains(&byte);
        if (1..=64).contains(&typ.len()) && typ.bytes().all(is_sign) {
            Ok(typ)
        } else {
            Err(Invalid::new("must be 1 to 64 visible ASCII characters, such as \"at+jwt\" or \"jwt\""))
        }
    };
    some(list(Commas::Refused, "a type", one)(value)?, MAX_TYPES, "types", value)
}

/// A list with at least one element, and at most so many.
fn some<T>(elements: Vec<T>, most: usize, noun: &str, value: &Value<'_>) -> Parsed<Vec<T>> {
    match elements.len() {
        0 => value.error(format!("is empty; must be 1 to {most} {noun}")),
        count if count > most => value.error(format!("has {count} elements; must be 1 to {most} {noun}")),
        _ => Ok(elements),
    }
}

/// Errors do not repeat the text: it may have a password.
pub(super) fn jwks(value: &Value<'_>) -> Parsed<JwksSource> {
    let given = text("a url or a path", |text| Ok(text.to_owned()))(value)?;
    if Path::new(&given).is_absolute() && !given.contains('\0') {
        return Ok(JwksSource::File(PathBuf::from(given)));
    }
    let Ok(url) = Url::parse(&given) else {
        return value.error(format!("is neither a url nor an absolute path; {URL}"));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return value.error("has a user or a password in it; must be without".to_owned());
    }
    if url.fragment().is_some() {
        return value.error("has a fragment (#), which no server sees; must be without".to_owned());
    }
    match url.scheme() {
        "https" if url.has_host() => Ok(JwksSource::Url(url)),
        "http" if is_loopback(&url) => Ok(JwksSource::Url(url)),
        "http" => {
            value.error("would take keys from whoever is on the way; must be https:// beyond this host".to_owned())
        }
        _ => value.error(format!("is not where keys can be fetched; {URL}")),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(url::Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}

pub(super) fn clock_skew(value: &Value<'_>) -> Parsed<Duration> {
    let skew = duration(Zero::Allowed)(value)?;
    if SKEWS.contains(&skew) { Ok(skew) } else { value.error("is too far; must be from 0 to 5 m".to_owned()) }
}

pub(super) fn refresh(value: &Value<'_>) -> Parsed<Duration> {
    let refresh = duration(Zero::Refused)(value)?;
    if REFRESHES.contains(&refresh) {
        Ok(refresh)
    } else {
        value.error("is out of range; must be from 10 s to 1 day".to_owned())
    }
}

pub(super) fn claim(text: &str) -> Result<String, Invalid> {
    if (1..=MAX_CLAIM).contains(&text.len()) && !text.contains(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err(Invalid::new(format!("must be 1 to {MAX_CLAIM} bytes without control characters, such as \"scope\"")))
    }
}

/// Words, each with its permissions; every one that is wrong is told.
pub(super) fn map(value: &Value<'_>) -> Parsed<BTreeMap<String, PermissionSet>> {
    let table = table(value, "words and their permissions, such as { moderator = [\"comments:*\"] }")?;
    let (mut good, mut errors) = (BTreeMap::new(), Vec::new());
    for (key, element) in table {
        let at = RawLocation::Offset(element.span().start);
        match permissions(&Value { at, raw: RawValue::Toml(element.get_ref()) }) {
            Ok(set) => _ = good.insert(key.get_ref().to_string(), set),
            Err(wrong) => errors.extend(wrong),
        }
    }
    if errors.is_empty() { Ok(good) } else { Err(errors) }
}

/// Claims, each with its header; every one that is wrong is told.
pub(super) fn headers(value: &Value<'_>) -> Parsed<BTreeMap<String, HeaderName>> {
    let table = table(value, "claims and names of headers, such as { email = \"X-User-Email\" }")?;
    if table.len() > MAX_HEADER_EDITS {
        return value.error(format!("has {} headers; must be at most {MAX_HEADER_EDITS}", table.len()));
    }
    let (mut good, mut errors) = (BTreeMap::<String, HeaderName>::new(), Vec::new());
    for (key, element) in table {
        let name = key.get_ref().as_ref();
        let refused = |why: &dyn Display| format!("\"{}\": {why}", printable(name));
        if let Err(why) = claim(name) {
            errors.push((RawLocation::Offset(key.span().start), refused(&why)));
        }
        let header = match element.get_ref().as_str() {
            None => Err(Invalid::new("must have the name of a header in quotes")),
            Some(text) => identity_header(text).and_then(|header| match good.iter().find(|one| *one.1 == header) {
                Some((other, _)) => {
                    Err(Invalid::new(format!("has the header of {}; must have its own", printable(other))))
                }
                None => Ok(header),
            }),
        };
        match header {
            Ok(header) => _ = good.insert(name.to_owned(), header),
            Err(why) => errors.push((RawLocation::Offset(element.span().start), refused(&why))),
        }
    }
    if errors.is_empty() { Ok(good) } else { Err(errors) }
}

fn table<'a>(value: &Value<'a>, right: &str) -> Parsed<&'a DeTable<'a>> {
    match value.raw {
        RawValue::Toml(DeValue::Table(table)) => Ok(table),
        RawValue::Toml(_) | RawValue::Text(_) => value.error(format!("is no table; must be a table of {right}")),
    }
}
