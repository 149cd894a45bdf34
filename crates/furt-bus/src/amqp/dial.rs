//! The socket to a broker, under TLS where the url says so.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use super::connection::Stream;
use super::options::Options;
use crate::trouble::Trouble;

/// For all addresses of a broker's name but the last one of them.
const ADDRESSES: Duration = Duration::from_secs(5);
/// For each of them at least: one that is lost is sent again after a second.
const ADDRESS: Duration = Duration::from_millis(1_200);

/// `number` counts the connections that are tried.
pub(super) async fn dial(options: &Options, number: usize) -> Result<Box<dyn Stream>, Trouble> {
    let unreachable = |error: io::Error| Trouble::Unreachable(format!("{}: {error}", options.url));
    // Files first: what is wrong with them is not the network's.
    let connector = if options.url.is_secure() { Some(connector(options)?) } else { None };
    let addresses = lookup_host((options.url.host(), options.url.port())).await.map_err(unreachable)?;
    let socket = connected(addresses.collect(), number).await.map_err(unreachable)?;
    socket.set_nodelay(true).map_err(unreachable)?;
    let Some(connector) = connector else { return Ok(Box::new(socket)) };
    let name = ServerName::try_from(options.url.host().to_owned())
        .map_err(|error| Trouble::Unreachable(format!("{}: {error}", options.url)))?;
    Ok(Box::new(connector.connect(name, socket).await.map_err(unreachable)?))
}

/// To the first that takes it. Each try begins with another address: the broker of one can be gone without a word, or take
/// connections and say nothing.
async fn connected(mut addresses: Vec<SocketAddr>, number: usize) -> io::Result<TcpStream> {
    let count = addresses.len();
    if count == 0 {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    addresses.rotate_left(number % count);
    let last = addresses.remove(count - 1);
    let share = addresses.len().try_into().map_or(ADDRESS, |others: u32| (ADDRESSES / others.max(1)).max(ADDRESS));
    for address in addresses {
        if let Ok(Ok(socket)) = tokio::time::timeout(share, TcpStream::connect(address)).await {
            return Ok(socket);
        }
    }
    TcpStream::connect(last).await
}

fn connector(options: &Options) -> Result<TlsConnector, Trouble> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Trouble::Unusable(error.to_string()))?
        .with_root_certificates(roots(options.ca.as_deref())?);
    let config = match &options.identity {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let unusable = |error: String| Trouble::Unusable(format!("the key in {}: {error}", key.display()));
            let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(error.to_string()))?;
            let chain = certificates(certificate)?;
            config.with_client_auth_cert(chain, secret).map_err(|error| unusable(error.to_string()))?
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, Trouble> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            for certificate in certificates(path)? {
                let unusable = |error| Trouble::Unusable(format!("an authority in {}: {error}", path.display()));
                roots.add(certificate).map_err(unusable)?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs()
                .map_err(|error| Trouble::Unusable(format!("the system's certificate authorities: {error}")))?;
            roots.add_parsable_certificates(
                found.into_iter().map(|certificate| CertificateDer::from(certificate.to_vec())),
            );
        }
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Trouble> {
    let unusable = |error: String| Trouble::Unusable(format!("the certificates in {}: {error}", path.display()));
    let read = CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))?;
    let found: Vec<_> = read.collect::<Result<_, _>>().map_err(|error| unusable(error.to_string()))?;
    if found.is_empty() { Err(unusable("there is none".to_owned())) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    const ANY: &str = "127.0.0.1:0";

    /// What a machine is that is gone: nothing answers, not even that nobody listens.
    async fn gone() -> (TcpListener, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(ANY.parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let mut waiting = Vec::new();
        let connect = || TcpStream::connect(listener.local_addr().unwrap());
        while let Ok(one) = tokio::time::timeout(Duration::from_millis(300), connect()).await {
            waiting.push(one.unwrap());
        }
        (listener, waiting)
    }

    #[tokio::test]
    async fn one_of_several_addresses_that_lives_is_found_and_each_has_its_turn() {
        let (gone, _waiting) = gone().await;
        let closed = TcpListener::bind(ANY).await.unwrap().local_addr().unwrap();
        let [one, other] = [TcpListener::bind(ANY).await.unwrap(), TcpListener::bind(ANY).await.unwrap()];
        let [gone, one, other] = [&gone, &one, &other].map(|listener| listener.local_addr().unwrap());
        for (number, expected) in [(0, one), (1, one), (2, one), (3, other), (4, one)] {
            let socket = connected(vec![gone, closed, one, other], number).await.unwrap();
            assert_eq!(socket.peer_addr().unwrap(), expected, "{number}");
        }
        assert!(connected(vec![closed], 7).await.is_err() && connected(Vec::new(), 7).await.is_err());
    }
}
