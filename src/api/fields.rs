//! Reading a JSON object field by field, so that every wrong field is told at once, by its JSON pointer (RFC 6901).
//!
//! By hand: serde stops at the first error, eserde tells errors in serde's words, and deserr checks rules between fields (a
//! `tls_name` by its url) only where every field alone is good, so that they would be told one answer later.

use std::time::Duration;

use serde_json::{Map, Value};

use furt_core::model::{Invalid, duration};

/// One field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldError {
    /// Where, such as `/routes/0/path`; empty: the whole body.
    pub(super) pointer: String,
    /// What would be right.
    pub(super) detail: String,
}

/// An object being read: fields are taken out by name, what is left at the end is unknown.
pub(super) struct Fields<'a> {
    pointer: String,
    object: Map<String, Value>,
    errors: &'a mut Vec<FieldError>,
}

impl<'a> Fields<'a> {
    /// Notes an error and gives `None` where `value` is no object.
    pub(super) fn open(pointer: String, value: Value, errors: &'a mut Vec<FieldError>) -> Option<Self> {
        match value {
            Value::Object(object) => Some(Self { pointer, object, errors }),
            _ => {
                errors.push(FieldError { pointer, detail: "must be an object".to_owned() });
                None
            }
        }
    }

    /// Notes that a field is wrong.
    pub(super) fn refuse(&mut self, name: &str, detail: impl Into<String>) {
        let pointer = self.pointer_to(name);
        self.errors.push(FieldError { pointer, detail: detail.into() });
    }

    /// Notes that the object itself is wrong.
    pub(super) fn refuse_whole(&mut self, detail: impl Into<String>) {
        self.errors.push(FieldError { pointer: self.pointer.clone(), detail: detail.into() });
    }

    pub(super) fn pointer_to(&self, name: &str) -> String {
        format!("{}/{}", self.pointer, name.replace('~', "~0").replace('/', "~1"))
    }

    /// Whether a field is there, be it `null`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.object.contains_key(name)
    }

    /// Whether a field is there and not `null`.
    pub(super) fn has_value(&self, name: &str) -> bool {
        self.object.get(name).is_some_and(|value| !value.is_null())
    }

    /// Takes a field out; `null` is as if it were not there.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.object.remove(name).filter(|value| !value.is_null())
    }

    /// Takes a field that must be there.
    pub(super) fn require<T>(&mut self, name: &str, parse: impl FnOnce(Value) -> Result<T, Invalid>) -> Option<T> {
        if self.object.get(name).is_none_or(Value::is_null) {
            self.object.remove(name);
            self.refuse(name, "is missing");
            return None;
        }
        self.optional(name, parse)
    }

    /// Takes a field that may be there.
    pub(super) fn optional<T>(&mut self, name: &str, parse: impl FnOnce(Value) -> Result<T, Invalid>) -> Option<T> {
        match parse(self.take(name)?) {
            Ok(value) => Some(value),
            Err(error) => {
                self.refuse(name, error.to_string());
                None
            }
        }
    }

    /// Takes a list of texts that may be there, and tells each of them that is wrong.
    pub(super) fn list<T>(
        &mut self,
        name: &str,
        most: usize,
        parse: impl Fn(&str) -> Result<T, Invalid>,
    ) -> Option<Vec<T>> {
        let pointer = self.pointer_to(name);
        let list = match self.take(name)? {
            Value::Array(list) if list.len() <= most => list,
            _ => {
                self.refuse(name, format!("must be a list of at most {most} strings"));
                return None;
            }
        };
        let count = list.len();
        let mut good = Vec::with_capacity(count);
        for (at, value) in list.into_iter().enumerate() {
            match text(&parse)(value) {
                Ok(value) => good.push(value),
                Err(error) => {
                    self.errors.push(FieldError { pointer: format!("{pointer}/{at}"), detail: error.to_string() });
                }
            }
        }
        (good.len() == count).then_some(good)
    }

    /// Takes an object within that may be there, and reads it; what is not taken out of it is unknown.
    pub(super) fn nested<T>(&mut self, name: &str, read: impl FnOnce(&mut Fields<'_>) -> T) -> Option<T> {
        let value = self.take(name)?;
        let mut own = Fields::open(self.pointer_to(name), value, self.errors)?;
        let read = read(&mut own);
        own.finish();
        Some(read)
    }

    /// The errors of this object, for reading what lies within it.
    pub(super) fn errors(&mut self) -> &mut Vec<FieldError> {
        self.errors
    }

    /// What was not taken is unknown.
    pub(super) fn finish(self) {
        let Self { pointer, object, errors } = self;
        for name in object.keys() {
            let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
            errors.push(FieldError { pointer, detail: "is not a known field".to_owned() });
        }
    }
}

/// A text, as a type's own constructor takes it.
pub(super) fn text<T>(parse: impl FnOnce(&str) -> Result<T, Invalid>) -> impl FnOnce(Value) -> Result<T, Invalid> {
    |value| match value {
        Value::String(text) => parse(&text),
        _ => Err(Invalid::new("must be a string")),
    }
}

/// `true` or `false`.
pub(super) fn truth(value: Value) -> Result<bool, Invalid> {
    value.as_bool().ok_or_else(|| Invalid::new("must be true or false"))
}

/// A whole number within bounds.
pub(super) fn whole(least: u64, most: u64) -> impl FnOnce(Value) -> Result<u64, Invalid> {
    move |value| {
        let number = value.as_u64().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| Invalid::new(format!("must be a whole number from {least} to {most}")))
    }
}

/// How long something is: a number of seconds, or a text with a unit. `None`: it is neither.
pub(super) fn span(value: &Value) -> Option<Duration> {
    match value {
        Value::Number(seconds) => Duration::try_from_secs_f64(seconds.as_f64()?).ok(),
        Value::String(text) => duration(text),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Seconds, also a fraction of one, within bounds; in whole milliseconds, as they are stored, so that what is registered
/// again after a restart is the same.
pub(super) fn seconds(least: Duration, most: Duration) -> impl FnOnce(Value) -> Result<Duration, Invalid> {
    move |value| {
        let (least, most) = (least.as_secs_f64(), most.as_secs_f64());
        let number = value.as_f64().filter(|number| (least..=most).contains(number));
        let duration = number.map(|number| Duration::from_millis((number * 1000.0).round() as u64));
        duration.ok_or_else(|| Invalid::new(format!("must be a number of seconds from {least} to {most}")))
    }
}
