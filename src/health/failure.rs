//! Why a probe failed, as one short line that an operator understands: in the log, and beside the instance.
//!
//! Never shows what the instance sent: that may be anything, of any length.

use pingora::{Error, ErrorType};

/// The longest cause that is shown, in characters.
const MAX_CAUSE: usize = 120;

/// One line without Pingora's frames.
pub(super) fn describe(error: &Error) -> String {
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
