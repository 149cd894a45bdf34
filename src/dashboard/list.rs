//! What is kept up to date in a page: lists whose items have keys. A page is made with them, and what changed in them since
//! is sent to it.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use maud::{Markup, PreEscaped, Render, html};
use serde::Serialize;

/// What a list is in the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Rows of a table.
    Rows,
    /// Parts of a page, one below the other.
    Parts,
}

/// Items that come, go, move and change.
#[derive(Debug)]
pub struct List {
    /// Of its element; no two lists of a page have the same.
    id: &'static str,
    shape: Shape,
    items: Vec<(String, String)>,
}

impl List {
    fn new(id: &'static str, shape: Shape, items: impl Iterator<Item = (String, Markup)>) -> Self {
        Self { id, shape, items: items.map(|(key, item)| (key, item.into_string())).collect() }
    }

    /// Rows of a table: each a key, which no two share, and its cells.
    pub(super) fn rows(id: &'static str, items: impl Iterator<Item = (String, Markup)>) -> Self {
        Self::new(id, Shape::Rows, items)
    }

    /// One part of a page.
    pub(super) fn part(id: &'static str, part: Markup) -> Self {
        Self::new(id, Shape::Parts, std::iter::once((String::new(), part)))
    }

    /// Whether it has no item.
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

impl Render for List {
    fn render(&self) -> Markup {
        let items = self.items.iter().map(|(key, item)| (key, PreEscaped(item)));
        match self.shape {
            Shape::Rows => html! {
                tbody id=(self.id) data-live="tr" { @for (key, item) in items { tr data-key=(key) { (item) } } }
            },
            Shape::Parts => html! {
                div id=(self.id) data-live="div" { @for (key, item) in items { div data-key=(key) { (item) } } }
            },
        }
    }
}

/// What one reader of a page has been sent.
#[derive(Default)]
pub struct Changes(HashMap<&'static str, Vec<(String, u64)>>);

/// What changed in a list, as it is sent.
#[derive(Serialize)]
struct Change<'a> {
    id: &'a str,
    /// The keys in their order, where that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<Vec<&'a str>>,
    /// Items that are new or other ones.
    items: Vec<(&'a str, &'a str)>,
}

impl Changes {
    /// What is to be sent, as JSON; `None`: nothing changed. All is to be sent the first time.
    pub fn of(&mut self, lists: &[List]) -> Option<String> {
        let changed: Vec<_> = lists.iter().filter_map(|list| self.of_list(list)).collect();
        if changed.is_empty() {
            return None;
        }
        // Texts can be written as JSON.
        serde_json::to_string(&changed).ok()
    }

    fn of_list<'a>(&mut self, list: &'a List) -> Option<Change<'a>> {
        let now: Vec<_> = list.items.iter().map(|(key, item)| (key.clone(), fingerprint(item))).collect();
        let before = self.0.insert(list.id, now);
        let now = &self.0[list.id];
        let Some(before) = before else {
            let items = list.items.iter().map(|(key, item)| (key.as_str(), item.as_str())).collect();
            return Some(Change { id: list.id, order: Some(keys(list)), items });
        };
        if before == *now {
            return None;
        }
        let is_moved = before.len() != now.len() || before.iter().zip(now).any(|((one, _), (other, _))| one != other);
        let known: HashMap<_, _> = before.into_iter().collect();
        let is_other = |((key, _), (_, print)): &(&(String, String), &(String, u64))| known.get(key) != Some(print);
        let items = list.items.iter().zip(now).filter(is_other).map(|((key, item), _)| (key.as_str(), item.as_str()));
        Some(Change { id: list.id, order: is_moved.then(|| keys(list)), items: items.collect() })
    }
}

fn keys(list: &List) -> Vec<&str> {
    list.items.iter().map(|(key, _)| key.as_str()).collect()
}

fn fingerprint(item: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    item.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rows(items: &[(&str, &str)]) -> List {
        List::rows("rows", items.iter().map(|(key, text)| ((*key).to_owned(), html! { td { (text) } })))
    }

    #[test]
    fn only_what_changed_is_sent() {
        let mut changes = Changes::default();
        let mut of = |items: &[(&str, &str)]| {
            let part = List::part("part", html! { "same" });
            changes.of(&[rows(items), part]).map(|text| serde_json::from_str::<Value>(&text).unwrap())
        };
        let first = of(&[("a", "1"), ("b", "2")]).unwrap();
        assert_eq!(
            first,
            json!([
                { "id": "rows", "order": ["a", "b"], "items": [["a", "<td>1</td>"], ["b", "<td>2</td>"]] },
                { "id": "part", "order": [""], "items": [["", "same"]] },
            ])
        );
        assert_eq!(of(&[("a", "1"), ("b", "2")]), None);
        let changed = of(&[("a", "1"), ("b", "3")]).unwrap();
        assert_eq!(changed, json!([{ "id": "rows", "items": [["b", "<td>3</td>"]] }]));
        let moved = of(&[("b", "3"), ("c", "4"), ("a", "1")]).unwrap();
        assert_eq!(moved, json!([{ "id": "rows", "order": ["b", "c", "a"], "items": [["c", "<td>4</td>"]] }]));
        let gone = of(&[]).unwrap();
        assert_eq!(gone, json!([{ "id": "rows", "order": [], "items": [] }]));
    }

    #[test]
    fn a_key_and_an_item_are_text_wherever_they_are_written() {
        let shown = rows(&[("\"><script>", "<script>")]).render().into_string();
        assert_eq!(
            shown,
            "<tbody id=\"rows\" data-live=\"tr\"><tr data-key=\"&quot;&gt;&lt;script&gt;\"><td>&lt;script&gt;</td></tr></tbody>"
        );
    }
}
