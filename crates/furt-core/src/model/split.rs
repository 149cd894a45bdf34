//! The split of a service: which share of its callers goes to instances of which version.
//!
//! Callers are laid side by side by a hash that is the same in every furt, and the shares in the order of the versions: a
//! share that grows takes callers of what stands behind it. Used by `registry`, `store`, `api`, and by `routing` for each
//! request of a service with a split.

use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};

use super::{Actor, Invalid, Message, Percentage, Version};

/// Versions that a split names.
pub const MAX_SPLIT_VERSIONS: usize = 8;
/// What a split's header says for the instances of no named version.
pub const STABLE: &str = "stable";

/// A version that a split names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitVersion {
    /// The version, as instances register it.
    pub version: Version,
    /// The share of the callers.
    pub share: Percentage,
}

/// What an operator says of a service's callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitSpec {
    /// The versions with their shares, in the order that was given.
    pub versions: Vec<SplitVersion>,
    /// The header by which a client says where it goes; `None`: none.
    pub header: Option<HeaderName>,
    /// Whether requests are refused where no instance of their version can be asked, instead of going to others.
    pub strict: bool,
}

/// A split that was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// What it says.
    pub spec: SplitSpec,
    /// Who set it.
    pub by: Actor,
    /// When it was set, in ms since the Unix epoch.
    pub set_ms: i64,
}

/// Where a caller goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// To the version at this position of the split.
    Version(usize),
    /// To the instances of no named version.
    Stable,
}

impl SplitSpec {
    /// Whether it can be put in force and read again.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), Invalid> {
        Self::check_versions(&self.versions)?;
        self.header.iter().try_for_each(|header| Self::try_header(header.as_str()).map(|_| ()))
    }

    /// Whether versions can stand together.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check_versions(versions: &[SplitVersion]) -> Result<(), Invalid> {
        if versions.is_empty() || versions.len() > MAX_SPLIT_VERSIONS {
            return Err(Invalid::new(format!("must have 1 to {MAX_SPLIT_VERSIONS} versions")));
        }
        versions.iter().try_for_each(|one| Self::check_version(&one.version))?;
        let is_twice =
            |(at, one): (usize, &SplitVersion)| versions[..at].iter().any(|other| other.version == one.version);
        if versions.iter().enumerate().any(is_twice) {
            return Err(Invalid::new("must name each version once"));
        }
        let sum: u32 = versions.iter().map(|one| u32::from(one.share.points())).sum();
        if sum > u32::from(Percentage::POINTS) {
            return Err(Invalid::new("must have shares of at most 100 percent together"));
        }
        Ok(())
    }

    /// The name of a header by which clients may say where they go.
    ///
    /// # Errors
    /// It is no name, or that of a header that furt answers for itself or that has credentials.
    pub fn try_header(text: &str) -> Result<HeaderName, Invalid> {
        let name = Message::Request.try_header(text)?;
        if [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE].contains(&name) {
            return Err(Invalid::new("must not be a header of credentials"));
        }
        Ok(name)
    }

    /// Whether a version may be named.
    ///
    /// # Errors
    /// It is what the header says for all other instances.
    pub fn check_version(version: &Version) -> Result<(), Invalid> {
        match version.as_str() {
            STABLE => Err(Invalid::new("must not be \"stable\", which stands for all other instances")),
            _ => Ok(()),
        }
    }

    /// Where a caller goes. `asked`: the value of the header; what names no side is ignored. `caller`: the hash of the caller
    /// and the service.
    pub fn choose(&self, asked: Option<&[u8]>, caller: u64) -> Side {
        asked.and_then(|asked| self.named(asked)).unwrap_or_else(|| self.by_share(caller))
    }

    /// The side of that name; `None`: it has none.
    pub fn named(&self, asked: &[u8]) -> Option<Side> {
        if asked == STABLE.as_bytes() {
            return Some(Side::Stable);
        }
        self.position(|version| version.as_str().as_bytes() == asked).map(Side::Version)
    }

    /// The side of instances of a version; `None`: they name none.
    pub fn side_of(&self, version: Option<&Version>) -> Side {
        version.and_then(|version| self.position(|own| own == version)).map_or(Side::Stable, Side::Version)
    }

    /// Whether instances of a version are on a side of their own.
    pub fn names(&self, version: Option<&Version>) -> bool {
        self.side_of(version) != Side::Stable
    }

    /// What a side is called: its version, or `stable`.
    pub fn name_of(&self, side: Side) -> &str {
        match side {
            Side::Version(at) => self.versions.get(at).map_or(STABLE, |one| one.version.as_str()),
            Side::Stable => STABLE,
        }
    }

    /// What is left for the instances of no named version.
    pub fn rest(&self) -> Percentage {
        self.versions.iter().fold(Percentage::ALL, |rest, one| rest.without(one.share))
    }

    fn position(&self, is_it: impl Fn(&Version) -> bool) -> Option<usize> {
        self.versions.iter().position(|one| is_it(&one.version))
    }

    fn by_share(&self, caller: u64) -> Side {
        let mut left = caller % u64::from(Percentage::POINTS);
        for (at, one) in self.versions.iter().enumerate() {
            let share = u64::from(one.share.points());
            if left < share {
                return Side::Version(at);
            }
            left -= share;
        }
        Side::Stable
    }
}

#[cfg(test)]
mod tests;
