//! Ticket keys that several gateways have in common: each is derived from a secret that they share (HKDF-SHA256, RFC 5869), for a
//! period of 12 hours, so that a client resumes its session at any of them.

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};

/// How long a key seals, in s.
pub(super) const SEALS_SECONDS: i64 = 12 * 3600;
/// Bytes of a key's name, and of the key.
pub(super) const NAME_LEN: usize = 16;
pub(super) const SECRET_LEN: usize = 32;
/// Periods before the present one whose tickets open.
const PAST: i64 = 2;

/// What gateways share; 32 random bytes.
pub type SharedRoot = [u8; SECRET_LEN];

/// A key with its name, which each ticket shows.
pub(super) type NamedKey = ([u8; NAME_LEN], [u8; SECRET_LEN]);

/// The keys at `now` (Unix seconds), the one that seals first: of each root those of this period, of the next one, since clocks differ,
/// and of the two before.
pub(super) fn keys(roots: &[SharedRoot], now: i64) -> Vec<NamedKey> {
    let present = period(now);
    let periods = [present, present + 1].into_iter().chain((1..=PAST).map(|ago| present - ago));
    let of = |root: &SharedRoot| periods.clone().map(|period| derive(root, period)).collect::<Vec<_>>();
    roots.iter().flat_map(of).collect()
}

/// The number of the period.
pub(super) fn period(now: i64) -> i64 {
    now.div_euclid(SEALS_SECONDS)
}

fn derive(root: &SharedRoot, period: i64) -> NamedKey {
    let root = Salt::new(HKDF_SHA256, &[]).extract(root);
    (expand(&root, b"furt ticket name v1", period), expand(&root, b"furt ticket key v1", period))
}

fn expand<const N: usize>(root: &Prk, label: &[u8], period: i64) -> [u8; N] {
    let mut bytes = [0; N];
    let made = root.expand(&[label, &period.to_be_bytes()], Length(N)).and_then(|made| made.fill(&mut bytes));
    // It fails for more than 8,160 bytes alone.
    debug_assert!(made.is_ok());
    bytes
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}
