//! Route patterns: what they are, which paths they match, what one says about another.
//!
//! This is the definition that the table in `routing` must agree with; its own `matches` is the plain, slow form.

use std::fmt;
use std::sync::Arc;

use super::{Invalid, path};

/// The longest pattern, in bytes; twice what servers commonly take as a whole request line's path in practice.
const MAX_PATTERN_BYTES: usize = 1024;
/// The most segments of a pattern, which bounds the depth of the table.
pub const MAX_SEGMENTS: usize = 16;
/// The most `*` before the last segment. With the bound above, a path matches at most a few thousand nodes of the
/// table, whatever strangers register: so no set of patterns makes a lookup slow.
const MAX_MIDDLE_STARS: usize = 4;

/// A pattern such as `/api/comments/*`: literal segments, `*` for one segment, a last `*` for one or more.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern(Arc<str>);

/// One segment of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment<'a> {
    /// Exactly this text; empty only as the last one, where the pattern ends in `/`.
    Literal(&'a str),
    /// `*` before the last segment: exactly one non-empty segment.
    One,
    /// `*` as the last segment: one segment or more, the first not empty.
    Rest,
}

impl Pattern {
    /// Percent-encoded unreserved characters are decoded, as in requests.
    ///
    /// # Errors
    /// What is refused in a request's path ([`path::PathError`]), a `?`, a `*` beside other characters in a segment,
    /// over 1,024 bytes, over 16 segments, over 4 `*` before the last segment.
    pub fn try_new(text: &str) -> Result<Self, Invalid> {
        if text.len() > MAX_PATTERN_BYTES {
            return Err(Invalid::new(format!("must be at most {MAX_PATTERN_BYTES} bytes long")));
        }
        let text = path::normalize(text).map_err(|error| Invalid::new(error.to_string()))?;
        if text.contains('?') {
            return Err(Invalid::new("must be a path without a query"));
        }
        let (mut count, mut stars) = (0, 0);
        for segment in text.split('/').skip(1) {
            count += 1;
            stars += usize::from(segment == "*");
            if segment.contains('*') && segment != "*" {
                return Err(Invalid::new("a '*' must be a whole segment"));
            }
        }
        if count > MAX_SEGMENTS {
            return Err(Invalid::new(format!("must have at most {MAX_SEGMENTS} segments")));
        }
        if stars > MAX_MIDDLE_STARS + usize::from(text.ends_with("/*")) {
            return Err(Invalid::new(format!("must have at most {MAX_MIDDLE_STARS} '*' before the last segment")));
        }
        Ok(Self(text.into()))
    }

    /// The same for a pattern that somebody has just written, where a placeholder of another router is a mistake. It would
    /// be matched as it stands, so that the route takes no request.
    ///
    /// # Errors
    /// As [`try_new`](Self::try_new), and `{id}`, `<id>`, `[id]`, `:id`.
    pub fn try_written(text: &str) -> Result<Self, Invalid> {
        let pattern = Self::try_new(text)?;
        match pattern.0.split('/').find(|segment| is_placeholder(segment)) {
            Some(segment) => Err(Invalid::new(format!(
                "must have \"*\" in place of \"{segment}\": \"*\" is any one segment, and there are no other placeholders"
            ))),
            None => Ok(pattern),
        }
    }

    /// The text, normalized.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments, at least one.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        let mut texts = self.0[1..].split('/').peekable();
        std::iter::from_fn(move || {
            let text = texts.next()?;
            Some(match (text, texts.peek()) {
                ("*", None) => Segment::Rest,
                ("*", Some(_)) => Segment::One,
                (literal, _) => Segment::Literal(literal),
            })
        })
    }

    /// Whether the pattern ends in `*`, and so matches paths of more segments than it has.
    pub fn is_open(&self) -> bool {
        self.0.ends_with("/*")
    }

    /// Whether it matches a normalized path.
    pub fn matches(&self, path: &str) -> bool {
        let Some(path) = path.strip_prefix('/') else { return false };
        let mut path = path.split('/');
        for segment in self.segments() {
            match (segment, path.next()) {
                (_, None) => return false,
                (Segment::Literal(literal), Some(text)) if literal != text => return false,
                (Segment::One | Segment::Rest, Some("")) => return false,
                (Segment::Rest, Some(_)) => return true,
                _ => {}
            }
        }
        path.next().is_none()
    }

    /// Whether it matches every path that `other` matches.
    pub fn covers(&self, other: &Self) -> bool {
        let mut theirs = other.segments();
        for ours in self.segments() {
            match (ours, theirs.next()) {
                (_, None) => return false,
                (Segment::One | Segment::Rest, Some(Segment::Literal(""))) => return false,
                (Segment::Rest, Some(_)) => return true,
                (_, Some(Segment::Rest)) => return false,
                (Segment::One, Some(_)) => {}
                (Segment::Literal(a), Some(Segment::Literal(b))) if a == b => {}
                (Segment::Literal(_), Some(_)) => return false,
            }
        }
        theirs.next().is_none()
    }

    /// Whether some path is matched by both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (mut ours, mut theirs) = (self.segments(), other.segments());
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return true,
                (None, _) | (_, None) => return false,
                (Some(Segment::Literal(a)), Some(Segment::Literal(b))) if a == b => {}
                (Some(Segment::Literal(_)), Some(Segment::Literal(_))) => return false,
                (Some(Segment::Literal("")), _) | (_, Some(Segment::Literal(""))) => return false,
                (Some(Segment::Rest), _) | (_, Some(Segment::Rest)) => return true,
                _ => {}
            }
        }
    }
}

/// Whether other routers read the segment as a placeholder, also beside a text: `{id}`, `{id}.json`, `<int:id>`, `[id]`, `:id`.
/// A colon within a segment is a text of its own (`/v1/items:cancel`).
fn is_placeholder(segment: &str) -> bool {
    let has = |open: char, close: char| {
        segment
            .split_once(open)
            .is_some_and(|(_, rest)| rest.split_once(close).is_some_and(|(name, _)| !name.is_empty()))
    };
    let name = segment.strip_prefix(':').unwrap_or_default();
    has('{', '}')
        || has('<', '>')
        || has('[', ']')
        || name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::try_new(text).unwrap()
    }

    #[test]
    fn patterns_match_as_the_seed_and_design_say() {
        for (text, path, expected) in [
            ("/api/comments/*", "/api/comments/test-post", true),
            ("/api/comments/*", "/api/comments/a/b", true),
            ("/api/comments/*", "/api/comments/a/", true),
            ("/api/comments/*", "/api/comments", false),
            ("/api/comments/*", "/api/comments/", false),
            ("/api/comments/*/reply", "/api/comments/abc123/reply", true),
            ("/api/comments/*/reply", "/api/comments/a/b/reply", false),
            ("/api/comments/*/reply", "/api/comments//reply", false),
            ("/api/*/x/*", "/api/a/x/y/z", true),
            ("/api/*/x/*", "/api/a/x", false),
            ("/", "/", true),
            ("/", "/a", false),
            ("/*", "/", false),
            ("/*", "/a", true),
            ("/a/", "/a/", true),
            ("/a/", "/a", false),
            ("/a", "/a/", false),
        ] {
            assert_eq!(pattern(text).matches(path), expected, "{text} {path}");
        }
    }

    #[test]
    fn malformed_patterns_are_refused() {
        let long = format!("/{}", "a".repeat(MAX_PATTERN_BYTES));
        let deep = "/a".repeat(MAX_SEGMENTS + 1);
        let starry = "/*".repeat(MAX_MIDDLE_STARS + 2);
        assert!(Pattern::try_new(&"/*".repeat(MAX_MIDDLE_STARS + 1)).is_ok());
        for bad in [
            "", "a", "/a*", "/*a", "/a*b/c", "/**", "//", "/a//b", "/../a", "/a%2fb", "/a?b", "/a b", &long, &starry,
            &deep,
        ] {
            assert!(Pattern::try_new(bad).is_err(), "{bad}");
        }
        assert_eq!(pattern("/%61/*").as_str(), "/a/*");
    }

    #[test]
    fn placeholders_of_other_routers_are_refused_by_name_where_they_are_written() {
        for (text, named) in [
            ("/users/{id}", "{id}"),
            ("/users/{id}/posts/*", "{id}"),
            ("/files/{path...}", "{path...}"),
            ("/files/{name}.json", "{name}.json"),
            ("/users/:id", ":id"),
            ("/users/:_id/x", ":_id"),
            ("/users/<id>", "<id>"),
            ("/users/<int:id>", "<int:id>"),
            ("/users/[id]", "[id]"),
        ] {
            let refused = Pattern::try_written(text).unwrap_err().to_string();
            assert!(refused.contains(&format!("\"{named}\"")) && refused.contains("\"*\""), "{text}: {refused}");
            assert!(Pattern::try_new(text).is_ok(), "{text}: what is stored is still read");
        }
        for text in ["/v1/items:cancel", "/a:b", "/:", "/:1", "/{}", "/a}b{c", "/%7Bid%7D", "/users/*", "/<"] {
            assert_eq!(Pattern::try_written(text), Pattern::try_new(text), "{text}");
            assert!(Pattern::try_written(text).is_ok(), "{text}");
        }
        assert_eq!(Pattern::try_written("/a*"), Pattern::try_new("/a*"));
    }

    #[test]
    fn covering_and_overlapping_follow_the_matched_paths() {
        for (a, b, covers, overlaps) in [
            ("/a/*", "/a/*", true, true),
            ("/a/*", "/a/b", true, true),
            ("/a/*", "/a/b/*", true, true),
            ("/a/*", "/a/*/c", true, true),
            ("/a/b", "/a/*", false, true),
            ("/a/*/c", "/a/*", false, true),
            ("/a/*/c", "/a/b/c", true, true),
            ("/a/*/c", "/a/b/*", false, true),
            ("/a/*", "/a/", false, false),
            ("/a/*", "/a", false, false),
            ("/a/*", "/b/*", false, false),
            ("/*", "/a/b/c", true, true),
            ("/*", "/", false, false),
            ("/a/*/c", "/a/b/d", false, false),
            ("/a/*/c", "/a/b", false, false),
            ("/a/*/", "/a/b/", true, true),
        ] {
            assert_eq!(pattern(a).covers(&pattern(b)), covers, "{a} covers {b}");
            assert_eq!(pattern(a).overlaps(&pattern(b)), overlaps, "{a} overlaps {b}");
            assert_eq!(pattern(b).overlaps(&pattern(a)), overlaps, "{b} overlaps {a}");
        }
    }
}
