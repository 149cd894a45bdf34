//! Whether a node is there.

use std::fmt;
use std::time::Duration;

/// How long a node is not heard until it is silent: lex-node's watchdog, 60 s.
const SILENT_AFTER: Duration = Duration::from_secs(60);
/// How many beats must be missing for a node to be late.
const MISSED_BEATS: u32 = 3;

/// What a node's last message says of it, and how old that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeState {
    /// It beats.
    Active,
    /// Three of its beats are missing.
    Late,
    /// It was not heard for 60 s, or for four of its intervals where that is longer.
    Silent,
    /// It said that it ends.
    Leaving,
}

impl NodeState {
    /// The state of a node that beats every `interval` and was heard `age` ago.
    pub(crate) fn of(age: Duration, interval: Duration, is_leaving: bool) -> Self {
        match age {
            _ if is_leaving => Self::Leaving,
            age if age < interval * MISSED_BEATS => Self::Active,
            age if age < SILENT_AFTER.max(interval * (MISSED_BEATS + 1)) => Self::Late,
            _ => Self::Silent,
        }
    }

    /// Whether others wait for the node: its beats may be late, but it was heard a short while ago.
    pub fn is_live(self) -> bool {
        match self {
            Self::Active | Self::Late => true,
            Self::Silent | Self::Leaving => false,
        }
    }
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Late => "late",
            Self::Silent => "silent",
            Self::Leaving => "leaving",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::NodeState;

    #[test]
    fn a_state_follows_from_the_age_of_the_last_message() {
        let check = |age_ms, interval, expected| {
            let (age, interval) = (Duration::from_millis(age_ms), Duration::from_secs(interval));
            assert_eq!(NodeState::of(age, interval, false), expected, "{age:?}");
            assert_eq!(NodeState::of(age, interval, true), NodeState::Leaving);
        };
        check(0, 5, NodeState::Active);
        check(14_999, 5, NodeState::Active);
        check(15_000, 5, NodeState::Late);
        check(59_999, 5, NodeState::Late);
        check(60_000, 5, NodeState::Silent);
        check(60_000, 20, NodeState::Late);
        check(80_000, 20, NodeState::Silent);
    }
}
