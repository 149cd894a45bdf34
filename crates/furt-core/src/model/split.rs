//! The split of a service: which share of its callers goes to instances of which version.
//!
//! Callers are laid side by side by a hash that is the same in every furt, and the shares in the order of the versions: a
//! share that grows takes callers of what stands behind it. Used by `registry`, `store`, `api`, and by `routing` for each
//! request of a service with a split.

use std::fmt;
use std::net::IpAddr;

use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};

use super::{Invalid, Message, Version};

/// Versions that a split names.
pub const MAX_SPLIT_VERSIONS: usize = 8;
/// What a split's header says for the instances of no named version.
pub const STABLE: &str = "stable";

/// A share in hundredths of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct BasisPoints(u16);

impl BasisPoints {
    /// All of it.
    pub const WHOLE: u16 = 10_000;

    /// From 0 to 10,000.
    ///
    /// # Errors
    /// It is more than the whole.
    pub fn try_new(points: u16) -> Result<Self, Invalid> {
        if points <= Self::WHOLE { Ok(Self(points)) } else { Err(Self::invalid()) }
    }

    /// From a percentage with at most two decimals.
    ///
    /// # Errors
    /// It is not from 0 to 100, or has more decimals.
    pub fn try_percent(percent: f64) -> Result<Self, Invalid> {
        let points = (percent * 100.0).round();
        // A double is nearest to one text of two decimals.
        if !(0.0..=f64::from(Self::WHOLE)).contains(&points) || points / 100.0 != percent {
            return Err(Self::invalid());
        }
        // In range, and whole.
        Ok(Self(points as u16))
    }

    /// From the text of a percentage, such as `5%` or `0.25`.
    ///
    /// # Errors
    /// It is none, or out of range.
    pub fn from_text(text: &str) -> Result<Self, Invalid> {
        let digits = text.strip_suffix('%').unwrap_or(text);
        let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let percent = digits.parse().ok().filter(|_| is_plain);
        percent.ok_or_else(Self::invalid).and_then(Self::try_percent)
    }

    fn invalid() -> Invalid {
        Invalid::new("must be a percentage from 0 to 100 with at most two decimals")
    }

    /// The number, at most 10,000.
    pub fn points(self) -> u16 {
        self.0
    }

    /// As a percentage.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

impl fmt::Display for BasisPoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.percent())
    }
}

/// A version that a split names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitVersion {
    /// The version, as instances register it.
    pub version: Version,
    /// The share of the callers.
    pub share: BasisPoints,
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
    /// The address that set it.
    pub from: IpAddr,
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
        if sum > u32::from(BasisPoints::WHOLE) {
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
    /// It is what the header says for the rest.
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

    /// What a side is called: its version, or `stable`.
    pub fn name_of(&self, side: Side) -> &str {
        match side {
            Side::Version(at) => self.versions.get(at).map_or(STABLE, |one| one.version.as_str()),
            Side::Stable => STABLE,
        }
    }

    /// What is left for the instances of no named version.
    pub fn rest(&self) -> BasisPoints {
        let named = self.versions.iter().map(|one| one.share.points()).fold(0, u16::saturating_add);
        BasisPoints(BasisPoints::WHOLE.saturating_sub(named))
    }

    fn position(&self, is_it: impl Fn(&Version) -> bool) -> Option<usize> {
        self.versions.iter().position(|one| is_it(&one.version))
    }

    fn by_share(&self, caller: u64) -> Side {
        let mut left = caller % u64::from(BasisPoints::WHOLE);
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
