//! Walking the file: sections, their keys, and what the environment says instead.
//!
//! A [`Section`] learns its known keys by being asked for them; [`Section::finish`] then refuses whatever else stands
//! in it. Every fault goes to the one [`Reader`], and reading goes on, so that all are reported at once. What the
//! environment sets is used in place of what the file sets, and the file's value is checked all the same. Callers:
//! `sections` (the single tables) and `entries` (the arrays of tables).

use std::cell::RefCell;
use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::errors::{Fault, RawLocation, printable};
use super::value::{Parsed, RawValue, Value};

/// A further variable for a key, from the time of edgeProxy; the `FURT_` one wins over it.
const INHERITED: [(&str, &str, &str); 3] = [
    ("internal", "backends_api", "EDGEPROXY_API_ENABLED"),
    ("internal", "listen", "EDGEPROXY_API_LISTEN_ADDR"),
    ("registration", "heartbeat_ttl", "EDGEPROXY_HEARTBEAT_TTL_SECS"),
];

/// Faults that are kept, one for each API key of the largest configuration there may be: a file that is no configuration at
/// all has millions.
const MAX_FAULTS: usize = 100_000;

/// Collects what is wrong.
pub(super) struct Reader<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    faults: RefCell<Vec<(RawLocation, Fault)>>,
    locations: RefCell<BTreeMap<String, RawLocation>>,
}

impl<'a> Reader<'a> {
    /// Without faults yet.
    pub(super) fn new(env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { env, faults: RefCell::default(), locations: RefCell::default() }
    }

    /// One more fault.
    pub(super) fn fault(&self, at: RawLocation, key: impl Into<String>, message: impl Into<String>) {
        if !self.is_full() {
            self.faults.borrow_mut().push((at, Fault { key: key.into(), message: message.into() }));
        }
    }

    /// Whether further faults are not told.
    pub(super) fn is_full(&self) -> bool {
        self.faults.borrow().len() >= MAX_FAULTS
    }

    /// All of them, in the order they were found, and where each key stands that was set well.
    pub(super) fn finish(self) -> (Vec<(RawLocation, Fault)>, BTreeMap<String, RawLocation>) {
        (self.faults.into_inner(), self.locations.into_inner())
    }
}

/// Where its values may come from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The file, and `FURT_<SECTION>_<KEY>` before it.
    FileAndEnvironment,
    /// The file alone: an entry of an array, and the file's top itself.
    File,
}

/// What became of a key that was asked for.
#[derive(Clone)]
enum KeyState {
    /// Nobody set it.
    Unset,
    /// Set, well, here.
    Valid(RawLocation),
    /// Set, badly, here, and reported.
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
        let table = match self.ask(name) {
            Some((_, value)) => match value.get_ref() {
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
        let Some((_, value)) = self.ask(name) else { return Vec::new() };
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

    /// The value of `key`, where one is set and good.
    pub(super) fn optional<T>(&mut self, key: &'static str, parse: impl Fn(&Value<'_>) -> Parsed<T>) -> Option<T> {
        let mut result = None;
        let mut state = KeyState::Unset;
        let in_file =
            self.ask(key).map(|(_, value)| (RawLocation::Offset(value.span().start), RawValue::Toml(value.get_ref())));
        let in_environment = self.variable(key);
        let from_environment =
            in_environment.as_ref().map(|(name, text)| (RawLocation::Variable(name.clone()), RawValue::Text(text)));
        for (at, raw) in in_file.into_iter().chain(from_environment) {
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
                        self.reader.fault(at, self.full(key), message);
                    }
                }
            }
        }
        if let (KeyState::Valid(at), Source::FileAndEnvironment) = (&state, self.source) {
            self.reader.locations.borrow_mut().insert(self.full(key), at.clone());
        }
        self.states.insert(key, state);
        result
    }

    /// Has the place of `key` known as `name`: of an array's entries that is not done for each.
    pub(super) fn record_location(&self, key: &str, name: String) {
        self.reader.locations.borrow_mut().insert(name, self.at(key));
    }

    /// As [`optional`](Self::optional), but a key that nobody set is a fault of the table.
    pub(super) fn required<T>(&mut self, key: &'static str, parse: impl Fn(&Value<'_>) -> Parsed<T>) -> Option<T> {
        let value = self.optional(key, parse);
        if matches!(self.states.get(key), Some(KeyState::Unset)) {
            self.reader.fault(self.at.clone(), self.full(key), format!("is missing; every [[{}]] needs it", self.name));
        }
        value
    }

    /// Puts the value of `key` into `slot`, which keeps its default where none is set.
    pub(super) fn set<T>(&mut self, key: &'static str, slot: &mut T, parse: impl Fn(&Value<'_>) -> Parsed<T>) {
        if let Some(value) = self.optional(key, parse) {
            *slot = value;
        }
    }

    /// Where the value of `key` stands; the table where nobody set it.
    pub(super) fn at(&self, key: &str) -> RawLocation {
        match self.states.get(key) {
            Some(KeyState::Valid(at) | KeyState::Invalid(at)) => at.clone(),
            Some(KeyState::Unset) | None => self.at.clone(),
        }
    }

    /// Whether somebody set `key`, well or badly.
    pub(super) fn is_set(&self, key: &str) -> bool {
        matches!(self.states.get(key), Some(KeyState::Valid(_) | KeyState::Invalid(_)))
    }

    /// Whether `key` is set badly, so that its default stands in its place.
    pub(super) fn is_invalid(&self, key: &str) -> bool {
        matches!(self.states.get(key), Some(KeyState::Invalid(_)))
    }

    /// A fault of a value that is good by itself.
    pub(super) fn refuse(&self, key: &str, message: impl Into<String>) {
        self.reader.fault(self.at(key), self.full(key), message);
    }

    /// A fault between two values: blamed on the first of `keys` that was set. Nothing is said where one of them is
    /// bad already, since its default would be compared then.
    pub(super) fn refuse_together(&self, keys: &[&str], message: impl Into<String>) {
        if keys.iter().any(|key| self.is_invalid(key)) {
            return;
        }
        if let Some(key) = keys.iter().find(|key| self.is_set(key)) {
            self.refuse(key, message);
        }
    }

    /// Refuses every key that nobody asked for.
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

    fn ask(&mut self, key: &'static str) -> Option<(&'a Spanned<toml::de::DeString<'a>>, &'a Spanned<DeValue<'a>>)> {
        self.states.insert(key, KeyState::Unset);
        self.table.and_then(|table| table.get_key_value(key))
    }

    fn variable(&self, key: &str) -> Option<(String, String)> {
        if self.source == Source::File {
            return None;
        }
        let own = format!("FURT_{}_{key}", self.name).to_ascii_uppercase();
        let inherited = INHERITED.iter().filter(|(name, of, _)| *name == self.name && *of == key);
        std::iter::once(own)
            .chain(inherited.map(|(_, _, variable)| (*variable).to_owned()))
            .find_map(|name| (self.reader.env)(&name).map(|text| (name, text)))
    }

    fn full(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }
}

/// The known key that `given` was probably meant to be: at most two slips away, and not nearly all of it.
fn nearest<'k>(given: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let given: String = given.chars().take(64).collect::<String>().to_ascii_lowercase().replace('-', "_");
    known
        .map(|key| (strsim::damerau_levenshtein(&given, key), key))
        .filter(|(slips, key)| *slips <= 2 && slips * 3 <= key.len())
        .min()
        .map(|(_, key)| key)
}
