//! What furt knows of an instance's health.

/// The status of an instance, and of a service: UP while one of its instances is UP, DOWN when all are DOWN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// No verdict yet: new, restored, or probed afresh. Routable.
    Unknown,
    /// The last verdict of the probes is good.
    Up,
    /// Three probes in a row failed (`max_consecutive_failures`). Not routable.
    Down,
}

impl Status {
    /// `UP`, `DOWN` or `UNKNOWN`, as on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Up => "UP",
            Self::Down => "DOWN",
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
