//! Random numbers of the system's generator.

use aws_lc_rs::rand;
use furt_cluster::model::Nonce;
use zeroize::Zeroizing;

/// So many random bytes.
#[allow(clippy::expect_used, reason = "AWS-LC ends the process itself where the system has no random numbers")]
pub(crate) fn bytes<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    rand::fill(&mut *bytes).expect("AWS-LC always has random numbers");
    bytes
}

/// Draws a nonce, as [`Nonces`](furt_cluster::Nonces) does for the core.
pub fn nonce() -> Nonce {
    Nonce::new(*bytes())
}
