//! Patterns that nearly match a path that none matches: what was meant, most likely, and what differs.
//!
//! Segments are laid beside each other as words of two sentences are: one may differ in its letters, one may be missing or too
//! much. Only for an operator's question: it looks at every route.

use std::cmp::Reverse;

use furt_api::routes::Near;

use super::views;
use furt_core::model::{MAX_SEGMENTS, Pattern, Segment};
use furt_core::routing::{Route, Snapshot};

/// So many are named.
const MOST: usize = 3;
/// What is further off is another route.
const MAX_COST: u32 = 40;
/// Of a segment that is missing or too much.
const SEGMENT: u32 = 25;
/// Of a segment that is another word.
const WORD: u32 = 35;
/// Of a segment that differs in its case alone.
const CASE: u32 = 5;
/// Of each letter that differs, or is missing, or too much.
const LETTER: u32 = 8;
/// Letters beyond which it is another word; longer words than `MAX_WORD` are not compared.
const MAX_LETTERS: usize = 3;
const MAX_WORD: usize = 64;
/// Of another host.
const HOST: u32 = 10;

/// The nearest patterns first, each once.
pub(super) fn patterns(snapshot: &Snapshot, host: &str, path: &str) -> Vec<Near> {
    // More than a pattern can have, and a missing one beside them, tell nothing more.
    let words: Vec<_> = path.get(1..).unwrap_or_default().split('/').take(MAX_SEGMENTS + 2).collect();
    let mut nearest: Vec<(u32, Vec<String>, &Route)> = Vec::new();
    for route in snapshot.table.iter() {
        let other_host = route.host.as_ref().filter(|own| own.as_str() != host);
        let of_host = if other_host.is_some() { HOST } else { 0 };
        let limit = nearest.get(MOST - 1).map_or(MAX_COST, |(cost, ..)| cost.saturating_sub(1));
        let Some((cost, mut differences)) = compare(&route.pattern, &words, limit.saturating_sub(of_host)) else {
            continue;
        };
        let is_known =
            |(_, _, one): &(u32, Vec<String>, &Route)| one.pattern == route.pattern && one.host == route.host;
        if nearest.iter().any(is_known) {
            continue;
        }
        differences.extend(other_host.map(|own| format!("only for the host {own}")));
        let at = nearest.partition_point(|(other, ..)| *other <= cost + of_host);
        nearest.insert(at, (cost + of_host, differences, &**route));
        nearest.truncate(MOST);
    }
    let near = |(_, differences, route): (u32, Vec<String>, &Route)| Near {
        route: views::route(route, snapshot),
        difference: differences.join("; "),
    };
    nearest.into_iter().map(near).collect()
}

/// How far the pattern is from the path, and what differs; `None`: further than `limit`, or nothing is the same.
fn compare(pattern: &Pattern, words: &[&str], limit: u32) -> Option<(u32, Vec<String>)> {
    let segments: Vec<_> = pattern.segments().collect();
    let missing = segments.len().saturating_sub(words.len());
    let extra = if pattern.is_open() { 0 } else { words.len().saturating_sub(segments.len()) };
    if u32::try_from(missing + extra).unwrap_or(u32::MAX).saturating_mul(CASE) > limit {
        return None;
    }
    // A cell says how the first `i` segments are laid beside the first `j` words.
    let width = words.len() + 1;
    let mut cells = vec![Cell::default(); (segments.len() + 1) * width];
    for i in 0..=segments.len() {
        for j in 0..width {
            if i + j > 0 {
                cells[i * width + j] = best(&segments, words, &cells, (i, j));
            }
        }
    }
    let last = cells.last()?;
    // Of `/` or `/*` every path would be near: something has to be the same, or nearly.
    let is_near = last.cost <= limit && last.alike > 0;
    is_near.then(|| (last.cost, differences(&segments, words, &cells)))
}

/// The cheapest way to a pair of beginnings.
#[derive(Clone, Copy, Default)]
struct Cell {
    cost: u32,
    /// Literals that are the same or nearly.
    alike: u32,
    last: Step,
}

/// What lies beside what, at the end of the two.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Step {
    /// A segment and a word.
    #[default]
    Pair,
    /// Another word of a last `*`.
    Rest,
    /// A segment and nothing.
    Missing,
    /// A word and nothing.
    Extra,
}

fn best(segments: &[Segment<'_>], words: &[&str], cells: &[Cell], (i, j): (usize, usize)) -> Cell {
    let before = |i: usize, j: usize| cells[i * (words.len() + 1) + j];
    let step = |from: Cell, cost: u32, alike: u32, last: Step| Cell {
        cost: from.cost + cost,
        alike: from.alike + alike,
        last,
    };
    let segment = i.checked_sub(1).map(|i| segments[i]);
    let word = j.checked_sub(1).map(|j| words[j]);
    let pair = segment.zip(word).and_then(|(segment, word)| {
        let (cost, alike) = match segment {
            Segment::One | Segment::Rest => (!word.is_empty()).then_some((0, 0)),
            Segment::Literal(literal) => substitution(literal, word),
        }?;
        Some(step(before(i - 1, j - 1), cost, alike, Step::Pair))
    });
    let rest = (segment == Some(Segment::Rest) && j > 1).then(|| step(before(i, j - 1), 0, 0, Step::Rest));
    let end = |text: &str| if text.is_empty() { CASE } else { SEGMENT };
    let missing = segment.map(|segment| {
        let cost = if let Segment::Literal(literal) = segment { end(literal) } else { SEGMENT };
        step(before(i - 1, j), cost, 0, Step::Missing)
    });
    let extra = word.map(|word| step(before(i, j - 1), end(word), 0, Step::Extra));
    [pair, rest, missing, extra]
        .into_iter()
        .flatten()
        .min_by_key(|cell| (cell.cost, Reverse(cell.alike)))
        .unwrap_or_default()
}

/// What differs, from the left to the right.
fn differences(segments: &[Segment<'_>], words: &[&str], cells: &[Cell]) -> Vec<String> {
    let (mut i, mut j) = (segments.len(), words.len());
    let mut found = Vec::new();
    while i + j > 0 {
        match cells[i * (words.len() + 1) + j].last {
            Step::Pair => {
                (i, j) = (i - 1, j - 1);
                if let Segment::Literal(literal) = segments[i]
                    && literal != words[j]
                {
                    found.push(format!("\"{}\" is not \"{literal}\"", words[j]));
                }
            }
            Step::Rest => j -= 1,
            Step::Missing => {
                i -= 1;
                found.push(match segments[i] {
                    Segment::Literal("") => "the pattern ends in /".to_owned(),
                    Segment::Literal(literal) => format!("\"{literal}\" is missing"),
                    Segment::One | Segment::Rest => "a segment for * is missing".to_owned(),
                });
            }
            Step::Extra => {
                j -= 1;
                found.push(match words[j] {
                    "" => "the pattern does not end in /".to_owned(),
                    word => format!("\"{word}\" is too much"),
                });
            }
        }
    }
    found.reverse();
    found
}

/// What it costs to read one as the other, and whether they are alike.
fn substitution(literal: &str, word: &str) -> Option<(u32, u32)> {
    if literal == word {
        return Some((0, u32::from(!literal.is_empty())));
    }
    if literal.is_empty() || word.is_empty() {
        return None;
    }
    if literal.eq_ignore_ascii_case(word) {
        return Some((CASE, 1));
    }
    match letters(literal, word) {
        // Of three letters one says nothing when it differs.
        Some(count) if count * 2 < literal.len().min(word.len()) => Some((LETTER * u32::try_from(count).ok()?, 1)),
        _ => Some((WORD, 0)),
    }
}

/// Levenshtein's distance, up to `MAX_LETTERS`.
fn letters(one: &str, other: &str) -> Option<usize> {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len().abs_diff(other.len()) > MAX_LETTERS || one.len().max(other.len()) > MAX_WORD {
        return None;
    }
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.iter().enumerate() {
            let changed = diagonal + usize::from(!a.eq_ignore_ascii_case(b));
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().filter(|count| *count <= MAX_LETTERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(pattern: &str, path: &str) -> Option<String> {
        let words: Vec<_> = path[1..].split('/').collect();
        compare(&Pattern::try_new(pattern).unwrap(), &words, MAX_COST).map(|(_, differences)| differences.join("; "))
    }

    #[test]
    fn what_differs_from_a_near_pattern_is_told() {
        for (pattern, path, expected) in [
            ("/api/comments/*", "/api/comment/1", Some("\"comment\" is not \"comments\"")),
            ("/api/comments/*", "/api/Comments/1/2", Some("\"Comments\" is not \"comments\"")),
            ("/api/comments/*", "/comments/1", Some("\"api\" is missing")),
            ("/api/comments/*", "/v1/api/comments/1", Some("\"v1\" is too much")),
            ("/api/comments/*", "/api/comments", Some("a segment for * is missing")),
            ("/api/comments", "/api/comments/", Some("the pattern does not end in /")),
            ("/api/comments/", "/api/comments", Some("the pattern ends in /")),
            ("/api/comments", "/api/comments/1", Some("\"1\" is too much")),
            ("/api/*/detail", "/api/7/details", Some("\"details\" is not \"detail\"")),
            ("/api/users", "/api/orders", Some("\"orders\" is not \"users\"")),
            ("/api/comments/*", "/static/app.js", None),
            ("/a", "/b", None),
            ("/a/b/c/d", "/a", None),
            ("/api/comments", "/", None),
            ("/*", "/a", None),
        ] {
            assert_eq!(compared(pattern, path).as_deref(), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn words_are_alike_up_to_three_letters() {
        assert_eq!(letters("comments", "coments"), Some(1));
        assert_eq!(letters("comments", "cmmnts"), Some(2));
        assert_eq!(letters("comments", "documents"), Some(3));
        assert_eq!(letters("comments", "orders"), None);
        assert_eq!(letters(&"a".repeat(65), &"a".repeat(64)), None);
        assert_eq!(letters("", ""), Some(0));
    }
}
