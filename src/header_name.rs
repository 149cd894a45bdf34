//! The names of headers as services read them: signs of a name may be taken for `-`.
//!
//! A gateway that sets `X-API-Key-Name` must not let `X_API_Key_Name` through: CGI and its heirs make one variable of both.
//! Which signs count is up to the caller. Names come as [`http::HeaderName`] has them, so letters are lower case already.

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
