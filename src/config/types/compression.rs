//! How answers are compressed: with which codings, and which answers.

use std::fmt;

use furt_core::model::Invalid;

/// A coding of content that furt encodes (RFC 9110 §8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentCoding {
    /// RFC 8878.
    Zstd,
    /// RFC 7932.
    Brotli,
    /// RFC 1952.
    Gzip,
}

impl ContentCoding {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// From the name that it has in messages, in lower case.
    ///
    /// # Errors
    /// Any other name.
    pub fn try_new(name: &str) -> Result<Self, Invalid> {
        let found = Self::ALL.into_iter().find(|coding| coding.as_str() == name);
        found.ok_or_else(|| Invalid::new("must be \"zstd\", \"br\" or \"gzip\""))
    }

    /// The name that it has in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }
}

/// Media types: `type/*`, `type/*+suffix`, or one of them. Lower case, without parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaTypePattern {
    kind: Box<str>,
    subtype: Subtype,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Subtype {
    Any,
    /// Those that end with it; it begins with `+`.
    Suffix(Box<str>),
    Exact(Box<str>),
}

impl MediaTypePattern {
    /// From its text, in any case.
    ///
    /// # Errors
    /// What is no media type of one of the three forms, such as `*/*`, `text/x*` and `text/html;q=1`.
    pub fn try_new(text: &str) -> Result<Self, Invalid> {
        let refused = || Invalid::new("must be \"text/*\", \"application/*+json\" or \"application/json\" in form");
        let text = text.to_ascii_lowercase();
        let (kind, subtype) = text.split_once('/').filter(|(kind, _)| is_token(kind)).ok_or_else(refused)?;
        let subtype = match (subtype, subtype.strip_prefix('*')) {
            ("*", _) => Subtype::Any,
            (_, Some(suffix)) if suffix.len() > 1 && suffix.starts_with('+') && is_token(suffix) => {
                Subtype::Suffix(suffix.into())
            }
            (exact, None) if is_token(exact) => Subtype::Exact(exact.into()),
            _ => return Err(refused()),
        };
        Ok(Self { kind: kind.into(), subtype })
    }

    /// Whether the media type of a `Content-Type` is within, whatever its parameters.
    pub fn has(&self, content_type: &[u8]) -> bool {
        let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let Some(slash) = media_type.iter().position(|byte| *byte == b'/') else { return false };
        let (kind, subtype) = (&media_type[..slash], &media_type[slash + 1..]);
        if !kind.eq_ignore_ascii_case(self.kind.as_bytes()) {
            return false;
        }
        match &self.subtype {
            Subtype::Any => !subtype.is_empty(),
            Subtype::Suffix(suffix) => {
                let end = subtype.len().checked_sub(suffix.len()).filter(|start| *start > 0);
                end.is_some_and(|start| subtype[start..].eq_ignore_ascii_case(suffix.as_bytes()))
            }
            Subtype::Exact(exact) => subtype.eq_ignore_ascii_case(exact.as_bytes()),
        }
    }
}

/// As it was written, in lower case.
impl fmt::Display for MediaTypePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subtype {
            Subtype::Any => write!(f, "{}/*", self.kind),
            Subtype::Suffix(suffix) => write!(f, "{}/*{suffix}", self.kind),
            Subtype::Exact(exact) => write!(f, "{}/{exact}", self.kind),
        }
    }
}

/// A token (RFC 9110 §5.6.2) without a star.
fn is_token(text: &str) -> bool {
    let is_sign = |byte: u8| b"!#$%&'+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || is_sign(byte))
}

/// `[compression]`: how answers are compressed of routes that ask for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompressionConfig {
    /// The codings, the preferred one first; at least one, each once.
    pub encodings: Vec<ContentCoding>,
    /// Bytes of an answer from which on it is compressed, 1 to 1 MiB; one of unknown length is.
    pub min_size: u64,
    /// Which answers are; at most 64 patterns.
    pub types: Vec<MediaTypePattern>,
    /// The most memory of all encoders together, in bytes; an answer that would need more is not compressed.
    pub max_memory: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_has_the_media_types_of_its_form() {
        for (pattern, content_type, expected) in [
            ("text/*", "text/html", true),
            ("text/*", "Text/HTML; charset=utf-8", true),
            ("text/*", "text/", false),
            ("text/*", "text", false),
            ("text/*", "texts/html", false),
            ("text/*", "", false),
            ("text/*", " text/css ;a=b", true),
            ("application/*+json", "application/problem+json", true),
            ("application/*+json", "application/problem+JSON;x", true),
            ("application/*+json", "application/json", false),
            ("application/*+json", "application/+json", false),
            ("application/*+json", "application/a+json5", false),
            ("application/*+json", "text/a+json", false),
            ("application/json", "application/json", true),
            ("application/json", "application/jsonp", false),
            ("Image/SVG+xml", "image/svg+xml", true),
            ("image/svg+xml", "image/a+xml", false),
        ] {
            let parsed = MediaTypePattern::try_new(pattern).unwrap();
            assert_eq!(parsed.has(content_type.as_bytes()), expected, "{pattern} {content_type}");
            assert_eq!(parsed.to_string(), pattern.to_ascii_lowercase());
        }
        assert!(!MediaTypePattern::try_new("text/*").unwrap().has(b"\xff/\xfe"));
    }

    #[test]
    fn what_is_no_pattern_of_the_three_forms_is_refused() {
        for bad in [
            "",
            "text",
            "/",
            "text/",
            "/html",
            "*/*",
            "*",
            "text/x*",
            "text/*x",
            "text/*+",
            "text/**",
            "a/*+x*",
            "text/a b",
            "text/html;q=1",
            "text/a/b",
            "täxt/a",
        ] {
            assert!(MediaTypePattern::try_new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_coding_is_read_by_the_name_that_it_is_written_with() {
        for coding in ContentCoding::ALL {
            assert_eq!(ContentCoding::try_new(coding.as_str()), Ok(coding));
        }
        for bad in ["", "GZIP", "deflate", "identity", "brotli"] {
            assert!(ContentCoding::try_new(bad).is_err(), "{bad}");
        }
    }
}
