//! What handshakes are made with: a configuration of rustls for each certificate, found by the name that a client asks for.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};

use super::certificate::{Certificate, CertificateName};
use super::client_rules::{ByHost, ClientRule, Entry};
use super::covered::Covered;
use super::names::Names;
use super::provider::provider;
use crate::config::{MinTlsVersion, TlsConfig, UnknownTlsName};

/// What is spoken under TLS, the most wanted first; without the first one where HTTP/2 is off.
const PROTOCOLS: [&[u8]; 3] = [b"h2", b"http/1.1", b"http/1.0"];

/// From TLS 1.2 on; the newest first.
static VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

/// Whether clients may speak HTTP/2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Http2 {
    /// They may.
    Offered,
    /// They may not.
    Off,
}

/// What one handshake is made with.
#[derive(Debug, Clone)]
pub struct Offer {
    /// For rustls.
    pub config: Arc<ServerConfig>,
    /// The hosts of the certificate that is shown; `None`: nobody asks for them.
    pub covered: Option<Arc<Covered>>,
    /// What the client must show; `None`: it is not asked for anything.
    pub rule: Option<Arc<ClientRule>>,
}

/// A rule with what handshakes under it are made with: by the index of the certificate that is shown.
#[derive(Debug)]
struct RuleConfigs {
    rule: Arc<ClientRule>,
    configs: Box<[OnceLock<Option<Arc<ServerConfig>>>]>,
}

/// One moment's certificates and rules of handshakes.
#[derive(Debug)]
pub struct Served {
    offers: Vec<(Arc<Certificate>, Offer)>,
    /// Names to the index of what is offered for them.
    names: Names<usize>,
    /// What a name without a certificate gets, if it gets any.
    otherwise: Option<usize>,
    rules: ByHost<Arc<RuleConfigs>>,
    versions: (MinTlsVersion, Http2),
    /// For a whole handshake.
    pub handshake_timeout: Duration,
}

impl Served {
    /// Also returns the names that an earlier certificate has already, with the later one's index: the earlier one is shown.
    pub(super) fn new(
        (tls, http2): (&TlsConfig, Http2),
        certificates: &[Arc<Certificate>],
        rules: &[Entry],
        tickets: &Arc<dyn ProducesTickets>,
    ) -> (Self, Vec<(usize, CertificateName)>) {
        let (mut names, mut taken) = (Names::default(), Vec::new());
        let (mut offers, versions) = (Vec::new(), (tls.min_version, http2));
        for (index, certificate) in certificates.iter().enumerate() {
            let Some(config) = server_config(certificate, versions, Clients::Anyone(tickets)) else { continue };
            let offer = Offer { config, covered: Some(Arc::new(Covered::of(&certificate.names))), rule: None };
            for name in &certificate.names {
                // One that names a host twice is at odds with nobody.
                let is_first = || certificates[..index].iter().all(|earlier| !earlier.names.contains(name));
                if !names.insert(name, offers.len()) && !is_first() {
                    taken.push((index, name.clone()));
                }
            }
            offers.push((Arc::clone(certificate), offer));
        }
        let otherwise = match tls.unknown_name {
            UnknownTlsName::Refuse => None,
            UnknownTlsName::First => (!offers.is_empty()).then_some(0),
        };
        let rules = ByHost::new(rules.iter().map(|entry| {
            let configs = offers.iter().map(|_| OnceLock::new()).collect();
            (entry.config.hosts.clone(), Arc::new(RuleConfigs { rule: Arc::clone(&entry.rule), configs }))
        }));
        (Self { offers, names, otherwise, rules, versions, handshake_timeout: tls.handshake_timeout }, taken)
    }

    /// What a client is shown that asks for `host`; one that asks for none is shown what its `address` has. `None`: nothing.
    pub fn find(&self, host: Option<&str>, address: impl FnOnce() -> Option<IpAddr>) -> Option<Offer> {
        let named = match host {
            Some(host) => self.names.of_host(host),
            None if self.names.has_addresses() => address().and_then(|address| self.names.of_address(address)),
            None => None,
        };
        let index = *named.or(self.otherwise.as_ref())?;
        let (certificate, offer) = self.offers.get(index)?;
        let Some(under) = self.rules.of(host) else { return Some(offer.clone()) };
        let config = under
            .configs
            .get(index)?
            .get_or_init(|| server_config(certificate, self.versions, Clients::Of(&under.rule)));
        Some(Offer { config: config.clone()?, rule: Some(Arc::clone(&under.rule)), ..offer.clone() })
    }

    /// Whether any host asks its clients for a certificate.
    pub fn has_rules(&self) -> bool {
        !self.rules.is_empty()
    }

    /// What the clients of a host must show; `None`: nothing.
    pub fn rule(&self, host: Option<&str>) -> Option<&Arc<ClientRule>> {
        self.rules.of(host).map(|under| &under.rule)
    }
}

/// Whom a handshake is made with.
#[derive(Clone, Copy)]
enum Clients<'a> {
    /// Nobody is asked for a certificate, and sessions are resumed by these.
    Anyone(&'a Arc<dyn ProducesTickets>),
    /// Each shows what the rule asks for at each connection. A session that is resumed would outlast what was believed then, so none
    /// is: neither tickets nor ids are given or taken.
    Of(&'a ClientRule),
}

fn versions(least: MinTlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match least {
        MinTlsVersion::Tls12 => &VERSIONS,
        MinTlsVersion::Tls13 => &VERSIONS[..1],
    }
}

/// `None`: the library has no such version, which the tests rule out.
fn server_config(
    certificate: &Certificate,
    (least, http2): (MinTlsVersion, Http2),
    clients: Clients<'_>,
) -> Option<Arc<ServerConfig>> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider()));
    let builder = builder.with_protocol_versions(versions(least)).ok()?;
    let builder = match clients {
        Clients::Anyone(_) => builder.with_no_client_auth(),
        Clients::Of(rule) => builder.with_client_cert_verifier(Arc::clone(&rule.verifier)),
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&certificate.key))));
    let protocols = match http2 {
        Http2::Offered => &PROTOCOLS[..],
        Http2::Off => &PROTOCOLS[1..],
    };
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    match clients {
        // Sessions are in the clients' tickets alone: nothing grows here, and a restart forgets none.
        Clients::Anyone(tickets) => config.ticketer = Arc::clone(tickets),
        Clients::Of(_) => config.send_tls13_tickets = 0,
    }
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // No early data: it could be sent again by anybody who saw it.
    config.max_early_data_size = 0;
    Some(Arc::new(config))
}
