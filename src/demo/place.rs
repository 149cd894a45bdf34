//! Where the demo lives: a temporary directory that goes with it, and ports that nobody else has.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::fleet::INSTANCES;

/// Below the range from which Linux takes ports of outgoing connections (from 32768 on by default), so that an instance
/// that closes its port for a while finds it free again.
const PORTS: std::ops::Range<u16> = 10_000..32_000;
/// A machine on which so many random ports are taken has another trouble.
const MOST_TRIES: usize = 1000;

/// The directory, until it is removed.
pub(super) struct Place {
    path: PathBuf,
    // Who removes it holds the lock, so that whoever comes second waits until it is gone.
    directory: Mutex<Option<TempDir>>,
}

impl Place {
    /// Makes one that nobody else can look into.
    ///
    /// # Errors
    /// The system's directory for temporary files cannot be written.
    pub(super) fn take() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("furt-demo-").tempdir();
        let directory = directory.context("no temporary directory can be made; TMPDIR says where")?;
        Ok(Self { path: directory.path().to_owned(), directory: Mutex::new(Some(directory)) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it with all that is in it, once.
    ///
    /// # Errors
    /// Something of it is left.
    pub(super) fn remove(&self) -> Result<()> {
        let mut directory = self.directory.lock().unwrap_or_else(PoisonError::into_inner);
        let removed = directory.take().map_or(Ok(()), TempDir::close);
        removed.with_context(|| format!("{} cannot be removed", self.path.display()))
    }
}

/// The gateway's ports, held until it takes them itself.
pub(super) struct Gateway {
    public: TcpListener,
    internal: TcpListener,
    addresses: Addresses,
}

/// Where the gateway listens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Addresses {
    pub(super) public: SocketAddr,
    pub(super) internal: SocketAddr,
}

impl Gateway {
    pub(super) fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Lets them go.
    pub(super) fn free(self) {
        drop((self.public, self.internal));
    }
}

/// Ports for the gateway, and one for each instance, which keeps it.
///
/// # Errors
/// There are not enough.
pub(super) fn reserve() -> Result<(Gateway, Vec<TcpListener>)> {
    let (public, internal) = (listener()?, listener()?);
    let addresses = Addresses { public: public.local_addr()?, internal: internal.local_addr()? };
    let instances = (0..INSTANCES).map(|_| listener()).collect::<Result<_>>()?;
    Ok((Gateway { public, internal, addresses }, instances))
}

fn listener() -> Result<TcpListener> {
    let bound = (0..MOST_TRIES).find_map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, fastrand::u16(PORTS))).ok());
    bound.with_context(|| format!("no free port of 127.0.0.1 from {} to {}", PORTS.start, PORTS.end - 1))
}
