//! Why a probe failed: what that says of the instance, and one short line that an operator understands, in the log and
//! beside the instance.
//!
//! Never shows what the instance sent: that may be anything, of any length.

use pingora::{Error, ErrorType};

use furt_core::registry::ProbeFailure;

/// `EMFILE`, `ENFILE`, `ENOBUFS` and `ENOMEM` of Linux: this host has no file or memory left.
const LACKS: [i32; 4] = [24, 23, 105, 12];
/// The longest cause that is shown, in characters.
const MAX_CAUSE: usize = 120;

/// The failure as the registry takes it.
pub(super) fn classify(error: &Error) -> ProbeFailure {
    let line = describe(error);
    match &error.etype {
        // No route, no address or port of this host's, no file, a rule of this host's against it.
        ErrorType::ConnectNoRoute | ErrorType::BindError | ErrorType::SocketError | ErrorType::InternalError => {
            ProbeFailure::NotSent(line)
        }
        ErrorType::ConnectError if is_lack_of_files(error) => ProbeFailure::NotSent(line),
        ErrorType::CustomCode(..)
        | ErrorType::InvalidCert
        | ErrorType::TLSHandshakeFailure
        | ErrorType::HandshakeError
        | ErrorType::InvalidHTTPHeader
        | ErrorType::H2Error
        | ErrorType::InvalidH2
        | ErrorType::H2Downgrade => ProbeFailure::BadAnswer(line),
        _ => ProbeFailure::NoAnswer(line),
    }
}

fn is_lack_of_files(error: &Error) -> bool {
    let mut below = error.cause.as_ref().map(|cause| &**cause as &(dyn std::error::Error + 'static));
    while let Some(cause) = below {
        if let Some(cause) = cause.downcast_ref::<std::io::Error>() {
            return cause.raw_os_error().is_some_and(|code| LACKS.contains(&code));
        }
        below = cause.source();
    }
    false
}

/// One line without Pingora's frames.
fn describe(error: &Error) -> String {
    match (&error.etype, &error.context) {
        (ErrorType::Custom(_) | ErrorType::CustomCode(..), Some(context)) => cut(context.as_str()),
        (ErrorType::ConnectRefused, _) => "connection refused".to_owned(),
        (ErrorType::ConnectNoRoute, _) => "no route to its address".to_owned(),
        (ErrorType::ConnectTimedout, _) => "no connection in time".to_owned(),
        (ErrorType::TLSHandshakeTimedout, _) => "no TLS handshake in time".to_owned(),
        (ErrorType::ReadTimedout | ErrorType::WriteTimedout, _) => "no answer in time".to_owned(),
        (ErrorType::InvalidCert, _) => format!("its certificate does not hold: {}", cause(error)),
        (ErrorType::TLSHandshakeFailure | ErrorType::HandshakeError, _) => handshake(error),
        (ErrorType::InvalidHTTPHeader, _) => "not HTTP, or a header beyond all bounds".to_owned(),
        (ErrorType::H2Error | ErrorType::InvalidH2 | ErrorType::H2Downgrade, _) => {
            format!("not HTTP/2: {}", cause(error))
        }
        (ErrorType::ConnectionClosed, _) => "closed before an answer".to_owned(),
        (ErrorType::ReadError | ErrorType::WriteError, _) => format!("broken off before an answer: {}", cause(error)),
        (ErrorType::ConnectError | ErrorType::SocketError | ErrorType::BindError, _) => {
            format!("cannot connect: {}", cause(error))
        }
        _ => cause(error),
    }
}

/// Pingora keeps the TLS library's words in the context, between its own.
fn handshake(error: &Error) -> String {
    let context = error.context.as_ref().map_or("", |context| context.as_str());
    let words = context.split(", SNI: ").next().unwrap_or_default();
    let words = words.rsplit(" cause: ").next().unwrap_or_default();
    format!("no TLS handshake: {}", cut(words))
}

/// What lies at the bottom: mostly the system's or the TLS library's own words.
fn cause(error: &Error) -> String {
    // A chain that ends in Pingora's own error has its words in the context.
    let mut deepest = error;
    while let Some(below) = deepest.cause.as_ref().and_then(|cause| cause.downcast_ref::<Box<Error>>()) {
        deepest = below;
    }
    match (&deepest.cause, &deepest.context) {
        (Some(cause), _) => cut(&cause.to_string()),
        (None, Some(context)) => cut(context.as_str()),
        (None, None) => cut(deepest.etype.as_str()),
    }
}

/// The first line without the number of the system's error, and never too long.
fn cut(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    let line = line.split(" (os error").next().unwrap_or_default();
    line.chars().filter(|one| !one.is_control()).take(MAX_CAUSE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_whether_the_probe_left_this_host_and_whether_it_was_answered() {
        let because =
            |code| Error::because(ErrorType::ConnectError, "connect", std::io::Error::from_raw_os_error(code));
        for lack in LACKS {
            assert!(matches!(classify(&because(lack)), ProbeFailure::NotSent(_)), "{lack}");
        }
        assert!(matches!(classify(&because(104)), ProbeFailure::NoAnswer(_)));
        for etype in [ErrorType::ConnectNoRoute, ErrorType::BindError, ErrorType::SocketError] {
            assert!(matches!(classify(&Error::new(etype.clone())), ProbeFailure::NotSent(_)), "{etype:?}");
        }
        for etype in [ErrorType::ConnectRefused, ErrorType::ConnectTimedout, ErrorType::Custom("timeout")] {
            assert!(matches!(classify(&Error::new(etype.clone())), ProbeFailure::NoAnswer(_)), "{etype:?}");
        }
        for etype in [ErrorType::CustomCode("status", 503), ErrorType::InvalidHTTPHeader, ErrorType::InvalidCert] {
            assert!(matches!(classify(&Error::new(etype.clone())), ProbeFailure::BadAnswer(_)), "{etype:?}");
        }
    }
}
