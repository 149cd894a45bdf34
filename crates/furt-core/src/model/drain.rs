//! A drain as it was begun: how long it holds, who began it, and when.

use super::{Actor, Incarnation};

/// What ends a drain, beside the command that undoes it. A later one holds longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum DrainUntil {
    /// Any registration of the instance, an identical one too.
    #[default]
    Registration,
    /// A registration of another incarnation than the one that was installed when it began.
    Restart,
    /// Nothing: it belongs to the id, also while nobody is registered under it.
    Undo,
}

impl DrainUntil {
    /// From the name it has in JSON.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Registration, Self::Restart, Self::Undo].into_iter().find(|until| until.as_str() == name)
    }

    /// The name it has in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registration => "registration",
            Self::Restart => "restart",
            Self::Undo => "undo",
        }
    }
}

/// A drain of an instance, or of an id that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainMark {
    /// What ends it.
    pub until: DrainUntil,
    /// Who began it; `None`: an earlier furt stored the drain without it.
    pub by: Option<Actor>,
    /// When it began, as Unix time in ms; `None` as above.
    pub began_ms: Option<i64>,
    /// The incarnation that was installed when it began.
    pub incarnation: Option<Incarnation>,
}

impl DrainMark {
    /// A drain of which no more is known than that it is there.
    pub fn unknown() -> Self {
        Self { until: DrainUntil::Registration, by: None, began_ms: None, incarnation: None }
    }

    /// Whether a registration of this incarnation ends it; `None`: of one that names none.
    pub fn ends_with(&self, incarnation: Option<&Incarnation>) -> bool {
        match self.until {
            DrainUntil::Registration => true,
            DrainUntil::Restart => incarnation.is_some() && incarnation != self.incarnation.as_ref(),
            DrainUntil::Undo => false,
        }
    }

    /// Whether nothing but the command to undo it ends it, as long as the instance names no incarnation.
    pub fn needs_undo(&self) -> bool {
        match self.until {
            DrainUntil::Registration => false,
            DrainUntil::Restart => self.incarnation.is_none(),
            DrainUntil::Undo => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_ends_what_it_may() {
        let incarnation = |text: &str| Incarnation::try_new(text).unwrap();
        let mark =
            |until, of: Option<&str>| DrainMark { until, incarnation: of.map(incarnation), ..DrainMark::unknown() };
        for (until, of, by, ends) in [
            (DrainUntil::Registration, None, None, true),
            (DrainUntil::Registration, Some("a"), Some("a"), true),
            (DrainUntil::Restart, Some("a"), Some("a"), false),
            (DrainUntil::Restart, Some("a"), None, false),
            (DrainUntil::Restart, Some("a"), Some("b"), true),
            (DrainUntil::Restart, None, None, false),
            (DrainUntil::Restart, None, Some("b"), true),
            (DrainUntil::Undo, Some("a"), Some("b"), false),
        ] {
            let by = by.map(incarnation);
            assert_eq!(mark(until, of).ends_with(by.as_ref()), ends, "{until:?} of {of:?} by {by:?}");
        }
        assert!(mark(DrainUntil::Restart, None).needs_undo() && !mark(DrainUntil::Restart, Some("a")).needs_undo());
    }
}
