//! Identifiers: service, instance, version, key, region, country. Cheap to clone (one reference count), valid by construction.

use std::fmt;
use std::sync::Arc;

use super::Invalid;

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(Arc<str>);

        impl $type {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// The name of a service: `[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?`, so that it can be a DNS label too.
    ServiceName
}
name! {
    /// The id of an instance, unique in the registry: `[A-Za-z0-9._:-]{1,63}`, neither `.` nor `..`, which no url could name.
    InstanceId
}
name! {
    /// A text that each new process of an instance has anew: 1 to 64 visible ASCII characters.
    Incarnation
}
name! {
    /// The name of an API key, which services receive in `X-API-Key-Name`: `[A-Za-z0-9._:@-]{1,63}`, neither `.` nor `..`, which no url could name.
    KeyName
}
name! {
    /// The name of an operator: `[A-Za-z0-9._@-]{1,63}`.
    OperatorName
}
name! {
    /// The name of what vouches for callers, which services receive in `X-Auth-Issuer`: `[A-Za-z0-9._-]{1,63}`, neither `key` nor begun
    /// with a dot.
    ProviderName
}
name! {
    /// The name of a gateway among those that share a registry: `[A-Za-z0-9._:-]{1,63}`.
    GatewayName
}
name! {
    /// The version of what an instance runs: `[A-Za-z0-9._-]{1,32}`.
    Version
}
name! {
    /// A region: `[a-z0-9-]{1,32}`.
    Region
}
/// A country: two letters of ISO 3166-1, kept in upper case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Country([u8; 2]);

impl ServiceName {
    /// # Errors
    /// A text that breaks the rule above.
    pub fn try_new(text: &str) -> Result<Self, Invalid> {
        let edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = text.as_bytes();
        let fits = (1..=63).contains(&bytes.len())
            && bytes.first().is_some_and(edge)
            && bytes.last().is_some_and(edge)
            && bytes.iter().all(|byte| edge(byte) || b"._-".contains(byte));
        if fits {
            Ok(Self(text.into()))
        } else {
            Err(Invalid::new("must be 1 to 63 of a-z, 0-9, '.', '_', '-', with a letter or digit at both ends"))
        }
    }
}

fn fits(text: &str, most: usize, allowed: impl Fn(u8) -> bool) -> bool {
    (1..=most).contains(&text.len()) && text.bytes().all(allowed)
}

impl InstanceId {
    /// # Errors
    /// A text that breaks the rule above.
    pub fn try_new(text: &str) -> Result<Self, Invalid> {
        let is_dots = matches!(text, "." | "..");
        if !is_dots && fits(text, 63, |byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte)) {
            Ok(Self(text.into()))
        } else {
            Err(Invalid::new("must be 1 to 63 of A-Z, a-z, 0-9, '.', '_', ':', '-', and not \".\" or \"..\""))
        }
    }
}

impl ProviderName {
    /// What stands for API keys where providers are named, so that none may be called so.
    pub const API_KEY: &str = "key";

    /// # Errors
    /// A text that breaks the rule above.
    pub fn try_new(text: &str) -> Result<Self, Invalid> {
        if text == Self::API_KEY {
            return Err(Invalid::new("must not be \"key\", which stands for API keys"));
        }
        // Files are called by it.
        let is_hidden = text.starts_with('.');
        if !is_hidden && fits(text, 63, |byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
            Ok(Self(text.into()))
        } else {
            Err(Invalid::new("must be 1 to 63 of A-Z, a-z, 0-9, '.', '_', '-', and not begin with '.'"))
        }
    }
}

impl GatewayName {
    /// # Errors
    /// A text that breaks the rule above.
    pub fn try_new(text: &str) -> Result<Self, Invalid> {
        if fits(text, 63, |byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte)) {
            Ok(Self(text.into()))
        } else {
            Err(Invalid::new("must be 1 to 63 of A-Z, a-z, 0-9, '.', '_', ':', '-'"))
        }
    }
}

impl Incarnation {
    /// # Errors
    /// A text that breaks the rule above.
    pub fn try_new(text: &str) -> Result<Self, Invalid> {
        if fits(text, 64, |byte| byte.is_ascii_graphic()) {
            Ok(Self(text.into()))
        } else {
            Err(Invalid::new("must be 1 to 64 visible ASCII characters"))
        }
    }
}

impl Version {
    /// # Errors
    /// A text that breaks the rule above.
    pub fn try_new(text: &str) -> Result<Self, Invalid> {
        if fits(text, 32, |byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
            Ok(Self(text.into()))
        } else {
            Err(Invalid::new("must be 1 to 32 of A-Z, a-z, 0-9, '.', '_', '-'"))
        }
    }
}

impl InstanceId {
    /// An id of furt's own making: `stem-number`. `stem` must follow the rule for ids and be short.
    pub fn numbered(stem: &'static str, number: usize) -> Self {
        Self(format!("{stem}-{number}").into())
    }
}

impl From<&ServiceName> for InstanceId {
    /// The id of an instance that names none is its service's name; every service name is a valid id.
    fn from(service: &ServiceName) -> Self {
        Self(service.0.clone())
    }
}

impl KeyName {
    /// # Errors
    /// A text that breaks the rule above.
    pub fn try_new(text: &str) -> Result<Self, Invalid> {
        let is_dots = matches!(text, "." | "..");
        if !is_dots && fits(text, 63, |byte| byte.is_ascii_alphanumeric() || b"._:@-".contains(&byte)) {
            Ok(Self(text.into()))
        } else {
            Err(Invalid::new("must be 1 to 63 of A-Z, a-z, 0-9, '.', '_', ':', '@', '-', and not \".\" or \"..\""))
        }
    }
}

impl OperatorName {
    /// Of whom the configuration gives no name: who has `internal.operator_token_sha256`.
    pub fn unnamed() -> Self {
        Self("operator".into())
    }

    /// # Errors
    /// A text that breaks the rule above.
    pub fn try_new(text: &str) -> Result<Self, Invalid> {
        if fits(text, 63, |byte| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte)) {
            Ok(Self(text.into()))
        } else {
            Err(Invalid::new("must be 1 to 63 of A-Z, a-z, 0-9, '.', '_', '@', '-'"))
        }
    }
}

impl Region {
    /// # Errors
    /// A text that breaks the rule above.
    pub fn try_new(text: &str) -> Result<Self, Invalid> {
        if fits(text, 32, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
            Ok(Self(text.into()))
        } else {
            Err(Invalid::new("must be 1 to 32 of a-z, 0-9, '-'"))
        }
    }
}

impl Country {
    /// Takes either case.
    ///
    /// # Errors
    /// Anything but two ASCII letters.
    pub fn try_new(text: &str) -> Result<Self, Invalid> {
        match *text.as_bytes() {
            [first, second] if first.is_ascii_alphabetic() && second.is_ascii_alphabetic() => {
                Ok(Self([first.to_ascii_uppercase(), second.to_ascii_uppercase()]))
            }
            _ => Err(Invalid::new("must be two letters (ISO 3166-1)")),
        }
    }

    /// The two letters.
    pub fn as_str(&self) -> &str {
        // Letters of ASCII, by construction.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_name_follows_its_rule() {
        let long = "a".repeat(63);
        for good in ["a", "sagjan", "a.b_c-d", "0a9", long.as_str()] {
            assert!(ServiceName::try_new(good).is_ok(), "{good}");
        }
        let longer = "a".repeat(64);
        for bad in ["", "-a", "a-", ".a", "A", "a b", "a/b", "ä", longer.as_str()] {
            assert!(ServiceName::try_new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_and_countries_follow_their_rules() {
        assert!(InstanceId::try_new("Backend-EU:1._").is_ok());
        for bad in ["", ".", "..", "a b", "a/b", &"x".repeat(64)] {
            assert!(InstanceId::try_new(bad).is_err(), "{bad}");
        }
        assert_eq!(Country::try_new("de").unwrap().as_str(), "DE");
        assert!(Country::try_new("DEU").is_err());
        assert!(Region::try_new("eu-west-1").is_ok());
        assert!(Region::try_new("EU").is_err());
    }
}
