//! Why an order came to nothing, in sentences: an authority's words are cleaned and cut, since they end in logs and on terminals.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use instant_acme::{Error, Problem};

use super::plan::{Failure, FailureKind};
use crate::private_files::FileError;

/// The longest sentence that is kept.
const LONGEST: usize = 400;

/// The authority does not answer, or something else does.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unreachable(pub(super) String);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    /// What the library or the authority says.
    #[error(transparent)]
    Acme(#[from] Error),
    /// The authority looked at the name, and did not find the answer.
    #[error("the authority did not find furt at the name by {challenge}: {why}")]
    Challenge { challenge: &'static str, why: String },
    /// It wants something else.
    #[error("the authority does not offer {0} for this name")]
    NotOffered(&'static str),
    /// It sent what cannot be shown.
    #[error("the authority's certificate cannot be used: {0}")]
    Unusable(String),
    /// Something on this machine.
    #[error("{0}")]
    Own(String),
    /// The folder.
    #[error(transparent)]
    Folder(#[from] FileError),
    /// The library panics at what it sent.
    #[error("the authority's answer makes no sense")]
    Senseless,
    /// The whole order took too long.
    #[error("the authority did not end the order within {0} s")]
    TimedOut(u64),
}

impl OrderError {
    /// Whether the authority does not know the account any more.
    pub(super) fn is_account_lost(&self) -> bool {
        matches!(self, Self::Acme(Error::Api(problem)) if is_of_type(problem, "accountDoesNotExist"))
    }

    /// With what the authority said of waiting.
    pub(super) fn failure(&self, retry_after: Option<i64>) -> Failure {
        let kind = match self {
            Self::Challenge { .. } | Self::NotOffered(_) => FailureKind::Challenge,
            Self::Acme(Error::Api(problem)) if is_of_type(problem, "rateLimited") => FailureKind::RateLimited,
            Self::Acme(Error::Other(why)) if why.is::<Unreachable>() => FailureKind::Unreachable,
            Self::TimedOut(_) | Self::Acme(Error::Timeout(_)) => FailureKind::Unreachable,
            Self::Acme(_) | Self::Unusable(_) | Self::Senseless | Self::Own(_) | Self::Folder(_) => FailureKind::Other,
        };
        let why = match self {
            Self::Acme(Error::Api(problem)) => format!("the authority refused: {}", said(problem)),
            Self::Acme(Error::Json(why)) => {
                format!("the authority's answer is none that ACME knows ({why}); is acme.directory right?")
            }
            other => other.to_string(),
        };
        Failure { why: clean(&why), kind, retry_after }
    }
}

/// What the library of ACME panics at comes to an error: it does so at a directory whose `newNonce` is no url, and the task must go on.
pub(super) async fn unpanicking<T>(work: impl Future<Output = Result<T, OrderError>>) -> Result<T, OrderError> {
    let mut work = pin!(work);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        polled.unwrap_or(Poll::Ready(Err(OrderError::Senseless)))
    })
    .await
}

/// What an authority says of a problem.
pub(super) fn said(problem: &Problem) -> String {
    let detail = problem.detail.clone().unwrap_or_else(|| "it does not say why".to_owned());
    let parts = problem.subproblems.iter().map(|part| format!("; {part}"));
    let kind = problem.r#type.as_deref().and_then(|kind| kind.rsplit(':').next());
    let kind = kind.map_or_else(String::new, |kind| format!(" ({kind})"));
    detail + &kind + &parts.collect::<String>()
}

/// One line of at most so many characters.
pub(super) fn clean(text: &str) -> String {
    let plain = |character: char| if character.is_control() { ' ' } else { character };
    let mut cleaned: String = text.chars().take(LONGEST).map(plain).collect();
    if text.chars().nth(LONGEST).is_some() {
        cleaned.push('…');
    }
    cleaned
}

fn is_of_type(problem: &Problem, kind: &str) -> bool {
    problem.r#type.as_deref().and_then(|found| found.strip_prefix("urn:ietf:params:acme:error:")) == Some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(json: &str) -> OrderError {
        OrderError::Acme(Error::Api(serde_json::from_str(json).unwrap()))
    }

    #[test]
    fn an_authority_s_words_are_one_short_line() {
        let lost =
            api(r#"{"type":"urn:ietf:params:acme:error:accountDoesNotExist","detail":"unknown\n\u001b[31maccount"}"#);
        assert!(lost.is_account_lost());
        let failure = lost.failure(None);
        assert_eq!(failure.why, "the authority refused: unknown  [31maccount (accountDoesNotExist)");
        let limited = api(r#"{"type":"urn:ietf:params:acme:error:rateLimited"}"#);
        let failure = limited.failure(Some(7));
        assert_eq!((failure.kind, failure.retry_after), (FailureKind::RateLimited, Some(7)));
        assert_eq!(failure.why, "the authority refused: it does not say why (rateLimited)");
        assert_eq!(clean(&"x".repeat(10_000)).chars().count(), LONGEST + 1);
    }

    #[test]
    fn failures_are_told_apart() {
        for (error, kind) in [
            (OrderError::NotOffered("http-01"), FailureKind::Challenge),
            (Error::Other(Unreachable("away".to_owned()).into()).into(), FailureKind::Unreachable),
            (Error::Other("else".into()).into(), FailureKind::Other),
            (OrderError::TimedOut(3), FailureKind::Unreachable),
            (OrderError::Unusable("cut".to_owned()), FailureKind::Other),
            (api("{}"), FailureKind::Other),
            (OrderError::Senseless, FailureKind::Other),
        ] {
            assert_eq!(error.failure(None).kind, kind, "{error}");
        }
    }

    #[tokio::test]
    async fn a_panic_of_the_library_is_an_error_like_another() {
        let senseless = unpanicking(async {
            tokio::task::yield_now().await;
            assert!(std::hint::black_box(false), "as the library does");
            Ok(())
        });
        assert_eq!(senseless.await.unwrap_err().failure(None).why, "the authority's answer makes no sense");
        assert_eq!(unpanicking(async { Ok(1) }).await.unwrap(), 1);
    }
}
