//! The method a route takes: one, or any.

use http::Method;

use super::Invalid;

/// One method, or `*` for all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MethodRule {
    /// `*`.
    Any,
    /// Exactly this one (and HEAD, where it is GET and no route has HEAD itself).
    Only(Method),
}

impl MethodRule {
    /// From `*` or an upper-case token (RFC 9110 §9.1); CONNECT is refused, since a gateway must not tunnel.
    ///
    /// # Errors
    /// Anything else.
    pub fn try_new(text: &str) -> Result<Self, Invalid> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if text == "CONNECT" {
            return Err(Invalid::new("CONNECT cannot be routed"));
        }
        let upper = text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
        match Method::from_bytes(text.as_bytes()) {
            Ok(method) if upper => Ok(Self::Only(method)),
            _ => Err(Invalid::new("must be \"*\" or a method in upper case, such as \"GET\"")),
        }
    }

    /// The text: `*` or the method.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Any => "*",
            Self::Only(method) => method.as_str(),
        }
    }

    /// Whether it takes a request of that method.
    pub fn takes(&self, method: &Method) -> bool {
        match self {
            Self::Any => true,
            Self::Only(own) => own == method || (*own == Method::GET && *method == Method::HEAD),
        }
    }

    /// Whether any request could be taken by both: they are equal, or one is `*`, or they are GET and HEAD, which GET
    /// answers. Where both stand on one pattern, the exact one is taken.
    pub fn overlaps(&self, other: &Self) -> bool {
        let pair = |one: &Self, two: &Self| *one == Self::Only(Method::GET) && *two == Self::Only(Method::HEAD);
        matches!((self, other), (Self::Any, _) | (_, Self::Any))
            || self == other
            || pair(self, other)
            || pair(other, self)
    }

    /// Whether it takes every request that `other` takes.
    pub fn covers(&self, other: &Self) -> bool {
        let answers_head = *self == Self::Only(Method::GET) && *other == Self::Only(Method::HEAD);
        *self == Self::Any || self == other || answers_head
    }
}

impl std::fmt::Display for MethodRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_upper_case_tokens_or_a_star() {
        for good in ["*", "GET", "M-SEARCH", "PROPFIND"] {
            assert_eq!(MethodRule::try_new(good).unwrap().as_str(), good);
        }
        for bad in ["", "get", "GE T", "CONNECT", "GET,POST", "**"] {
            assert!(MethodRule::try_new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rule_covers_what_takes_no_other_request() {
        let rule = |text| MethodRule::try_new(text).unwrap();
        for (one, other, covers) in [
            ("*", "*", true),
            ("*", "GET", true),
            ("GET", "*", false),
            ("GET", "GET", true),
            ("GET", "HEAD", true),
            ("HEAD", "GET", false),
            ("GET", "POST", false),
        ] {
            assert_eq!(rule(one).covers(&rule(other)), covers, "{one} {other}");
        }
    }

    #[test]
    fn rules_overlap_where_a_request_could_be_taken_by_both() {
        let rule = |text| MethodRule::try_new(text).unwrap();
        for (one, other, overlaps) in
            [("GET", "GET", true), ("GET", "HEAD", true), ("*", "HEAD", true), ("*", "*", true), ("GET", "POST", false)]
        {
            assert_eq!(rule(one).overlaps(&rule(other)), overlaps, "{one} {other}");
            assert_eq!(rule(other).overlaps(&rule(one)), overlaps, "{other} {one}");
        }
    }
}
