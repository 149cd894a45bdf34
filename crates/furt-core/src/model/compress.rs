//! Whether furt compresses a route's answers, and what that does not go together with.

use super::{Cors, Invalid};

/// What somebody says who wants answers compressed. How they are compressed is the configuration's to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Compress;

impl Compress {
    /// Whether it goes together with what browsers may do: the length of a compressed answer tells what is in it, and a foreign page
    /// that sends its visitor's cookies along could measure it as often as it likes.
    ///
    /// # Errors
    /// Credentials are allowed.
    pub fn check_with(self, cors: Option<&Cors>) -> Result<(), Invalid> {
        if cors.is_none_or(|cors| !cors.credentials) {
            return Ok(());
        }
        Err(Invalid::new(
            "must be left out where \"cors\" allows credentials: other pages could learn from the length of a compressed answer what is in it",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Origins;

    #[test]
    fn it_goes_with_cors_that_allows_no_credentials() {
        let cors = Cors::new(Origins::try_new(&["https://a.example"]).unwrap());
        assert_eq!(Compress.check_with(None), Ok(()));
        assert_eq!(Compress.check_with(Some(&cors)), Ok(()));
        assert!(Compress.check_with(Some(&Cors { credentials: true, ..cors })).is_err());
    }
}
