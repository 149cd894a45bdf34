//! Changes of settings: from the document that is in force to the next one, and what was in force before.

use furt_cluster::model::{Document, Scope, SettingsId};
use furt_cluster::{Cluster, Command, Refusal, Setting};
use serde::{Deserialize, Serialize};

use super::handle::{Failure, KnownSettings, SettingsChange};

/// Documents that were in force here and are kept.
const MOST_PAST: usize = 64;

/// A document that was put in force here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Past {
    scope: Scope,
    id: SettingsId,
    at_ms: i64,
    text: String,
}

/// What was put in force here, the latest last.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct History(Vec<Past>);

impl History {
    /// With one more, and without the oldest.
    pub(super) fn with(&self, scope: Scope, id: SettingsId, document: &Document, at_ms: i64) -> Self {
        let others = self.0.iter().filter(|past| (past.scope, past.id) != (scope, id)).cloned();
        let mut all: Vec<_> = others.chain([Past { scope, id, at_ms, text: document.text().to_owned() }]).collect();
        let surplus = all.len().saturating_sub(MOST_PAST);
        all.drain(..surplus);
        Self(all)
    }
}

/// The command that makes a change.
///
/// # Errors
/// A document that this node does not have, one that is in force meanwhile, or keys that are none.
pub(super) fn command(core: &Cluster, change: &SettingsChange) -> Result<Command, Failure> {
    let mut settings = Vec::new();
    for scope in &change.scopes {
        let (generation, text) = match core.latest(*scope) {
            None => (0, ""),
            Some((id, Some(document))) => (id.generation, document.text()),
            Some((id, None)) => {
                let why = format!(
                    "this node does not have generation {} of the settings of {}; change them at the commander that set them",
                    id.generation,
                    of(scope)
                );
                return Err(Failure::Settings(vec![why]));
            }
        };
        if change.expect.is_some_and(|expect| expect != generation) {
            return Err(Refusal::Outdated { scope: *scope, generation }.into());
        }
        let text = changed(text, change)?;
        let document = furt_seal::document(&text).map_err(|why| Failure::Settings(vec![why.to_string()]))?;
        settings.push(Setting { scope: *scope, document, expect: generation });
    }
    Ok(Command::Set { settings, agreement: change.agreement, restart: change.restart })
}

/// A document with its keys changed. Whether they are keys, and of the right values, each target says.
fn changed(text: &str, change: &SettingsChange) -> Result<String, Failure> {
    let wrong = |why: String| Failure::Settings(vec![why]);
    let mut document: toml::Table = text.parse().map_err(|why: toml::de::Error| wrong(why.message().to_owned()))?;
    let parts = |name: &str| {
        let parts = name.split_once('.').filter(|(table, key)| !table.is_empty() && !key.is_empty());
        let parts = parts.map(|(table, key)| (table.to_owned(), key.to_owned()));
        parts.ok_or_else(|| wrong(format!("{name}: is no key; must be a table and a key, such as limits.max_body")))
    };
    for name in &change.unset {
        let (table, key) = parts(name)?;
        let keys = document.get_mut(&table).and_then(toml::Value::as_table_mut);
        if keys.and_then(|keys| keys.remove(&key)).is_none() {
            return Err(wrong(format!("{name}: is not set")));
        }
    }
    for (name, value) in &change.set {
        let (table, key) = parts(name)?;
        let keys = document.entry(table).or_insert_with(|| toml::Table::new().into());
        if let Some(keys) = keys.as_table_mut() {
            keys.insert(key, value.clone());
        }
    }
    document.retain(|_, keys| keys.as_table().is_none_or(|keys| !keys.is_empty()));
    Ok(document.to_string())
}

/// The settings of all scopes, the latest first.
pub(super) fn known(core: &Cluster, heads: impl IntoIterator<Item = Scope>, history: &History) -> Vec<KnownSettings> {
    let is_applied = |scope, id| core.document(scope).is_some_and(|(applied, _)| applied == id);
    let mut all: Vec<_> = history
        .0
        .iter()
        .map(|Past { scope, id, at_ms, text }| KnownSettings {
            scope: *scope,
            id: *id,
            is_latest: core.latest(*scope).is_some_and(|(latest, _)| latest == *id),
            is_applied: is_applied(*scope, *id),
            applied_ms: Some(*at_ms),
            text: Some(text.clone()),
        })
        .collect();
    for scope in heads {
        let Some((id, document)) = core.latest(scope) else { continue };
        if !all.iter().any(|known| (known.scope, known.id) == (scope, id)) {
            all.push(KnownSettings {
                scope,
                id,
                is_latest: true,
                is_applied: is_applied(scope, id),
                applied_ms: None,
                text: document.map(|document| document.text().to_owned()),
            });
        }
    }
    all.sort_by_key(|known| (known.scope, std::cmp::Reverse(known.id)));
    all
}

pub(super) fn of(scope: &Scope) -> String {
    match scope {
        Scope::Cluster => "the cluster".to_owned(),
        Scope::Node(node) => node.short(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use furt_cluster::Agreement;
    use furt_cluster::model::Restart;

    use super::*;

    fn change(set: &[(&str, toml::Value)], unset: &[&str]) -> SettingsChange {
        SettingsChange {
            scopes: vec![Scope::Cluster],
            set: set.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect::<BTreeMap<_, _>>(),
            unset: unset.iter().map(|key| (*key).to_owned()).collect::<BTreeSet<_>>(),
            expect: None,
            agreement: Agreement::All,
            restart: Restart::Never,
        }
    }

    #[test]
    fn a_document_is_changed_key_by_key_and_stays_whole() {
        let first = changed("", &change(&[("limits.max_body", 5.into()), ("client.header_timeout", "2s".into())], &[]));
        let first = first.unwrap();
        assert_eq!(first, "[client]\nheader_timeout = \"2s\"\n\n[limits]\nmax_body = 5\n");
        let second = changed(&first, &change(&[("limits.max_body", 6.into())], &["client.header_timeout"])).unwrap();
        assert_eq!(second, "[limits]\nmax_body = 6\n");
        assert_eq!(changed(&second, &change(&[], &["limits.max_body"])).unwrap(), "");
        for (set, unset) in [("limits", ""), (".x", ""), ("x.", ""), ("", "limits.address_rate"), ("", "x")] {
            let set: &[_] = if set.is_empty() { &[] } else { &[(set, toml::Value::from(1))] };
            let unset: &[_] = if unset.is_empty() { &[] } else { &[unset] };
            assert!(matches!(changed(&second, &change(set, unset)), Err(Failure::Settings(_))), "{set:?} {unset:?}");
        }
    }

    #[test]
    fn a_history_is_bounded_and_has_each_document_once() {
        let mut history = History::default();
        for generation in 1..=100 {
            let document = furt_seal::document(&format!("[limits]\nmax_body = {generation}\n")).unwrap();
            let id = SettingsId { generation, digest: document.digest() };
            history = history.with(Scope::Cluster, id, &document, 1);
            history = history.with(Scope::Cluster, id, &document, 2);
        }
        assert_eq!(history.0.len(), MOST_PAST);
        assert_eq!(history.0.last().map(|past| (past.id.generation, past.at_ms)), Some((100, 2)));
        let written = serde_json::to_string(&history).unwrap();
        assert_eq!(serde_json::from_str::<History>(&written).unwrap(), history);
    }
}
