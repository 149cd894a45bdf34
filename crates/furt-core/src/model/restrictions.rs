//! What restricts the requests of a route. It adds up: of all that a service, its route and the operator say, each holds.

use std::num::NonZeroU32;
use std::time::Duration;

use super::{AuthMethods, CidrSet, Invalid, MAX_TIME, MIN_TIMEOUT, RateLimit};

/// The most networks that `allow_from` or `deny_from` may name.
pub const MAX_RULE_NETWORKS: usize = 1_024;
/// The most attempts after the first that may be asked for.
pub const MAX_RETRIES: u8 = 10;

/// Who is counted as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LimitBy {
    /// Whose API key lets it in, else the client's address.
    #[default]
    Caller,
    /// The client's address: of IPv6 its network of 64 bits.
    Address,
    /// All requests together.
    Route,
}

impl LimitBy {
    /// From the name it has in JSON.
    ///
    /// # Errors
    /// Any other name.
    pub fn try_new(name: &str) -> Result<Self, Invalid> {
        let found = [Self::Caller, Self::Address, Self::Route].into_iter().find(|by| by.as_str() == name);
        found.ok_or_else(|| Invalid::new("must be \"caller\", \"address\" or \"route\""))
    }

    /// The name it has in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Address => "address",
            Self::Route => "route",
        }
    }
}

/// How much may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Limits {
    /// Over time; `None`: as much as one likes.
    pub rate: Option<RateLimit>,
    /// At the same time; `None`: as many as one likes.
    pub concurrency: Option<NonZeroU32>,
    /// Whom `rate` and `concurrency` count as one.
    pub by: LimitBy,
    /// The most bytes of a request's body, at least 1; `None`: what the gateway takes.
    pub max_body: Option<u64>,
}

impl Limits {
    /// Whether it says anything, and `by` has a use.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), Invalid> {
        let Self { rate, concurrency, by, max_body } = self;
        let counts = rate.is_some() || concurrency.is_some();
        match (counts, max_body) {
            (false, None) => Err(Invalid::new("must have \"rate\", \"concurrency\" or \"max_body\"")),
            (false, Some(_)) if *by != LimitBy::default() => {
                Err(Invalid::new("\"by\" has no use without \"rate\" and \"concurrency\"; must be left out"))
            }
            (_, Some(0)) => Err(Invalid::new("\"max_body\" must be at least 1")),
            _ => Ok(()),
        }
    }
}

/// All that somebody says to restrict the requests of a route. All that is said holds, but for `auth`: who says it last of a request
/// decides.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Restrictions {
    /// How much may be asked for.
    pub limits: Option<Limits>,
    /// How long a request may take, to the end of its answer.
    pub total_timeout: Option<Duration>,
    /// How often it may be sent again.
    pub retries: Option<u8>,
    /// Who may vouch for callers.
    pub auth: Option<AuthMethods>,
    /// From where it may come; rules alone say it.
    pub allow_from: Option<CidrSet>,
    /// From where it may not come; rules alone say it.
    pub deny_from: Option<CidrSet>,
}

impl Restrictions {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        let Self { limits, total_timeout, retries, auth, allow_from, deny_from } = self;
        limits.is_none()
            && total_timeout.is_none()
            && retries.is_none()
            && auth.is_none()
            && allow_from.is_none()
            && deny_from.is_none()
    }

    /// Its limits, where requests are counted for them.
    pub fn counted(&self) -> Option<Limits> {
        self.limits.filter(|limits| limits.rate.is_some() || limits.concurrency.is_some())
    }

    /// Whether it could have been registered.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn check(&self) -> Result<(), Invalid> {
        let Self { limits, total_timeout, retries, auth: _, allow_from, deny_from } = self;
        limits.map_or(Ok(()), |limits| limits.check())?;
        if total_timeout.is_some_and(|time| !(MIN_TIMEOUT..=MAX_TIME).contains(&time)) {
            return Err(Invalid::new("its total timeout is out of range"));
        }
        if retries.is_some_and(|count| count > MAX_RETRIES) {
            return Err(Invalid::new("it asks for too many retries"));
        }
        match (allow_from, deny_from) {
            (None, None) => Ok(()),
            _ => Err(Invalid::new("rules alone say from where requests may come")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Rate;

    #[test]
    fn limits_say_something_and_whom_they_count_where_they_count() {
        let rate = Some(RateLimit::new(Rate::try_new("5/s").unwrap(), None));
        let (by, concurrency) = (LimitBy::Route, NonZeroU32::new(3));
        for (limits, is_right) in [
            (Limits::default(), false),
            (Limits { by, ..Limits::default() }, false),
            (Limits { max_body: Some(1), ..Limits::default() }, true),
            (Limits { max_body: Some(0), ..Limits::default() }, false),
            (Limits { max_body: Some(1), by, ..Limits::default() }, false),
            (Limits { rate, by, ..Limits::default() }, true),
            (Limits { concurrency, by, ..Limits::default() }, true),
        ] {
            assert_eq!(limits.check().is_ok(), is_right, "{limits:?}");
        }
        for by in [LimitBy::Caller, LimitBy::Address, LimitBy::Route] {
            assert_eq!(LimitBy::try_new(by.as_str()), Ok(by));
        }
        assert!(LimitBy::try_new("key").is_err());
    }

    #[test]
    fn what_rules_alone_say_and_what_is_out_of_range_could_not_have_been_registered() {
        let networks = Some(CidrSet::try_new(&["10.0.0.0/8"]).unwrap());
        for (restrictions, is_right) in [
            (Restrictions::default(), true),
            (Restrictions { allow_from: networks.clone(), ..Default::default() }, false),
            (Restrictions { deny_from: networks, ..Default::default() }, false),
            (Restrictions { total_timeout: Some(Duration::ZERO), ..Default::default() }, false),
            (Restrictions { total_timeout: Some(MAX_TIME), ..Default::default() }, true),
            (Restrictions { retries: Some(0), ..Default::default() }, true),
            (Restrictions { retries: Some(MAX_RETRIES + 1), ..Default::default() }, false),
        ] {
            assert_eq!(restrictions.check().is_ok(), is_right, "{restrictions:?}");
        }
    }
}
