//! Who may vouch for the callers of a route.

use std::fmt;
use std::sync::Arc;

use super::{Invalid, ProviderName};

/// The most ways that one list may have.
pub const MAX_AUTH_METHODS: usize = 8;

/// A way by which a caller shows who it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AuthMethod {
    /// An API key of furt's.
    ApiKey,
    /// What a provider of the configuration says: an issuer of tokens, or a server that is asked.
    Provider(ProviderName),
}

impl AuthMethod {
    /// What API keys are called in lists.
    pub const API_KEY: &str = ProviderName::API_KEY;

    /// From `key`, or the name of a provider.
    ///
    /// # Errors
    /// A text that can be no provider's name.
    pub fn try_new(text: &str) -> Result<Self, Invalid> {
        if text == Self::API_KEY { Ok(Self::ApiKey) } else { ProviderName::try_new(text).map(Self::Provider) }
    }

    /// As lists have it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::ApiKey => Self::API_KEY,
            Self::Provider(name) => name.as_str(),
        }
    }

    /// The provider; `None`: API keys need none.
    pub fn provider(&self) -> Option<&ProviderName> {
        match self {
            Self::ApiKey => None,
            Self::Provider(name) => Some(name),
        }
    }
}

impl fmt::Display for AuthMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The ways by which callers of a route may show who they are: 1 to [`MAX_AUTH_METHODS`], each once. Any of them will do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AuthMethods(Arc<[AuthMethod]>);

impl AuthMethods {
    /// From their names, in any order.
    ///
    /// # Errors
    /// No name, too many, one twice, or one that can be none.
    pub fn try_new(names: &[impl AsRef<str>]) -> Result<Self, Invalid> {
        Self::try_of(names.iter().map(|name| AuthMethod::try_new(name.as_ref())).collect::<Result<Vec<_>, _>>()?)
    }

    /// From them, in any order.
    ///
    /// # Errors
    /// None, too many, or one twice.
    pub fn try_of(methods: Vec<AuthMethod>) -> Result<Self, Invalid> {
        if methods.is_empty() || methods.len() > MAX_AUTH_METHODS {
            return Err(Invalid::new(format!(
                "must have 1 to {MAX_AUTH_METHODS} of \"{}\" and names of [[issuers]] and [[forward_auth]]",
                AuthMethod::API_KEY
            )));
        }
        let twice = methods.iter().enumerate().find(|(at, method)| methods[..*at].contains(method));
        if let Some((_, method)) = twice {
            return Err(Invalid::new(format!("must have \"{method}\" once only")));
        }
        Ok(Self(methods.into()))
    }

    /// API keys alone: what holds where nobody says anything else.
    pub fn api_key() -> Self {
        Self(Arc::new([AuthMethod::ApiKey]))
    }

    /// They, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &AuthMethod> {
        self.0.iter()
    }

    /// Whether it has the method.
    pub fn contains(&self, method: &AuthMethod) -> bool {
        self.0.contains(method)
    }

    /// Whether API keys will do.
    pub fn take_keys(&self) -> bool {
        self.contains(&AuthMethod::ApiKey)
    }

    /// The providers among them.
    pub fn providers(&self) -> impl Iterator<Item = &ProviderName> {
        self.iter().filter_map(AuthMethod::provider)
    }
}

/// As it is written in sentences: `key, login`.
impl fmt::Display for AuthMethods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, method) in self.iter().enumerate() {
            write!(f, "{}{method}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_keys_and_names_of_providers_each_once() {
        let methods = AuthMethods::try_new(&["login", "key", "sso.2"]).unwrap();
        assert_eq!(methods.to_string(), "login, key, sso.2");
        assert!(methods.take_keys() && methods.providers().map(ProviderName::as_str).eq(["login", "sso.2"]));
        assert!(!AuthMethods::try_new(&["login"]).unwrap().take_keys());
        assert!(AuthMethods::api_key().take_keys() && AuthMethods::api_key().providers().next().is_none());
        let nine: Vec<_> = (0..9).map(|number| format!("p{number}")).collect();
        assert!(AuthMethods::try_new(&nine[..8]).is_ok());
        for bad in [&[][..], &["a", "a"], &["key", "key"], &[""], &["a b"], &[".a"], &["../a"], &["a/b"]] {
            assert!(AuthMethods::try_new(bad).is_err(), "{bad:?}");
        }
        assert!(AuthMethods::try_new(&nine).is_err());
        assert!(ProviderName::try_new("key").is_err(), "it stands for API keys");
    }
}
