//! Where this machine is, as the registry sees it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{UdpSocket, lookup_host};
use tokio::time::timeout;

use crate::host::Host;

/// The address from which this machine reaches the first host that is another machine; loopback where all of them are on
/// this one. `None`: no name of them resolves, or there is no way to them.
pub(crate) async fn own_address(hosts: &[Host], within: Duration) -> Option<IpAddr> {
    let mut loopback = None;
    for host in hosts {
        let Ok(Ok(found)) = timeout(within, lookup_host((host.name.as_str(), host.port))).await else { continue };
        for target in found {
            match source_to(target).await {
                Some(source) if source.is_loopback() => loopback = loopback.or(Some(source)),
                Some(source) => return Some(source),
                None => {}
            }
        }
    }
    loopback
}

/// Asks the system's routes. Connecting a datagram socket sends nothing.
async fn source_to(target: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await.ok()?;
    socket.connect(target).await.ok()?;
    let source = socket.local_addr().ok()?.ip();
    (!source.is_unspecified()).then_some(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(texts: &[&str]) -> Vec<Host> {
        texts.iter().map(|text| Host::parse(text).unwrap()).collect()
    }

    #[tokio::test]
    async fn a_registry_on_this_machine_gives_loopback_and_a_name_that_does_not_resolve_nothing() {
        let within = Duration::from_secs(2);
        assert_eq!(own_address(&hosts(&["127.0.0.1"]), within).await, Some(Ipv4Addr::LOCALHOST.into()));
        assert_eq!(own_address(&hosts(&["nowhere.invalid"]), within).await, None);
        let later = own_address(&hosts(&["nowhere.invalid", "127.0.0.1"]), within).await;
        assert_eq!(later, Some(Ipv4Addr::LOCALHOST.into()));
    }
}
