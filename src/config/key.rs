//! What a key is: one row, which says everything about the key, and the visitors that go through all rows.
//!
//! A row is passed to a visitor together with the key's parser and its field. So no key can be read without a row, and
//! no row can stand without being read. Callers: `tables` and `arrays` have the rows, `reading`, `defaults`, `changes`
//! and `reference` visit them.

use toml::de::DeValue;

use super::location::RawLocation;
use super::types::Config;
use super::value::{Parsed, RawValue, Value};

/// A key of the configuration: one row of the reference. Texts are in Markdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The full name: table and key, such as `server.grace`.
    pub name: &'static str,
    /// The value where nobody sets the key.
    pub default: DefaultValue,
    /// The allowed values.
    pub range: &'static str,
    /// When a changed value takes effect.
    pub reload: ReloadClass,
    /// Whether another machine may set the key for this one.
    pub pushable: bool,
    /// A further environment variable for the key. `FURT_<TABLE>_<KEY>` takes precedence over it.
    pub alias: Option<&'static str>,
    /// What the key does, and when an operator changes it.
    pub text: &'static str,
}

/// The value of a key that nobody sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultValue {
    /// This value, as TOML.
    Toml(&'static str),
    /// No value.
    Absent {
        /// The behaviour without a value, such as "unlimited".
        means: &'static str,
        /// A value to show, as TOML. `None`: the key cannot stand beside the other examples of its table.
        example: Option<&'static str>,
    },
}

/// When a changed key takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadClass {
    /// With a reload.
    Reload,
    /// At the next start: a socket, a thread, a file that one process has from its start to its end.
    Restart,
}

impl Key {
    /// The fields that most rows have in common.
    pub(super) const ROW: Self = Self {
        name: "",
        default: DefaultValue::Toml(""),
        range: "",
        reload: ReloadClass::Reload,
        pushable: false,
        alias: None,
        text: "",
    };

    /// The table: `server` of `server.grace`.
    pub fn table(&self) -> &'static str {
        self.name.split_once('.').map_or("", |(table, _)| table)
    }

    /// The key within its table: `grace` of `server.grace`.
    pub fn key(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(_, key)| key)
    }

    /// The last part of the name: `origins` of `rules.cors.origins`.
    pub fn last(&self) -> &'static str {
        self.name.rsplit_once('.').map_or(self.name, |(_, last)| last)
    }

    /// The default value of a row that has one.
    #[expect(clippy::expect_used, reason = "the values are constants of the rows, and every test parses them")]
    pub(super) fn default_value<T>(&self, parse: impl Fn(&Value<'_>) -> Parsed<T>) -> T {
        let text = match self.default {
            DefaultValue::Toml(text) => text,
            DefaultValue::Absent { .. } => "",
        };
        let toml = DeValue::parse(text).ok();
        let value = toml
            .and_then(|toml| parse(&Value { at: RawLocation::Offset(0), raw: RawValue::Toml(toml.get_ref()) }).ok());
        value.expect("the default value of a row is valid")
    }
}

impl DefaultValue {
    /// No value. In words: what that means; as TOML: an example.
    pub(super) const fn absent(means: &'static str, example: &'static str) -> Self {
        Self::Absent { means, example: Some(example) }
    }

    /// Every entry of the array must have the key.
    pub(super) const fn required(example: &'static str) -> Self {
        Self::absent("required", example)
    }
}

/// Goes through the keys of the single tables, in the file's order, and gives each its value.
///
/// A visitor is handed the row of a key, the parser of its value, and the field that has the value in a [`Config`].
pub(super) trait TableVisitor {
    /// A table begins. `text` says what it is about.
    fn table(&mut self, name: &'static str, text: &'static str) {
        _ = (name, text);
    }

    /// The value of a key; `None` where it has none.
    fn optional<T: Clone + PartialEq>(
        &mut self,
        key: Key,
        parse: impl Fn(&Value<'_>) -> Parsed<T>,
        field: impl Fn(&Config) -> Option<&T>,
    ) -> Option<T>;

    /// The value of a key whose row has a default value.
    fn value<T: Clone + PartialEq>(
        &mut self,
        key: Key,
        parse: impl Fn(&Value<'_>) -> Parsed<T>,
        field: impl Fn(&Config) -> &T,
    ) -> T {
        self.optional(key, &parse, |config| Some(field(config))).unwrap_or_else(|| key.default_value(parse))
    }
}

/// A table within an entry.
pub(super) enum Nested<T> {
    /// It is not there.
    Absent,
    /// `false` stands in its place.
    Off,
    /// It is there, or what stands there is wrong and reported.
    Is(T),
}

/// Goes through the keys of one entry of an array of tables.
pub(super) trait EntryVisitor {
    /// The entry begins. `text` says what its array is about.
    fn array(&mut self, name: &'static str, text: &'static str) {
        _ = (name, text);
    }

    /// The value of a key; `None` where it has none.
    fn optional<T>(&mut self, key: Key, parse: impl Fn(&Value<'_>) -> Parsed<T>) -> Option<T>;

    /// A table within the entry, of that full name such as `rules.cors`, whose keys are `read`; `false` in its place is
    /// [`Nested::Off`].
    fn table<T>(&mut self, name: &'static str, read: impl FnOnce(&mut Self) -> T) -> Nested<T>;

    /// The same of a table in whose place `false` means nothing; `None`: it is not there, or no table, which is reported.
    fn target<T>(&mut self, name: &'static str, read: impl FnOnce(&mut Self) -> T) -> Option<T>;

    /// The same of a key that every entry must have.
    fn required<T>(&mut self, key: Key, parse: impl Fn(&Value<'_>) -> Parsed<T>) -> Option<T> {
        self.optional(key, parse)
    }
}
