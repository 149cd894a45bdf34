//! Programs that a node may be told to run.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Digest, Invalid};

/// A version, `major.minor.patch`, each at most 65535 and without leading zeros. A later one is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    major: u16,
    minor: u16,
    patch: u16,
}

impl Version {
    /// # Errors
    /// A text that breaks the rule above; a pre-release or a build has no place in an order of updates.
    pub fn try_new(text: &str) -> Result<Self, Invalid> {
        let number = |part: &str| {
            let is_plain = part == "0" || part.starts_with(|first: char| first.is_ascii_digit() && first != '0');
            part.parse::<u16>().ok().filter(|_| is_plain)
        };
        let numbers: Vec<_> = text.split('.').map(number).collect();
        match numbers[..] {
            [Some(major), Some(minor), Some(patch)] => Ok(Self { major, minor, patch }),
            _ => Err(Invalid("a version is three numbers with dots, such as 1.4.0")),
        }
    }
}

impl TryFrom<String> for Version {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::try_new(&text)
    }
}

impl From<Version> for String {
    fn from(it: Version) -> Self {
        it.to_string()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A program by its version and the SHA-256 of its artefact. Where the artefact is, and who may have signed it, each node's own
/// file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// Its version.
    pub version: Version,
    /// The digest of its artefact.
    pub digest: Digest,
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn a_version_is_three_numbers_and_later_ones_are_greater() {
        let all = ["0.0.0", "0.0.9", "0.0.10", "0.4.0", "1.0.0", "1.0.65535", "10.0.0"];
        let parsed: Vec<_> = all.iter().map(|text| Version::try_new(text).unwrap()).collect();
        assert!(parsed.is_sorted() && parsed.iter().zip(all).all(|(version, text)| version.to_string() == text));
        for text in [
            "",
            "1",
            "1.0",
            "1.0.0.0",
            "1.0.x",
            "01.0.0",
            "1.0.00",
            "1.0.65536",
            "1.0.0-rc1",
            "+1.0.0",
            "1..0",
            "v1.0.0",
        ] {
            assert!(Version::try_new(text).is_err(), "{text}");
        }
    }
}
