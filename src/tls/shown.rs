//! What a listener's handshakes are made with.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::internal::InternalTls;
use super::served::Offer;
use super::watched::Tls;

/// TLS of one of the listeners.
#[derive(Debug, Clone)]
pub enum Shown {
    /// A certificate by the name that a client asks for.
    Public(Arc<Tls>),
    /// One certificate, whatever a client asks for.
    Internal(Arc<InternalTls>),
}

impl Shown {
    /// For a whole handshake.
    pub fn handshake_timeout(&self) -> Duration {
        match self {
            Self::Public(tls) => tls.served().handshake_timeout,
            Self::Internal(_) => InternalTls::handshake_timeout(),
        }
    }

    /// What a handshake is made with by which an authority looks whether `host` leads here; `None`: no order of furt's waits for it.
    pub fn challenge(&self, host: Option<&str>) -> Option<Offer> {
        match self {
            Self::Public(tls) => {
                let config = tls.challenges().handshake(host?)?;
                Some(Offer { config, covered: None, rule: None })
            }
            Self::Internal(_) => None,
        }
    }

    /// What a client is shown that asks for `host`; one that asks for none is shown what its `address` has. `None`: nothing.
    pub fn find(&self, host: Option<&str>, address: impl FnOnce() -> Option<IpAddr>) -> Option<Offer> {
        match self {
            Self::Public(tls) => tls.served().find(host, address),
            Self::Internal(tls) => Some(Offer { config: tls.served(), covered: None, rule: None }),
        }
    }
}
