//! What differs between two configurations, key by key, and which keys keep their value until the next start of furt.
//!
//! The reload class of each key's row says which. Decides nothing: `app` applies what may change, and names the rest.

use super::key::{Key, ReloadClass, TableVisitor};
use super::types::Config;
use super::value::{Parsed, Value};
use super::{arrays, tables};

impl Config {
    /// The keys of this class in which `after` differs, in the file's order. An array of tables counts as one key.
    pub fn changed(&self, after: &Self, class: ReloadClass) -> Vec<&'static str> {
        let mut merge = Merge::new(self, after);
        tables::visit(&mut merge);
        let kind_differs = merge.changed.iter().any(|key| key.name == "store.kind");
        // A store of another kind has another path, or none: that is no change of its own.
        let is_implied = |key: &&Key| key.name == "store.path" && kind_differs;
        let keys = merge.changed.iter().filter(|key| key.reload == class && !is_implied(key)).map(|key| key.name);
        let arrays = arrays::ARRAYS.iter().filter(|array| class == array.reload && (array.differs)(self, after));
        keys.chain(arrays.map(|array| array.name)).collect()
    }

    /// This configuration, but with the values of `running` for every key that needs a restart.
    pub fn until_restart(self, running: &Self) -> Self {
        let merged = tables::visit(&mut Merge::new(running, &self));
        let Self {
            certificates,
            client_auth,
            operators,
            api_keys,
            issuers,
            forward_auth,
            grants,
            routes,
            rules,
            passed_over,
            ..
        } = self;
        Self {
            certificates,
            client_auth,
            operators,
            api_keys,
            issuers,
            forward_auth,
            grants,
            routes,
            rules,
            passed_over,
            ..merged
        }
    }
}

/// Compares two configurations. The outcome has the new value of every key that a reload may change.
struct Merge<'a> {
    running: &'a Config,
    new: &'a Config,
    changed: Vec<Key>,
}

impl<'a> Merge<'a> {
    fn new(running: &'a Config, new: &'a Config) -> Self {
        Self { running, new, changed: Vec::new() }
    }
}

impl TableVisitor for Merge<'_> {
    fn optional<T: Clone + PartialEq>(
        &mut self,
        key: Key,
        _: impl Fn(&Value<'_>) -> Parsed<T>,
        field: impl Fn(&Config) -> Option<&T>,
    ) -> Option<T> {
        let (running, new) = (field(self.running), field(self.new));
        if running != new {
            self.changed.push(key);
        }
        match key.reload {
            ReloadClass::Reload => new.cloned(),
            ReloadClass::Restart => running.cloned(),
        }
    }
}
