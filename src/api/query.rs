//! Reading the parameters of a query one by one, so that every wrong one is told at once by its name, unknown ones too: a
//! `?drian=30` that is overlooked would cut what it was to spare.

use std::time::Duration;

use furt_api::problem::ProblemError;

use super::problem::Problem;
use furt_core::model::Incarnation;

/// The parameters of one request: they are taken out by name, what is left at the end is unknown.
pub(super) struct Parameters {
    left: Vec<(String, String)>,
    errors: Vec<(String, String)>,
}

impl Parameters {
    /// Of a raw query, without its `?`.
    pub(super) fn of(query: Option<&str>) -> Self {
        let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self { left: pairs.into_owned().collect(), errors: Vec::new() }
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

    /// The same of one that must be there.
    pub(super) fn require<T>(&mut self, name: &str, rule: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        if self.left.iter().all(|(own, _)| own != name) {
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
        let at = self.left.iter().position(|(own, _)| own == name)?;
        Some(self.left.swap_remove(at).1)
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
        let unknown = self.left.into_iter().map(|(name, _)| (name, "is not known here, or is there twice".to_owned()));
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

    fn read(query: &str) -> (Option<Duration>, Option<u64>, Option<String>) {
        let mut parameters = Parameters::of(Some(query));
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
        let mut parameters = Parameters::of(None);
        assert_eq!(parameters.require("url", "must be a path", |_| Some(())), None);
        let told = parameters.finish().unwrap_err().line();
        assert_eq!(told, "invalid-parameters: the parameter \"url\" is missing; it must be a path");
        assert_eq!(read("wait=x&after=y&z=1").2.unwrap(), "invalid-parameters: 3 parameters are wrong");
    }
}
