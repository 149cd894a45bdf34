//! What a route can ask for beside its path, method and permission: by its service's definition, by itself, or by a rule of
//! the operator.

use std::sync::Arc;
use std::time::Duration;

use super::{AskedHost, Compress, Cors, Invalid, MAX_TIME, MIN_TIMEOUT, MessageHeaders, Mirror, Restrictions, Rewrite};

/// What somebody says of one option.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Said<T> {
    /// Nothing: what was said before holds.
    #[default]
    Nothing,
    /// That there is none, whatever was said before.
    Off,
    /// This, in the place of what was said before.
    Is(T),
}

impl<T> Said<T> {
    /// What holds once this is said after `before`.
    pub fn after(self, before: Option<T>) -> Option<T> {
        match self {
            Self::Nothing => before,
            Self::Off => None,
            Self::Is(value) => Some(value),
        }
    }

    /// The value that is said.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Nothing | Self::Off => None,
            Self::Is(value) => Some(value),
        }
    }

    /// The same of a part or another form of it.
    pub fn map<U>(self, map: impl FnOnce(T) -> U) -> Said<U> {
        match self {
            Self::Nothing => Said::Nothing,
            Self::Off => Said::Off,
            Self::Is(value) => Said::Is(map(value)),
        }
    }

    /// Whether nothing is said.
    pub fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}

/// The options, as one place says them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct RouteOptions {
    /// What browsers may do from other origins.
    pub cors: Said<Arc<Cors>>,
    /// What becomes of the path on its way to the service.
    pub rewrite: Said<Arc<Rewrite>>,
    /// Whether answers are compressed.
    pub compress: Said<Compress>,
    /// Which host the service is asked for, where that is not the client's. Rules alone say it.
    pub asked_host: Said<AskedHost>,
    /// How long the service may take to the header of its answer, and between reads. Of all its routes a service says it in its
    /// definition's timeouts.
    pub read_timeout: Said<Duration>,
    /// What is set and removed among headers. Rules alone say it, and add it header by header to what earlier ones say.
    pub headers: Said<Arc<MessageHeaders>>,
    /// Of which requests a copy goes to another service. Rules alone say it.
    pub mirror: Said<Arc<Mirror>>,
    /// What restricts, which adds up: nothing that is said later takes it away.
    pub restrictions: Option<Arc<Restrictions>>,
}

impl RouteOptions {
    /// Whether nothing is said of any.
    pub fn is_empty(&self) -> bool {
        !self.shapes() && self.restrictions.is_none()
    }

    /// Whether anything is said but what restricts.
    pub fn shapes(&self) -> bool {
        let Self { cors, rewrite, compress, asked_host, read_timeout, headers, mirror, restrictions: _ } = self;
        !(cors.is_nothing()
            && rewrite.is_nothing()
            && compress.is_nothing()
            && asked_host.is_nothing()
            && read_timeout.is_nothing()
            && headers.is_nothing()
            && mirror.is_nothing())
    }

    /// Whether a route that says this may be compressed where the definition says `of_definition`.
    ///
    /// # Errors
    /// It would be, and its `cors` allows credentials.
    pub fn check_compress(&self, of_definition: &Self) -> Result<(), Invalid> {
        let compress = self.compress.clone().after(of_definition.compress.value().copied());
        let cors = self.cors.clone().after(of_definition.cors.value().cloned());
        compress.map_or(Ok(()), |compress| compress.check_with(cors.as_deref()))
    }

    /// Whether each of them could have been registered; whether they go together is for who knows all that is said of a route.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn check(&self) -> Result<(), Invalid> {
        let Self { cors, rewrite, compress: _, asked_host: _, read_timeout, headers: _, mirror: _, restrictions } =
            self;
        cors.value().map_or(Ok(()), |cors| cors.check())?;
        rewrite.value().map_or(Ok(()), |rewrite| rewrite.check())?;
        if read_timeout.value().is_some_and(|time| !(MIN_TIMEOUT..=MAX_TIME).contains(time)) {
            return Err(Invalid::new("one of its timeouts is out of range"));
        }
        restrictions.as_ref().map_or(Ok(()), |restrictions| restrictions.check())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_later_stands_for_what_was_said_before() {
        for (before, said, after) in [
            (Some(1), Said::Nothing, Some(1)),
            (Some(1), Said::Off, None),
            (Some(1), Said::Is(2), Some(2)),
            (None, Said::Nothing, None),
            (None, Said::Is(2), Some(2)),
        ] {
            assert_eq!(said.after(before), after);
        }
    }
}
