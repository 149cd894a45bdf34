//! Values that need not stand in the file: it says where in a Vault they are, as `vault:PATH#KEY`.
//!
//! Nothing is resolved here. `vault::Values` has what a Vault gave.

use std::fmt;
use std::str::FromStr;

use furt_core::model::Invalid;

/// How a reference begins.
const SCHEME: &str = "vault:";
/// Paths of Vault have no bound of their own.
const MAX_PATH: usize = 512;
const MAX_KEY: usize = 256;
const RIGHT: &str = "must be \"vault:PATH#KEY\", such as \"vault:furt/broker#password\"";

/// A place in a Vault: a path below the mount, and a key of the secret that is there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretRef {
    path: String,
    key: String,
}

impl SecretRef {
    /// Whether a text is meant to be one.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// The path below the mount, without a slash at its ends.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The key of the secret.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl FromStr for SecretRef {
    type Err = Invalid;

    /// Errors do not repeat the text: it may be the secret itself.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (path, key) = text.strip_prefix(SCHEME).and_then(|rest| rest.split_once('#')).ok_or(Invalid::new(RIGHT))?;
        let is_segment = |segment: &str| !matches!(segment, "" | "." | "..");
        if path.len() > MAX_PATH || !path.split('/').all(is_segment) || !is_plain(path) {
            return Err(Invalid::new(
                "must have a path of 1 to 512 characters of ASCII between \"vault:\" and '#', such as \"furt/broker\", without \
                 spaces, '?', '%', and '/' at its ends",
            ));
        }
        if key.is_empty() || key.len() > MAX_KEY || key.chars().any(char::is_control) {
            return Err(Invalid::new("must have the name of a key after '#', of 1 to 256 characters"));
        }
        Ok(Self { path: path.to_owned(), key: key.to_owned() })
    }
}

/// What a path of a url has as it is.
fn is_plain(path: &str) -> bool {
    path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.~@:+=,!$&()".contains(&byte))
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}#{}", self.path, self.key)
    }
}

/// A value, or where in a Vault it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sourced<T> {
    /// The file or the environment has it.
    Here(T),
    /// A Vault has it.
    Vault(SecretRef),
}

impl<T> Sourced<T> {
    /// What stands here.
    pub fn here(&self) -> Option<&T> {
        match self {
            Self::Here(value) => Some(value),
            Self::Vault(_) => None,
        }
    }

    /// Where in a Vault it is.
    pub fn reference(&self) -> Option<&SecretRef> {
        match self {
            Self::Here(_) => None,
            Self::Vault(reference) => Some(reference),
        }
    }
}

/// A password that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PlainPassword(String);

impl PlainPassword {
    /// Any text is one.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The password itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PlainPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainPassword(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_has_a_path_and_a_key_and_is_shown_as_it_was_written() {
        for (text, path, key) in
            [("vault:furt/broker#password", "furt/broker", "password"), ("vault:a#b#c d", "a", "b#c d")]
        {
            let reference: SecretRef = text.parse().unwrap();
            assert_eq!((reference.path(), reference.key(), reference.to_string().as_str()), (path, key, text));
        }
    }

    #[test]
    fn what_is_none_is_refused_and_not_repeated() {
        let long = format!("vault:{}#k", "a".repeat(MAX_PATH + 1));
        for text in [
            "hunter2",
            "vault:",
            "vault:hunter2",
            "vault:#hunter2",
            "vault:a#",
            "vault:/hunter2#k",
            "vault:a/#k",
            "vault:a//b#k",
            "vault:../hunter2#k",
            "vault:a/./b#k",
            "vault:a b#k",
            "vault:a?hunter2#k",
            "vault:a%2f#k",
            "vault:ä#k",
            "vault:a#\u{7}",
            "Vault:a#b",
            &long,
        ] {
            let why = text.parse::<SecretRef>().unwrap_err().to_string();
            assert!(why.starts_with("must ") && !why.contains("hunter2"), "{text}: {why}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(format!("{:?}", Sourced::Here(PlainPassword::new("hunter2"))), "Here(PlainPassword(…))");
    }
}
