//! How a broker is connected to.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::url::BusUrl;
use crate::topology::Topology;

/// Where a password comes from; asked at each connection, so that it can be changed.
#[derive(Clone)]
pub struct Password(Arc<dyn Fn() -> Result<String, String> + Send + Sync>);

impl Password {
    /// The text itself.
    pub fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::from_fn(move || Ok(text.clone()))
    }

    /// The first line of a file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self::from_fn(move || {
            let text = std::fs::read_to_string(&path)
                .map_err(|error| format!("cannot read the password in {}: {error}", path.display()))?;
            match text.lines().next() {
                Some(line) if !line.is_empty() => Ok(line.to_owned()),
                Some(_) | None => Err(format!("{} has no password in its first line", path.display())),
            }
        })
    }

    /// Whatever else has it; an error is shown to the operator.
    pub fn from_fn(ask: impl Fn() -> Result<String, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    pub(super) fn ask(&self) -> Result<String, String> {
        (self.0)()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// What an [`AmqpBus`](super::AmqpBus) is made of. Files are read at each connection, so that they can be replaced.
#[derive(Debug, Clone)]
pub struct Options {
    /// The broker.
    pub url: BusUrl,
    /// Of the user that the url names.
    pub password: Password,
    /// Certificate authorities in PEM for `amqps`, instead of the system's.
    pub ca: Option<PathBuf>,
    /// The certificate and the key in PEM that are shown to an `amqps` broker that asks.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// For the broker's list of connections.
    pub name: String,
    /// How often either side says something. One that is silent for twice as long is dead, and the broker keeps the queue of a dead
    /// node for three times as long. Whole seconds, at least 1.
    pub heartbeat: Duration,
    /// What is declared.
    pub topology: Topology,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_first_line_of_its_file_each_time_and_never_shown() {
        let path = std::env::temp_dir().join(format!("furt-bus-password-{}", std::process::id()));
        let password = Password::file(&path);
        assert!(password.ask().unwrap_err().contains("cannot read"));
        for (text, expected) in
            [("one\n", Some("one")), ("two words\nrest", Some("two words")), ("", None), ("\nx", None)]
        {
            std::fs::write(&path, text).unwrap();
            assert_eq!(password.ask().ok().as_deref(), expected);
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(format!("{:?}", Password::text("secret")), "Password(…)");
    }
}
