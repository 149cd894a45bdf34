//! What an operator sets and removes among the headers of a route's requests and answers.

use http::header::{HeaderName, HeaderValue};

use super::Invalid;

/// The most names that one rule may set or remove in a message.
pub const MAX_HEADER_EDITS: usize = 32;

/// Which message a header is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// The request, on its way to the service.
    Request,
    /// The answer, on its way to the client.
    Response,
}

/// What is done to one header.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HeaderEdit {
    /// It has this value and no other.
    Set(HeaderValue),
    /// It is removed.
    Remove,
}

/// What is done to the headers of a message; at most one thing to each.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct HeaderEdits(Box<[(HeaderName, HeaderEdit)]>);

/// What is done to the headers of a route's messages.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct MessageHeaders {
    /// To those of requests, on their way to the service.
    pub request: HeaderEdits,
    /// To those of answers, also of furt's own.
    pub response: HeaderEdits,
}

impl HeaderEdits {
    /// Of what is set and what is removed.
    ///
    /// # Errors
    /// A name twice, or more names than [`MAX_HEADER_EDITS`].
    pub fn try_new(set: Vec<(HeaderName, HeaderValue)>, remove: Vec<HeaderName>) -> Result<Self, Invalid> {
        let set = set.into_iter().map(|(name, value)| (name, HeaderEdit::Set(value)));
        let edits: Box<[_]> = set.chain(remove.into_iter().map(|name| (name, HeaderEdit::Remove))).collect();
        if edits.len() > MAX_HEADER_EDITS {
            return Err(Invalid::new(format!("must be at most {MAX_HEADER_EDITS} headers")));
        }
        let twice = edits.iter().enumerate().find(|(at, (name, _))| edits[..*at].iter().any(|(it, _)| it == name));
        match twice {
            Some((_, (name, _))) => Err(Invalid::new(format!("names {name} twice; must do one thing to each header"))),
            None => Ok(Self(edits)),
        }
    }

    /// These where both say something of a header, else what either says.
    pub fn after(&self, before: &Self) -> Self {
        let is_said = |name: &HeaderName| self.0.iter().any(|(own, _)| own == name);
        let kept = before.0.iter().filter(|(name, _)| !is_said(name));
        Self(kept.chain(self.0.iter()).cloned().collect())
    }

    /// Whether nothing is done.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is done to each header.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderEdit)> {
        self.0.iter().map(|(name, edit)| (name, edit))
    }
}

impl MessageHeaders {
    /// These where both say something of a header, else what either says.
    pub fn after(&self, before: &Self) -> Self {
        Self { request: self.request.after(&before.request), response: self.response.after(&before.response) }
    }
}

impl Message {
    /// A header that an operator may set or remove.
    ///
    /// # Errors
    /// What is no name of a header, and one that furt itself answers for: of framing and the hop, of who the caller is, of CORS.
    pub fn try_header(self, text: &str) -> Result<HeaderName, Invalid> {
        let name = HeaderName::from_bytes(text.as_bytes())
            .map_err(|_| Invalid::new("must be the name of a header, such as \"X-Frame-Options\""))?;
        // As services read names: CGI and its heirs take other signs for "-".
        let read: String =
            name.as_str().chars().map(|sign| if sign.is_ascii_alphanumeric() { sign } else { '-' }).collect();
        let is_own = OF_THE_HOP.contains(&read.as_str())
            || OF_THE_HOP_ANY.iter().any(|start| read.starts_with(start))
            || match self {
                Self::Request => OF_THE_CALLER.iter().any(|start| read.starts_with(start)),
                Self::Response => OF_THE_ANSWER.iter().any(|start| read.starts_with(start)),
            };
        if is_own { Err(Invalid::new("is furt's own to set; must be another header")) } else { Ok(name) }
    }

    /// A value that a header may be set to.
    ///
    /// # Errors
    /// What HTTP does not take in a value, over 4,096 bytes.
    pub fn try_value(text: &str) -> Result<HeaderValue, Invalid> {
        let value = HeaderValue::from_str(text).ok().filter(|_| text.len() <= 4096 && text.trim() == text);
        value.ok_or_else(|| {
            Invalid::new("must be at most 4096 bytes of visible characters, without blanks at its ends and line breaks")
        })
    }
}

/// What frames a message or is for one hop (RFC 9110 §7.6.1, §8.6; RFC 9112 §6).
const OF_THE_HOP: [&str; 13] = [
    "host",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "connection",
    "keep-alive",
    "upgrade",
    "expect",
    "via",
    "max-forwards",
    "x-request-id",
    "date",
];
const OF_THE_HOP_ANY: [&str; 3] = ["proxy-", "sec-websocket-", "grpc-"];

/// What tells services who the caller is, how it came, and what is a copy.
const OF_THE_CALLER: [&str; 8] = [
    "x-api-key",
    "x-auth-",
    "x-forwarded",
    "forwarded",
    "x-client-cert",
    "client-cert",
    "access-control-request",
    "x-furt-mirror",
];

/// What furt answers for towards clients.
const OF_THE_ANSWER: [&str; 5] = ["access-control-", "set-cookie", "x-gateway", "x-furt-", "server-timing"];

#[cfg(test)]
mod tests {
    use super::*;

    fn edits(set: &[(&'static str, &'static str)], remove: &[&'static str]) -> HeaderEdits {
        let name = HeaderName::from_static;
        let set = set.iter().map(|(key, value)| (name(key), HeaderValue::from_static(value))).collect();
        HeaderEdits::try_new(set, remove.iter().map(|key| name(key)).collect()).unwrap()
    }

    #[test]
    fn what_is_said_later_of_a_header_holds_and_the_rest_stays() {
        let merged = edits(&[("a", "2")], &["c"]).after(&edits(&[("a", "1"), ("b", "1"), ("c", "1")], &["d"]));
        assert_eq!(
            merged,
            edits(&[("b", "1"), ("a", "2")], &["c", "d"]).after(&HeaderEdits::default()).sorted_as(&merged)
        );
        let name = HeaderName::from_static;
        let twice = HeaderEdits::try_new(vec![(name("a"), HeaderValue::from_static("1"))], vec![name("a")]);
        assert!(twice.unwrap_err().to_string().contains("a twice"));
        let many = (0..33).map(|number| HeaderName::from_bytes(format!("a{number}").as_bytes()).unwrap()).collect();
        assert!(HeaderEdits::try_new(Vec::new(), many).is_err());
    }

    impl HeaderEdits {
        /// The same in the order of another.
        fn sorted_as(mut self, other: &Self) -> Self {
            self.0.sort_by_key(|(name, _)| other.0.iter().position(|(theirs, _)| theirs == name));
            self
        }
    }

    #[test]
    fn what_furt_answers_for_is_no_operator_s() {
        for (text, in_request, in_response) in [
            ("X-Frame-Options", true, true),
            ("Server", true, true),
            ("Authorization", true, true),
            ("Set-Cookie", true, false),
            ("Server-Timing", true, false),
            ("Host", false, false),
            ("content-length", false, false),
            ("Transfer_Encoding", false, false),
            ("Connection", false, false),
            ("Proxy-Status", false, false),
            ("X-API-Key-Name", false, true),
            ("x_api_key", false, true),
            ("X-Forwarded-Prefix", false, true),
            ("X.Forwarded.For", false, true),
            ("Client-Cert", false, true),
            ("X-Auth-Subject", false, true),
            ("X-Furt-Mirror", false, false),
            ("Access-Control-Allow-Origin", true, false),
            ("a b", false, false),
            ("", false, false),
        ] {
            assert_eq!(Message::Request.try_header(text).is_ok(), in_request, "{text}");
            assert_eq!(Message::Response.try_header(text).is_ok(), in_response, "{text}");
        }
        for bad in ["a\nb", "a\r", " a", "a ", "\u{7f}"] {
            assert!(Message::try_value(bad).is_err(), "{bad:?}");
        }
        assert!(Message::try_value("").is_ok() && Message::try_value("max-age=1; x").is_ok());
    }
}
