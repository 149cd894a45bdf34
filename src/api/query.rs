//! The parameters of a query: which an endpoint knows, and reading them one by one, so that every wrong one is told at once
//! by its name, unknown ones too: a `?drian=30` that is overlooked would cut what it was to spare.
//!
//! `endpoints` says what each endpoint knows. [`check`] stands before every handler: it refuses the query of an endpoint that
//! knows none, and hands [`Parameters`] to the others, which read and `finish` them.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use furt_api::problem::ProblemError;

use super::problem::Problem;
use furt_core::model::Incarnation;

/// What an endpoint takes as a query.
#[derive(Debug, Clone, Copy)]
pub(super) enum Query {
    /// Anything, which is not read.
    Any,
    /// These parameters, each at most once.
    Only(&'static [Parameter]),
}

/// A parameter of an endpoint.
#[derive(Debug)]
#[cfg_attr(not(test), expect(dead_code, reason = "the documentation is made of it, by a test"))]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) presence: Presence,
    /// A value, or a word for it.
    pub(super) example: &'static str,
    pub(super) form: Form,
    /// What it says, as a clause.
    pub(super) text: &'static str,
}

/// What a parameter must look like.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(test), expect(dead_code, reason = "the documentation is made of it, by a test"))]
pub(super) enum Form {
    Text,
    /// A number of seconds from 0, with a fraction or without.
    Seconds {
        most: u16,
    },
    /// A whole number from 0.
    Whole {
        most: u64,
    },
    OneOf(&'static [&'static str]),
}

/// Whether a parameter may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Optional,
    Required,
}

impl Parameter {
    pub(super) const fn optional(name: &'static str, example: &'static str, form: Form, text: &'static str) -> Self {
        Self { name, presence: Presence::Optional, example, form, text }
    }

    pub(super) const fn required(name: &'static str, example: &'static str, form: Form, text: &'static str) -> Self {
        Self { name, presence: Presence::Required, example, form, text }
    }
}

/// Lets a request pass whose query its endpoint takes, or will check itself as it reads its [`Parameters`].
pub(super) async fn check(State(query): State<Query>, mut request: Request, next: Next) -> Response {
    if let Query::Only(known) = query {
        let parameters = Parameters::new(known, request.uri().query());
        if known.is_empty() {
            if let Err(problem) = parameters.finish() {
                return problem.into_response();
            }
        } else {
            request.extensions_mut().insert(parameters);
        }
    }
    next.run(request).await
}

/// The parameters of one request, to be taken out by name and to be finished.
#[derive(Debug, Clone, Default)]
pub(super) struct Parameters {
    known: Vec<(String, String)>,
    unknown: Vec<String>,
    errors: Vec<(String, String)>,
}

impl<S: Sync> FromRequestParts<S> for Parameters {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.remove().unwrap_or_default())
    }
}

impl Parameters {
    /// Of a raw query, without its `?`.
    pub(super) fn new(known: &[Parameter], query: Option<&str>) -> Self {
        let mut parameters = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned() {
            let is_first = parameters.known.iter().all(|(own, _)| *own != name);
            if is_first && known.iter().any(|parameter| parameter.name == name) {
                parameters.known.push((name, value));
            } else {
                parameters.unknown.push(name);
            }
        }
        parameters
    }

    /// Seconds, also a fraction of one, from 0 to `most`; `None` where it is left out or wrong.
    pub(super) fn seconds(&mut self, name: &str, most: u16) -> Option<Duration> {
        let text = self.take(name)?;
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let number = text.parse::<f64>().ok().filter(|number| is_plain && (0.0..=f64::from(most)).contains(number));
        let duration = number.and_then(|number| Duration::try_from_secs_f64(number).ok());
        self.or_refuse(name, duration, || format!("must be a number of seconds from 0 to {most}"))
    }

    /// A whole number from 0 to `most`; `None` where it is left out or wrong.
    pub(super) fn whole(&mut self, name: &str, most: u64) -> Option<u64> {
        let text = self.take(name)?;
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|number| is_plain && *number <= most);
        self.or_refuse(name, number, || format!("must be a whole number from 0 to {most}"))
    }

    /// What `parse` makes of it; `None` where it is left out or wrong.
    pub(super) fn parsed<T>(&mut self, name: &str, rule: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.take(name)?;
        self.or_refuse(name, parse(&text), || rule.to_owned())
    }

    /// Whether it is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.known.iter().any(|(own, _)| own == name)
    }

    /// Notes that a parameter is wrong beside others.
    pub(super) fn refuse(&mut self, name: &str, why: &str) {
        self.errors.push((name.to_owned(), why.to_owned()));
    }

    /// What `parse` makes of one that must be there.
    pub(super) fn require<T>(&mut self, name: &str, rule: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        if !self.has(name) {
            self.errors.push((name.to_owned(), format!("is missing; it {rule}")));
            return None;
        }
        self.parsed(name, rule, parse)
    }

    /// The incarnation that a command is about; `None` where it is left out or wrong.
    pub(super) fn incarnation(&mut self) -> Option<Incarnation> {
        self.parsed("incarnation", "must be 1 to 64 visible ASCII characters", |text| Incarnation::try_new(text).ok())
    }

    /// Any text; `None` where it is left out.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.take(name)
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.known.iter().position(|(own, _)| own == name)?;
        Some(self.known.swap_remove(at).1)
    }

    fn or_refuse<T>(&mut self, name: &str, value: Option<T>, detail: impl FnOnce() -> String) -> Option<T> {
        if value.is_none() {
            self.errors.push((name.to_owned(), detail()));
        }
        value
    }

    /// # Errors
    /// 422 with every parameter that is wrong, missing, unknown, or there twice.
    pub(super) fn finish(self) -> Result<(), Problem> {
        self.finish_with(Some(()))
    }

    /// Gives what was read, which is `None` only where a parameter that must be there is wrong or missing.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub(super) fn finish_with<T>(mut self, read: Option<T>) -> Result<T, Problem> {
        let unknown = self.unknown.into_iter().map(|name| (name, "is not known here, or is there twice".to_owned()));
        self.errors.extend(unknown);
        let detail = match (read, self.errors.as_slice()) {
            (Some(read), []) => return Ok(read),
            (_, [(name, why)]) => format!("the parameter \"{name}\" {why}"),
            (_, many) => format!("{} parameters are wrong", many.len()),
        };
        let list = self.errors.into_iter().map(|(name, why)| ProblemError::parameter(name, why)).collect();
        Err(Problem::invalid_parameters(list, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Parameter] = &[
        Parameter::optional("after", "N", Form::Whole { most: 1 << 53 }, "the number"),
        Parameter::optional("wait", "S", Form::Seconds { most: 60 }, "how long to wait"),
    ];

    fn read(query: &str) -> (Option<Duration>, Option<u64>, Option<String>) {
        let mut parameters = Parameters::new(KNOWN, Some(query));
        let (wait, after) = (parameters.seconds("wait", 60), parameters.whole("after", 1 << 53));
        (wait, after, parameters.finish().err().map(|problem| problem.line()))
    }

    #[test]
    fn what_is_good_is_taken_and_what_is_left_out_is_none() {
        assert_eq!(read("wait=60&after=9007199254740992"), (Some(Duration::from_secs(60)), Some(1 << 53), None));
        assert_eq!(read("wait=0.25"), (Some(Duration::from_millis(250)), None, None));
        assert_eq!(read("wait=0"), (Some(Duration::ZERO), None, None));
        assert_eq!(read(""), (None, None, None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, name) in [
            ("wait=61", "wait"),
            ("wait=-1", "wait"),
            ("wait=", "wait"),
            ("wait", "wait"),
            ("wait=soon", "wait"),
            ("wait=NaN", "wait"),
            ("wait=inf", "wait"),
            ("wait=1e1", "wait"),
            ("wait=.", "wait"),
            ("after=9007199254740993", "after"),
            ("after=99999999999999999999999", "after"),
            ("after=1.5", "after"),
            ("after=+1", "after"),
            ("after=x", "after"),
            ("wiat=1", "wiat"),
            ("wait=1&wait=1", "wait"),
            ("%77ait=x", "wait"),
        ] {
            let told = read(query).2.unwrap_or_else(|| panic!("{query} is taken"));
            assert!(told.starts_with(&format!("invalid-parameters: the parameter \"{name}\" ")), "{query}: {told}");
        }
        let mut parameters = Parameters::new(&[Parameter::required("url", "/a", Form::Text, "the url")], None);
        assert_eq!(parameters.require("url", "must be a path", |_| Some(())), None);
        let told = parameters.finish().unwrap_err().line();
        assert_eq!(told, "invalid-parameters: the parameter \"url\" is missing; it must be a path");
        assert_eq!(read("wait=x&after=y&z=1").2.unwrap(), "invalid-parameters: 3 parameters are wrong");
    }
}
