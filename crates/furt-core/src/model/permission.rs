//! Permissions: what a route asks for, and what a key or a grant gives.

use std::fmt;
use std::sync::Arc;

use super::Invalid;

const RULE: &str = "must be 1 to 128 visible ASCII characters without '*', '\"' and '\\', such as \"comments:read\"";

/// What a route asks of its caller's key, such as `comments:read`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Permission(Arc<str>);

impl Permission {
    /// # Errors
    /// An empty text, one over 128 bytes, or one with `*`, `"`, `\`, a space or anything beyond visible ASCII.
    pub fn try_new(text: &str) -> Result<Self, Invalid> {
        let visible = |byte: u8| byte.is_ascii_graphic() && !b"*\"\\".contains(&byte);
        if (1..=128).contains(&text.len()) && text.bytes().all(visible) {
            Ok(Self(text.into()))
        } else {
            Err(Invalid::new(RULE))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What a key or grant holds: one permission, all below a prefix (`comments:*`), or all (`*`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PermissionRule {
    /// `*`: every permission.
    All,
    /// `comments:*`: every permission that starts with `comments:`; the prefix is kept with its colon.
    Below(Arc<str>),
    /// Exactly this one.
    Exactly(Permission),
}

impl PermissionRule {
    /// # Errors
    /// A text that is neither a permission, nor one with `:*` at its end, nor `*`.
    pub fn try_new(text: &str) -> Result<Self, Invalid> {
        if text == "*" {
            return Ok(Self::All);
        }
        if let Some(prefix) = text.strip_suffix('*')
            && prefix.ends_with(':')
            && Permission::try_new(prefix).is_ok()
        {
            return Ok(Self::Below(prefix.into()));
        }
        Permission::try_new(text)
            .map(Self::Exactly)
            .map_err(|_| Invalid::new(format!("{RULE}, or \"comments:*\", or \"*\"")))
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Exactly(permission)) => self.allows(permission),
            (Self::All, _) => true,
            (Self::Below(own), Self::Below(prefix)) => prefix.starts_with(&**own),
            (Self::Below(_) | Self::Exactly(_), _) => false,
        }
    }

    fn allows(&self, permission: &Permission) -> bool {
        match self {
            Self::All => true,
            Self::Below(prefix) => permission.0.starts_with(&**prefix),
            Self::Exactly(own) => own == permission,
        }
    }
}

impl fmt::Display for PermissionRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Below(prefix) => write!(f, "{prefix}*"),
            Self::Exactly(permission) => permission.fmt(f),
        }
    }
}

/// The permissions of a key or a grant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PermissionSet(Vec<PermissionRule>);

impl PermissionSet {
    /// From rules, in any order; none allows nothing.
    pub fn new(rules: Vec<PermissionRule>) -> Self {
        Self(rules)
    }

    /// Whether one of the rules gives `permission`.
    pub fn allows(&self, permission: &Permission) -> bool {
        self.0.iter().any(|rule| rule.allows(permission))
    }

    /// Whether its rules give all that `rule` gives.
    pub fn covers(&self, rule: &PermissionRule) -> bool {
        self.0.iter().any(|own| own.covers(rule))
    }

    /// What of it `other` gives as well.
    pub fn within(&self, other: &Self) -> Self {
        let own = self.0.iter().filter(|rule| other.covers(rule));
        let narrower = other.0.iter().filter(|rule| self.covers(rule) && !self.0.contains(rule));
        Self(own.chain(narrower).cloned().collect())
    }

    /// The rules, as given.
    pub fn rules(&self) -> &[PermissionRule] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_allows_exact_prefix_and_all() {
        let cases = [
            (&["comments:read"][..], "comments:read", true),
            (&["comments:read"], "comments:reads", false),
            (&["comments:*"], "comments:read", true),
            (&["comments:*"], "comments:a:b", true),
            (&["comments:*"], "comment:read", false),
            (&["comments:*"], "comments", false),
            (&["*"], "anything", true),
            (&[], "anything", false),
            (&["a", "b:*"], "b:c", true),
        ];
        for (rules, permission, allowed) in cases {
            let set = PermissionSet::new(rules.iter().map(|rule| PermissionRule::try_new(rule).unwrap()).collect());
            assert_eq!(set.allows(&Permission::try_new(permission).unwrap()), allowed, "{rules:?} {permission}");
        }
    }

    #[test]
    fn a_set_covers_what_gives_no_more() {
        for (rules, rule, covers) in [
            (&["comments:*"][..], "comments:read", true),
            (&["comments:*"], "comments:*", true),
            (&["comments:*"], "comments:a:*", true),
            (&["comments:a:*"], "comments:*", false),
            (&["comments:*"], "*", false),
            (&["comments:read"], "comments:*", false),
            (&["comments:read"], "comments:read", true),
            (&["*"], "*", true),
            (&["*"], "a:*", true),
            (&[], "a", false),
        ] {
            let rule_of = |text: &str| PermissionRule::try_new(text).unwrap();
            let set = PermissionSet::new(rules.iter().map(|text| rule_of(text)).collect());
            assert_eq!(set.covers(&rule_of(rule)), covers, "{rules:?} {rule}");
        }
    }

    #[test]
    fn what_two_sets_both_give_is_all_that_both_allow() {
        let set = |rules: &[&str]| {
            PermissionSet::new(rules.iter().map(|rule| PermissionRule::try_new(rule).unwrap()).collect())
        };
        let sets: Vec<_> =
            [&["*"][..], &["a:*"], &["a:b"], &["a:b:*", "c"], &["a:b", "a:*"], &["c", "d:e"], &[], &["*", "c"]]
                .into_iter()
                .map(set)
                .collect();
        let permissions = ["a:b", "a:c", "a:b:c", "c", "d:e", "f"].map(|text| Permission::try_new(text).unwrap());
        for one in &sets {
            for other in &sets {
                let both = one.within(other);
                for permission in &permissions {
                    let expected = one.allows(permission) && other.allows(permission);
                    assert_eq!(both.allows(permission), expected, "{one:?} {other:?} {permission}");
                }
            }
        }
        assert_eq!(set(&["*"]).within(&set(&["a:*"])), set(&["a:*"]));
    }

    #[test]
    fn malformed_permissions_are_refused() {
        for bad in ["", "a b", "a*", "*:a", "a:*:b", "é", "a\"b", &"x".repeat(129)] {
            assert!(PermissionRule::try_new(bad).is_err(), "{bad}");
        }
        assert!(Permission::try_new("*").is_err());
    }
}
