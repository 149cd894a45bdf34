//! Exchanges that may be silent for long: event streams and gRPC. Known by what the client asks for, and by what the service
//! answers. Upgrades are too; they are Pingora's to know.

use http::{HeaderMap, header};

const EVENTS: &[u8] = b"text/event-stream";
const GRPC: &[u8] = b"application/grpc";

/// Whether the client takes an event stream, in any line of its `Accept`.
pub(super) fn is_asked_for(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT).iter().any(|line| line.as_bytes().split(|byte| *byte == b',').any(is_events))
}

/// Whether the answer is a stream.
pub(super) fn is_answer(headers: &HeaderMap) -> bool {
    // Rarely a list, which is none of the two: a media type has no comma.
    headers.get(header::CONTENT_TYPE).is_some_and(|value| is_events(value.as_bytes()) || is_grpc(value.as_bytes()))
}

/// Whether a request or an answer is one of gRPC, or of a protocol around it such as gRPC-Web.
pub(super) fn is_grpc_message(headers: &HeaderMap) -> bool {
    grpc(headers).is_some()
}

/// What a message has to do with gRPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grpc {
    /// It is one of gRPC itself.
    Call,
    /// It is one of a protocol around it, such as gRPC-Web.
    Around,
}

/// What a request or an answer has to do with gRPC; `None`: nothing.
pub(super) fn grpc(headers: &HeaderMap) -> Option<Grpc> {
    let value = headers.get(header::CONTENT_TYPE)?.as_bytes();
    if !is_grpc(value) {
        return None;
    }
    // The name of the messages' encoding, or a parameter, may follow.
    let is_itself = matches!(value.get(GRPC.len()), None | Some(b'+' | b';' | b' '));
    Some(if is_itself { Grpc::Call } else { Grpc::Around })
}

fn is_events(value: &[u8]) -> bool {
    let media_type = value.split(|byte| *byte == b';').next().unwrap_or_default();
    media_type.trim_ascii().eq_ignore_ascii_case(EVENTS)
}

fn is_grpc(value: &[u8]) -> bool {
    value.get(..GRPC.len()).is_some_and(|start| start.eq_ignore_ascii_case(GRPC))
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn headers(name: &HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn an_event_stream_is_asked_for_in_any_line_and_any_case() {
        for (accept, expected) in [
            (&["text/event-stream"][..], true),
            (&["Text/Event-Stream; q=1"], true),
            (&["application/json, text/event-stream;q=0.9"], true),
            (&["application/json", "TEXT/EVENT-STREAM"], true),
            (&["text/html"], false),
            (&["*/*"], false),
            (&["text/event-streams"], false),
            (&[], false),
        ] {
            assert_eq!(is_asked_for(&headers(&header::ACCEPT, accept)), expected, "{accept:?}");
        }
    }

    #[test]
    fn an_answer_is_a_stream_by_its_media_type() {
        for (media_type, is_stream, what) in [
            ("text/event-stream", true, None),
            ("text/Event-Stream;charset=utf-8", true, None),
            ("text/event-stream ; charset=utf-8", true, None),
            ("text/event", false, None),
            ("application/grpc", true, Some(Grpc::Call)),
            ("application/grpc+proto", true, Some(Grpc::Call)),
            ("Application/gRPC; charset=x", true, Some(Grpc::Call)),
            ("application/grpc ", true, Some(Grpc::Call)),
            ("application/grpc-web", true, Some(Grpc::Around)),
            ("application/grpc-web-text+proto", true, Some(Grpc::Around)),
            ("application/json", false, None),
            ("application/gr", false, None),
        ] {
            let headers = headers(&header::CONTENT_TYPE, &[media_type]);
            assert_eq!((is_answer(&headers), grpc(&headers)), (is_stream, what), "{media_type}");
        }
    }
}
