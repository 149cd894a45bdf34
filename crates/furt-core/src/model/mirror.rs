//! Which requests of a route are copied to another service, beside the one that answers them.

use http::Method;

use super::{Invalid, MethodRule, Percentage, ServiceName};

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
    pub share: Percentage,
    /// Those of these methods alone.
    pub methods: Box<[Method]>,
    /// The largest body that is copied, in bytes; 1 to [`MAX_MIRROR_BODY`].
    pub max_body: u32,
}

impl Mirror {
    /// How many of the requests are copied, such as `10%`.
    ///
    /// # Errors
    /// Anything but 0.01 % to 100 %, with at most two decimals.
    pub fn try_share(text: &str) -> Result<Percentage, Invalid> {
        let share = Percentage::from_text(text).ok().filter(|share| *share > Percentage::NONE);
        share.ok_or_else(|| Invalid::new("must be \"0.01%\" to \"100%\", such as \"10%\""))
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_more_than_nothing() {
        for (text, is_good) in [("0.01%", true), ("100%", true), ("10%", true), ("0%", false), ("100.01%", false)] {
            assert_eq!(Mirror::try_share(text).is_ok(), is_good, "{text}");
        }
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
