//! What a Vault gave: one map, replaced as a whole. Kept in memory alone, never written down, never shown.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::config::{SecretRef, Sourced};
use furt_core::model::Sha256Digest;

/// By their places.
pub type ByPlace = BTreeMap<SecretRef, Arc<str>>;

/// The values that there are. Clones show the same.
#[derive(Clone, Default)]
pub struct Values(Arc<ArcSwapOption<ByPlace>>);

impl Values {
    /// Those that another process had.
    pub fn of(values: ByPlace) -> Self {
        Self(Arc::new(ArcSwapOption::from_pointee(values)))
    }

    /// The value at a place; `None`: Vault has not given it yet.
    pub fn get(&self, place: &SecretRef) -> Option<Arc<str>> {
        self.0.load().as_ref()?.get(place).map(Arc::clone)
    }

    /// The digest that is meant; `None`: Vault has not given it yet.
    pub fn digest(&self, meant: &Sourced<Sha256Digest>) -> Option<Sha256Digest> {
        match meant {
            Sourced::Here(digest) => Some(*digest),
            Sourced::Vault(place) => Sha256Digest::try_from_hex(self.get(place)?.as_ref()).ok(),
        }
    }

    #[cfg(test)]
    pub(super) fn shared(&self) -> &Arc<ArcSwapOption<ByPlace>> {
        &self.0
    }

    /// All of them.
    pub fn all(&self) -> ByPlace {
        self.0.load().as_ref().map_or_else(ByPlace::new, |values| ByPlace::clone(values))
    }

    pub(super) fn replace(&self, values: ByPlace) {
        self.0.store(Some(Arc::new(values)));
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Values(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_known_once_vault_gave_one() {
        let values = Values::default();
        let place: SecretRef = "vault:furt/api#digest".parse().unwrap();
        let digest = Sha256Digest::of(b"operator");
        let (here, there) = (Sourced::Here(digest), Sourced::Vault(place.clone()));
        assert_eq!((values.digest(&here), values.digest(&there)), (Some(digest), None));
        values.replace([(place.clone(), digest.to_string().into())].into());
        assert_eq!(values.clone().digest(&there), Some(digest));
        values.replace([(place, "hunter2".into())].into());
        assert_eq!((values.digest(&there), format!("{values:?}").as_str()), (None, "Values(…)"));
    }
}
