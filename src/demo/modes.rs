//! How an instance can misbehave, and what that means for its health. Values alone.

use std::time::Duration;

/// How long a port stays closed, if nobody says otherwise: longer than probes and TTL need to notice.
const CLOSED: Duration = Duration::from_secs(15);
/// The longest that it may be closed, in seconds.
const LONGEST_SECONDS: u64 = 300;

/// How an instance behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// As it should.
    Ok,
    /// It answers after two seconds.
    Slow,
    /// It answers 500, but its health check is good: only its answers show it.
    Error,
    /// It takes requests and answers none.
    Hang,
    /// Its port is closed for that long, as after a crash; then it starts again.
    Refuse(Duration),
    /// It answers requests, but its health check fails.
    Unhealthy,
}

/// What an instance knows of its own health: what it answers to a probe, and whether it sends heartbeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// 200, and heartbeats.
    Good,
    /// 500, and no heartbeat.
    Bad,
    /// No answer, and no heartbeat.
    Silent,
}

/// Every mode: its name, and what it does.
pub(super) const ALL: [(&str, &str); 6] = [
    ("ok", "answers as it should, and registers again if it was not well"),
    ("slow", "answers after 2 s"),
    ("error", "answers requests with 500; its health check says 200, and it sends heartbeats"),
    ("hang", "takes requests and answers none"),
    ("refuse", "closes its port for 15 s, or ?seconds=1 to 300, as after a crash, then starts again and registers"),
    ("unhealthy", "answers requests, but its health check says 500; without probes: it sends no heartbeats"),
];

impl Mode {
    /// The mode of that name, and of a request's query.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    pub(super) fn try_new(name: &str, query: &str) -> Result<Self, String> {
        let mode = match name {
            "ok" => Self::Ok,
            "slow" => Self::Slow,
            "error" => Self::Error,
            "hang" => Self::Hang,
            "refuse" => Self::Refuse(CLOSED),
            "unhealthy" => Self::Unhealthy,
            other => return Err(format!("no mode \"{other}\"; must be {}", names())),
        };
        match (mode, query.split_once('=')) {
            (mode, None) if query.is_empty() => Ok(mode),
            (Self::Refuse(_), Some(("seconds", value))) => {
                let seconds = value.parse().ok().filter(|seconds| (1..=LONGEST_SECONDS).contains(seconds));
                let seconds = seconds.ok_or(format!("seconds must be a whole number from 1 to {LONGEST_SECONDS}"))?;
                Ok(Self::Refuse(Duration::from_secs(seconds)))
            }
            (Self::Refuse(_), _) => Err(format!("\"?{query}\" is not known; must be ?seconds=1 to {LONGEST_SECONDS}")),
            _ => Err(format!("\"?{query}\" is not known; only refuse takes anything, ?seconds=")),
        }
    }

    /// As it is asked for.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Slow => "slow",
            Self::Error => "error",
            Self::Hang => "hang",
            Self::Refuse(_) => "refuse",
            Self::Unhealthy => "unhealthy",
        }
    }

    pub(super) fn health(self) -> Health {
        match self {
            Self::Ok | Self::Slow | Self::Error => Health::Good,
            Self::Unhealthy => Health::Bad,
            Self::Hang | Self::Refuse(_) => Health::Silent,
        }
    }
}

/// All of them, as a list in a sentence.
pub(super) fn names() -> String {
    ALL.map(|(name, _)| name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_that_is_listed_can_be_asked_for() {
        for (name, _) in ALL {
            assert_eq!(Mode::try_new(name, "").unwrap().name(), name);
        }
        assert_eq!(Mode::try_new("refuse", "seconds=7"), Ok(Mode::Refuse(Duration::from_secs(7))));
    }

    #[test]
    fn what_is_no_mode_is_told_what_would_be() {
        for (name, query, right) in [
            ("crash", "", "ok, slow, error, hang, refuse, unhealthy"),
            ("", "", "ok, slow"),
            ("refuse", "seconds=0", "1 to 300"),
            ("refuse", "seconds=301", "1 to 300"),
            ("refuse", "seconds=", "1 to 300"),
            ("refuse", "seconds=-1", "1 to 300"),
            ("refuse", "minutes=1", "?seconds="),
            ("refuse", "now", "?seconds="),
            ("ok", "seconds=1", "only refuse"),
        ] {
            let why = Mode::try_new(name, query).unwrap_err();
            assert!(why.contains(right), "{name}?{query}: {why}");
        }
    }
}
