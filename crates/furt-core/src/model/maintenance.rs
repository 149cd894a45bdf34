//! Maintenance as an operator began it: of whom, until when, who is let in all the same, and what clients are told.
//!
//! Whether it is over is asked of it with the time of day; what its end means for the snapshot and the store is
//! `registry`'s. Used by `registry`, `store`, `api`, and by `proxy` for each request that it is about.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::{Actor, CidrSet, Invalid, ServiceName};

/// Networks that maintenance lets in: a request is compared with each.
pub const MAX_MAINTENANCE_NETWORKS: usize = 256;
/// The shortest time after which maintenance ends by itself.
pub const MIN_MAINTENANCE: Duration = Duration::from_secs(1);
/// Characters of what clients are told.
const MAX_MESSAGE: usize = 500;
/// What stands for all services where the name of one is expected; no service is called so.
const ALL: &str = "*";

/// What a maintenance is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MaintenanceScope {
    /// All services, and static routes wherever they lead.
    All,
    /// The service of that name, registered or not, and static routes that lead to it.
    Service(ServiceName),
}

impl MaintenanceScope {
    /// From the name of a service, or `*`.
    ///
    /// # Errors
    /// The text is no name.
    pub fn from_name(text: &str) -> Result<Self, Invalid> {
        if text == ALL { Ok(Self::All) } else { ServiceName::try_new(text).map(Self::Service) }
    }

    /// The service; `None`: all of them.
    pub fn service(&self) -> Option<&ServiceName> {
        if let Self::Service(service) = self { Some(service) } else { None }
    }
}

impl fmt::Display for MaintenanceScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.service().map_or(ALL, ServiceName::as_str))
    }
}

/// What clients are told of a maintenance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaintenanceMessage(Box<str>);

impl MaintenanceMessage {
    /// From 1 to 500 characters.
    ///
    /// # Errors
    /// It is empty, too long, or has control characters.
    pub fn try_new(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() || text.chars().count() > MAX_MESSAGE || text.chars().any(char::is_control) {
            return Err(Invalid::new(format!(
                "must be 1 to {MAX_MESSAGE} characters, none of them a control character"
            )));
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A maintenance that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maintenance {
    /// Clients that are let in all the same.
    pub allow_from: CidrSet,
    /// What the others are told.
    pub message: Option<MaintenanceMessage>,
    /// Who began it.
    pub by: Actor,
    /// When it began, in ms since the Unix epoch.
    pub began_ms: i64,
    /// When it ends by itself; `None`: it does not.
    pub ends_ms: Option<i64>,
}

impl Maintenance {
    /// Whether a record of it could be read again.
    ///
    /// # Errors
    /// It lets in too many networks, or ends before it begins.
    pub fn check(&self) -> Result<(), Invalid> {
        if self.allow_from.len() > MAX_MAINTENANCE_NETWORKS {
            return Err(Invalid::new(format!("must have at most {MAX_MAINTENANCE_NETWORKS} networks in allow_from")));
        }
        if self.ends_ms.is_some_and(|end| end <= self.began_ms) {
            return Err(Invalid::new("must end after it begins"));
        }
        Ok(())
    }

    /// Whether it is over.
    pub fn is_over(&self, now_ms: i64) -> bool {
        self.ends_ms.is_some_and(|end| end <= now_ms)
    }

    /// How long it goes on; `None`: until someone ends it.
    pub fn left(&self, now_ms: i64) -> Option<Duration> {
        let left = self.ends_ms?.saturating_sub(now_ms);
        Some(Duration::from_millis(u64::try_from(left).unwrap_or(0)))
    }

    /// Whether a client is let in all the same; `None`: its address is not known.
    pub fn lets_in(&self, client: Option<IpAddr>) -> bool {
        client.is_some_and(|client| self.allow_from.contains(client))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_the_name_of_a_service_or_all_of_them() {
        for text in ["*", "shop", "a-1"] {
            assert_eq!(MaintenanceScope::from_name(text).unwrap().to_string(), text);
        }
        assert_eq!(MaintenanceScope::from_name("*").unwrap().service(), None);
        for bad in ["", "**", "A b", "shop/1"] {
            assert!(MaintenanceScope::from_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_message_is_short_and_of_one_line() {
        for good in ["x".to_owned(), "ä".repeat(500), "back at 3 pm, \"really\"".to_owned()] {
            assert_eq!(MaintenanceMessage::try_new(&good).unwrap().as_str(), good);
        }
        for bad in [String::new(), "ä".repeat(501), "a\nb".to_owned(), "a\u{7f}".to_owned(), "\u{9b}31m".to_owned()] {
            assert!(MaintenanceMessage::try_new(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn it_ends_on_time_and_lets_in_whom_it_names() {
        let networks = CidrSet::try_new(&["10.0.0.0/8"]).unwrap();
        let by = IpAddr::from([127, 0, 0, 1]).into();
        let one = Maintenance { allow_from: networks, message: None, by, began_ms: 1_000, ends_ms: Some(3_000) };
        assert_eq!((one.is_over(2_999), one.is_over(3_000)), (false, true));
        assert_eq!((one.left(1_500), one.left(9_000)), (Some(Duration::from_millis(1_500)), Some(Duration::ZERO)));
        assert!(one.lets_in(Some([10, 1, 2, 3].into())) && !one.lets_in(Some([11, 1, 2, 3].into())));
        assert!(!one.lets_in(None));
        assert_eq!(one.check(), Ok(()));
        assert!(Maintenance { ends_ms: Some(1_000), ..one.clone() }.check().is_err());
        let endless = Maintenance { ends_ms: None, ..one };
        assert_eq!((endless.is_over(i64::MAX), endless.left(0)), (false, None));
    }
}
