//! The port of the program: a free one, and whether something accepts connections there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use furt_client::Registry;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// For one try. A machine knows at once whether it listens itself.
const TRY: Duration = Duration::from_secs(1);

/// A port that was free at every address a moment ago.
pub(super) fn free() -> io::Result<u16> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&std::net::SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())?;
    let address = socket.local_addr()?.as_socket();
    address.map(|address| address.port()).ok_or_else(|| io::Error::other("a socket without a port"))
}

/// Where others are going to reach the program.
pub(super) struct Place<'a> {
    pub(super) registry: &'a Registry,
    pub(super) hostname: Option<&'a str>,
    pub(super) port: u16,
}

/// Whether and where something accepts connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepts {
    /// Where others reach it.
    Yes,
    /// On this machine alone; others would use that address.
    OnlyLocally(IpAddr),
    No,
}

impl Place<'_> {
    /// Looks once.
    pub(super) async fn look(&self) -> Accepts {
        if let Some(hostname) = self.hostname {
            // The name may lead through others that this machine cannot ask for itself. So any address will do.
            if self.accepts_at(hostname).await || self.accepts_locally().await {
                return Accepts::Yes;
            }
        }
        let own = self.registry.own_address().await.filter(|own| !own.is_loopback());
        match own {
            Some(own) if self.accepts_at(&own.to_string()).await => Accepts::Yes,
            Some(own) if self.accepts_locally().await => Accepts::OnlyLocally(own),
            None if self.accepts_locally().await => Accepts::Yes,
            _ => Accepts::No,
        }
    }

    /// Whether anything accepts there, wherever others reach it.
    pub(super) async fn is_taken(&self) -> bool {
        self.accepts_locally().await || self.look().await != Accepts::No
    }

    async fn accepts_locally(&self) -> bool {
        for address in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            if self.accepts_at(&address.to_string()).await {
                return true;
            }
        }
        false
    }

    async fn accepts_at(&self, host: &str) -> bool {
        matches!(timeout(TRY, TcpStream::connect((host, self.port))).await, Ok(Ok(_)))
    }
}
