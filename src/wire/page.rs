//! Pages that stand for furt's own answers: a text with placeholders, read once, and filled for each answer.
//!
//! Placeholders are found when the page is read, and never in what is filled in: a detail with `{status}` in it stays as it is.

use std::mem;

use bytes::Bytes;

use super::GatewayProblem;

/// The most placeholders of a page: they bound how large it becomes.
const MAX_PLACEHOLDERS: usize = 64;

/// What a placeholder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Status,
    Title,
    Code,
    RequestId,
    Detail,
}

/// As they are written. Anything else in braces is the page's own: style sheets are full of it.
const PLACEHOLDERS: [(&str, Field); 5] = [
    ("{status}", Field::Status),
    ("{title}", Field::Title),
    ("{code}", Field::Code),
    ("{request_id}", Field::RequestId),
    ("{detail}", Field::Detail),
];

/// The page has more placeholders than are filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("has more than {MAX_PLACEHOLDERS} placeholders")]
pub struct TooManyPlaceholders;

/// A page with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Each text with the placeholder behind it.
    pieces: Vec<(Box<str>, Field)>,
    /// What is behind the last one.
    rest: Box<str>,
}

/// What is filled in, of one answer.
#[derive(Debug, Clone, Copy)]
pub struct Filling<'a> {
    /// The problem that is answered.
    pub problem: GatewayProblem,
    /// The request's id.
    pub request_id: &'a str,
    /// The sentence on this very case; empty where there is none.
    pub detail: &'a str,
}

impl Page {
    /// Finds the placeholders of a page.
    ///
    /// # Errors
    /// There are too many.
    pub fn try_new(text: &str) -> Result<Self, TooManyPlaceholders> {
        let (mut pieces, mut before, mut rest) = (Vec::new(), String::new(), text);
        while let Some(brace) = rest.find('{') {
            before.push_str(&rest[..brace]);
            rest = &rest[brace..];
            match PLACEHOLDERS.iter().find(|(placeholder, _)| rest.starts_with(placeholder)) {
                Some((placeholder, field)) => {
                    pieces.push((mem::take(&mut before).into(), *field));
                    rest = &rest[placeholder.len()..];
                }
                None => {
                    before.push('{');
                    rest = &rest[1..];
                }
            }
        }
        if pieces.len() > MAX_PLACEHOLDERS {
            return Err(TooManyPlaceholders);
        }
        Ok(Self { pieces, rest: (before + rest).into() })
    }

    /// The page for one answer.
    pub fn filled(&self, filling: Filling<'_>) -> Bytes {
        let Filling { problem, request_id, detail } = filling;
        let mut out = String::with_capacity(self.pieces.iter().map(|(text, _)| text.len() + 32).sum::<usize>());
        for (text, field) in &self.pieces {
            out.push_str(text);
            match field {
                Field::Status => push_escaped(&mut out, problem.status().as_str()),
                Field::Title => push_escaped(&mut out, problem.title()),
                Field::Code => push_escaped(&mut out, problem.code()),
                Field::RequestId => push_escaped(&mut out, request_id),
                Field::Detail => push_escaped(&mut out, detail),
            }
        }
        out.push_str(&self.rest);
        out.into()
    }
}

/// A text as it may stand in an element, and in an attribute in quotes.
fn push_escaped(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
}

/// The pages of a configuration, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pages {
    error: Option<Page>,
    maintenance: Option<Page>,
}

impl Pages {
    /// `None`: there is none.
    pub fn new(error: Option<Page>, maintenance: Option<Page>) -> Option<Self> {
        (error.is_some() || maintenance.is_some()).then_some(Self { error, maintenance })
    }

    /// The page of a problem. `None`: it has none, and is answered as JSON.
    pub fn page(&self, problem: GatewayProblem) -> Option<&Page> {
        let own = if problem == GatewayProblem::Maintenance { self.maintenance.as_ref() } else { None };
        own.or(self.error.as_ref())
    }

    /// The page of all problems but for maintenance.
    pub fn error(&self) -> Option<&Page> {
        self.error.as_ref()
    }

    /// The page of maintenance alone.
    pub fn maintenance(&self) -> Option<&Page> {
        self.maintenance.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, request_id: &str, detail: &str) -> String {
        let filling = Filling { problem: GatewayProblem::PermissionMissing, request_id, detail };
        String::from_utf8(Page::try_new(text).unwrap().filled(filling).to_vec()).unwrap()
    }

    #[test]
    fn only_the_five_placeholders_are_filled() {
        for (text, expected) in [
            ("", ""),
            ("{status}", "403"),
            ("{status}{code}", "403permission-missing"),
            (
                "<p>{status} {title}: {detail} ({request_id})",
                "<p>403 The caller lacks the permission for this route: why (id)",
            ),
            ("a{b}c{", "a{b}c{"),
            ("{status", "{status"),
            ("{{status}}", "{403}"),
            ("{Status}{ status }{stat{status}us}", "{Status}{ status }{stat403us}"),
            (
                "body { margin: 0 } @media print { p { color: red } }",
                "body { margin: 0 } @media print { p { color: red } }",
            ),
            ("ä{code}ö{", "äpermission-missingö{"),
        ] {
            assert_eq!(filled(text, "id", "why"), expected, "{text}");
        }
        assert!(Page::try_new(&"{code}".repeat(64)).is_ok());
        assert_eq!(Page::try_new(&"{code}".repeat(65)), Err(TooManyPlaceholders));
    }

    #[test]
    fn what_is_filled_in_is_text_and_no_more() {
        let page = "<p title=\"{detail}\" class='{request_id}'>{detail}</p>";
        let out = filled(page, "'onclick='x", "\"><script>alert('{status}')</script>&amp;{detail}");
        assert_eq!(
            out,
            "<p title=\"&quot;&gt;&lt;script&gt;alert(&#39;{status}&#39;)&lt;/script&gt;&amp;amp;{detail}\" \
             class='&#39;onclick=&#39;x'>&quot;&gt;&lt;script&gt;alert(&#39;{status}&#39;)&lt;/script&gt;&amp;amp;{detail}</p>"
        );
    }

    /// Whatever comes together: outside of the page's own text there is no sign that HTML knows, and undone the escaping gives back
    /// what was filled in.
    #[test]
    fn nothing_that_is_filled_in_is_ever_read_as_html_or_as_a_placeholder() {
        const WORDS: [&str; 14] = [
            "<script>",
            "</p>",
            "\"",
            "'",
            "&",
            "&lt;",
            "{status}",
            "{detail}",
            "{",
            "}",
            "ä",
            "javascript:",
            "\u{0}",
            " ",
        ];
        let mut random = fastrand::Rng::with_seed(5);
        let mut text = |most: usize| -> String {
            let count = random.usize(..most);
            (0..count).map(|_| WORDS[random.usize(..WORDS.len())]).collect()
        };
        for _ in 0..5_000 {
            let (id, detail) = (text(4), text(12));
            let out = filled("\u{1}{request_id}\u{1}{detail}\u{1}", &id, &detail);
            let parts: Vec<_> = out.split('\u{1}').collect();
            assert_eq!(parts.len(), 4);
            for (part, given) in [(parts[1], &id), (parts[2], &detail)] {
                assert!(!part.contains(['<', '>', '"', '\'']), "{part}");
                let undone =
                    part.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
                assert_eq!(undone.replace("&amp;", "&"), *given);
            }
        }
    }

    #[test]
    fn a_problem_has_the_page_of_errors() {
        let page = |text: &str| Some(Page::try_new(text).unwrap());
        assert_eq!(Pages::new(None, None), None);
        let both = Pages::new(page("error"), page("down")).unwrap();
        assert_eq!(both.page(GatewayProblem::ServiceDown), page("error").as_ref());
        let down = Pages::new(None, page("down")).unwrap();
        assert_eq!(down.page(GatewayProblem::ServiceDown), None);
    }
}
