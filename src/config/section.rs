//! A table of the file: its keys, and the environment variables that take precedence.
//!
//! A [`Section`] learns its known keys as they are read. [`Section::finish`] then refuses whatever else is in the table.
//! Every fault goes to the one [`Reader`], and reading goes on, so that all are reported at once. A value of the file is
//! checked even where the environment has another one. Callers: `reading` (the single tables) and `arrays`.

use std::cell::RefCell;
use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::errors::Fault;
use super::key::{EntryVisitor, Key, Nested};
use super::layers::ParsedLayer;
use super::location::RawLocation;
use super::nearest::nearest;
use super::printable::printable;
use super::value::{Parsed, RawValue, Value};

/// The most faults that are kept: one for each API key of the largest configuration that is foreseen. A file that is no
/// configuration at all has millions.
const MAX_FAULTS: usize = 100_000;

/// Collects the faults, and the locations of the values.
pub(super) struct Reader<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    faults: RefCell<Vec<(RawLocation, Fault)>>,
    locations: RefCell<BTreeMap<String, RawLocation>>,
    layers: Vec<ParsedLayer<'a>>,
}

impl<'a> Reader<'a> {
    /// No faults yet. `env` gives the value of an environment variable.
    pub(super) fn new(env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { env, faults: RefCell::default(), locations: RefCell::default(), layers: Vec::new() }
    }

    /// One more layer over the file and those before it.
    pub(super) fn lay_over(&mut self, layer: ParsedLayer<'a>) {
        self.layers.push(layer);
    }

    /// One more fault.
    pub(super) fn fault(&self, at: RawLocation, key: impl Into<String>, message: impl Into<String>) {
        if !self.is_full() {
            self.faults.borrow_mut().push((at, Fault { key: key.into(), message: message.into() }));
        }
    }

    /// Whether further faults are dropped.
    pub(super) fn is_full(&self) -> bool {
        self.faults.borrow().len() >= MAX_FAULTS
    }

    /// All faults, in the order in which they were found, and the location of each key with a valid value.
    pub(super) fn finish(self) -> (Vec<(RawLocation, Fault)>, BTreeMap<String, RawLocation>) {
        (self.faults.into_inner(), self.locations.into_inner())
    }
}

/// Where the values of a table may come from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The file, and `FURT_<TABLE>_<KEY>`, which takes precedence.
    FileAndEnvironment,
    /// The file alone: an entry of an array, and the file's top itself.
    File,
}

/// The state of a key that was read.
#[derive(Clone)]
enum KeyState {
    /// Nobody set it.
    Unset,
    /// It is set here, to a valid value.
    Valid(RawLocation),
    /// It is set here, to an invalid value, which is reported.
    Invalid(RawLocation),
}

/// A table of the file.
pub(super) struct Section<'a> {
    reader: &'a Reader<'a>,
    name: &'static str,
    at: RawLocation,
    table: Option<&'a DeTable<'a>>,
    source: Source,
    states: BTreeMap<&'static str, KeyState>,
}

impl<'a> Section<'a> {
    /// The file's top.
    pub(super) fn top(reader: &'a Reader<'a>, table: &'a DeTable<'a>) -> Self {
        Self::new(reader, "", RawLocation::Offset(0), Some(table), Source::File)
    }

    fn new(
        reader: &'a Reader<'a>,
        name: &'static str,
        at: RawLocation,
        table: Option<&'a DeTable<'a>>,
        source: Source,
    ) -> Self {
        Self { reader, name, at, table, source, states: BTreeMap::new() }
    }

    /// The table `[name]` below this one; without keys where it is missing.
    pub(super) fn section(&mut self, name: &'static str) -> Section<'a> {
        let table = match self.look_up(name) {
            Some(value) => match value.get_ref() {
                DeValue::Table(table) => Some((value.span().start, table)),
                other => {
                    let message = format!("is of type {}; must be a table, written as [{name}]", other.type_str());
                    self.reader.fault(RawLocation::Offset(value.span().start), name, message);
                    None
                }
            },
            None => None,
        };
        let at = RawLocation::Offset(table.map_or(0, |(at, _)| at));
        Self::new(self.reader, name, at, table.map(|(_, table)| table), Source::FileAndEnvironment)
    }

    /// The tables `[[name]]` below this one, in the file's order.
    pub(super) fn entries(&mut self, name: &'static str) -> Vec<Section<'a>> {
        let Some(value) = self.look_up(name) else { return Vec::new() };
        let refused = |value: &Spanned<DeValue<'_>>| {
            let kind = value.get_ref().type_str();
            let message = format!("is of type {kind}; must be an array of tables, each written as [[{name}]]");
            self.reader.fault(RawLocation::Offset(value.span().start), name, message);
        };
        let DeValue::Array(array) = value.get_ref() else {
            refused(value);
            return Vec::new();
        };
        let mut entries = Vec::new();
        for element in array.iter() {
            match element.get_ref() {
                DeValue::Table(table) => {
                    let at = RawLocation::Offset(element.span().start);
                    entries.push(Self::new(self.reader, name, at, Some(table), Source::File));
                }
                _ => refused(element),
            }
        }
        entries
    }

    /// The value of `key`, where one is set and valid.
    pub(super) fn read<T>(&mut self, key: Key, parse: impl Fn(&Value<'_>) -> Parsed<T>) -> Option<T> {
        let mut result = None;
        let mut state = KeyState::Unset;
        let in_file = self
            .look_up(key.last())
            .map(|value| (RawLocation::Offset(value.span().start), RawValue::Toml(value.get_ref())));
        let in_environment = self.variable(key);
        let from_environment =
            in_environment.as_ref().map(|(name, text)| (RawLocation::Variable(name.clone()), RawValue::Text(text)));
        let layers = self.reader.layers.iter().enumerate().filter(|_| self.source == Source::FileAndEnvironment);
        let in_layers: Vec<_> = layers
            .filter_map(|(number, layer)| {
                let (offset, value) = layer.get(&key)?;
                Some((RawLocation::Layer(number, offset), RawValue::Toml(value)))
            })
            .collect();
        for (at, raw) in in_file.into_iter().chain(in_layers).chain(from_environment) {
            match parse(&Value { at: at.clone(), raw }) {
                Ok(value) => {
                    result = Some(value);
                    if !matches!(state, KeyState::Invalid(_)) {
                        state = KeyState::Valid(at);
                    }
                }
                Err(errors) => {
                    state = KeyState::Invalid(at);
                    for (at, message) in errors {
                        self.reader.fault(at, key.name, message);
                    }
                }
            }
        }
        if let (KeyState::Valid(at), Source::FileAndEnvironment) = (&state, self.source) {
            self.reader.locations.borrow_mut().insert(key.name.to_owned(), at.clone());
        }
        self.states.insert(key.last(), state);
        result
    }

    /// Records the location of `key` as that of `name`. The locations of entries are not recorded otherwise.
    pub(super) fn record_location(&self, key: &str, name: String) {
        self.reader.locations.borrow_mut().insert(name, self.at(key));
    }

    /// Records this location as that of `name`: of a value in a table within the entry.
    pub(super) fn record_at(&self, at: &RawLocation, name: String) {
        self.reader.locations.borrow_mut().insert(name, at.clone());
    }

    /// The location of the value of `key`; that of the table where nobody set it.
    pub(super) fn at(&self, key: &str) -> RawLocation {
        match self.states.get(key) {
            Some(KeyState::Valid(at) | KeyState::Invalid(at)) => at.clone(),
            Some(KeyState::Unset) | None => self.at.clone(),
        }
    }

    /// Whether somebody set `key`, to a valid value or not.
    pub(super) fn is_set(&self, key: &str) -> bool {
        matches!(self.states.get(key), Some(KeyState::Valid(_) | KeyState::Invalid(_)))
    }

    /// Whether `key` is set to an invalid value. Its default value is used instead then.
    pub(super) fn is_invalid(&self, key: &str) -> bool {
        matches!(self.states.get(key), Some(KeyState::Invalid(_)))
    }

    /// Reports a value that is valid by itself.
    pub(super) fn refuse(&self, key: &str, message: impl Into<String>) {
        self.reader.fault(self.at(key), self.full(key), message);
    }

    /// Reports a value in a table within the entry, which is valid by itself.
    pub(super) fn refuse_at(&self, at: &RawLocation, key: &str, message: impl Into<String>) {
        self.reader.fault(at.clone(), self.full(key), message);
    }

    /// Whether anything in it, or in a table within it, is reported already.
    pub(super) fn has_faults(&self) -> bool {
        let is_own = |fault: &Fault| fault.key.split_once('.').is_some_and(|(table, _)| table == self.name);
        let RawLocation::Offset(start) = self.at else { return false };
        let faults = self.reader.faults.borrow();
        faults.iter().any(|(at, fault)| is_own(fault) && matches!(at, RawLocation::Offset(at) if *at >= start))
    }

    /// Whether the table within it that `key` names, or anything in that, is reported already.
    pub(super) fn has_faults_in(&self, key: &str) -> bool {
        let (table, start) = (self.full(key), self.at(key));
        let is_within =
            |fault: &Fault| fault.key.strip_prefix(&table).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let RawLocation::Offset(start) = start else { return false };
        let faults = self.reader.faults.borrow();
        faults.iter().any(|(at, fault)| is_within(fault) && matches!(at, RawLocation::Offset(at) if *at >= start))
    }

    /// Reports the table itself.
    pub(super) fn refuse_whole(&self, message: impl Into<String>) {
        self.reader.fault(self.at.clone(), self.name, message);
    }

    /// Reports every key that was not read: it is unknown.
    pub(super) fn finish(&self) {
        for (key, _) in self.table.into_iter().flatten() {
            let given = key.get_ref().as_ref();
            if self.states.contains_key(given) {
                continue;
            }
            let message = match nearest(given, self.states.keys().copied()) {
                Some(known) => format!("is not known; did you mean \"{known}\"?"),
                None => {
                    let known: Vec<_> = self.states.keys().copied().collect();
                    format!("is not known; known keys: {}", known.join(", "))
                }
            };
            // An empty key, which TOML allows, is shown as it is written.
            let named = if given.is_empty() { "\"\"".to_owned() } else { printable(given) };
            self.reader.fault(RawLocation::Offset(key.span().start), self.full(&named), message);
        }
    }

    fn look_up(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.states.insert(key, KeyState::Unset);
        self.table?.get(key)
    }

    fn variable(&self, key: Key) -> Option<(String, String)> {
        if self.source == Source::File {
            return None;
        }
        let own = format!("FURT_{}_{}", self.name, key.key()).to_ascii_uppercase();
        let mut names = std::iter::once(own).chain(key.alias.map(str::to_owned));
        names.find_map(|name| (self.reader.env)(&name).map(|text| (name, text)))
    }

    fn full(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }
}

impl EntryVisitor for Section<'_> {
    fn optional<T>(&mut self, key: Key, parse: impl Fn(&Value<'_>) -> Parsed<T>) -> Option<T> {
        self.read(key, parse)
    }

    fn required<T>(&mut self, key: Key, parse: impl Fn(&Value<'_>) -> Parsed<T>) -> Option<T> {
        let value = self.read(key, parse);
        if matches!(self.states.get(key.last()), Some(KeyState::Unset)) {
            let table = match self.name.split_once('.') {
                Some(_) => self.name.to_owned(),
                None => format!("[[{}]]", self.name),
            };
            self.reader.fault(self.at.clone(), key.name, format!("is missing; every {table} needs it"));
        }
        value
    }

    fn table<T>(&mut self, name: &'static str, read: impl FnOnce(&mut Self) -> T) -> Nested<T> {
        match self.look_up_table(name) {
            None => Nested::Absent,
            Some((at, DeValue::Table(table))) => Nested::Is(self.read_table(name, at, table, read)),
            Some((_, DeValue::Boolean(false))) => Nested::Off,
            Some((at, other)) => {
                let message = format!("is of type {}; must be a table, or false", other.type_str());
                self.reader.fault(at, name, message);
                Nested::Off
            }
        }
    }

    fn target<T>(&mut self, name: &'static str, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        match self.look_up_table(name)? {
            (at, DeValue::Table(table)) => Some(self.read_table(name, at, table, read)),
            (at, other) => {
                self.reader.fault(at, name, format!("is of type {}; must be a table", other.type_str()));
                None
            }
        }
    }
}

/// What is between the braces of a table within an entry.
impl<'a> Section<'a> {
    /// What stands in the place of a table of that full name, and where.
    fn look_up_table(&mut self, name: &'static str) -> Option<(RawLocation, &'a DeValue<'a>)> {
        let key = name.rsplit_once('.').map_or(name, |(_, last)| last);
        let value = self.look_up(key)?;
        let at = RawLocation::Offset(value.span().start);
        self.states.insert(key, KeyState::Valid(at.clone()));
        Some((at, value.get_ref()))
    }

    fn read_table<T>(
        &self,
        name: &'static str,
        at: RawLocation,
        table: &'a DeTable<'a>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let mut section = Self::new(self.reader, name, at, Some(table), self.source);
        let values = read(&mut section);
        section.finish();
        values
    }
}
