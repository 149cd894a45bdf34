//! The names of headers as services read them: signs of a name may be taken for `-`.
//!
//! A gateway that sets `X-API-Key-Name` must not let `X_API_Key_Name` through: CGI and its heirs make one variable of both.
//! Which signs count is up to the caller. Names come as [`http::HeaderName`] has them, so letters are lower case already.

use http::HeaderName;

/// Names of headers that each header of each request is compared with, as services read them ([`Folding::EverySign`]).
///
/// Nearly every header is told from all of them by its first letter and its length, without a look at the names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderNames {
    names: Box<[HeaderName]>,
    /// By the low bits of the first letter: the lengths that there are, those beyond 62 as 63.
    lengths: [u64; 32],
}

impl HeaderNames {
    /// From names that begin with a letter or a digit.
    pub fn new(names: impl IntoIterator<Item = HeaderName>) -> Self {
        let names: Box<[HeaderName]> = names.into_iter().collect();
        let mut lengths = [0; 32];
        for (slot, length) in names.iter().filter_map(|name| place(name.as_str())) {
            lengths[slot] |= length;
        }
        Self { names, lengths }
    }

    /// Whether a service may take the header for one of them.
    pub fn have(&self, name: &str) -> bool {
        let may_be = place(name).is_some_and(|(slot, length)| self.lengths[slot] & length != 0);
        may_be && self.names.iter().any(|own| reads_as(own.as_str(), name, Folding::EverySign))
    }
}

fn place(name: &str) -> Option<(usize, u64)> {
    let first = name.as_bytes().first()?;
    Some((usize::from(first & 31), 1 << name.len().min(63)))
}

/// Which signs of a name are read as `-`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folding {
    /// `_` alone, as by most services.
    Underscore,
    /// Whatever is neither a letter nor a digit, as by CGI and its heirs.
    EverySign,
}

impl Folding {
    const fn fold(self, byte: u8) -> u8 {
        match self {
            Self::Underscore if byte == b'_' => b'-',
            Self::EverySign if !byte.is_ascii_alphanumeric() => b'-',
            Self::Underscore | Self::EverySign => byte,
        }
    }
}

/// Whether a service may take one header for the other.
pub fn reads_as(name: &str, other: &str, folding: Folding) -> bool {
    let fold = |byte| folding.fold(byte);
    name.len() == other.len() && name.bytes().map(fold).eq(other.bytes().map(fold))
}

/// Whether a service may take the header for one that begins with `beginning`, which has no sign but `-`.
pub fn begins_as(name: &str, beginning: &str, folding: Folding) -> bool {
    name.len() >= beginning.len() && beginning.bytes().zip(name.bytes()).all(|(own, byte)| own == folding.fold(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_read_as_a_hyphen_by_those_who_fold_them() {
        // Read as the first by those who fold `_`, and by those who fold every sign.
        for (own, name, by_underscore, by_every_sign) in [
            ("x-api-key", "x-api-key", true, true),
            ("x-api-key", "x_api_key", true, true),
            ("x-api-key", "x_api-key", true, true),
            ("x_api_key", "x-api-key", true, true),
            ("x-api-key", "x.api.key", false, true),
            ("x-api-key", "x.api_key", false, true),
            ("x~api-key", "x-api_key", false, true),
            ("x-api-key", "xxapi-key", false, false),
            ("x-api-key", "x-api-keys", false, false),
            ("x-api-key", "x-api-ke", false, false),
            ("x-api-key", "x--api-key", false, false),
            ("", "", true, true),
        ] {
            assert_eq!(reads_as(own, name, Folding::Underscore), by_underscore, "{own} {name}");
            assert_eq!(reads_as(own, name, Folding::EverySign), by_every_sign, "{own} {name}");
        }
    }

    #[test]
    fn a_name_is_found_among_many_as_services_read_it() {
        let long = format!("x-{}", "a".repeat(80));
        let names = ["x-real-ip", "cf-connecting-ip", "client-ip", &long];
        let names = HeaderNames::new(names.map(|name| name.parse().unwrap()));
        for (name, is_there) in [
            ("x-real-ip", true),
            ("x_real_ip", true),
            ("x.real-ip", true),
            ("client-ip", true),
            ("cf_connecting-ip", true),
            (&long, true),
            (&*long.replace('-', "_"), true),
            (&format!("{long}a"), false),
            ("x-real-ib", false),
            ("8-real-ip", false),
            ("xreal-ip", false),
            ("-real-ip", false),
            ("cookie", false),
            ("", false),
        ] {
            assert_eq!(names.have(name), is_there, "{name}");
        }
        assert!(!HeaderNames::new([]).have("x-real-ip"));
    }

    #[test]
    fn a_beginning_is_read_the_same_way() {
        for (name, by_underscore, by_every_sign) in [
            ("x-forwarded", true, true),
            ("x-forwarded-port", true, true),
            ("x_forwarded_port", true, true),
            ("x.forwarded.port", false, true),
            ("x-forwarde", false, false),
            ("y-forwarded", false, false),
            ("", false, false),
        ] {
            assert_eq!(begins_as(name, "x-forwarded", Folding::Underscore), by_underscore, "{name}");
            assert_eq!(begins_as(name, "x-forwarded", Folding::EverySign), by_every_sign, "{name}");
        }
    }
}
