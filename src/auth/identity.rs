//! Who a caller is, by the word of a provider.

use http::{HeaderName, HeaderValue};

use crate::config::ClaimGrants;
use furt_core::model::{Permission, PermissionRule, PermissionSet, ProviderName};

/// A caller that a provider vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who says so.
    pub provider: ProviderName,
    /// Who it is; `None`: the provider does not say.
    pub subject: Option<HeaderValue>,
    /// What it may do; `None`: whatever the route asks for.
    pub permissions: Option<PermissionSet>,
    /// Further headers that services get.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Identity {
    /// Whether it may take a route that asks for the permission.
    pub fn allows(&self, permission: &Permission) -> bool {
        self.permissions.as_ref().is_none_or(|own| own.allows(permission))
    }
}

impl ClaimGrants {
    /// What the words permit: those that are permissions within `permissions`, and what `map` has for the others.
    pub fn permissions_of<'w>(&self, words: impl IntoIterator<Item = &'w str>) -> PermissionSet {
        let mut rules = Vec::new();
        let mut add = |rule: &PermissionRule| {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        };
        for word in words {
            if let Some(mapped) = self.map.get(word) {
                mapped.rules().iter().for_each(&mut add);
            }
            if let Ok(rule) = PermissionRule::try_new(word)
                && self.permissions.covers(&rule)
            {
                add(&rule);
            }
        }
        PermissionSet::new(rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(rules: &[&str]) -> PermissionSet {
        PermissionSet::new(rules.iter().map(|rule| PermissionRule::try_new(rule).unwrap()).collect())
    }

    #[test]
    fn words_are_permissions_within_what_the_operator_allows_and_what_they_are_mapped_to() {
        let grants = ClaimGrants {
            claim: None,
            permissions: set(&["comments:*", "mail:read"]),
            map: [("moderator".to_owned(), set(&["comments:*", "mail:send"])), ("mail:read".to_owned(), set(&["x"]))]
                .into(),
        };
        for (words, given) in [
            (&["comments:read", "mail:read", "mail:send", "openid"][..], &["comments:read", "x", "mail:read"][..]),
            (&["moderator", "moderator"], &["comments:*", "mail:send"]),
            (&["comments:*"], &["comments:*"]),
            (&["*", "mail:*", "comments", "", "Moderator"], &[]),
            (&[], &[]),
        ] {
            assert_eq!(grants.permissions_of(words.iter().copied()), set(given), "{words:?}");
        }
        assert_eq!(ClaimGrants::default().permissions_of(["comments:read", "*"]), set(&[]));
    }
}
