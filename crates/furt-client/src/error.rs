//! What can go wrong, in sentences for the person who runs the service.

use std::fmt;

use furt_api::Problem;

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection string cannot be used. Nothing was sent.
    #[error("the connection string, {place}: {what}")]
    ConnectionString {
        /// Which part is wrong, such as `host 2 ("b:99999")`. It never has what may be a secret.
        place: String,
        /// What is wrong with it, and what would be right.
        what: String,
    },
    /// The token, or a certificate to trust, cannot be used. Nothing was sent.
    #[error("{0}")]
    Setting(String),
    /// A name that no service can have. Nothing was sent: a name is never changed into one that would do.
    #[error("\"{name}\" {what}")]
    Name {
        /// The name as it was given.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// What a service says of itself cannot be registered. Nothing was sent.
    #[error("{0}")]
    Service(String),
    /// A gateway refused, with a status of 4xx. No other host was asked.
    #[error("{host} refused: {}", Refusal(.problem))]
    Refused {
        /// The host that answered, as `host:port`.
        host: String,
        /// Why, in the gateway's words.
        problem: Box<Problem>,
    },
    /// Every host was tried, and none did it.
    #[error("no host of the registry took it: {}", Tries(.0))]
    Unreachable(Vec<Try>),
    /// A gateway answered something that this version does not understand.
    #[error("{host} answers as another version of furt: {what}")]
    Answer {
        /// The host that answered, as `host:port`.
        host: String,
        /// What was not understood.
        what: String,
    },
    /// The service has left already.
    #[error("the service has left the registry already")]
    Left,
}

/// A host that was tried, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Try {
    /// The host, as `host:port`.
    pub host: String,
    /// What came of it, such as `connection refused` or `503 store-unavailable: …`.
    pub what: String,
}

struct Tries<'a>(&'a [Try]);

impl fmt::Display for Tries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, Try { host, what }) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            write!(f, "{separator}{host}: {what}")?;
        }
        Ok(())
    }
}

/// A problem in one line: status, code, detail, and each field that is wrong where there are several.
pub(crate) struct Refusal<'a>(pub(crate) &'a Problem);

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = self.0;
        write!(f, "{} {}", problem.status, problem.code)?;
        if let Some(detail) = &problem.detail {
            write!(f, ": {detail}")?;
        }
        let errors = problem.errors.as_deref().unwrap_or_default();
        for error in errors.iter().filter(|_| errors.len() > 1) {
            let what = error.pointer.as_ref().or(error.parameter.as_ref()).map_or("", String::as_str);
            write!(f, "; {what}: {}", error.detail)?;
        }
        Ok(())
    }
}

impl Error {
    pub(crate) fn connection_string(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self::ConnectionString { place: place.into(), what: what.into() }
    }

    /// The gateway's answer where it refused.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused { problem, .. } => Some(problem),
            _ => None,
        }
    }

    /// The status of the answer where a gateway refused.
    pub(crate) fn status(&self) -> Option<u16> {
        self.problem().map(|problem| problem.status)
    }
}
