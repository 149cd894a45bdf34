//! The certificate that answers a challenge in a handshake: signed by itself, for one name, with the digest that the authority looks
//! for (RFC 8737 §3).

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};

/// The certificate and its key, in PEM.
pub(super) fn certificate(name: &str, digest: &[u8]) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// A request for a certificate, and its new key in PEM.
pub(super) fn request(name: &str) -> Result<(Vec<u8>, String), rcgen::Error> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    let key = KeyPair::generate()?;
    Ok((params.serialize_request(&key)?.der().to_vec(), key.serialize_pem()))
}
