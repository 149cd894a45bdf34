//! `furt://host1,host2/namespace?options`, read whole or refused with the place that is wrong.
//!
//! A token is never part of it: such texts end in logs, lists of processes and crash reports.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::Error;
use crate::host::{Host, Scheme};
use crate::names::Namespace;

/// More are a mistake, and each is tried in turn.
const MAX_HOSTS: usize = 64;
const OPTIONS: &str = "the options are ttl, timeout, refresh and ca";
/// Names under which people would look for a place to put a secret.
const SECRETS: [&str; 8] = ["token", "auth", "authorization", "password", "pass", "secret", "user", "key"];

/// A connection string as it is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConnectionString {
    pub(crate) scheme: Scheme,
    /// At least one, each once.
    pub(crate) hosts: Vec<Host>,
    pub(crate) namespace: Namespace,
    /// How long a registration lasts without being heard; half of it is the beat.
    pub(crate) ttl: Duration,
    /// How long a host may be silent before the next one is asked.
    pub(crate) silence: Duration,
    /// How often the other gateways are asked for; `None`: never.
    pub(crate) refresh: Option<Duration>,
    /// The one authority that is trusted, where one is named.
    pub(crate) ca: Option<PathBuf>,
}

impl ConnectionString {
    /// # Errors
    /// [`Error::ConnectionString`].
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").map_or((None, text), |(scheme, rest)| (Some(scheme), rest));
        let scheme = scheme_of(scheme)?;
        let (rest, options) = rest.split_once('?').map_or((rest, None), |(rest, options)| (rest, Some(options)));
        let (hosts, namespace) = rest.split_once('/').map_or((rest, ""), |(hosts, path)| (hosts, path));
        let namespace = match namespace.strip_suffix('/').unwrap_or(namespace) {
            "" => Namespace::none(),
            path if path.contains('/') => {
                return Err(Error::connection_string(format!("\"/{path}\""), "a namespace is one name, without \"/\""));
            }
            name => Namespace::try_new(name)
                .map_err(|what| Error::connection_string("the namespace", format!("\"{name}\" {what}")))?,
        };
        let hosts = hosts_of(hosts)?;
        let (ttl, silence) = (Duration::from_secs(10), Duration::from_secs(2));
        let mut read =
            Self { scheme, hosts, namespace, ttl, silence, refresh: Some(Duration::from_secs(30)), ca: None };
        options.into_iter().flat_map(|options| options.split('&')).try_for_each(|option| read.set(option))?;
        Ok(read)
    }

    fn set(&mut self, option: &str) -> Result<(), Error> {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        // A value is shown only where it cannot be a secret: one of an option that is known.
        let place = || format!("the option \"{name}\"");
        let refused = |what: String| Error::connection_string(place(), format!("\"{value}\" {what}"));
        if SECRETS.iter().any(|secret| name.to_ascii_lowercase().contains(secret)) {
            return Err(no_secrets(&place()));
        }
        match name {
            "ttl" => self.ttl = seconds(value, 2.0, 86_400.0).map_err(refused)?,
            "timeout" => self.silence = seconds(value, 0.1, 60.0).map_err(refused)?,
            "refresh" if value == "off" => self.refresh = None,
            "refresh" => {
                let what = |what| format!("{what}, or off");
                self.refresh = Some(seconds(value, 1.0, 86_400.0).map_err(|why| refused(what(why)))?);
            }
            "ca" if value.is_empty() => return Err(refused("must be the path of a PEM file".to_owned())),
            "ca" if self.scheme == Scheme::Http => {
                return Err(Error::connection_string(place(), "only https:// has certificates"));
            }
            "ca" => self.ca = Some(value.into()),
            _ => return Err(Error::connection_string(place(), format!("it is not known; {OPTIONS}"))),
        }
        Ok(())
    }
}

fn scheme_of(scheme: Option<&str>) -> Result<Scheme, Error> {
    match scheme {
        None | Some("furt" | "http") => Ok(Scheme::Http),
        Some("https") => Ok(Scheme::Https),
        Some("etcd") => Err(Error::connection_string(
            "the scheme \"etcd\"",
            "services join through a gateway: name furt's internal listeners, as furt://host1,host2, and not etcd itself",
        )),
        Some(scheme) => Err(Error::connection_string(
            format!("the scheme \"{scheme}\""),
            "it is not known; a connection string begins with furt://, http:// or https://",
        )),
    }
}

fn hosts_of(text: &str) -> Result<Vec<Host>, Error> {
    if text.contains('@') {
        return Err(no_secrets("the hosts"));
    }
    let mut hosts = Vec::new();
    for (number, host) in text.split(',').enumerate() {
        let place = || format!("host {} (\"{host}\")", number + 1);
        let host = Host::parse(host.trim()).map_err(|what| Error::connection_string(place(), what))?;
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    if hosts.len() > MAX_HOSTS {
        return Err(Error::connection_string("the hosts", format!("there are more than {MAX_HOSTS}")));
    }
    Ok(hosts)
}

fn no_secrets(place: &str) -> Error {
    let what = "a connection string has no secrets in it, since others see it in logs and lists of processes; \
                give the token in the environment variable FURT_TOKEN";
    Error::connection_string(place, what)
}

fn seconds(text: &str, least: f64, most: f64) -> Result<Duration, String> {
    let number = text.parse::<f64>().ok().filter(|number| (least..=most).contains(number));
    let time = number.and_then(|number| Duration::try_from_secs_f64(number).ok());
    time.ok_or_else(|| format!("must be a number of seconds from {least} to {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(text: &str) -> Vec<String> {
        ConnectionString::parse(text).unwrap().hosts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn schemes_hosts_and_namespaces_are_read() {
        let read = ConnectionString::parse("furt://a,b:90,[::1]/shop?ttl=4&timeout=0.5&refresh=off").unwrap();
        assert_eq!((read.scheme, read.namespace.as_str()), (Scheme::Http, Some("shop")));
        assert_eq!((read.ttl.as_secs(), read.silence.as_millis(), read.refresh), (4, 500, None));
        assert_eq!(hosts("furt://a,b:90,[::1]/shop"), ["a:8081", "b:90", "[::1]:8081"]);
        assert_eq!(hosts(" 127.0.0.1:8081, a ,A\n"), ["127.0.0.1:8081", "a:8081"]);
        let read = ConnectionString::parse("https://a/?ca=/etc/ca.pem&refresh=5").unwrap();
        assert_eq!((read.scheme, read.namespace.as_str()), (Scheme::Https, None));
        assert_eq!((read.ca.as_deref(), read.refresh), (Some("/etc/ca.pem".as_ref()), Some(Duration::from_secs(5))));
        let read = ConnectionString::parse("http://a").unwrap();
        assert_eq!((read.ttl.as_secs(), read.silence.as_secs()), (10, 2));
        assert_eq!((read.scheme, read.refresh), (Scheme::Http, Some(Duration::from_secs(30))));
    }

    #[test]
    fn a_bad_connection_string_is_told_with_its_place() {
        for (text, expected) in [
            ("", "host 1 (\"\"): the host is missing"),
            ("furt://", "host 1 (\"\"): the host is missing"),
            ("furt://a,,b", "host 2 (\"\"): the host is missing"),
            ("furt://a,b:99999", "host 2 (\"b:99999\"): \"99999\" is no port"),
            ("ftp://a", "the scheme \"ftp\": it is not known"),
            ("etcd://a:2379", "the scheme \"etcd\": services join through a gateway: name furt's internal listeners"),
            ("furt://a/b/c", "\"/b/c\": a namespace is one name"),
            ("furt://a/Shop", "the namespace: \"Shop\" has 'S' in it"),
            ("furt://a?", "the option \"\": it is not known"),
            ("furt://a?colour=blue", "the option \"colour\": it is not known; the options are"),
            ("furt://a?ttl=1", "the option \"ttl\": \"1\" must be a number of seconds from 2 to 86400"),
            ("furt://a?ttl=NaN", "the option \"ttl\": \"NaN\" must be"),
            ("furt://a?refresh=x", "\"x\" must be a number of seconds from 1 to 86400, or off"),
            ("furt://a?ca=x", "the option \"ca\": only https:// has certificates"),
            ("https://a?ca=", "must be the path of a PEM file"),
            ("furt://a#b", "host 1 (\"a#b\"): a host has no '#' in it"),
        ] {
            let said = ConnectionString::parse(text).unwrap_err().to_string();
            assert!(said.starts_with("the connection string, ") && said.contains(expected), "{text}: {said}");
        }
        let many = (0..65).map(|number| format!("h{number}")).collect::<Vec<_>>().join(",");
        assert!(ConnectionString::parse(&many).unwrap_err().to_string().contains("more than 64"));
    }

    #[test]
    fn a_secret_in_a_connection_string_is_refused_and_not_shown() {
        for text in
            ["furt://me:s3cr3t@a", "furt://a?token=s3cr3t", "furt://a?Access-Token=s3cr3t", "furt://a?pasword=s3cr3t"]
        {
            let said = ConnectionString::parse(text).unwrap_err().to_string();
            assert!(!said.contains("s3cr3t"), "{said}");
            assert!(said.contains("FURT_TOKEN") || text.contains("pasword"), "{said}");
        }
    }

    /// Whatever is written there: it is read or refused, within bounds, and never ends the program.
    #[test]
    fn a_mangled_connection_string_is_read_within_bounds_or_refused() {
        const WHOLE: [&str; 4] = [
            "furt://a,b:90,[::1]/shop?ttl=4&timeout=0.5&refresh=off",
            "https://gateway.example:8443/?ca=/etc/ca.pem&refresh=5",
            "http://127.0.0.1:8081,[fd00::1]:9",
            "a,b,c/x?ttl=10",
        ];
        const PIECES: [&str; 14] =
            ["://", "/", "?", "&", "=", ",", ":", "[", "]", "@", "1e308", "-0", "\u{fe0f}é", "%00"];
        let (mut read, mut refused) = (0, 0);
        for seed in 0..20_000 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut text: Vec<char> = WHOLE[rng.usize(..WHOLE.len())].chars().collect();
            for _ in 0..rng.usize(..4) {
                let place = rng.usize(..=text.len());
                match rng.u8(..4) {
                    0 => drop(text.splice(place..place, PIECES[rng.usize(..PIECES.len())].chars())),
                    1 => drop(text.drain(place..(place + rng.usize(..6)).min(text.len()))),
                    2 => text.truncate(place),
                    _ => text.insert(place, rng.char(..)),
                }
            }
            let text: String = text.into_iter().collect();
            match ConnectionString::parse(&text) {
                Ok(string) => {
                    read += 1;
                    assert!((1..=MAX_HOSTS).contains(&string.hosts.len()), "{text:?}");
                    assert!((2..=86_400).contains(&string.ttl.as_secs()), "{text:?}");
                    assert!((100..=60_000).contains(&string.silence.as_millis()), "{text:?}");
                    let shown: Vec<_> = string.hosts.iter().map(ToString::to_string).collect();
                    let again = ConnectionString::parse(&shown.join(",")).unwrap();
                    assert_eq!(again.hosts, string.hosts, "{text:?}: as they are shown");
                }
                Err(error) => {
                    refused += 1;
                    assert!(error.to_string().starts_with("the connection string, "), "{text:?}: {error}");
                }
            }
        }
        assert!(read > 2_000 && refused > 2_000, "{read} read, {refused} refused");
    }
}
