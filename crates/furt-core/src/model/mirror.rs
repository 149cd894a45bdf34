//! Which requests of a route are copied to another service, beside the one that answers them.

use std::fmt;

use http::Method;

use super::{Invalid, MethodRule, ServiceName};

/// The most methods that one rule may copy.
pub const MAX_MIRROR_METHODS: usize = 16;
/// The largest body of a copied request where the rule names none, in bytes.
pub const MIRROR_BODY: u32 = 64 * 1024;
/// The largest body that a rule may name, in bytes: each of the copies that are under way may hold so much.
pub const MAX_MIRROR_BODY: u32 = 1024 * 1024;

/// Of which requests a copy goes where.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mirror {
    /// The service that gets the copies. Nobody needs to be registered under it.
    pub service: ServiceName,
    /// How many of the requests are copied.
    pub share: MirrorShare,
    /// Those of these methods alone.
    pub methods: Box<[Method]>,
    /// The largest body that is copied, in bytes; 1 to [`MAX_MIRROR_BODY`].
    pub max_body: u32,
}

impl Mirror {
    /// A method whose requests may be copied: exactly this one, so `GET` is not `HEAD` as well.
    ///
    /// # Errors
    /// What is no method in upper case, and CONNECT.
    pub fn try_method(text: &str) -> Result<Method, Invalid> {
        match MethodRule::try_new(text) {
            Ok(MethodRule::Only(method)) => Ok(method),
            Ok(MethodRule::Any) | Err(_) => {
                Err(Invalid::new("must be a method in upper case that is not CONNECT, such as \"GET\""))
            }
        }
    }
}

/// A part of all requests, in steps of 0.01 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MirrorShare(u16);

impl MirrorShare {
    /// All of them.
    pub const ALL: Self = Self(Self::STEPS);
    /// How many steps all of them are; what is drawn lies below.
    pub const STEPS: u16 = 10_000;

    /// From a text such as `10%` or `0.5%`.
    ///
    /// # Errors
    /// Anything but 0.01 % to 100 %, with at most two digits after the point.
    pub fn try_new(text: &str) -> Result<Self, Invalid> {
        let steps = text.strip_suffix('%').and_then(|number| steps(number.trim_end()));
        match steps {
            Some(steps @ 1..=Self::STEPS) => Ok(Self(steps)),
            Some(_) | None => Err(Invalid::new("must be \"0.01%\" to \"100%\", such as \"10%\"")),
        }
    }

    /// Whether a request is among them, for which `drawn` was drawn, 0 to below [`STEPS`](Self::STEPS).
    pub fn has(self, drawn: u16) -> bool {
        drawn < self.0
    }
}

/// As it is written.
impl fmt::Display for MirrorShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, rest) if rest % 10 == 0 => write!(f, "{whole}.{}%", rest / 10),
            (whole, rest) => write!(f, "{whole}.{rest:02}%"),
        }
    }
}

fn steps(number: &str) -> Option<u16> {
    let is_digits =
        |text: &str, most| (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, rest) = number.split_once('.').unwrap_or((number, "0"));
    if !is_digits(whole, 3) || !is_digits(rest, 2) {
        return None;
    }
    let (whole, rest_steps): (u16, u16) = (whole.parse().ok()?, rest.parse().ok()?);
    let rest_steps = if rest.len() == 1 { rest_steps * 10 } else { rest_steps };
    whole.checked_mul(100)?.checked_add(rest_steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_read_and_shown_in_steps_of_a_hundredth_of_a_percent() {
        for (text, expected) in [
            ("10%", Some((1_000, "10%"))),
            ("100%", Some((10_000, "100%"))),
            ("0.01%", Some((1, "0.01%"))),
            ("0.5%", Some((50, "0.5%"))),
            ("12.50 %", Some((1_250, "12.5%"))),
            ("7.05%", Some((705, "7.05%"))),
            ("0%", None),
            ("0.00%", None),
            ("0.001%", None),
            ("100.01%", None),
            ("999%", None),
            ("1000%", None),
            ("-1%", None),
            ("+1%", None),
            (".5%", None),
            ("5.%", None),
            ("10", None),
            ("0.1", None),
            ("%", None),
            ("", None),
        ] {
            let share = MirrorShare::try_new(text).ok();
            let shown = share.map(|share| (share.0, share.to_string()));
            assert_eq!(shown, expected.map(|(steps, shown)| (steps, shown.to_owned())), "{text}");
            assert!(share.is_none_or(|share| MirrorShare::try_new(&share.to_string()) == Ok(share)), "{text}");
        }
    }

    #[test]
    fn a_share_has_that_part_of_all_that_can_be_drawn() {
        for (text, expected) in [("0.01%", 1), ("10%", 1_000), ("100%", 10_000)] {
            let share = MirrorShare::try_new(text).unwrap();
            assert_eq!((0..MirrorShare::STEPS).filter(|drawn| share.has(*drawn)).count(), expected, "{text}");
        }
        assert_eq!(MirrorShare::try_new("100%"), Ok(MirrorShare::ALL));
    }

    #[test]
    fn a_method_that_is_copied_is_one_and_no_tunnel() {
        for (text, is_good) in
            [("GET", true), ("POST", true), ("PURGE", true), ("*", false), ("CONNECT", false), ("get", false)]
        {
            assert_eq!(Mirror::try_method(text).is_ok(), is_good, "{text}");
        }
    }
}
