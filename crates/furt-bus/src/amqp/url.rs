//! Where a broker is, without its password.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use crate::message::LONGEST_NAME;

const PORT: u16 = 5672;
const TLS_PORT: u16 = 5671;
/// RabbitMQ's own. It lets this user in from loopback alone.
const USER: &str = "guest";
const VHOST: &str = "/";

/// `amqp://[user@]host[:port][/virtual host]`, or `amqps`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusUrl {
    is_secure: bool,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    user: String,
    vhost: String,
}

/// Why a url is none of a broker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// A password does not belong into a url, which is shown and logged. It is not repeated here either.
    #[error("a url has no password: put it into a file, and name that file as `password_file`")]
    Password,
    /// It is no url.
    #[error("it is no url: {0}")]
    Syntax(String),
    /// Another scheme.
    #[error("its scheme is \"{0}\"; it is `amqp`, or `amqps` for TLS")]
    Scheme(String),
    /// `amqp:///`.
    #[error("it names no host")]
    NoHost,
    /// What cannot be connected to.
    #[error("its port is 0")]
    NoPort,
    /// More than one part, which `/` in a virtual host is not.
    #[error("its path is not the name of one virtual host; a `/` in a name is written as `%2f`")]
    Path,
    /// Options, which are keys of the configuration here.
    #[error("it has {0}, which mean nothing here")]
    Rest(&'static str),
    /// User or virtual host.
    #[error("its {0} is not UTF-8, has a control character, or has more than {LONGEST_NAME} bytes")]
    Name(&'static str),
}

impl BusUrl {
    /// Whether it is under TLS.
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// A name or an address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// By default 5672, under TLS 5671.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// By default `guest`.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// By default `/`.
    pub fn vhost(&self) -> &str {
        &self.vhost
    }

    /// What an operator should know of it, in a sentence.
    pub fn warning(&self) -> Option<String> {
        let is_loopback = match self.host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        };
        (!self.is_secure && !is_loopback).then(|| {
            format!("{self} is not loopback and not under TLS: the password and all messages can be read on the way; use amqps://")
        })
    }
}

impl FromStr for BusUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let url = Url::parse(text).map_err(|error| UrlError::Syntax(error.to_string()))?;
        let is_secure = match url.scheme() {
            "amqp" => false,
            "amqps" => true,
            other => return Err(UrlError::Scheme(other.to_owned())),
        };
        if url.password().is_some() {
            return Err(UrlError::Password);
        }
        if url.query().is_some() {
            return Err(UrlError::Rest("options behind `?`"));
        }
        if url.fragment().is_some() {
            return Err(UrlError::Rest("words behind `#`"));
        }
        let host = match url.host() {
            Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(Host::Domain(_)) | None => return Err(UrlError::NoHost),
        };
        let port = url.port().unwrap_or(if is_secure { TLS_PORT } else { PORT });
        if port == 0 {
            return Err(UrlError::NoPort);
        }
        let path = url.path().strip_prefix('/').unwrap_or_default();
        if path.contains('/') {
            return Err(UrlError::Path);
        }
        let user = named(url.username(), "user", USER)?;
        let vhost = named(path, "virtual host", VHOST)?;
        Ok(Self { is_secure, host, port, user, vhost })
    }
}

fn named(encoded: &str, what: &'static str, default: &str) -> Result<String, UrlError> {
    let name = percent_decode_str(encoded).decode_utf8().map_err(|_| UrlError::Name(what))?;
    if name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
        return Err(UrlError::Name(what));
    }
    Ok(if name.is_empty() { default.to_owned() } else { name.into_owned() })
}

/// As an operator knows it: without what is default.
impl fmt::Display for BusUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { "amqps" } else { "amqp" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        write!(f, "{scheme}://{host}:{}", self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (bool, String, u16, String, String) {
        let BusUrl { is_secure, host, port, user, vhost } = text.parse().unwrap();
        (is_secure, host, port, user, vhost)
    }

    fn parts(is_secure: bool, host: &str, port: u16, user: &str, vhost: &str) -> (bool, String, u16, String, String) {
        (is_secure, host.into(), port, user.into(), vhost.into())
    }

    #[test]
    fn a_url_has_its_parts_and_defaults() {
        assert_eq!(parsed("amqp://broker"), parts(false, "broker", 5672, "guest", "/"));
        assert_eq!(parsed("amqps://broker/"), parts(true, "broker", 5671, "guest", "/"));
        assert_eq!(parsed("amqp://furt@10.0.0.1:1/furt"), parts(false, "10.0.0.1", 1, "furt", "furt"));
        assert_eq!(parsed("amqps://f%40b@[::1]:2/%2f"), parts(true, "::1", 2, "f@b", "/"));
        assert_eq!(parsed("amqp://a@b/%C3%A4%2Fb"), parts(false, "b", 5672, "a", "ä/b"));
        assert_eq!("amqps://u@[::1]/v".parse::<BusUrl>().unwrap().to_string(), "amqps://[::1]:5671");
    }

    #[test]
    fn what_is_none_says_why() {
        for (text, expected) in [
            ("amqp://u:secret@h", "password_file"),
            ("amqp://:secret@h", "password_file"),
            ("http://h", "scheme is \"http\""),
            ("broker:5672", "scheme is \"broker\""),
            ("broker", "no url"),
            ("", "no url"),
            ("amqp://h:99999", "no url"),
            ("amqp:///v", "no host"),
            ("amqp:h", "no host"),
            ("amqp://h:0", "port is 0"),
            ("amqp://h/a/b", "%2f"),
            ("amqp://h?heartbeat=5", "`?`"),
            ("amqp://h#x", "`#`"),
            ("amqp://%FF@h", "user"),
            ("amqp://h/%00", "virtual host"),
        ] {
            let said = text.parse::<BusUrl>().unwrap_err().to_string();
            assert!(said.contains(expected) && !said.contains("secret"), "{text}: {said}");
        }
        let long = format!("amqp://h/{}", "v".repeat(256));
        assert_eq!(long.parse::<BusUrl>(), Err(UrlError::Name("virtual host")));
    }

    #[test]
    fn plain_text_beyond_loopback_is_warned_of() {
        for (text, is_warned_of) in [
            ("amqp://localhost", false),
            ("amqp://127.1.2.3", false),
            ("amqp://[::1]", false),
            ("amqps://broker", false),
            ("amqp://broker", true),
            ("amqp://10.0.0.1", true),
            ("amqp://localhost.example", true),
        ] {
            let warning = text.parse::<BusUrl>().unwrap().warning();
            assert_eq!(warning.is_some(), is_warned_of, "{text}: {warning:?}");
        }
    }
}
