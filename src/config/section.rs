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

use super::errors::{At, Fault, shown};
use super::value::{Given, Parsed, Value};

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
    faults: RefCell<Vec<(At, Fault)>>,
    places: RefCell<BTreeMap<String, At>>,
}

impl<'a> Reader<'a> {
    /// Without faults yet.
    pub(super) fn new(env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { env, faults: RefCell::default(), places: RefCell::default() }
    }

    /// One more fault.
    pub(super) fn fault(&self, at: At, key: impl Into<String>, what: impl Into<String>) {
        if !self.is_full() {
            self.faults.borrow_mut().push((at, Fault { key: key.into(), what: what.into() }));
        }
    }

    /// Whether further faults are not told.
    pub(super) fn is_full(&self) -> bool {
        self.faults.borrow().len() >= MAX_FAULTS
    }

    /// All of them, in the order they were found, and where each key stands that was set well.
    pub(super) fn finish(self) -> (Vec<(At, Fault)>, BTreeMap<String, At>) {
        (self.faults.into_inner(), self.places.into_inner())
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
enum Outcome {
    /// Nobody set it.
    Unset,
    /// Set, well, here.
    Good(At),
    /// Set, badly, here, and reported.
    Bad(At),
}

/// A table of the file.
pub(super) struct Section<'a> {
    reader: &'a Reader<'a>,
    name: &'static str,
    at: At,
    table: Option<&'a DeTable<'a>>,
    source: Source,
    asked: BTreeMap<&'static str, Outcome>,
}

impl<'a> Section<'a> {
    /// The file's top.
    pub(super) fn top(reader: &'a Reader<'a>, table: &'a DeTable<'a>) -> Self {
        Self::new(reader, "", At::Offset(0), Some(table), Source::File)
    }

    fn new(reader: &'a Reader<'a>, name: &'static str, at: At, table: Option<&'a DeTable<'a>>, source: Source) -> Self {
        Self { reader, name, at, table, source, asked: BTreeMap::new() }
    }

    /// The table `[name]` below this one; without keys where it is missing.
    pub(super) fn section(&mut self, name: &'static str) -> Section<'a> {
        let table = match self.ask(name) {
            Some((_, value)) => match value.get_ref() {
                DeValue::Table(table) => Some((value.span().start, table)),
                other => {
                    let what = format!("is of type {}; must be a table, written as [{name}]", other.type_str());
                    self.reader.fault(At::Offset(value.span().start), name, what);
                    None
                }
            },
            None => None,
        };
        let at = At::Offset(table.map_or(0, |(at, _)| at));
        Self::new(self.reader, name, at, table.map(|(_, table)| table), Source::FileAndEnvironment)
    }

    /// The tables `[[name]]` below this one, in the file's order.
    pub(super) fn entries(&mut self, name: &'static str) -> Vec<Section<'a>> {
        let Some((_, value)) = self.ask(name) else { return Vec::new() };
        let refused = |value: &Spanned<DeValue<'_>>| {
            let kind = value.get_ref().type_str();
            let what = format!("is of type {kind}; must be an array of tables, each written as [[{name}]]");
            self.reader.fault(At::Offset(value.span().start), name, what);
        };
        let DeValue::Array(array) = value.get_ref() else {
            refused(value);
            return Vec::new();
        };
        let mut entries = Vec::new();
        for element in array.iter() {
            match element.get_ref() {
                DeValue::Table(table) => {
                    let at = At::Offset(element.span().start);
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
        let mut outcome = Outcome::Unset;
        let in_file = self.ask(key).map(|(_, value)| (At::Offset(value.span().start), Given::Toml(value.get_ref())));
        let in_environment = self.variable(key);
        let from_environment =
            in_environment.as_ref().map(|(name, text)| (At::Variable(name.clone()), Given::Text(text)));
        for (at, given) in in_file.into_iter().chain(from_environment) {
            match parse(&Value { at: at.clone(), given }) {
                Ok(value) => {
                    result = Some(value);
                    if !matches!(outcome, Outcome::Bad(_)) {
                        outcome = Outcome::Good(at);
                    }
                }
                Err(flaws) => {
                    outcome = Outcome::Bad(at);
                    for (at, what) in flaws {
                        self.reader.fault(at, self.full(key), what);
                    }
                }
            }
        }
        if let (Outcome::Good(at), Source::FileAndEnvironment) = (&outcome, self.source) {
            self.reader.places.borrow_mut().insert(self.full(key), at.clone());
        }
        self.asked.insert(key, outcome);
        result
    }

    /// Has the place of `key` known as `name`: of an array's entries that is not done for each.
    pub(super) fn place(&self, key: &str, name: String) {
        self.reader.places.borrow_mut().insert(name, self.at(key));
    }

    /// As [`optional`](Self::optional), but a key that nobody set is a fault of the table.
    pub(super) fn required<T>(&mut self, key: &'static str, parse: impl Fn(&Value<'_>) -> Parsed<T>) -> Option<T> {
        let value = self.optional(key, parse);
        if matches!(self.asked.get(key), Some(Outcome::Unset)) {
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
    pub(super) fn at(&self, key: &str) -> At {
        match self.asked.get(key) {
            Some(Outcome::Good(at) | Outcome::Bad(at)) => at.clone(),
            Some(Outcome::Unset) | None => self.at.clone(),
        }
    }

    /// Whether somebody set `key`, well or badly.
    pub(super) fn is_set(&self, key: &str) -> bool {
        matches!(self.asked.get(key), Some(Outcome::Good(_) | Outcome::Bad(_)))
    }

    /// Whether `key` is set badly, so that its default stands in its place.
    pub(super) fn is_bad(&self, key: &str) -> bool {
        matches!(self.asked.get(key), Some(Outcome::Bad(_)))
    }

    /// A fault of a value that is good by itself.
    pub(super) fn refuse(&self, key: &str, what: impl Into<String>) {
        self.reader.fault(self.at(key), self.full(key), what);
    }

    /// A fault between two values: blamed on the first of `keys` that was set. Nothing is said where one of them is
    /// bad already, since its default would be compared then.
    pub(super) fn refuse_together(&self, keys: &[&str], what: impl Into<String>) {
        if keys.iter().any(|key| self.is_bad(key)) {
            return;
        }
        if let Some(key) = keys.iter().find(|key| self.is_set(key)) {
            self.refuse(key, what);
        }
    }

    /// Refuses every key that nobody asked for.
    pub(super) fn finish(&self) {
        for (key, _) in self.table.into_iter().flatten() {
            let given = key.get_ref().as_ref();
            if self.asked.contains_key(given) {
                continue;
            }
            let what = match nearest(given, self.asked.keys().copied()) {
                Some(known) => format!("is not known; did you mean \"{known}\"?"),
                None => {
                    let known: Vec<_> = self.asked.keys().copied().collect();
                    format!("is not known; known keys: {}", known.join(", "))
                }
            };
            // An empty key, which TOML allows, is shown as it is written.
            let named = if given.is_empty() { "\"\"".to_owned() } else { shown(given) };
            self.reader.fault(At::Offset(key.span().start), self.full(&named), what);
        }
    }

    fn ask(&mut self, key: &'static str) -> Option<(&'a Spanned<toml::de::DeString<'a>>, &'a Spanned<DeValue<'a>>)> {
        self.asked.insert(key, Outcome::Unset);
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
