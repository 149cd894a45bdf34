//! `[acme]`: certificates that furt gets by itself.

use crate::config::key::{DefaultValue, Key, TableVisitor};
use crate::config::types::{AcmeConfig, HostRange};
use crate::config::value::{Commas, Parsed, Value, boolean, dns_name, file, list, text};
use furt_core::model::{Host, Invalid};

/// A wildcard needs a record of DNS, which furt does not write.
const NO_WILDCARD: &str = "must be one full name: an authority gives certificates for wildcards by DNS alone, which furt \
                           does not write; a wildcard of your own goes into [[certificates]]";
const DIRECTORY: &str = "must be the https:// url of an ACME directory, such as \
                         \"https://acme-v02.api.letsencrypt.org/directory\"";
const CONTACT: &str = "must be an address such as \"ops@example.org\"";
const CHECK_AT: &str = "must be a host and a port, such as \"10.0.0.7:80\"";

pub(super) fn visit(keys: &mut impl TableVisitor) -> AcmeConfig {
    keys.table(
        "acme",
        "Certificates that furt gets and renews by itself, by ACME (RFC 8555); [Edge](edge.md#acme) has more. They need \
         `tls.listen`, and are kept in `tls.state`.",
    );
    AcmeConfig {
        names: keys.value(
            Key {
                name: "acme.names",
                default: DefaultValue::Toml("[]"),
                range: "host names",
                text: "Names that get a certificate, each one of its own.",
                ..Key::ROW
            },
            list(Commas::Split, "a name for a certificate", name),
            |config| &config.acme.names,
        ),
        from_routes: keys.value(
            Key {
                name: "acme.from_routes",
                default: DefaultValue::Toml("[]"),
                range: "host names, `*.` allowed",
                text: "Hosts that registered services bind their routes to get a certificate by themselves where they are \
                       within these, and where the `hosts` of a `[[grants]]` name them; `*.` stands for one label.",
                ..Key::ROW
            },
            list(Commas::Split, "a range of hosts", host_range),
            |config| &config.acme.from_routes,
        ),
        directory: keys.value(
            Key {
                name: "acme.directory",
                default: DefaultValue::Toml(r#""https://acme-v02.api.letsencrypt.org/directory""#),
                range: "an https url",
                text: "The authority. Another one has an account and certificates of its own.",
                ..Key::ROW
            },
            directory,
            |config| &config.acme.directory,
        ),
        contact: keys.value(
            Key {
                name: "acme.contact",
                default: DefaultValue::Toml("[]"),
                range: "mail addresses",
                text: "Where the authority may write to. It is told when the account is made.",
                ..Key::ROW
            },
            list(Commas::Split, "a mail address", contact),
            |config| &config.acme.contact,
        ),
        profile: keys.optional(
            Key {
                name: "acme.profile",
                default: DefaultValue::absent("the authority's usual one", r#""shortlived""#),
                range: "a name",
                text: "The kind of certificate that is asked for. furt sends it as it is: whether the authority has it, \
                       the authority says.",
                ..Key::ROW
            },
            text("a profile", word),
            |config| config.acme.profile.as_ref(),
        ),
        eab_kid: keys.optional(
            Key {
                name: "acme.eab_kid",
                default: DefaultValue::absent("none", r#""kid-1""#),
                range: "a name",
                text: "For authorities that want an account made elsewhere first: its id. It needs `acme.eab_key_file`.",
                ..Key::ROW
            },
            text("an id", word),
            |config| config.acme.eab_kid.as_ref(),
        ),
        eab_key_file: keys.optional(
            Key {
                name: "acme.eab_key_file",
                default: DefaultValue::absent("none", r#""/etc/furt/eab-key""#),
                range: "a file",
                text: "The file with the key of `acme.eab_kid`, in base64url; one that everybody can read is refused. It \
                       is read when an account is made.",
                ..Key::ROW
            },
            file,
            |config| config.acme.eab_key_file.as_ref(),
        ),
        ca: keys.optional(
            Key {
                name: "acme.ca",
                default: DefaultValue::absent("the system's", r#""/etc/furt/acme-ca.pem""#),
                range: "a PEM file",
                text: "Whom furt trusts to be the authority of `acme.directory`. Set it for an authority of your own.",
                ..Key::ROW
            },
            file,
            |config| config.acme.ca.as_ref(),
        ),
        agree_terms: keys.value(
            Key {
                name: "acme.agree_terms",
                default: DefaultValue::Toml("false"),
                range: "true, false",
                text: "Whether you agree to the authority's terms of service. Without it there are no certificates.",
                ..Key::ROW
            },
            boolean,
            |config| &config.acme.agree_terms,
        ),
        check_at: keys.optional(
            Key {
                name: "acme.check_at",
                default: DefaultValue::absent("at the host itself, port 80", r#""10.0.0.7:80""#),
                range: "`HOST:PORT`",
                text: "Where furt looks whether a host of `acme.from_routes` reaches it, before it asks for a certificate. \
                       Set it to your load balancer where furt cannot reach its own public names.",
                ..Key::ROW
            },
            text("where furt is reached", check_at),
            |config| config.acme.check_at.as_ref(),
        ),
    }
}

fn name(text: &str) -> Result<Host, Invalid> {
    if text.contains('*') { Err(Invalid::new(NO_WILDCARD)) } else { dns_name(text) }
}

fn host_range(text: &str) -> Result<HostRange, Invalid> {
    let rest = text.strip_prefix("*.");
    Ok(HostRange { base: dns_name(rest.unwrap_or(text))?, is_wild: rest.is_some() })
}

/// Errors do not repeat the text: it may have a password.
fn directory(value: &Value<'_>) -> Parsed<String> {
    let url = text("a url", |text| Ok(text.to_owned()))(value)?;
    let Ok(parsed) = url::Url::parse(&url) else { return value.error(format!("is not a directory; {DIRECTORY}")) };
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return value.error(
            "has a user or a password in it; must be without: acme.eab_kid and acme.eab_key_file name an account that \
             the authority wants"
                .to_owned(),
        );
    }
    if parsed.scheme() != "https" || parsed.host_str().is_none() || parsed.fragment().is_some() {
        return value.error(format!("is not a directory; {DIRECTORY}"));
    }
    Ok(url)
}

fn contact(text: &str) -> Result<String, Invalid> {
    let address = text.strip_prefix("mailto:").unwrap_or(text);
    let is_plain = address.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#,<>\"".contains(&byte));
    match address.split_once('@') {
        Some((user, host)) if is_plain && !user.is_empty() && dns_name(host).is_ok() => Ok(format!("mailto:{address}")),
        _ => Err(Invalid::new(CONTACT)),
    }
}

fn word(text: &str) -> Result<String, Invalid> {
    if (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err(Invalid::new("must be 1 to 256 characters of ASCII without spaces"))
    }
}

fn check_at(text: &str) -> Result<String, Invalid> {
    let (host, port) = text.rsplit_once(':').ok_or(Invalid::new(CHECK_AT))?;
    let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
    if is_port && Host::try_new(host).is_ok() { Ok(text.to_owned()) } else { Err(Invalid::new(CHECK_AT)) }
}
