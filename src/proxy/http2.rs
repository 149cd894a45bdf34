//! What is special to services that speak HTTP/2: which failures say that a request was not processed.

use pingora::{Error, ErrorType};

/// Whether the service says that it has not processed the request, so that it may be sent again whatever its method
/// (RFC 9113 §8.7).
///
/// A GOAWAY ends only the streams beyond its last id, whatever its reason: `h2` leaves the others open, and if the connection
/// closes before they are answered, they end with an error of input and output.
pub(super) fn is_unprocessed(error: &Error) -> bool {
    h2_error(error).is_some_and(|error| {
        error.is_remote() && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
    })
}

/// Whether a pooled connection would take no further stream: nothing was sent, and a new connection may do.
pub(super) fn is_stale_connection(error: &Error) -> bool {
    error.etype() == &ErrorType::H2Error && h2_error(error).is_some()
}

fn h2_error(error: &Error) -> Option<&h2::Error> {
    error.root_cause().downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_service_says_it_left_alone_is_unprocessed() {
        let error = |cause: h2::Error| Error::because(ErrorType::H2Error, "while reading h2 header", cause);
        // `h2` makes no error of a remote end but from frames; those are tested at the sockets.
        assert!(!is_unprocessed(&error(h2::Reason::REFUSED_STREAM.into())), "one of our own making");
        assert!(!is_unprocessed(&Error::new(ErrorType::ReadError)));
        assert!(is_stale_connection(&error(h2::Reason::NO_ERROR.into())));
        assert!(!is_stale_connection(&Error::new(ErrorType::H2Error)));
    }
}
