//! The trace that a request belongs to, as the headers `traceparent` and `tracestate` say it (W3C Trace Context).

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header that says which trace and which span of it a request is of.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The header with what tracing systems say beside that.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// `00-`, the trace, the span, the flags.
const LENGTH: usize = 55;
/// The longest `tracestate` that is passed on: what everybody must take (§3.3.1.5).
const MAX_STATE: usize = 512;
const SAMPLED: u8 = 1;

/// The id of a trace; never 0.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceId(u128);

/// The id of a span; never 0.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SpanId(u64);

impl TraceId {
    /// A new one. Random, and not secret: whoever sees a request sees it.
    pub fn random() -> Self {
        Self(fastrand::u128(1..))
    }

    pub(super) fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl SpanId {
    /// A new one.
    pub fn random() -> Self {
        Self(fastrand::u64(1..))
    }

    pub(super) fn bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What a request says of the trace that it is part of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The span of who sent the request.
    pub parent: SpanId,
    /// Whether spans of the trace are recorded.
    pub is_sampled: bool,
    /// What tracing systems say beside that; `None`: nothing, or more than everybody takes.
    pub state: Option<HeaderValue>,
}

impl TraceContext {
    /// As a request has it; `None`: it has none, or nothing that can be read as one.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).into_iter();
        let value = values.next().filter(|_| values.next().is_none())?.as_bytes();
        let (trace, parent, flags) = parse(value)?;
        Some(Self { trace, parent, is_sampled: flags & SAMPLED != 0, state: state(headers) })
    }
}

/// The value of `traceparent` of a request that a span sends.
pub fn traceparent(trace: TraceId, span: SpanId, is_sampled: bool) -> HeaderValue {
    let text = format!("00-{:032x}-{:016x}-{:02x}", trace.0, span.0, if is_sampled { SAMPLED } else { 0 });
    // Digits, letters and dashes are always a value.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
}

fn parse(value: &[u8]) -> Option<(TraceId, SpanId, u8)> {
    let (known, rest) = value.split_at_checked(LENGTH)?;
    if [2, 35, 52].iter().any(|&at| known[at] != b'-') {
        return None;
    }
    let version = hex(&known[..2])?;
    // Of a later version what is known of this one is read, and more may follow (§3.2.4).
    match version {
        0 if !rest.is_empty() => return None,
        0xff => return None,
        _ if !rest.is_empty() && rest[0] != b'-' => return None,
        _ => {}
    }
    let trace = hex(&known[3..35]).filter(|trace| *trace != 0).map(TraceId)?;
    let parent = hex(&known[36..52]).filter(|parent| *parent != 0)?;
    let flags = hex(&known[53..])?;
    Some((trace, SpanId(u64::try_from(parent).ok()?), u8::try_from(flags).ok()?))
}

/// Digits in lower case, at most 32.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(digit))
    })
}

/// All of them as one: several are a list (§3.3.1).
fn state(headers: &HeaderMap) -> Option<HeaderValue> {
    let all: Vec<_> = headers.get_all(TRACESTATE).iter().filter(|value| !value.is_empty()).collect();
    let joined = match all.as_slice() {
        [] => return None,
        [one] => (*one).clone(),
        many => {
            let many: Vec<_> = many.iter().map(|value| value.as_bytes()).collect();
            HeaderValue::from_bytes(&many.join(&b","[..])).ok()?
        }
    };
    Some(joined).filter(|state| state.len() <= MAX_STATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn read(values: &[&str], states: &[&str]) -> Option<TraceContext> {
        let mut headers = HeaderMap::new();
        values.iter().for_each(|value| _ = headers.append(TRACEPARENT, value.parse().unwrap()));
        states.iter().for_each(|value| _ = headers.append(TRACESTATE, value.parse().unwrap()));
        TraceContext::of(&headers)
    }

    #[test]
    fn what_was_sent_is_read_and_written_alike() {
        let sent = format!("00-{TRACE}-{SPAN}-01");
        let context = read(&[&sent], &["a=1"]).unwrap();
        assert_eq!((context.trace.to_string().as_str(), context.is_sampled), (TRACE, true));
        assert_eq!(context.state.as_ref().unwrap(), "a=1");
        assert_eq!(traceparent(context.trace, context.parent, true), sent.as_str());
        assert_eq!(traceparent(context.trace, context.parent, false), format!("00-{TRACE}-{SPAN}-00").as_str());
        assert!(!read(&[&format!("00-{TRACE}-{SPAN}-02")], &[]).unwrap().is_sampled, "only the last bit says so");
        assert!(read(&[&format!("00-{TRACE}-{SPAN}-ff")], &[]).unwrap().is_sampled);
    }

    #[test]
    fn what_cannot_be_read_is_as_if_it_were_not_there() {
        let zeros = ["0".repeat(32), "0".repeat(16)];
        for value in [
            "".to_owned(),
            "x".to_owned(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-011"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("0-{TRACE}-{SPAN}-001"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{}-{SPAN}-01", zeros[0]),
            format!("00-{TRACE}-{}-01", zeros[1]),
            format!("00_{TRACE}_{SPAN}_01"),
            format!("00-{TRACE}-{SPAN}-0g"),
            format!("01-{TRACE}-{SPAN}-01x"),
        ] {
            assert_eq!(read(&[&value], &["a=1"]), None, "{value}");
        }
        let good = format!("00-{TRACE}-{SPAN}-01");
        assert_eq!(read(&[&good, &good], &[]), None, "nobody knows which one is meant");
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        for value in [format!("01-{TRACE}-{SPAN}-01"), format!("cc-{TRACE}-{SPAN}-01-what.comes.then")] {
            assert!(read(&[&value], &[]).is_some(), "{value}");
        }
    }

    #[test]
    fn a_state_in_pieces_is_one_and_a_long_one_is_dropped() {
        let good = format!("00-{TRACE}-{SPAN}-01");
        let state = |states: &[&str]| read(&[&good], states).unwrap().state;
        assert_eq!(state(&["a=1", "", "b=2"]).unwrap(), "a=1,b=2");
        assert_eq!(state(&[&"x".repeat(MAX_STATE)]).unwrap().len(), MAX_STATE);
        assert_eq!(state(&[&"x".repeat(MAX_STATE + 1)]), None);
        assert_eq!(state(&[]), None);
    }

    #[test]
    fn ids_are_new_each_time() {
        assert_ne!(TraceId::random(), TraceId::random());
        assert_ne!(SpanId::random(), SpanId::random());
    }
}
