//! `[[forward_auth]]`: servers that are asked whether a request may come.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, header};
use toml::de::DeValue;
use url::{Host, Url};

use super::earlier::EarlierEntries;
use super::identity_header::identity_header;
use super::permissions;
use crate::config::key::{DefaultValue, EntryVisitor, Key};
use crate::config::location::{Lines, RawLocation};
use crate::config::printable::printable;
use crate::config::section::Section;
use crate::config::types::{ClaimGrants, ForwardAuthConfig, IssuerConfig};
use crate::config::value::{Commas, Parsed, RawValue, Value, Zero, duration, file, list, text};
use crate::header_name::{Folding, begins_as, reads_as};
use furt_core::model::{Invalid, PermissionSet, ProviderName, is_never_upstream};

pub(super) const NAME: &str = "forward_auth";

/// The most entries: a route names at most eight, and each has its own line in the metrics.
const MAX_ENTRIES: usize = 16;
/// The most names of a list of headers.
const MAX_HEADERS: usize = 32;
/// The most words of `map`.
const MAX_WORDS: usize = 256;
/// The longest word of `map`, in bytes.
const MAX_WORD: usize = 256;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_HEADERS: [HeaderName; 3] = [header::COOKIE, header::AUTHORIZATION, header::ACCEPT];

/// What is for one hop, or frames a body that a question never has (RFC 9110 §7.6.1, §10.1.1; RFC 9112 §6).
const NEVER_ASKED_WITH: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// The beginnings of what is for one hop, and of what tells the server what is asked about.
const NEVER_ASKED_WITH_ANY: [&str; 2] = ["proxy-", "x-forwarded"];

const URL: &str = "must be an http or https url, such as \"http://auth.internal:9091/api/authz/forward-auth\"";

/// The values of an entry. `None`: absent, or invalid and reported.
pub(super) struct ForwardAuthValues {
    name: Option<ProviderName>,
    url: Option<Url>,
    ca: Option<PathBuf>,
    timeout: Option<Duration>,
    request_headers: Option<Vec<HeaderName>>,
    copy: Option<Vec<HeaderName>>,
    user: Option<HeaderName>,
    claim: Option<HeaderName>,
    permissions: Option<PermissionSet>,
    map: Option<BTreeMap<String, PermissionSet>>,
}

pub(super) fn visit(keys: &mut impl EntryVisitor) -> ForwardAuthValues {
    keys.array(
        NAME,
        "Servers that are asked whether a request may come, such as Authelia, oauth2-proxy or Authentik: one table for each, at most \
         16. [Forward auth](auth.md#forward-auth) has more.",
    );
    ForwardAuthValues {
        name: keys.required(
            Key {
                name: "forward_auth.name",
                default: DefaultValue::required(r#""sso""#),
                range: "1 to 63 of `A-Z`, `a-z`, `0-9`, `.`, `_`, `-`, not begun with `.`, not `key`; unique",
                text: "What `auth` of routes calls it.",
                ..Key::ROW
            },
            text("a name", ProviderName::try_new),
        ),
        url: keys.required(
            Key {
                name: "forward_auth.url",
                default: DefaultValue::required(r#""https://auth.example/api/authz/forward-auth""#),
                range: "an http or https url; http not to public addresses",
                text: "What is asked for, always with GET. By http, cookies and tokens of clients are sent in plain text: a name must be \
                       one of a network that nobody else listens on.",
                ..Key::ROW
            },
            url,
        ),
        ca: keys.optional(
            Key {
                name: "forward_auth.ca",
                default: DefaultValue::absent("the system's", r#""/etc/furt/auth-ca.pem""#),
                range: "a PEM file; only with an https url",
                text: "Certificate authorities of the server. The file is read at the start and at each reload.",
                ..Key::ROW
            },
            file,
        ),
        timeout: keys.optional(
            Key {
                name: "forward_auth.timeout",
                default: DefaultValue::absent("`2s`", r#""2s""#),
                range: "1 ms to 30 s",
                text: "For a whole question: resolving the name, connecting, and the answer.",
                ..Key::ROW
            },
            timeout,
        ),
        request_headers: keys.optional(
            Key {
                name: "forward_auth.request_headers",
                default: DefaultValue::absent(
                    r#"`["cookie", "authorization", "accept"]`"#,
                    r#"["cookie", "authorization", "accept"]"#,
                ),
                range: "up to 32 names of headers; none of the hop, of framing, or `X-Forwarded-*`",
                text: "Headers of the client that the server gets. It always gets `X-Forwarded-Method`, `-Proto`, `-Host`, `-Uri` and `-For` \
                       of furt.",
                ..Key::ROW
            },
            list(Commas::Refused, "a header to ask with", asked_header),
        ),
        copy: keys.optional(
            Key {
                name: "forward_auth.copy",
                default: DefaultValue::absent("none", r#"["Remote-User", "Remote-Groups"]"#),
                range: "up to 32 names of headers; none that furt sets itself",
                text: "Headers of an answer that lets the request in, which the service gets. What the client sends under these names, it \
                       never gets.",
                ..Key::ROW
            },
            list(Commas::Refused, "a header to copy", identity_header),
        ),
        user: keys.optional(
            Key {
                name: "forward_auth.user",
                default: DefaultValue::absent("none", r#""Remote-User""#),
                range: "a name as in `copy`",
                text: "The header of such an answer that says who the caller is. It is copied, too, whether `copy` names it or not.",
                ..Key::ROW
            },
            text("a header to copy", identity_header),
        ),
        claim: keys.optional(
            Key {
                name: "forward_auth.claim",
                default: DefaultValue::absent(
                    "none: who is let in may do what the route asks for",
                    r#""Remote-Groups""#,
                ),
                range: "the name of a header",
                text: "The header of such an answer whose words say what the caller may do. Words end at `,` and `|`.",
                ..Key::ROW
            },
            text("a header", any_header),
        ),
        permissions: keys.optional(
            Key {
                name: "forward_auth.permissions",
                default: DefaultValue::absent("none", r#"["comments:*"]"#),
                range: "as for keys; only with `claim`",
                text: "Words within these are permissions themselves.",
                ..Key::ROW
            },
            permissions,
        ),
        map: keys.optional(
            Key {
                name: "forward_auth.map",
                default: DefaultValue::absent("none", r#"{ moderators = ["comments:*", "mail:send"] }"#),
                range: "a table of up to 256 words and their permissions; only with `claim`",
                text: "What other words stand for.",
                ..Key::ROW
            },
            map,
        ),
    }
}

/// Reads all entries. Names are unique.
///
/// `issuers`: whose names are taken.
pub(super) fn read(entries: Vec<Section<'_>>, lines: &Lines<'_>, issuers: &[IssuerConfig]) -> Vec<ForwardAuthConfig> {
    let mut names = EarlierEntries::new(lines);
    let read = |(index, entry): (usize, Section<'_>)| {
        if index == MAX_ENTRIES {
            entry.refuse_whole(format!("is one too many; must be at most {MAX_ENTRIES}"));
        }
        read_one(entry, index, &mut names, issuers)
    };
    entries.into_iter().enumerate().filter_map(read).collect()
}

fn read_one(
    mut entry: Section<'_>,
    index: usize,
    names: &mut EarlierEntries<'_, ProviderName>,
    issuers: &[IssuerConfig],
) -> Option<ForwardAuthConfig> {
    let values = visit(&mut entry);
    let ForwardAuthValues { name, url, ca, timeout, request_headers, copy, user, claim, permissions, map } = values;
    entry.finish();
    if let Some(name) = &name
        && let Some(line) = names.duplicate(name.clone(), entry.at("name"))
    {
        entry.refuse("name", format!("\"{name}\" is the server in line {line} already; must be unique"));
    }
    if let Some(name) = name.as_ref().filter(|name| issuers.iter().any(|issuer| issuer.name == **name)) {
        entry.refuse(
            "name",
            format!("\"{name}\" is an issuer already; must be unique among [[issuers]] and [[forward_auth]]"),
        );
    }
    entry.record_location("ca", format!("{NAME}[{index}].ca"));
    if entry.is_set("ca") && url.as_ref().is_some_and(|url| url.scheme() == "http") {
        entry.refuse("ca", "stands beside an http url; must be left out, or the url must be https");
    }
    for key in ["permissions", "map"] {
        if entry.is_set(key) && !entry.is_set("claim") {
            entry.refuse(key, "stands without claim; must have the header whose words it is about, or be left out");
        }
    }
    let request_headers = request_headers.unwrap_or_else(|| DEFAULT_HEADERS.to_vec());
    let mut copy = copy.unwrap_or_default();
    for (key, headers) in [("request_headers", &request_headers), ("copy", &copy)] {
        check_headers(&entry, key, headers);
    }
    if let Some(user) = user.as_ref().filter(|user| !copy.contains(user)) {
        copy.push(user.clone());
    }
    let claim = claim.map(|name| name.as_str().to_owned());
    let grants = ClaimGrants { claim, permissions: permissions.unwrap_or_default(), map: map.unwrap_or_default() };
    let timeout = timeout.unwrap_or(DEFAULT_TIMEOUT);
    Some(ForwardAuthConfig { name: name?, url: url?, ca, timeout, request_headers, copy, user, grants })
}

fn check_headers(entry: &Section<'_>, key: &str, headers: &[HeaderName]) {
    if headers.len() > MAX_HEADERS {
        entry.refuse(key, format!("names {} headers; must be at most {MAX_HEADERS}", headers.len()));
    }
    let mut seen = HashSet::new();
    if let Some(twice) = headers.iter().find(|name| !seen.insert(*name)) {
        entry.refuse(key, format!("names \"{twice}\" twice; must name each header once"));
    }
}

/// Errors do not repeat the text: it may have a password.
fn url(value: &Value<'_>) -> Parsed<Url> {
    let given = text("a url", |text| Ok(text.to_owned()))(value)?;
    let Ok(url) = Url::parse(&given) else { return value.error(format!("is not a url; {URL}")) };
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return value.error(format!("is of a scheme that cannot be asked; {URL}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return value.error("has a user or a password in it; must be without".to_owned());
    }
    if url.fragment().is_some() {
        return value.error("has a fragment, which no server gets; must be without \"#\"".to_owned());
    }
    if url.port() == Some(0) {
        return value.error("has the port 0; must be from 1 to 65535".to_owned());
    }
    let address = match url.host() {
        Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => Some(address.to_canonical()),
        Some(Host::Domain(_)) | None => None,
    };
    match address {
        Some(address) if is_never_upstream(address) => {
            value.error("has an address that no server may have; must be another".to_owned())
        }
        Some(address) if url.scheme() == "http" && !is_inner(address) => value.error(
            "would send cookies and tokens in plain text to a public address; must be https://, or an address of loopback or a \
             private network"
                .to_owned(),
        ),
        _ => Ok(url),
    }
}

/// Whether an address is of this host or of a private network (RFC 1918, RFC 4193, RFC 6598).
fn is_inner(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            let is_shared = first == 100 && (64..128).contains(&second);
            address.is_loopback() || address.is_private() || is_shared
        }
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local(),
    }
}

fn timeout(value: &Value<'_>) -> Parsed<Duration> {
    let timeout = duration(Zero::Refused)(value)?;
    if timeout <= LONGEST_TIMEOUT {
        Ok(timeout)
    } else {
        value.error("is too long; must be from 1 ms to 30 s".to_owned())
    }
}

fn any_header(text: &str) -> Result<HeaderName, Invalid> {
    HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| Invalid::new("must be the name of a header, such as \"Remote-Groups\""))
}

/// A header of the client that may be in a question.
fn asked_header(text: &str) -> Result<HeaderName, Invalid> {
    let name = any_header(text)?;
    let is_own = |own: &&str| reads_as(own, name.as_str(), Folding::EverySign);
    let begins_so = |own: &&str| begins_as(name.as_str(), own, Folding::EverySign);
    if NEVER_ASKED_WITH.iter().any(is_own) || NEVER_ASKED_WITH_ANY.iter().any(begins_so) {
        return Err(Invalid::new("is furt's own to send; must be another header"));
    }
    Ok(name)
}

/// Words, each with its permissions; every one that is wrong is told.
fn map(value: &Value<'_>) -> Parsed<BTreeMap<String, PermissionSet>> {
    let RawValue::Toml(DeValue::Table(table)) = value.raw else {
        return value.error("must be a table of words and their permissions, such as { admins = [\"*\"] }".to_owned());
    };
    if table.len() > MAX_WORDS {
        return value.error(format!("has {} words; must be at most {MAX_WORDS}", table.len()));
    }
    let (mut good, mut errors) = (BTreeMap::new(), Vec::new());
    for (key, element) in table {
        let word = key.get_ref().as_ref();
        let refused = |why: &str| format!("\"{}\": {why}", printable(word));
        if !is_word(word) {
            let why = "cannot be a word of the header; must be 1 to 256 bytes without \",\" and \"|\", and without blanks at its ends";
            errors.push((RawLocation::Offset(key.span().start), refused(why)));
        }
        let at = RawLocation::Offset(element.span().start);
        match permissions(&Value { at, raw: RawValue::Toml(element.get_ref()) }) {
            Ok(set) => _ = good.insert(word.to_owned(), set),
            Err(why) => errors.extend(why.into_iter().map(|(at, why)| (at, refused(&why)))),
        }
    }
    if errors.is_empty() { Ok(good) } else { Err(errors) }
}

fn is_word(word: &str) -> bool {
    (1..=MAX_WORD).contains(&word.len()) && word.trim() == word && !word.contains([',', '|'])
}
