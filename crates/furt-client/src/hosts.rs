//! The hosts of a registry, asked in turn: those of the connection string, and those that these tell of.
//!
//! - The host that answered last is asked first. The next one is asked after no connection, silence, a status of 5xx, or an
//!   answer that is not furt's. A status of 4xx is an answer, and no other host is asked.
//! - A host that was told is taken up only if its scheme is that of the connection string, and forgotten when it is not told any
//!   more. Over https its certificate must verify. Over http the token is not sent there, and what needs it is asked of
//!   the hosts of the connection string alone.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use furt_api::nodes::Nodes;
use furt_api::{Code, Problem};
use http::{HeaderValue, Method};
use serde::de::DeserializeOwned;
use tokio_rustls::TlsConnector;

use crate::error::{Error, Refusal, Try};
use crate::exchange::{Answer, Call, Way, exchange};
use crate::host::{Host, Scheme};

/// A registry has a few gateways; more are not tried in turn.
const MAX_TOLD: usize = 256;

/// Whether a call needs the token: reading does not, changing may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Read,
    Change,
}

pub(crate) struct Hosts {
    scheme: Scheme,
    /// Absent for http.
    tls: Option<TlsConnector>,
    /// As the header's value.
    token: Option<HeaderValue>,
    silence: Duration,
    named: Vec<Host>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Those that are not named, as the last answer told them.
    told: Vec<Host>,
    /// The one that answered last.
    first: Option<Host>,
}

impl Hosts {
    pub(crate) fn new(
        scheme: Scheme,
        named: Vec<Host>,
        tls: Option<TlsConnector>,
        token: Option<HeaderValue>,
        silence: Duration,
    ) -> Self {
        Self { scheme, tls, token, silence, named, state: Mutex::default() }
    }

    pub(crate) fn named(&self) -> &[Host] {
        &self.named
    }

    pub(crate) fn silence(&self) -> Duration {
        self.silence
    }

    /// Asks the hosts in turn; gives the answer, and who gave it.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Unreachable`], or [`Error::Answer`] where it is of no such type.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, purpose: Purpose, call: &Call) -> Result<T, Error> {
        let mut tries = Vec::new();
        for host in self.in_turn(purpose) {
            let answer = exchange(&host, call, &self.way(&host)).await;
            let what = match answer {
                Ok(answer) if answer.status < 500 => {
                    self.state().first = Some(host.clone());
                    return judge(&host, &answer);
                }
                Ok(answer) => Refusal(&problem(&answer)).to_string(),
                Err(what) => what,
            };
            tries.push(Try { host: host.to_string(), what });
        }
        Err(Error::Unreachable(tries))
    }

    fn way(&self, host: &Host) -> Way<'_> {
        let may_know = self.scheme == Scheme::Https || self.named.contains(host);
        let authorization = self.token.as_ref().filter(|_| may_know);
        Way { tls: self.tls.as_ref(), authorization, silence: self.silence }
    }

    /// Whom to ask, one after the other.
    fn in_turn(&self, purpose: Purpose) -> Vec<Host> {
        let state = self.state();
        let needs_token = purpose == Purpose::Change && self.token.is_some() && self.scheme == Scheme::Http;
        let told = state.told.iter().filter(|_| !needs_token);
        let mut hosts: Vec<_> = self.named.iter().chain(told).cloned().collect();
        let first = hosts.iter().position(|host| Some(host) == state.first.as_ref());
        hosts.rotate_left(first.unwrap_or(0));
        hosts
    }

    /// Asks for the gateways of the registry. What is known stays where nobody tells.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub(crate) async fn refresh(&self) -> Result<(), Error> {
        let call = Call::new(Method::GET, "/internal/nodes".to_owned());
        let nodes: Nodes = self.ask(Purpose::Read, &call).await?;
        let addresses = nodes.nodes.iter().filter_map(|node| node.internal.as_deref());
        let told = addresses.filter_map(|address| self.take_up(address)).take(MAX_TOLD);
        let mut state = self.state();
        state.told.clear();
        for host in told {
            if !state.told.contains(&host) {
                state.told.push(host);
            }
        }
        Ok(())
    }

    /// A host that was told and is not named, if it may be asked at all.
    fn take_up(&self, address: &str) -> Option<Host> {
        let (scheme, host) = address.split_once("://")?;
        let host = Host::parse(host).ok()?;
        (scheme == self.scheme.as_str() && !self.named.contains(&host)).then_some(host)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn judge<T: DeserializeOwned>(host: &Host, answer: &Answer) -> Result<T, Error> {
    if !(200..300).contains(&answer.status) {
        return Err(Error::Refused { host: host.to_string(), problem: Box::new(problem(answer)) });
    }
    serde_json::from_slice(&answer.body).map_err(|why| Error::Answer { host: host.to_string(), what: why.to_string() })
}

/// What the answer says, or its status where it says nothing.
fn problem(answer: &Answer) -> Problem {
    let status = http::StatusCode::from_u16(answer.status).ok();
    let title = status.and_then(|status| status.canonical_reason()).unwrap_or_default();
    let nothing = || Problem::new(answer.status, Code::Other("-".to_owned()), title, "");
    serde_json::from_slice(&answer.body).unwrap_or_else(|_| nothing())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(scheme: Scheme, named: &[&str], token: Option<&str>) -> Hosts {
        let named = named.iter().map(|host| Host::parse(host).unwrap()).collect();
        let token = token.map(|token| HeaderValue::from_str(token).unwrap());
        Hosts::new(scheme, named, None, token, Duration::from_secs(2))
    }

    fn texts(hosts: &[Host]) -> Vec<String> {
        hosts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_host_that_answered_last_is_asked_first() {
        let hosts = hosts(Scheme::Http, &["a", "b", "c"], None);
        assert_eq!(texts(&hosts.in_turn(Purpose::Change)), ["a:8081", "b:8081", "c:8081"]);
        hosts.state().first = Some(Host::parse("b").unwrap());
        assert_eq!(texts(&hosts.in_turn(Purpose::Change)), ["b:8081", "c:8081", "a:8081"]);
        hosts.state().first = Some(Host::parse("gone").unwrap());
        assert_eq!(texts(&hosts.in_turn(Purpose::Change)), ["a:8081", "b:8081", "c:8081"]);
    }

    #[test]
    fn only_a_host_of_the_same_scheme_that_is_not_named_is_taken_up() {
        let plain = hosts(Scheme::Http, &["a"], None);
        assert_eq!(plain.take_up("http://b:9000").unwrap().to_string(), "b:9000");
        for address in
            ["http://a:8081", "http://A", "https://b", "b:9000", "http://", "http://b/x", "http://u@b", "http://b:0"]
        {
            assert_eq!(plain.take_up(address), None, "{address}");
        }
        let secure = hosts(Scheme::Https, &["a"], None);
        assert!(secure.take_up("https://b").is_some() && secure.take_up("http://b").is_none());
    }

    #[test]
    fn over_http_a_token_goes_to_named_hosts_alone() {
        for (scheme, token, sees_told, tells_told) in [
            (Scheme::Http, Some("t"), false, false),
            (Scheme::Http, None, true, false),
            (Scheme::Https, Some("t"), true, true),
        ] {
            let hosts = hosts(scheme, &["a"], token);
            let told = Host::parse("b").unwrap();
            hosts.state().told = vec![told.clone()];
            // The one that answered last is no exception.
            hosts.state().first = Some(told.clone());
            assert_eq!(hosts.in_turn(Purpose::Change).contains(&told), sees_told);
            assert!(hosts.in_turn(Purpose::Read).contains(&told));
            assert_eq!(hosts.way(&told).authorization.is_some(), tells_told);
            assert_eq!(hosts.way(&Host::parse("a").unwrap()).authorization.is_some(), token.is_some());
        }
    }
}
