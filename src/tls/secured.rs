//! What a handshake has settled of a connection: for which hosts furt has shown itself, and which one the client asked for.
//!
//! Requests on the connection are held to it, and their answers say so ([`Secured::covers`]). Never looks at a file or a clock.

use std::net::IpAddr;
use std::sync::Arc;

use super::certificate::CertificateName;
use super::names::Names;

/// The hosts of a certificate.
#[derive(Debug, Default)]
pub struct Covered(Names<()>);

impl Covered {
    pub(super) fn of(names: &[CertificateName]) -> Self {
        let mut covered = Names::default();
        for name in names {
            covered.insert(name, ());
        }
        Self(covered)
    }

    /// Whether the certificate names a host, which is a name or an address.
    fn has(&self, host: &str) -> bool {
        let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        match address.parse::<IpAddr>() {
            Ok(address) => self.0.of_address(address).is_some(),
            Err(_) => self.0.of_host(host).is_some(),
        }
    }
}

/// What the handshake of a connection has settled.
#[derive(Debug)]
pub struct Secured {
    covered: Arc<Covered>,
    /// As the client has written it.
    asked_for: Option<Box<str>>,
}

impl Secured {
    /// Of a connection that was shown a certificate for these, and asked for a name.
    pub fn new(covered: Arc<Covered>, asked_for: Option<&str>) -> Self {
        Self { covered, asked_for: asked_for.map(Into::into) }
    }

    /// Whether the connection is one for this host, without its port. It always is for the host that the client asked for,
    /// whatever it was shown. A client that asked for none has looked at the certificate as it likes, or not at all.
    pub fn covers(&self, host: &str) -> bool {
        let Some(asked_for) = &self.asked_for else { return true };
        plain(asked_for).eq_ignore_ascii_case(plain(host)) || self.covered.has(host)
    }
}

/// Without the dot that may stand for the root.
fn plain(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_for_its_own_host_and_for_those_of_the_certificate() {
        let name = |text: &str| CertificateName::Host(text.into());
        let address = CertificateName::Address([192, 0, 2, 1].into());
        let covered = Arc::new(Covered::of(&[name("a.example"), name("*.b.example"), address]));
        for (asked_for, host, is_covered) in [
            (Some("a.example"), "a.example", true),
            (Some("A.example"), "a.EXAMPLE.", true),
            (Some("a.example"), "c.b.example", true),
            (Some("a.example"), "192.0.2.1", true),
            (Some("a.example"), "[::ffff:192.0.2.1]", true),
            (Some("a.example"), "192.0.2.2", false),
            (Some("a.example"), "b.example", false),
            (Some("a.example"), "d.c.b.example", false),
            (Some("a.example"), "a.example.org", false),
            (Some("other.example"), "other.example", true),
            (Some("other.example"), "another.example", false),
            (Some("other.example"), "a.example", true),
            (None, "another.example", true),
        ] {
            let secured = Secured::new(Arc::clone(&covered), asked_for);
            assert_eq!(secured.covers(host), is_covered, "{asked_for:?} {host}");
        }
    }
}
