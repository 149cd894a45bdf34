//! gRPC calls of clients that speak HTTP/2: how long a call may last, how furt itself ends one, and what the status of a call says
//! of the service.
//!
//! A call has HTTP's status 200 whatever comes of it; how it ended is in `grpc-status`, in the trailers or, where nothing else
//! is sent, in the header. Other requests never come here, those of gRPC over HTTP/1 and of gRPC-Web neither.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use pingora::http::ResponseHeader;
use pingora::{Error, Result};

use super::answer::GatewayAnswer;
use crate::wire::GatewayProblem;

pub(super) const STATUS: HeaderName = HeaderName::from_static("grpc-status");
pub(super) const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// The code of furt's own answer, which has no body to say it in.
const CODE: HeaderName = HeaderName::from_static("x-furt-code");
const TIMEOUT: &str = "grpc-timeout";
/// The most digits of a time.
const MAX_DIGITS: usize = 8;
/// A call that its client takes back earlier than this is taken back before its deadline, however short that is.
const LEAST: Duration = Duration::from_millis(50);

/// The time that the client gave the call is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the deadline of the call has passed")]
pub(super) struct DeadlineOver;

/// How long a call may last, as its client says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deadline {
    began: Instant,
    at: Instant,
}

impl Deadline {
    /// Of a call that begins now. `None`: it has none, or one that cannot be read, which is the service's to refuse.
    pub(super) fn of(headers: &HeaderMap, now: Instant) -> Option<Self> {
        let timeout = parse_timeout(headers.get(TIMEOUT)?.as_bytes())?;
        Some(Self { began: now, at: now.checked_add(timeout)? })
    }

    pub(super) fn at(self) -> Instant {
        self.at
    }

    pub(super) fn is_over(self, now: Instant) -> bool {
        self.left(now).is_zero()
    }

    pub(super) fn left(self, now: Instant) -> Duration {
        self.at.saturating_duration_since(now)
    }

    /// Whether a client that gives up now may have waited for it: its time began before the call was here.
    pub(super) fn is_near(self, now: Instant) -> bool {
        let lasted = now.saturating_duration_since(self.began);
        lasted >= LEAST && lasted >= (self.at - self.began) / 2
    }
}

/// A time as gRPC writes it: up to eight digits and a unit.
fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// How a call ended: the number in `grpc-status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Status(u32);

impl Status {
    const CANCELLED: Self = Self(1);
    const UNKNOWN: Self = Self(2);
    const DEADLINE_EXCEEDED: Self = Self(4);
    const PERMISSION_DENIED: Self = Self(7);
    const RESOURCE_EXHAUSTED: Self = Self(8);
    const UNIMPLEMENTED: Self = Self(12);
    const INTERNAL: Self = Self(13);
    const UNAVAILABLE: Self = Self(14);
    const DATA_LOSS: Self = Self(15);
    const UNAUTHENTICATED: Self = Self(16);

    /// The one in a header, or in trailers.
    pub(super) fn of(fields: &HeaderMap) -> Option<Self> {
        fields.get(STATUS)?.to_str().ok()?.parse().ok().map(Self)
    }

    /// With which furt itself ends a call. As clients take the status of HTTP for, but where gRPC has a better word.
    pub(super) fn of_problem(problem: GatewayProblem) -> Self {
        match problem {
            GatewayProblem::BadPath
            | GatewayProblem::BadRequest
            | GatewayProblem::LoopDetected
            | GatewayProblem::Internal => Self::INTERNAL,
            GatewayProblem::KeyMissing
            | GatewayProblem::KeyUnknown
            | GatewayProblem::TokenMissing
            | GatewayProblem::TokenRefused => Self::UNAUTHENTICATED,
            GatewayProblem::AddressNotAllowed
            | GatewayProblem::PermissionMissing
            | GatewayProblem::OriginNotAllowed
            | GatewayProblem::TlsRequired => Self::PERMISSION_DENIED,
            GatewayProblem::RouteNotFound
            | GatewayProblem::MethodNotAllowed
            | GatewayProblem::TransferCoding
            | GatewayProblem::GrpcNeedsH2c => Self::UNIMPLEMENTED,
            GatewayProblem::TargetTooLong | GatewayProblem::HeaderTooLarge | GatewayProblem::BodyTooLarge => {
                Self::RESOURCE_EXHAUSTED
            }
            GatewayProblem::DeadlineExceeded => Self::DEADLINE_EXCEEDED,
            // Another connection would do.
            GatewayProblem::Misdirected
            | GatewayProblem::BodyTimeout
            | GatewayProblem::RateLimited
            | GatewayProblem::RouteRateLimited
            | GatewayProblem::ConcurrencyLimited
            | GatewayProblem::AddressRateLimited
            | GatewayProblem::AuthUnavailable
            | GatewayProblem::Overloaded
            | GatewayProblem::Maintenance
            | GatewayProblem::ServiceDown
            | GatewayProblem::NoInstance
            | GatewayProblem::InstancesFull
            | GatewayProblem::Draining
            | GatewayProblem::ConnectFailed
            | GatewayProblem::ConnectTimeout
            | GatewayProblem::TlsFailed
            | GatewayProblem::UpstreamBroken
            | GatewayProblem::GrpcFailed
            | GatewayProblem::UpstreamTimeout => Self::UNAVAILABLE,
        }
    }

    /// What a client would have made of the service's reset, had it seen it; `None`: the service reset nothing.
    pub(super) fn of_reset(error: &Error) -> Option<Self> {
        let error: &h2::Error = error.root_cause().downcast_ref()?;
        if !error.is_remote() || !error.is_reset() {
            return None;
        }
        Some(match error.reason()? {
            h2::Reason::REFUSED_STREAM => Self::UNAVAILABLE,
            h2::Reason::CANCEL => Self::CANCELLED,
            h2::Reason::ENHANCE_YOUR_CALM => Self::RESOURCE_EXHAUSTED,
            h2::Reason::INADEQUATE_SECURITY => Self::PERMISSION_DENIED,
            _ => Self::INTERNAL,
        })
    }

    /// Whether the service says that it failed, as by a status of 5xx. What clients can bring about does not: a method that
    /// is not there, a deadline too short, too much asked for.
    pub(super) fn is_failure(self) -> bool {
        matches!(self, Self::UNKNOWN | Self::INTERNAL | Self::UNAVAILABLE | Self::DATA_LOSS)
    }

    pub(super) fn number(self) -> u32 {
        self.0
    }
}

/// The header that is the whole of an answer of furt's own.
///
/// # Errors
/// A header that Pingora does not take.
pub(super) fn header(status: Status, problem: GatewayProblem, answer: &GatewayAnswer) -> Result<ResponseHeader> {
    let mut response = ResponseHeader::build(StatusCode::OK, Some(9))?;
    response.insert_header(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"))?;
    for (name, value) in end(status, problem, answer) {
        response.insert_header(name, value)?;
    }
    if let Some((name, value)) = answer.extra() {
        response.insert_header(name.clone(), value.clone())?;
    }
    Ok(response)
}

/// The trailers that end a call whose answer has begun.
pub(super) fn trailers(status: Status, problem: GatewayProblem, answer: &GatewayAnswer) -> HeaderMap {
    end(status, problem, answer).into_iter().collect()
}

fn end(status: Status, problem: GatewayProblem, answer: &GatewayAnswer) -> [(HeaderName, HeaderValue); 3] {
    let message = match answer.detail() {
        Some(detail) => encoded(&format!("{}: {detail}", problem.title())),
        None => encoded(problem.title()),
    };
    [(STATUS, status.0.into()), (MESSAGE, message), (CODE, HeaderValue::from_static(problem.code()))]
}

/// A text as gRPC has it in a header.
fn encoded(text: &str) -> HeaderValue {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    // Nothing but visible characters and blanks is left.
    HeaderValue::try_from(out).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_up_to_eight_digits_and_a_unit() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("10S", Some(Duration::from_secs(10))),
            ("250m", Some(Duration::from_millis(250))),
            ("7u", Some(Duration::from_micros(7))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("0n", Some(Duration::ZERO)),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("100000000n", None),
            ("S", None),
            ("", None),
            ("1", None),
            ("1s", None),
            ("-1S", None),
            ("1.5S", None),
            (" 1S", None),
        ] {
            assert_eq!(parse_timeout(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_client_that_gives_up_at_its_deadline_is_told_from_one_that_takes_calls_back() {
        let now = crate::clock::now();
        let deadline = |ms| Deadline { began: now, at: now + Duration::from_millis(ms) };
        for (ms, after, is_near) in [(1000, 950, true), (1000, 400, false), (10, 9, false), (60, 55, true)] {
            assert_eq!(deadline(ms).is_near(now + Duration::from_millis(after)), is_near, "{ms} {after}");
        }
    }

    #[test]
    fn a_message_is_percent_encoded() {
        assert_eq!(encoded("needs \"a:b\""), "needs \"a:b\"");
        assert_eq!(encoded("100% \u{e9}\n"), "100%25 %C3%A9%0A");
    }

    #[test]
    fn a_problem_is_the_status_that_clients_take_its_status_of_http_for_or_a_better_word() {
        // As in gRPC's own table of statuses of HTTP.
        let expected = |status: u16| match status {
            400 => 13,
            401 => 16,
            403 => 7,
            404 => 12,
            429 | 502..=504 => 14,
            _ => 2,
        };
        for problem in GatewayProblem::ALL {
            let own = Status::of_problem(*problem).number();
            let better = match problem {
                GatewayProblem::DeadlineExceeded => Some(4),
                GatewayProblem::GrpcNeedsH2c | GatewayProblem::MethodNotAllowed | GatewayProblem::TransferCoding => {
                    Some(12)
                }
                GatewayProblem::TargetTooLong | GatewayProblem::HeaderTooLarge | GatewayProblem::BodyTooLarge => {
                    Some(8)
                }
                GatewayProblem::BodyTimeout | GatewayProblem::Misdirected => Some(14),
                GatewayProblem::Internal | GatewayProblem::LoopDetected => Some(13),
                _ => None,
            };
            let (http, code) = (problem.status().as_u16(), problem.code());
            assert_eq!(own, better.unwrap_or(expected(http)), "{code}");
            let row = format!("| `{code}` | {own} |");
            assert!(include_str!("../../docs/grpc.md").contains(&row), "{row} is not in docs/grpc.md");
        }
    }
}
