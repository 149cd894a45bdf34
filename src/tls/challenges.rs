//! What an authority of certificates is answered while it looks whether a name leads here: a text over HTTP (RFC 8555 §8.3), or a
//! certificate in a handshake of its own (RFC 8737). Both are there for as long as an order is under way, and no longer.
//!
//! `acme` puts them here; handshakes and requests look. Where there is none, a look is one load.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;

use super::certificate::{self, CertificateFault};
use super::provider::provider;

/// The protocol of such a handshake (RFC 8737 §6.2).
pub const ACME_TLS: &[u8] = b"acme-tls/1";

/// Answers to challenges.
#[derive(Debug, Default)]
pub struct Challenges {
    texts: ArcSwap<HashMap<Box<str>, Bytes>>,
    handshakes: ArcSwap<HashMap<Box<str>, Arc<ServerConfig>>>,
}

/// An answer that is there until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Answered {
    challenges: Arc<Challenges>,
    at: At,
}

#[derive(Debug)]
enum At {
    Token(Box<str>),
    Host(Box<str>),
}

impl Challenges {
    /// The text for a token.
    pub fn text(&self, token: &str) -> Option<Bytes> {
        self.texts.load().get(token).cloned()
    }

    /// What a handshake for the challenge of `host` is made with.
    pub fn handshake(&self, host: &str) -> Option<Arc<ServerConfig>> {
        let known = self.handshakes.load();
        if known.is_empty() { None } else { known.get(&*host.to_ascii_lowercase()).cloned() }
    }

    /// Answers a token with a text.
    pub fn answer_text(self: &Arc<Self>, token: &str, text: &str) -> Answered {
        let text = Bytes::copy_from_slice(text.as_bytes());
        self.texts.rcu(|known| with(known, token, text.clone()));
        Answered { challenges: Arc::clone(self), at: At::Token(token.into()) }
    }

    /// Answers handshakes for `host` with a certificate, both in PEM.
    ///
    /// # Errors
    /// It cannot be shown.
    pub fn answer_handshake(
        self: &Arc<Self>,
        host: &str,
        (certificate, key): (&str, &str),
    ) -> Result<Answered, CertificateFault> {
        let certified = certificate::unchecked(certificate.as_bytes(), key.as_bytes())?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(CertificateFault::UnusableKey)?;
        let resolver = Arc::new(SingleCertAndKey::from(certified));
        let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![ACME_TLS.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let config = Arc::new(config);
        self.handshakes.rcu(|known| with(known, host, Arc::clone(&config)));
        Ok(Answered { challenges: Arc::clone(self), at: At::Host(host.into()) })
    }
}

fn with<T: Clone>(known: &HashMap<Box<str>, T>, name: &str, one: T) -> HashMap<Box<str>, T> {
    let mut known = known.clone();
    known.insert(name.into(), one);
    known
}

fn without<T: Clone>(known: &HashMap<Box<str>, T>, name: &str) -> HashMap<Box<str>, T> {
    let mut known = known.clone();
    known.remove(name);
    known
}

impl Drop for Answered {
    fn drop(&mut self) {
        match &self.at {
            At::Token(token) => _ = self.challenges.texts.rcu(|known| without(known, token)),
            At::Host(host) => _ = self.challenges.handshakes.rcu(|known| without(known, host)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate as `acme` makes it for a challenge.
    fn own(host: &str) -> (String, String) {
        let mut params = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.custom_extensions = vec![rcgen::CustomExtension::new_acme_identifier(&[7; 32])];
        let key = rcgen::KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn an_answer_is_there_for_as_long_as_an_order_waits() {
        let challenges = Arc::<Challenges>::default();
        let (certificate, key) = own("a.example");
        let first = challenges.answer_text("one", "text of one");
        let second = challenges.answer_handshake("a.example", (&certificate, &key)).unwrap();
        assert_eq!(challenges.text("one").as_deref(), Some(&b"text of one"[..]));
        assert!(challenges.text("two").is_none() && challenges.text("").is_none());
        let config = challenges.handshake("A.example").unwrap();
        assert_eq!(config.alpn_protocols, [ACME_TLS]);
        assert!(challenges.handshake("b.example").is_none());
        drop(first);
        drop(second);
        assert!(challenges.text("one").is_none() && challenges.handshake("a.example").is_none());
        let fault = challenges.answer_handshake("a.example", (&certificate, "none")).unwrap_err().to_string();
        assert!(fault.contains("has no private key"), "{fault}");
    }
}
