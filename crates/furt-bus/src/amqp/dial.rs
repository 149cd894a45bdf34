//! The socket to a broker, under TLS where the url says so.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::connection::Stream;
use super::options::Options;
use crate::trouble::Trouble;

pub(super) async fn dial(options: &Options) -> Result<Box<dyn Stream>, Trouble> {
    let unreachable = |error: std::io::Error| Trouble::Unreachable(format!("{}: {error}", options.url));
    // Files first: what is wrong with them is not the network's.
    let connector = if options.url.is_secure() { Some(connector(options)?) } else { None };
    let socket = TcpStream::connect((options.url.host(), options.url.port())).await.map_err(unreachable)?;
    socket.set_nodelay(true).map_err(unreachable)?;
    let Some(connector) = connector else { return Ok(Box::new(socket)) };
    let name = ServerName::try_from(options.url.host().to_owned())
        .map_err(|error| Trouble::Unreachable(format!("{}: {error}", options.url)))?;
    Ok(Box::new(connector.connect(name, socket).await.map_err(unreachable)?))
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
