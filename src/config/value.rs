//! Parsers of one value: from the file's TOML, or the text of an environment variable, to its type.
//!
//! A parser takes a [`Value`] and returns its meaning or *every* error in it, each at its own location (the third element
//! of a list, not the list). An error says what is wrong and, after a semicolon, what would be right. It never repeats a
//! secret or a url. Parsers know no keys and no default values. Callers: the rows in `tables` and `arrays`.

use std::fmt::Display;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use furt_bus::{BusUrl, UrlError};
use toml::de::DeValue;

use super::location::RawLocation;
use super::printable::printable;
use super::sourced::{PlainPassword, SecretRef, Sourced};
use furt_core::model::{
    AuthMethod, AuthMethods, CidrSet, Host, Invalid, MAX_BURST, MAX_DURATION, MAX_TIME, MIN_TTL, OriginPattern,
    Origins, Sha256Digest, UpstreamHost, UpstreamUrl, duration as duration_of, is_never_upstream, size as size_of,
};

/// The shortest duration beside zero. Timers are no finer.
const MIN_DURATION: Duration = Duration::from_millis(1);
/// The longest time that clients are told to remember something.
const MAX_AGE: Duration = Duration::from_secs(3650 * 24 * 3600);

/// A value before it is parsed, and its location.
pub(super) struct Value<'a> {
    /// Where it is.
    pub at: RawLocation,
    /// The value.
    pub raw: RawValue<'a>,
}

/// A value before it is parsed.
#[derive(Clone, Copy)]
pub(super) enum RawValue<'a> {
    /// In the file.
    Toml(&'a DeValue<'a>),
    /// In an environment variable, where everything is text.
    Text(&'a str),
}

/// What is wrong, and where within the value.
pub(super) type ValueErrors = Vec<(RawLocation, String)>;
/// The outcome of a parser.
pub(super) type Parsed<T> = Result<T, ValueErrors>;

impl<'a> Value<'a> {
    /// One error, at the value's own place.
    pub(super) fn error<T>(&self, message: String) -> Parsed<T> {
        Err(vec![(self.at.clone(), message)])
    }

    fn wrong_type<T>(&self, right: &str) -> Parsed<T> {
        match self.raw {
            RawValue::Toml(value) => {
                let kind = value.type_str();
                let article = if kind.starts_with(['a', 'i', 'o']) { "an" } else { "a" };
                self.error(format!("is {article} {kind}; must be {right}"))
            }
            RawValue::Text(text) => self.error(format!("\"{}\" does not fit; must be {right}", printable(text))),
        }
    }

    /// The value as text, where it is text.
    fn text(&self) -> Option<&'a str> {
        match self.raw {
            RawValue::Toml(value) => value.as_str(),
            RawValue::Text(text) => Some(text),
        }
    }
}

/// A valid value, and where it is.
pub(super) struct Located<T> {
    pub at: RawLocation,
    pub value: T,
}

/// The same value with its location.
pub(super) fn located<T>(parse: impl Fn(&Value<'_>) -> Parsed<T>) -> impl Fn(&Value<'_>) -> Parsed<Located<T>> {
    move |value| parse(value).map(|parsed| Located { at: value.at.clone(), value: parsed })
}

/// `true` or `false`.
pub(super) fn boolean(value: &Value<'_>) -> Parsed<bool> {
    match value.raw {
        RawValue::Toml(&DeValue::Boolean(given)) => Ok(given),
        RawValue::Text("true") => Ok(true),
        RawValue::Text("false") => Ok(false),
        RawValue::Toml(_) | RawValue::Text(_) => value.wrong_type("true or false"),
    }
}

/// A whole number within `range`.
pub(super) fn whole<T: TryFrom<u64>>(range: RangeInclusive<u64>) -> impl Fn(&Value<'_>) -> Parsed<T> {
    move |value| {
        let right = format!("a whole number from {} to {}", range.start(), range.end());
        let number = match value.raw {
            RawValue::Toml(DeValue::Integer(number)) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            RawValue::Text(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
            RawValue::Toml(_) | RawValue::Text(_) => return value.wrong_type(&right),
        };
        match number.filter(|number| range.contains(number)).and_then(|number| T::try_from(number).ok()) {
            Some(number) => Ok(number),
            None => value.error(format!("{} is out of range; must be {right}", quoted(value))),
        }
    }
}

/// The burst of a rate: how many requests may come at once.
pub(super) fn burst(value: &Value<'_>) -> Parsed<NonZeroU32> {
    let count: u32 = whole(1..=u64::from(MAX_BURST))(value)?;
    Ok(NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN))
}

/// A number of bytes, at least 1: as a number, or as a text with `KiB`, `MiB` or `GiB` after it.
pub(super) fn size(value: &Value<'_>) -> Parsed<u64> {
    const RIGHT: &str = "a number of bytes such as 65536, or a text such as \"64KiB\", \"10MiB\" or \"1GiB\"";
    let bytes = match value.raw {
        RawValue::Toml(DeValue::Integer(number)) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
        RawValue::Toml(DeValue::String(text)) => size_of(text),
        RawValue::Text(text) => size_of(text),
        RawValue::Toml(_) => return value.wrong_type(RIGHT),
    };
    match bytes {
        Some(bytes @ 1..) => Ok(bytes),
        Some(0) | None => value.error(format!("{} is not a size; must be {RIGHT}, at least 1", quoted(value))),
    }
}

/// Whether a duration may be zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Zero {
    /// Zero means "at once".
    Allowed,
    /// Zero has no meaning here. A timeout of zero would expire at once, not never.
    Refused,
}

/// A duration, at most 30 days: a number of seconds, or text with `ms`, `s`, `m`, `h` or `d` after the number.
pub(super) fn duration(zero: Zero) -> impl Fn(&Value<'_>) -> Parsed<Duration> {
    move |value| {
        let least = if zero == Zero::Allowed { "0" } else { "1 ms" };
        match any_duration(value)? {
            Duration::ZERO if zero == Zero::Allowed => Ok(Duration::ZERO),
            duration if (MIN_DURATION..=MAX_DURATION).contains(&duration) => Ok(duration),
            _ => value.error(format!("{} is out of range; must be from {least} to 30 days", quoted(value))),
        }
    }
}

/// How long clients remember something: whole seconds, at most ten years; 0 is allowed.
pub(super) fn age(value: &Value<'_>) -> Parsed<Duration> {
    let age = any_duration(value)?;
    if age <= MAX_AGE && age.subsec_nanos() == 0 {
        Ok(age)
    } else {
        value.error(format!("{} is out of range; must be 0, or whole seconds up to 3650 days", quoted(value)))
    }
}

/// A TTL in whole milliseconds, as the store keeps it. It has the bounds of a TTL that an instance names itself.
pub(super) fn ttl(value: &Value<'_>) -> Parsed<Duration> {
    let ttl = any_duration(value)?;
    if (MIN_TTL..=MAX_TIME).contains(&ttl) {
        Ok(Duration::from_millis(ttl.as_millis().try_into().unwrap_or(u64::MAX)))
    } else {
        value.error(format!("{} is out of range; must be from 1 s to 1 day", quoted(value)))
    }
}

fn any_duration(value: &Value<'_>) -> Parsed<Duration> {
    const RIGHT: &str = "seconds such as 30 or 0.5, or a text such as \"30s\", \"500ms\", \"2m\" or \"1h\"";
    let duration = match value.raw {
        RawValue::Toml(DeValue::Integer(number)) => {
            // A sign or a size that `u64` has not is still a number: out of range rather than malformed.
            Some(u64::from_str_radix(number.as_str(), number.radix()).map_or(Duration::MAX, Duration::from_secs))
        }
        RawValue::Toml(DeValue::Float(number)) => {
            let seconds = number.as_str().parse().ok();
            Some(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or(Duration::MAX))
        }
        RawValue::Toml(DeValue::String(text)) => duration_of(text),
        RawValue::Text(text) => duration_of(text),
        RawValue::Toml(_) => return value.wrong_type(RIGHT),
    };
    duration.map_or_else(|| value.error(format!("{} is not a duration; must be {RIGHT}", quoted(value))), Ok)
}

/// A text that `parse` accepts. `noun` names it in errors, as in "is not a rate".
pub(super) fn text<T>(noun: &str, parse: impl Fn(&str) -> Result<T, Invalid>) -> impl Fn(&Value<'_>) -> Parsed<T> {
    move |value| match value.text() {
        Some(text) => parse(text).or_else(|why| value.error(refused(text, noun, &why))),
        None => value.wrong_type(&format!("{noun}, as a text in quotes")),
    }
}

/// One of a few words.
pub(super) fn one_of<T: Clone>(words: &'static [(&'static str, T)]) -> impl Fn(&Value<'_>) -> Parsed<T> {
    move |value| {
        let known: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let right = known.join(" or ");
        match value.text() {
            Some(text) => match words.iter().find(|(word, _)| *word == text) {
                Some((_, meant)) => Ok(meant.clone()),
                None => value.error(format!("{} is not known; must be {right}", quoted(value))),
            },
            None => value.wrong_type(&right),
        }
    }
}

/// A SHA-256 in hexadecimal digits. Errors do not repeat the text: it may be the secret itself.
pub(super) fn digest(value: &Value<'_>) -> Parsed<Sha256Digest> {
    match value.text() {
        Some(text) => Sha256Digest::try_from_hex(text).or_else(|why| value.error(format!("is not a SHA-256; {why}"))),
        None => value.wrong_type("64 hexadecimal digits in quotes, the SHA-256 of the secret"),
    }
}

/// A value that `parse` takes, or where in a Vault it is.
pub(super) fn sourced<T>(parse: impl Fn(&Value<'_>) -> Parsed<T>) -> impl Fn(&Value<'_>) -> Parsed<Sourced<T>> {
    move |value| match value.text().filter(|text| SecretRef::is_meant(text)) {
        Some(text) => reference(value, text).map(Sourced::Vault),
        None => parse(value).map(Sourced::Here),
    }
}

/// Where in a Vault a password is. The environment may have the password itself. Errors do not repeat it.
pub(super) fn password(value: &Value<'_>) -> Parsed<Sourced<PlainPassword>> {
    match value.raw {
        RawValue::Text(text) if !SecretRef::is_meant(text) => Ok(Sourced::Here(PlainPassword::new(text))),
        RawValue::Text(text) => reference(value, text).map(Sourced::Vault),
        RawValue::Toml(toml) => match toml.as_str() {
            Some(text) => reference(value, text).map(Sourced::Vault),
            None => value.wrong_type("a reference in quotes, as \"vault:PATH#KEY\""),
        },
    }
}

fn reference(value: &Value<'_>, text: &str) -> Parsed<SecretRef> {
    text.parse().or_else(|why: Invalid| value.error(format!("is not a reference; {why}")))
}

/// An instance's url. Errors do not repeat the text: it may have a password.
pub(super) fn url(value: &Value<'_>) -> Parsed<UpstreamUrl> {
    match value.text() {
        Some(text) => UpstreamUrl::try_new(text).or_else(|why| value.error(format!("is not an instance's url; {why}"))),
        None => value.wrong_type("a url such as \"http://10.0.0.5:8080\""),
    }
}

/// The url of a broker. Errors do not repeat the text: it may have a password.
pub(super) fn broker(value: &Value<'_>) -> Parsed<BusUrl> {
    match value.text() {
        Some(text) => text.parse().or_else(|why: UrlError| value.error(format!("is not the url of a broker; {why}"))),
        None => value.wrong_type("a url such as \"amqp://furt@127.0.0.1:5672\""),
    }
}

/// A path of the file system.
pub(super) fn file(value: &Value<'_>) -> Parsed<PathBuf> {
    match value.text() {
        Some(text) if !text.is_empty() && !text.contains('\0') => Ok(text.into()),
        _ => value.wrong_type("the path of a file"),
    }
}

/// An address with a port, for a listener.
fn socket_address(text: &str) -> Result<SocketAddr, Invalid> {
    text.parse()
        .map_err(|_| Invalid::new("must be an address with a port, such as \"127.0.0.1:7811\" or \"[::]:7811\""))
}

/// A DNS name, as in a certificate: a host name, not an address.
pub(super) fn dns_name(text: &str) -> Result<Host, Invalid> {
    let host = Host::try_new(text)?;
    if host.as_str().starts_with('[') || host.as_str().parse::<std::net::IpAddr>().is_ok() {
        return Err(Invalid::new("must be a name, not an address"));
    }
    Ok(host)
}

/// Whether a list may also be one text with commas. It may not where an element itself may have a comma.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Commas {
    /// `"127.0.0.1, 10.0.0.0/8"`.
    Split,
    /// An array only.
    Refused,
}

/// A list of texts that `parse` accepts.
pub(super) fn list<T>(
    commas: Commas,
    noun: &str,
    parse: impl Fn(&str) -> Result<T, Invalid>,
) -> impl Fn(&Value<'_>) -> Parsed<Vec<T>> {
    move |value| {
        let elements: Vec<Value<'_>> = match (value.raw, value.text()) {
            (RawValue::Toml(DeValue::Array(array)), _) => array
                .iter()
                .map(|element| Value {
                    at: RawLocation::Offset(element.span().start),
                    raw: RawValue::Toml(element.get_ref()),
                })
                .collect(),
            (_, Some(text)) if commas == Commas::Split => {
                let texts = text.split(',').map(str::trim).filter(|_| !text.trim().is_empty());
                texts.map(|text| Value { at: value.at.clone(), raw: RawValue::Text(text) }).collect()
            }
            _ if commas == Commas::Split => {
                return value.wrong_type("an array of texts in quotes, or one text with commas");
            }
            _ => return value.wrong_type("an array of texts in quotes"),
        };
        let mut errors = ValueErrors::new();
        let mut good = Vec::new();
        for element in elements {
            match element.text().map(&parse) {
                Some(Ok(element)) => good.push(element),
                Some(Err(why)) => {
                    errors.push((element.at.clone(), refused(element.text().unwrap_or_default(), noun, &why)));
                }
                None => errors.extend(
                    element.wrong_type::<()>(&format!("{noun}, as a text in quotes")).err().into_iter().flatten(),
                ),
            }
        }
        if errors.is_empty() { Ok(good) } else { Err(errors) }
    }
}

/// Addresses with ports, for listeners.
pub(super) fn addresses(value: &Value<'_>) -> Parsed<Vec<SocketAddr>> {
    list(Commas::Split, "an address to listen on", socket_address)(value)
}

/// A url that clients are told: it says where they find something.
pub(super) fn advertised(value: &Value<'_>) -> Parsed<UpstreamUrl> {
    let rule = "is not where clients can find a listener; must be \"http://HOST:PORT\" or \"https://HOST:PORT\", with a name \
                or an address that others reach";
    let url = value.text().and_then(|text| UpstreamUrl::try_new(text).ok());
    let is_somewhere = |url: &UpstreamUrl| match url.host {
        UpstreamHost::Address(address) => !is_never_upstream(address),
        UpstreamHost::Name(_) => true,
    };
    url.filter(is_somewhere).map_or_else(|| value.error(rule.to_owned()), Ok)
}

/// A list of host names.
pub(super) fn hosts(value: &Value<'_>) -> Parsed<Vec<Host>> {
    list(Commas::Split, "a host", Host::try_new)(value)
}

/// A list of origins, or `"*"` alone.
pub(super) fn origins(value: &Value<'_>) -> Parsed<Origins> {
    let written = |text: &str| match text {
        "*" => Ok(text.to_owned()),
        _ => OriginPattern::try_new(text).map(|origin| origin.to_string()),
    };
    let texts = list(Commas::Refused, "an origin", written)(value)?;
    Origins::try_new(&texts).or_else(|why| value.error(why.to_string()))
}

/// Who may vouch for callers: `"key"`, and names of providers.
pub(super) fn auth(value: &Value<'_>) -> Parsed<AuthMethods> {
    let methods = list(Commas::Refused, "who may vouch for callers", AuthMethod::try_new)(value)?;
    AuthMethods::try_of(methods).or_else(|why| value.error(why.to_string()))
}

/// A list of networks.
pub(super) fn networks(value: &Value<'_>) -> Parsed<CidrSet> {
    let network = |text: &str| match CidrSet::try_new(&[text]) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(Invalid::new("must be an address or a network such as \"10.0.0.0/8\"")),
    };
    let texts = list(Commas::Split, "a network", network)(value)?;
    CidrSet::try_new(&texts).or_else(|why| value.error(why.to_string()))
}

fn refused(text: &str, noun: &str, why: &dyn Display) -> String {
    format!("\"{}\" is not {noun}; {why}", printable(text))
}

/// A scalar as it was written, to be shown in an error.
fn quoted(value: &Value<'_>) -> String {
    match value.raw {
        RawValue::Toml(DeValue::Integer(number)) => printable(&number.to_string()),
        RawValue::Toml(DeValue::Float(number)) => printable(number.as_str()),
        RawValue::Toml(DeValue::String(text)) => format!("\"{}\"", printable(text)),
        RawValue::Toml(other) => other.type_str().to_owned(),
        RawValue::Text(text) => format!("\"{}\"", printable(text)),
    }
}
