//! What a handshake has settled of a connection: for which hosts furt has shown itself, which one the client asked for, and what the
//! client has shown.
//!
//! Requests on the connection are held to it, and to what is in force by then ([`Secured::check_client`]). Never looks at a file
//! or a clock.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::client_rules::ClientRule;
use super::covered::Covered;
use super::served::Served;
use furt_core::model::Sha256Digest;

/// What the handshake of a connection has settled.
#[derive(Debug)]
pub struct Secured {
    covered: Arc<Covered>,
    /// As the client has written it.
    asked_for: Option<Box<str>>,
    handshake: Handshake,
    /// Where it was asked for a certificate.
    client: Option<Box<ShownByClient>>,
}

/// How the handshake went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handshake {
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// Whether it resumed a session.
    pub resumed: bool,
}

/// What a client has shown that was asked for a certificate.
#[derive(Debug)]
pub struct ShownByClient {
    /// The certificate first; empty: it has shown none.
    chain: Box<[CertificateDer<'static>]>,
    sha256: Option<Sha256Digest>,
    /// Its last second, in Unix time.
    not_after: i64,
    /// The last rule that let it in.
    accepted_by: Mutex<Arc<ClientRule>>,
}

/// Why a connection may not be used on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwelcome {
    /// The host asks its clients for something else than the host that the connection was opened for.
    OtherRule,
    /// What the client has shown is not enough any more, or it was never asked.
    NotEnough,
}

impl ShownByClient {
    /// Of a handshake under that rule.
    pub fn new(rule: Arc<ClientRule>, chain: &[CertificateDer<'_>]) -> Self {
        let first = chain.first();
        let parsed = first.and_then(|first| X509Certificate::from_der(first).ok());
        Self {
            sha256: first.map(|first| Sha256Digest::of(first)),
            not_after: parsed.map_or(i64::MAX, |(_, certificate)| certificate.validity().not_after.timestamp()),
            chain: chain.iter().map(|one| one.clone().into_owned()).collect(),
            accepted_by: Mutex::new(rule),
        }
    }

    /// Whether the rule lets it in at `now`, in Unix seconds. It is verified once for each rule.
    fn is_accepted(&self, rule: &Arc<ClientRule>, now: i64) -> bool {
        let mut accepted_by = self.accepted_by.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&accepted_by, rule) {
            return now <= self.not_after;
        }
        let is_accepted = rule.accepts(&self.chain, now);
        if is_accepted {
            *accepted_by = Arc::clone(rule);
        }
        is_accepted
    }
}

impl Secured {
    /// Of a connection that was shown a certificate for these, and asked for a name.
    pub fn new(
        covered: Arc<Covered>,
        asked_for: Option<&str>,
        handshake: Handshake,
        client: Option<ShownByClient>,
    ) -> Self {
        Self { covered, asked_for: asked_for.map(Into::into), handshake, client: client.map(Box::new) }
    }

    /// How its handshake went.
    pub fn handshake(&self) -> Handshake {
        self.handshake
    }

    /// The host that the client asked for in its handshake, as it has written it; `None`: none.
    pub fn asked_for(&self) -> Option<&str> {
        self.asked_for.as_deref()
    }

    /// Whether the connection is one for this host, without its port. It always is for the host that the client asked for,
    /// whatever it was shown. A client that asked for none has looked at the certificate as it likes, or not at all.
    pub fn covers(&self, host: &str) -> bool {
        let Some(asked_for) = &self.asked_for else { return true };
        plain(asked_for).eq_ignore_ascii_case(plain(host)) || self.covered.has(host)
    }

    /// Whether the client has shown what is asked for `host` in `served` at `now`, in Unix seconds. Where it was asked for a certificate
    /// and is so still, `true`: what it has shown is its own.
    ///
    /// # Errors
    /// It has not.
    pub fn check_client(&self, served: &Served, host: &str, now: i64) -> Result<bool, Unwelcome> {
        let rule =
            match (served.rule(self.asked_for.as_deref()), served.rule(Some(host).filter(|host| !host.is_empty()))) {
                (None, None) => return Ok(false),
                (Some(own), Some(of_host)) if Arc::ptr_eq(own, of_host) => own,
                _ => return Err(Unwelcome::OtherRule),
            };
        let is_accepted = self.client.as_ref().is_some_and(|client| client.is_accepted(rule, now));
        if is_accepted { Ok(true) } else { Err(Unwelcome::NotEnough) }
    }

    /// The certificate that the client has shown, and its digest; `None`: it has shown none.
    pub fn certificate(&self) -> Option<(&[u8], Sha256Digest)> {
        let client = self.client.as_ref()?;
        Some((client.chain.first()?, client.sha256?))
    }
}

/// Without the dot that may stand for the root.
fn plain(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::super::certificate::CertificateName;
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
            let handshake = Handshake { version: "1.3", resumed: false };
            let secured = Secured::new(Arc::clone(&covered), asked_for, handshake, None);
            assert_eq!(secured.covers(host), is_covered, "{asked_for:?} {host}");
        }
    }
}
