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
    headers.get(header::CONTENT_TYPE).is_some_and(|value| is_grpc(value.as_bytes()))
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
        for (media_type, is_stream, is_grpc) in [
            ("text/event-stream", true, false),
            ("text/Event-Stream;charset=utf-8", true, false),
            ("text/event-stream ; charset=utf-8", true, false),
            ("text/event", false, false),
            ("application/grpc", true, true),
            ("application/grpc+proto", true, true),
            ("Application/gRPC; charset=x", true, true),
            ("application/grpc-web-text", true, true),
            ("application/json", false, false),
            ("application/gr", false, false),
        ] {
            let headers = headers(&header::CONTENT_TYPE, &[media_type]);
            assert_eq!((is_answer(&headers), is_grpc_message(&headers)), (is_stream, is_grpc), "{media_type}");
        }
    }
}
