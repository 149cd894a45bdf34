//! The library that does TLS's arithmetic: aws-lc-rs for the whole process.
//!
//! Pingora brings ring and installs it where nothing else is installed. With both at hand and neither installed rustls panics,
//! so `main` installs this one before anything else, and so does every test that needs one.

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

/// The library.
pub(super) fn provider() -> &'static Arc<CryptoProvider> {
    &PROVIDER
}

/// Makes it that of the whole process, unless one is installed already.
pub fn install() {
    _ = aws_lc_rs::default_provider().install_default();
}

#[cfg(test)]
mod tests {
    use rustls::NamedGroup;

    use super::*;

    #[test]
    fn a_key_exchange_that_quantum_computers_do_not_break_is_offered_first() {
        install();
        pingora::tls::install_default_crypto_provider();
        for provider in [CryptoProvider::get_default().unwrap(), provider()] {
            let groups: Vec<_> = provider.kx_groups.iter().map(|group| group.name()).collect();
            assert_eq!(groups[..2], [NamedGroup::X25519MLKEM768, NamedGroup::X25519], "{groups:?}");
        }
    }
}
