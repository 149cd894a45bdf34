//! Reads a configuration: from a file or a text, and the environment, to a [`Config`] or every error.
//!
//! Opens the file and nothing else. The environment is a function that the caller gives, so that tests need none. Callers:
//! `cli` (`check`, `run`), and `app` for a reload.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

use toml::de::DeTable;

use super::allowed::AllowedSettings;
use super::errors::{ConfigErrors, Fault};
use super::layers::Layer;
use super::location::{KeyLocations, Lines, RawLocation};
use super::printable::printable;
use super::reading::FileTables;
use super::section::{Reader, Section};
use super::types::Config;
use super::{arrays, permitted, tables};

/// The largest file that is read: room for 100,000 keys and as many routes, and an end to `/dev/zero`.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// U+FEFF, with which some editors begin a file in UTF-8.
const BYTE_ORDER_MARK: char = '\u{feff}';

impl Config {
    /// Reads `path`, at most 64 MiB of it; otherwise as [`parse`](Self::parse).
    ///
    /// # Errors
    /// A file that cannot be read or is no UTF-8, and what [`parse`](Self::parse) refuses.
    pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigErrors> {
        Self::load_with_locations(path, env).map(|(config, _)| config)
    }

    /// As [`load`](Self::load). Also returns where each value is set.
    ///
    /// # Errors
    /// The same.
    pub fn load_with_locations(
        path: &Path,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(Self, KeyLocations), ConfigErrors> {
        let name = path.display().to_string();
        let text = read_text(path, &name)?;
        Self::parse_with_locations(&name, &text, env)
    }

    /// As [`load_with_locations`](Self::load_with_locations), with layers between the file and the environment, the last one above the
    /// others. What the file and the environment say of `cluster.settings` counts for them.
    ///
    /// # Errors
    /// The same; and what is wrong with a layer.
    pub fn load_with_layers(
        path: &Path,
        layers: &[Layer],
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(Self, KeyLocations), ConfigErrors> {
        let name = path.display().to_string();
        let text = read_text(path, &name)?;
        let (alone, locations) = Self::parse_with_locations(&name, &text, env)?;
        if layers.is_empty() {
            return Ok((alone, locations));
        }
        Self::parse_with_layers(&name, &text, &Layers { layers, allowed: &alone.cluster.settings }, env)
    }

    /// Reads `text`, which is TOML, and the environment, which takes precedence. What neither sets has its default value.
    ///
    /// `file_name` appears in errors only. `env` gives the value of one variable: `FURT_<TABLE>_<KEY>` for the keys of the
    /// single tables (lists with commas), and the aliases in their rows. An empty variable is a value like any other.
    ///
    /// # Errors
    /// Everything that is wrong, at once, up to 100,000 errors: syntax, unknown or missing keys, invalid values, and values
    /// that contradict each other. After a syntax error the rest is not read, because it may mean anything.
    pub fn parse(file_name: &str, text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigErrors> {
        Self::parse_with_locations(file_name, text, env).map(|(config, _)| config)
    }

    pub(super) fn parse_with_locations(
        file_name: &str,
        text: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(Self, KeyLocations), ConfigErrors> {
        let none = Layers { layers: &[], allowed: &[] };
        Self::parse_with_layers(file_name, text, &none, env)
    }

    fn parse_with_layers(
        file_name: &str,
        text: &str,
        over: &Layers<'_>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(Self, KeyLocations), ConfigErrors> {
        // Some editors put a byte order mark first; it must not count as a column.
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        let lines = Lines::new(text);
        let (table, syntax) = DeTable::parse_recoverable(text);
        let parsed: Vec<_> = over.layers.iter().map(|layer| DeTable::parse_recoverable(&layer.text)).collect();
        let (mut reader, mut passed_over) = (Reader::new(env), BTreeSet::new());
        for (number, (table, errors)) in parsed.iter().enumerate() {
            for error in errors {
                let at = RawLocation::Layer(number, error.span().map_or(0, |span| span.start));
                reader.fault(at, "TOML", printable(error.message()));
            }
            let (layer, faults) = permitted::judge(table.get_ref(), over.allowed, over.layers[number].disallowed);
            for (offset, Fault { key, message }) in faults {
                reader.fault(RawLocation::Layer(number, offset), key, message);
            }
            passed_over.extend(layer.passed_over.iter().copied());
            reader.lay_over(layer);
        }
        let mut config = match report_syntax(&reader, &lines, text, &syntax) {
            Syntax::Whole => read(Section::top(&reader, table.get_ref()), &lines),
            Syntax::Broken => Self::default(),
        };
        config.passed_over = passed_over;
        let (faults, locations) = reader.finish();
        let place = |at: RawLocation| match at {
            RawLocation::Layer(number, offset) => {
                let Layer { name, text, .. } = &over.layers[number];
                Lines::new(text).location(name, RawLocation::Offset(offset))
            }
            at => lines.location(file_name, at),
        };
        let locations = locations.into_iter().map(|(key, at)| (key, place(at))).collect();
        ConfigErrors::collect(faults, place).map_or(Ok((config, KeyLocations(locations))), Err)
    }
}

/// What lies over a file.
struct Layers<'a> {
    layers: &'a [Layer],
    allowed: &'a [AllowedSettings],
}

fn read_text(path: &Path, name: &str) -> Result<String, ConfigErrors> {
    let read = || {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    let bytes = read().map_err(|error| ConfigErrors::unreadable(name, &error))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(ConfigErrors::unreadable(name, &"it is larger than 64 MiB"));
    }
    String::from_utf8(bytes).map_err(|error| ConfigErrors::not_utf8(name, &error))
}

fn read(mut top: Section<'_>, lines: &Lines<'_>) -> Config {
    let mut file = FileTables::new(&mut top);
    let mut config = tables::visit(&mut file);
    tables::check(&file, &config);
    if let Some(why) = permitted::useless(&config.cluster.settings) {
        file.refuse("cluster.settings", why);
    }
    file.finish();
    arrays::read(&mut top, &mut config, lines);
    top.finish();
    config
}

/// Whether the file's structure can be trusted.
#[derive(PartialEq, Eq)]
enum Syntax {
    /// It can. At worst a key is set twice.
    Whole,
    /// It cannot: a line is not TOML.
    Broken,
}

/// Reports what is not TOML: the first error of each line. The others of the line mostly follow from it.
fn report_syntax(reader: &Reader<'_>, lines: &Lines<'_>, text: &str, syntax_errors: &[toml::de::Error]) -> Syntax {
    let mut syntax = Syntax::Whole;
    let mut reported = BTreeSet::new();
    // The parser would skip a second one as well.
    if text.starts_with(BYTE_ORDER_MARK) {
        syntax = Syntax::Broken;
        reported.insert(1);
        reader.fault(RawLocation::Offset(0), "TOML", "a second byte order mark; must be at most one");
    }
    for error in syntax_errors {
        if reader.is_full() {
            break;
        }
        let Some(span) = error.span() else {
            // Such as a key with more dots than the parser follows.
            syntax = Syntax::Broken;
            reader.fault(
                RawLocation::Offset(0),
                "TOML",
                format!("{}, at a place that is not told", printable(error.message())),
            );
            continue;
        };
        let line = lines.position(span.start).0;
        if !reported.insert(line) {
            continue;
        }
        let at = RawLocation::Offset(span.start);
        if error.message() == "duplicate key" {
            let key = text.get(span).unwrap_or_default();
            reader.fault(at, printable(key), "is set twice; must be set once");
        } else {
            syntax = Syntax::Broken;
            reader.fault(at, "TOML", printable(&error.message().replacen(", expected ", "; expected ", 1)));
        }
    }
    syntax
}
