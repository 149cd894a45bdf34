//! A certificate authority that exists for one test, and the certificates it signs.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, RevokedCertParams,
};
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// With a new key.
    pub(crate) fn new() -> Self {
        Self::named("an authority for one test")
    }

    /// The same under that name.
    pub(crate) fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        // Another name than that of the certificates it signs: one of the same name would look self-signed.
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its own certificate, for `[upstream] ca`.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for `name` and its key, as PEM, for a program that reads files.
    #[allow(dead_code, reason = "only the tests beside foreign servers use it")]
    pub(crate) fn signed(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    /// A certificate for these names, good until the end of that year, and its key, as PEM.
    pub(crate) fn signed_until(&self, names: &[&str], year: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 12, 31);
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    /// A certificate of that number for a client, and its key.
    #[allow(dead_code, reason = "not every kind of test has such clients")]
    pub(crate) fn client(&self, number: u64) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("client {number}"));
        params.serial_number = Some(number.into());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.0).unwrap().into();
        (certificate, PrivateKeyDer::Pkcs8(key.serialize_der().into()))
    }

    /// The list of the certificates with these numbers, which are revoked, to be replaced in that year; as PEM.
    #[allow(dead_code, reason = "not every kind of test has such clients")]
    pub(crate) fn revoked(&self, numbers: &[u64], next_year: i32) -> String {
        let revoked = |number: &u64| RevokedCertParams {
            serial_number: (*number).into(),
            revocation_time: rcgen::date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2024, 1, 1),
            next_update: rcgen::date_time_ymd(next_year, 1, 1),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: numbers.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).unwrap().pem().unwrap()
    }

    /// What a server for `name` needs, offering `protocols` by ALPN.
    pub(crate) fn server_config(&self, name: &str, protocols: &[&str]) -> Arc<rustls::ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate: CertificateDer<'static> = params.signed_by(&key, &self.0).unwrap().into();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}
