//! The network between furt and a server, which a test breaks: a TCP proxy for one endpoint.
//!
//! What is lost within a connection is lost: such a connection ends when the fault does, as bytes after a gap are nothing
//! that a protocol can read.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::support::ports;

/// What becomes of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// They pass.
    Open,
    /// Connections are closed, new ones at once.
    Cut,
    /// They wait: connections are taken, and nobody says anything. They go on where it is open again.
    Frozen,
    /// What the client says arrives; what the server says is lost.
    LosesAnswers,
    /// What the client says is lost; what the server says arrives.
    LosesRequests,
}

/// The proxy. A test that ends ends it.
pub(crate) struct FaultProxy {
    address: SocketAddr,
    network: watch::Sender<Network>,
    task: JoinHandle<()>,
}

impl FaultProxy {
    /// In front of a server.
    pub(crate) fn to(server: SocketAddr) -> Self {
        let (listener, _) = ports::service();
        let address = listener.local_addr().unwrap();
        let (network, state) = watch::channel(Network::Open);
        Self { address, network, task: tokio::spawn(accept(listener, server, state)) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on; connections that are there included.
    pub(crate) fn set(&self, network: Network) {
        self.network.send_replace(network);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, state: watch::Receiver<Network>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((client, _)) = listener.accept() => {
                connections.spawn(connection(client, server, state.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(client: TcpStream, server: SocketAddr, mut state: watch::Receiver<Network>) {
    // As a host that is not there any more: the connection waits, too.
    if state.wait_for(|network| *network != Network::Frozen).await.is_err() || *state.borrow() == Network::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (client, server) = (client.into_split(), server.into_split());
    let up = pipe(client.0, server.1, state.clone(), Network::LosesRequests);
    let down = pipe(server.0, client.1, state.clone(), Network::LosesAnswers);
    tokio::select! {
        _ = up => {}
        _ = down => {}
        _ = state.wait_for(|network| *network == Network::Cut) => {}
    }
}

/// One way of a connection, until an end of it, or the end of what it lost.
async fn pipe(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<Network>, loses: Network) {
    let mut bytes = vec![0; 65_536];
    let mut has_lost = false;
    loop {
        let read = tokio::select! {
            read = from.read(&mut bytes) => read,
            _ = state.wait_for(|network| has_lost && *network != loses) => return,
        };
        let Ok(count @ 1..) = read else { return };
        let Ok(network) = state.wait_for(|network| *network != Network::Frozen).await.map(|network| *network) else {
            return;
        };
        if network == loses {
            has_lost = true;
        } else if has_lost || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
