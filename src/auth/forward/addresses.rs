//! Where a server is: its address, or those of its name, which are looked up again after a while.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use url::{Host, Url};

use crate::clock;
use crate::upstream::{ResolveError, resolve};

/// How long addresses of a name are used.
const FRESH: Duration = Duration::from_secs(10);
/// How long others use the old ones while one question looks up the new ones; and how long all do after that failed.
const RENEWING: Duration = Duration::from_secs(2);

/// Of one server.
pub(super) struct Addresses {
    /// Without brackets; what its certificate is verified for.
    host: String,
    port: u16,
    fixed: Option<IpAddr>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    addresses: Arc<[SocketAddr]>,
    /// Until when they are used; `None`: nothing was looked up yet.
    until: Option<Instant>,
    /// The one that could be reached last.
    preferred: Option<SocketAddr>,
}

impl Addresses {
    /// Those of a url; `None`: it has no host or no port.
    pub(super) fn of(url: &Url) -> Option<Self> {
        let (host, fixed) = match url.host()? {
            Host::Domain(name) => (name.to_owned(), None),
            Host::Ipv4(address) => (address.to_string(), Some(IpAddr::V4(address))),
            Host::Ipv6(address) => (address.to_string(), Some(IpAddr::V6(address))),
        };
        Some(Self { host, port: url.port_or_known_default()?, fixed, known: Mutex::default() })
    }

    /// The host, as a certificate names it.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// All addresses, the one first that could be reached last. Those from before serve where a name does not resolve any more.
    ///
    /// # Errors
    /// The name does not resolve, and never did.
    pub(super) async fn get(&self) -> Result<Vec<SocketAddr>, ResolveError> {
        if let Some(address) = self.fixed {
            return Ok(vec![SocketAddr::new(address, self.port)]);
        }
        if let Some(known) = self.still_good(clock::now()) {
            // It did not resolve just now.
            let nowhere = || ResolveError::NoAddress { name: self.host.as_str().into() };
            return if known.is_empty() { Err(nowhere()) } else { Ok(known) };
        }
        let found = resolve(&self.host, self.port).await;
        let mut known = self.known();
        match found {
            Ok(found) => {
                *known = Known { addresses: found, until: Some(clock::now() + FRESH), ..*known };
            }
            Err(why) if known.addresses.is_empty() => {
                // Each look-up takes a thread, which outlives the question.
                known.until = Some(clock::now() + RENEWING);
                return Err(why);
            }
            Err(_) => {}
        }
        Ok(known.in_order())
    }

    /// The address could be reached.
    pub(super) fn prefer(&self, address: SocketAddr) {
        self.known().preferred = Some(address);
    }

    /// As if they had been found just now.
    #[cfg(test)]
    pub(super) fn set(&self, addresses: &[SocketAddr]) {
        *self.known() = Known { addresses: addresses.into(), until: Some(clock::now() + FRESH), ..Known::default() };
    }

    /// What is known, unless the caller is the one to look it up.
    fn still_good(&self, now: Instant) -> Option<Vec<SocketAddr>> {
        let mut known = self.known();
        let until = known.until?;
        if until <= now {
            known.until = Some(now + RENEWING);
            return None;
        }
        Some(known.in_order())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn in_order(&self) -> Vec<SocketAddr> {
        let mut addresses = self.addresses.to_vec();
        addresses.sort_by_key(|address| Some(*address) != self.preferred);
        addresses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(url: &str) -> Addresses {
        Addresses::of(&Url::parse(url).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn an_address_needs_no_look_up_and_has_the_port_of_its_scheme() {
        for (url, host, expected) in [
            ("http://10.0.0.1/x", "10.0.0.1", "10.0.0.1:80"),
            ("https://10.0.0.1", "10.0.0.1", "10.0.0.1:443"),
            ("http://[fd00::1]:9091", "fd00::1", "[fd00::1]:9091"),
        ] {
            let addresses = addresses(url);
            assert_eq!(addresses.host(), host);
            assert_eq!(addresses.get().await.unwrap(), [expected.parse::<SocketAddr>().unwrap()]);
        }
    }

    #[test]
    fn one_question_renews_what_is_known_while_others_go_on_with_it() {
        let addresses = addresses("http://auth.internal");
        let all: [SocketAddr; 2] = ["10.0.0.1:80".parse().unwrap(), "10.0.0.2:80".parse().unwrap()];
        let now = clock::now();
        assert_eq!(addresses.still_good(now), None);
        addresses.set(&all);
        assert_eq!(addresses.still_good(now).unwrap(), all);
        addresses.prefer(all[1]);
        assert_eq!(addresses.still_good(now).unwrap(), [all[1], all[0]]);
        let later = clock::now() + FRESH;
        assert_eq!(addresses.still_good(later), None);
        assert_eq!(addresses.still_good(later).unwrap(), [all[1], all[0]]);
        assert_eq!(addresses.still_good(later + RENEWING), None);
    }

    #[tokio::test]
    async fn a_name_that_resolves_no_more_stays_where_it_was() {
        let addresses = addresses("http://nowhere.invalid:80");
        assert!(addresses.get().await.is_err());
        let was: SocketAddr = "10.0.0.1:80".parse().unwrap();
        *addresses.known() = Known { addresses: [was].into(), until: Some(clock::now()), preferred: None };
        assert_eq!(addresses.get().await.unwrap(), [was]);
    }
}
