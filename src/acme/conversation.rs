//! One conversation with an authority, as the task has it, over whatever answers there are: for the fuzz target, without network, folder
//! and clock. No furt that runs has it.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use instant_acme::{Account, CertificateIdentifier, NewAccount};

use super::account;
use super::fault::unpanicking;
use super::http::{Client, RetryAfter};
use super::order::{self, Wish};
use super::plan::{Challenge, Held, Kind, Ledger, Life, Plan, Step, Wanted};
use crate::clock;
use crate::tls::Certificate;

const NAME: &str = "a.example";
const DIRECTORY: &str = "https://authority.example/directory";
/// The certificate that is to be replaced.
const REPLACED: (&str, &str) = ("aYhba4dGQEHhs3uEe6CuLN4ByNQ", "AIdlQyE");

/// What came of it.
#[derive(Debug)]
pub struct Heard {
    /// Why there is no certificate, for operators.
    pub why: Option<String>,
    /// When the next order is due, in Unix seconds, and as it is shown.
    pub next: Option<(i64, String)>,
    /// When furt looks at it again, where nothing is to be done before.
    pub until: Option<i64>,
}

/// Makes an account, orders a certificate, and asks when to renew one that is good from `not_before` to `not_after`, at `now`, all in
/// Unix seconds.
pub async fn converse(
    (not_before, now, not_after): (i64, i64, i64),
    answer: impl Fn(&Request<Bytes>) -> Response<Bytes> + Send + Sync + 'static,
) -> Heard {
    let retry_after = RetryAfter::default();
    let client = Client::over(move |request| Ok(answer(&request)), retry_after.clone());
    let mut plan = Plan::new(Ledger::default());
    plan.set_wanted([(NAME.to_owned(), Wanted { service: None, standing_since: None })].into());
    plan.begin(NAME, &Kind::Own, now);
    let replaced = CertificateIdentifier { authority_key_identifier: REPLACED.0.into(), serial: REPLACED.1.into() };
    let mut known = None;
    let obtaining = async {
        let wanted = NewAccount { contact: &[], terms_of_service_agreed: true, only_return_existing: false };
        let builder = Account::builder_with_http(Box::new(client));
        let account = known.insert(builder.create(&wanted, DIRECTORY.to_owned(), None).await?.0);
        let (profile, replaces) = (None, Some(replaced.clone()));
        let wish = Wish { name: NAME, challenge: Challenge::Http01, profile, replaces };
        order::obtain(account, &wish, &Arc::default()).await
    };
    let why = unpanicking(obtaining).await.err().map(|error| {
        let failure = error.failure(retry_after.take());
        let why = failure.why.clone();
        plan.failed(NAME, failure, now, 0.5);
        why
    });
    let life = Life { not_before, not_after };
    plan.hold(NAME, Held { life, service: None, window: None, is_foreign: false, fraction: 0.5, ask_at: 0 });
    let word = match &known {
        Some(account) => unpanicking(account::window(account, &replaced)).await.ok().flatten(),
        None => None,
    };
    plan.answered(NAME, word.map(|(window, _)| window), word.map(|(_, wait)| wait), now);
    let next = plan.view(NAME, now).next.map(|at| (at, clock::rfc3339(at.saturating_mul(1000))));
    let until = match plan.next(now) {
        Step::Wait { until } => Some(until),
        Step::Order { .. } | Step::Ask { .. } => None,
    };
    Heard { why, next, until }
}

/// The names of a certificate that an authority sent, and what it is called there; `None`: it cannot be shown.
pub fn read_certificate(chain: &[u8], key: &[u8]) -> Option<(Vec<String>, Option<String>)> {
    let certificate = Certificate::from_pem(chain, key).ok()?;
    let identifier = CertificateIdentifier::try_from(certificate.leaf()?).ok().map(|identifier| identifier.to_string());
    Some((certificate.shown_names(), identifier))
}
