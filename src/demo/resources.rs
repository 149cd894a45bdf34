//! Where the demo lives: a temporary directory that goes with it, and ports that nobody else has.

use std::fs::DirBuilder;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

/// Below the range from which Linux takes ports of outgoing connections (from 32768 on by default), so that an instance
/// that closes its port for a while finds it free again.
const PORTS: std::ops::Range<u16> = 10_000..32_000;
/// A machine on which so many random ports are taken has another trouble.
const MOST_TRIES: usize = 1000;

/// As random as a name must be that nobody can foresee.
const NAME_LENGTH: usize = 16;

/// The directory, until it is removed or dropped.
pub(super) struct Directory {
    path: PathBuf,
    // Who removes it holds the lock, so that whoever comes second waits until it is gone.
    is_there: Mutex<bool>,
}

impl Directory {
    /// Makes one that nobody else can look into.
    ///
    /// # Errors
    /// The system's directory for temporary files cannot be written.
    pub(super) fn create() -> Result<Self> {
        let parent = std::env::temp_dir();
        let create = || {
            let name = std::iter::repeat_with(fastrand::alphanumeric).take(NAME_LENGTH).collect::<String>();
            let path = parent.join(format!("furt-demo-{name}"));
            // Fails where there is anything of that name, also a link.
            DirBuilder::new().mode(0o700).create(&path).map(|()| path)
        };
        let path = create().context("no temporary directory can be made; TMPDIR says where")?;
        Ok(Self { path, is_there: Mutex::new(true) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it with all that is in it, once.
    ///
    /// # Errors
    /// Something of it is left.
    pub(super) fn remove(&self) -> Result<()> {
        let mut is_there = self.is_there.lock().unwrap_or_else(PoisonError::into_inner);
        let removed = if std::mem::take(&mut *is_there) { std::fs::remove_dir_all(&self.path) } else { Ok(()) };
        removed.with_context(|| format!("{} cannot be removed", self.path.display()))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Who had to know of a failure has removed it before.
        drop(self.remove());
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

/// Ports for the gateway, and one for each of so many instances, which keeps it.
///
/// # Errors
/// There are not enough.
pub(super) fn reserve(instances: usize) -> Result<(Gateway, Vec<TcpListener>)> {
    let (public, internal) = (listener()?, listener()?);
    let addresses = Addresses { public: public.local_addr()?, internal: internal.local_addr()? };
    let instances = (0..instances).map(|_| listener()).collect::<Result<_>>()?;
    Ok((Gateway { public, internal, addresses }, instances))
}

fn listener() -> Result<TcpListener> {
    let bound = (0..MOST_TRIES).find_map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, fastrand::u16(PORTS))).ok());
    bound.with_context(|| format!("no free port of 127.0.0.1 from {} to {}", PORTS.start, PORTS.end - 1))
}
