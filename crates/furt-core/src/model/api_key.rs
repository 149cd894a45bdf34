//! API keys as they are meant: what one may do, and what is kept of one that was made while furt runs.
//!
//! The key itself is nowhere: only its digest. When a key is over is asked of it with the time of day; what a key's end
//! means for the table and the store is `registry`'s. Used by `config`'s reader in `app`, by `registry`, `store`, `api`.

use super::{CidrSet, Invalid, KeyName, PermissionSet, RateLimit, Sha256Digest};

/// Permissions of one runtime key: as many as a service may have routes that ask for one each.
pub const MAX_KEY_PERMISSIONS: usize = 256;
/// Networks of one runtime key: a request from outside is compared with each.
pub const MAX_KEY_NETWORKS: usize = 256;
/// Earlier digests of one runtime key that are still good: a key that is rotated more often than its grace allows is
/// rotated by mistake, and each is one more key that may have leaked.
pub const MAX_OLD_DIGESTS: usize = 4;

/// What a key may do, of the configuration and made at runtime alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySpec {
    /// What services are sent; unique.
    pub name: KeyName,
    /// The key's SHA-256; unique.
    pub sha256: Sha256Digest,
    /// The permissions that it grants.
    pub permissions: PermissionSet,
    /// From where; empty: anywhere.
    pub allow_from: CidrSet,
    /// How often; `None`: unlimited.
    pub rate: Option<RateLimit>,
}

impl KeySpec {
    /// By what the key is found that a client certificate stands for; `sha256` is the certificate's, in DER. It begins as that does, and is
    /// the digest of nothing that anybody knows: a certificate is no secret, and sent as a key it must open nothing.
    pub fn digest_of_certificate(sha256: Sha256Digest) -> Sha256Digest {
        let mut bytes = *sha256.bytes();
        bytes[16..].iter_mut().for_each(|byte| *byte = !*byte);
        Sha256Digest::from_bytes(bytes)
    }
}

/// A key that was made while furt runs, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeKey {
    /// The permissions that it grants.
    pub spec: KeySpec,
    /// When it was made, in ms since the Unix epoch.
    pub created_ms: i64,
    /// When it is over; `None`: never.
    pub expires_ms: Option<i64>,
    /// The digests before this one that are good for a while, the newest last; at most [`MAX_OLD_DIGESTS`].
    pub old: Vec<OldDigest>,
}

/// A digest that a rotation replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldDigest {
    /// The SHA-256 of the key as it was.
    pub sha256: Sha256Digest,
    /// Until when it is good, in ms since the Unix epoch.
    pub until_ms: i64,
}

impl RuntimeKey {
    /// The key, if it keeps its bounds.
    ///
    /// # Errors
    /// It has no permission, or too many permissions, networks or old digests, or one digest twice.
    pub fn try_new(
        spec: KeySpec,
        created_ms: i64,
        expires_ms: Option<i64>,
        old: Vec<OldDigest>,
    ) -> Result<Self, Invalid> {
        let within = |what: &str, count: usize, least: usize, most: usize| match count {
            count if (least..=most).contains(&count) => Ok(()),
            _ => Err(Invalid::new(format!("must have {least} to {most} {what}"))),
        };
        within("permissions", spec.permissions.rules().len(), 1, MAX_KEY_PERMISSIONS)?;
        within("networks in allow_from", spec.allow_from.len(), 0, MAX_KEY_NETWORKS)?;
        within("old digests", old.len(), 0, MAX_OLD_DIGESTS)?;
        let key = Self { spec, created_ms, expires_ms, old };
        let mut digests: Vec<_> = key.digests().collect();
        digests.sort_unstable();
        if digests.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Invalid::new("must not have one digest twice"));
        }
        Ok(key)
    }

    /// Its name.
    pub fn name(&self) -> &KeyName {
        &self.spec.name
    }

    /// Its digests, the current one first.
    pub fn digests(&self) -> impl Iterator<Item = Sha256Digest> {
        std::iter::once(self.spec.sha256).chain(self.old.iter().map(|old| old.sha256))
    }

    /// Whether it is over.
    pub fn is_over(&self, now_ms: i64) -> bool {
        self.expires_ms.is_some_and(|end| end <= now_ms)
    }

    /// When it, or one of its old digests, is over next.
    pub fn next_end_ms(&self) -> Option<i64> {
        self.old.iter().map(|old| old.until_ms).chain(self.expires_ms).min()
    }

    /// The digests before this one that are good still.
    pub fn still_good(&self, now_ms: i64) -> impl Iterator<Item = OldDigest> {
        self.old.iter().copied().filter(move |old| old.until_ms > now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PermissionRule;

    fn spec(permissions: usize) -> KeySpec {
        let rule = |number: usize| PermissionRule::try_new(&format!("p{number}")).unwrap();
        KeySpec {
            name: KeyName::try_new("a").unwrap(),
            sha256: Sha256Digest::of(b"a"),
            permissions: PermissionSet::new((0..permissions).map(rule).collect()),
            allow_from: CidrSet::default(),
            rate: None,
        }
    }

    fn old(text: &str, until_ms: i64) -> OldDigest {
        OldDigest { sha256: Sha256Digest::of(text.as_bytes()), until_ms }
    }

    #[test]
    fn a_key_keeps_its_bounds() {
        assert!(RuntimeKey::try_new(spec(1), 0, None, vec![]).is_ok());
        assert!(RuntimeKey::try_new(spec(MAX_KEY_PERMISSIONS), 0, None, vec![]).is_ok());
        for permissions in [0, MAX_KEY_PERMISSIONS + 1] {
            assert!(RuntimeKey::try_new(spec(permissions), 0, None, vec![]).is_err(), "{permissions}");
        }
        let olds = |count: usize| (0..count).map(|number| old(&format!("o{number}"), 1)).collect::<Vec<_>>();
        assert!(RuntimeKey::try_new(spec(1), 0, None, olds(MAX_OLD_DIGESTS)).is_ok());
        assert!(RuntimeKey::try_new(spec(1), 0, None, olds(MAX_OLD_DIGESTS + 1)).is_err());
        assert!(RuntimeKey::try_new(spec(1), 0, None, vec![old("a", 1)]).is_err(), "its own digest");
    }

    #[test]
    fn ends_are_the_moment_from_which_it_is_over() {
        let key = RuntimeKey::try_new(spec(1), 0, Some(10), vec![old("b", 5), old("c", 20)]).unwrap();
        assert_eq!((key.is_over(9), key.is_over(10)), (false, true));
        assert_eq!(key.next_end_ms(), Some(5));
        assert_eq!(key.still_good(5).collect::<Vec<_>>(), [old("c", 20)]);
    }
}
