//! How an instance is connected to: by requests (`proxy`) and by probes (`health`) alike.
//!
//! Every timeout is set, TLS is verified always (a peer without a name to verify is refused, since an empty SNI
//! verifies nothing), and a pooled connection is never used for another registration of the same address.

mod tunnel;

use std::net::SocketAddr;
use std::time::Duration;

use pingora::protocols::ALPN;
use pingora::upstreams::peer::HttpPeer;

use crate::tls::UpstreamTls;
use furt_core::model::{InstanceSpec, Protocol, Scheme, ServiceName, UpstreamHost};
use furt_core::routing::PoolGroup;

/// Streams at once on one h2c connection (what most servers announce).
const MAX_H2_STREAMS: usize = 100;

/// What a service may send ahead on one stream, in bytes: what a client that reads slowly can make furt hold of its answer.
const STREAM_WINDOW: u32 = 256 * 1024;

/// What it may send ahead on one connection: the windows of all its streams, so that no number of clients that read slowly keeps
/// an answer of another from coming.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MAX_H2_STREAMS as u32;

/// Which connection a request may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// Any that is open; over HTTP/2 with up to as many requests as it carries.
    Usual,
    /// Over HTTP/1 only those of requests that are `Careful` too, which are kept for a shorter time; over HTTP/2 as `Usual`.
    Careful,
    /// Over HTTP/1 a new one; over HTTP/2 one that carries no other request. For what was lost, or refused as one too many.
    Fresh,
    /// A new one that becomes a tunnel, for an upgrade over HTTP/1; over HTTP/2 as `Usual`.
    Tunnel,
}

impl Reuse {
    /// Connections of another group are another pool to Pingora. The groups of registrations count from 0.
    const fn group(self, group: PoolGroup) -> u64 {
        match self {
            Self::Usual => group.0,
            Self::Careful => group.0 | 1 << 63,
            Self::Fresh => group.0 | 1 << 62,
            Self::Tunnel => group.0 | 1 << 61,
        }
    }
}

/// Timeouts of one exchange.
#[derive(Debug, Clone, Copy)]
pub struct PeerTimeouts {
    /// TCP and TLS together.
    pub connect: Duration,
    /// To the header, and between reads; `None`: somebody else times them.
    pub read: Option<Duration>,
    /// A write without progress.
    pub write: Duration,
    /// In the pool.
    pub idle: Duration,
}

/// The bits of a group that tell apart what TLS towards services was when a connection was made.
const GENERATION_SHIFT: u32 = 40;
const GENERATIONS: u64 = 1 << 20;

/// The peer for an instance at one of its addresses; `group` tells apart registrations that share an address. `service` is the
/// instance's, if it is registered.
///
/// # Errors
/// An https instance without a name that its certificate could be verified for.
pub fn peer(
    spec: &InstanceSpec,
    address: SocketAddr,
    group: PoolGroup,
    timeouts: PeerTimeouts,
    reuse: Reuse,
    (tls, service): (&UpstreamTls, Option<&ServiceName>),
) -> Result<HttpPeer, &'static str> {
    let is_tls = spec.url.scheme == Scheme::Https;
    let name = match (&spec.tls_name, &spec.url.host) {
        (Some(name), _) if is_tls => name.to_string(),
        (None, UpstreamHost::Name(name)) if is_tls => name.to_string(),
        (None, UpstreamHost::Address(_)) if is_tls => return Err("an https url by address needs tls_name"),
        _ => String::new(),
    };
    let mut peer = HttpPeer::new(address, is_tls, name);
    peer.options.connection_timeout = Some(timeouts.connect);
    peer.options.total_connection_timeout = Some(timeouts.connect);
    peer.options.read_timeout = timeouts.read;
    peer.options.write_timeout = Some(timeouts.write);
    peer.options.idle_timeout = Some(timeouts.idle);
    if spec.protocol == Protocol::H2c {
        peer.group_key = group.0;
        peer.options.alpn = ALPN::H2;
        // Connections with another number of streams are another pool to Pingora.
        peer.options.max_h2_streams = if reuse == Reuse::Fresh { 1 } else { MAX_H2_STREAMS };
        peer.options.h2_stream_window_size = Some(STREAM_WINDOW);
        peer.options.h2_connection_window_size = Some(CONNECTION_WINDOW);
    } else {
        peer.group_key = reuse.group(group);
        if matches!(reuse, Reuse::Fresh | Reuse::Tunnel) {
            // No other request may have it afterwards.
            peer.options.idle_timeout = Some(Duration::ZERO);
        }
        if reuse == Reuse::Tunnel {
            tunnel::make(&mut peer);
        }
    }
    if is_tls {
        let trust = tls.trust();
        peer.client_cert_key.clone_from(&trust.identity);
        peer.options.ca = trust.authorities(service, &spec.url).cloned();
        // Groups of registrations count from 0, and connections from before a change are to be used no more.
        peer.group_key |= (trust.generation % GENERATIONS) << GENERATION_SHIFT;
    }
    Ok(peer)
}

/// How long a name may take to resolve.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a name leads to no address now.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The resolver refused or failed.
    #[error("\"{name}\" does not resolve: {error}")]
    Failed {
        /// What was looked up.
        name: Box<str>,
        /// What the resolver says.
        error: std::io::Error,
    },
    /// The resolver took too long.
    #[error("\"{name}\" does not resolve within {} s", RESOLVE_TIMEOUT.as_secs())]
    TimedOut {
        /// What was looked up.
        name: Box<str>,
    },
    /// The name is known and has none.
    #[error("\"{name}\" has no address")]
    NoAddress {
        /// What was looked up.
        name: Box<str>,
    },
}

/// The addresses of a name, in order, each once, unmapped.
///
/// # Errors
/// The name has none, or the resolver failed or took more than a second.
pub async fn resolve(name: &str, port: u16) -> Result<std::sync::Arc<[SocketAddr]>, ResolveError> {
    let found = match tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((name, port))).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return Err(ResolveError::Failed { name: name.into(), error }),
        Err(_) => return Err(ResolveError::TimedOut { name: name.into() }),
    };
    let addresses: std::collections::BTreeSet<_> =
        found.map(|address| SocketAddr::new(address.ip().to_canonical(), address.port())).collect();
    if addresses.is_empty() {
        return Err(ResolveError::NoAddress { name: name.into() });
    }
    Ok(addresses.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(url: &str, tls_name: Option<&str>) -> InstanceSpec {
        InstanceSpec {
            tls_name: tls_name.map(Into::into),
            health_endpoint: None,
            ..InstanceSpec::new(
                furt_core::model::InstanceId::try_new("a").unwrap(),
                furt_core::model::UpstreamUrl::try_new(url).unwrap(),
            )
        }
    }

    #[test]
    fn an_https_peer_always_has_a_name_to_verify() {
        let second = Duration::from_secs(1);
        let timeouts = PeerTimeouts { connect: second, read: Some(second), write: second, idle: second };
        let name = |url, tls_name| {
            let address = "127.0.0.1:1".parse().unwrap();
            peer(
                &spec(url, tls_name),
                address,
                PoolGroup::default(),
                timeouts,
                Reuse::Usual,
                (&UpstreamTls::of_system(), None),
            )
            .map(|peer| peer.sni)
        };
        assert_eq!(name("https://shop.example", None).as_deref(), Ok("shop.example"));
        assert_eq!(name("https://10.0.0.1", Some("shop.example")).as_deref(), Ok("shop.example"));
        assert!(name("https://10.0.0.1", None).is_err());
        assert_eq!(name("http://10.0.0.1", None).as_deref(), Ok(""));
    }
}
