//! One order: the name, the answer to its challenge for as long as the authority looks, a new key, the certificate.

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error, Identifier, NewOrder, Order,
    OrderStatus, RetryPolicy,
};

use super::challenge;
use super::fault::{OrderError, said};
use super::plan::Challenge;
use crate::tls::{Answered, Certificate, Challenges};

/// How often the authority is asked whether it has looked: at first, by how much less often, and for how long.
const POLLS: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(250)).backoff(1.5).timeout(Duration::from_secs(90));

/// What is asked for.
pub(super) struct Wish<'a> {
    pub(super) name: &'a str,
    pub(super) challenge: Challenge,
    pub(super) profile: Option<&'a str>,
    /// The certificate before, where the authority has a say in when it is renewed.
    pub(super) replaces: Option<CertificateIdentifier<'static>>,
}

/// What came of it.
pub(super) struct Got {
    pub(super) certificate: Arc<Certificate>,
    /// In PEM.
    pub(super) chain: String,
    /// In PEM.
    pub(super) key: String,
}

/// Gets a certificate.
pub(super) async fn obtain(
    account: &Account,
    wish: &Wish<'_>,
    challenges: &Arc<Challenges>,
) -> Result<Got, OrderError> {
    let mut order = begin(account, wish).await?;
    // Gone when the order has ended, however it does.
    let _answered = prove(&mut order, wish, challenges).await?;
    match order.poll_ready(&POLLS).await {
        Ok(OrderStatus::Invalid) => return Err(why_invalid(&mut order, wish).await),
        Err(Error::Api(problem)) if order.state().status == OrderStatus::Invalid => {
            return Err(OrderError::Challenge { challenge: label(wish.challenge), why: said(&problem) });
        }
        polled => _ = polled?,
    }
    let (request, key) = challenge::request(wish.name).map_err(|why| OrderError::Own(why.to_string()))?;
    order.finalize_csr(&request).await?;
    let chain = order.poll_certificate(&POLLS).await?;
    let certificate = Certificate::from_pem(chain.as_bytes(), key.as_bytes());
    let certificate = certificate.map_err(|fault| OrderError::Unusable(format!("it {fault}")))?;
    if !certificate.is_for(wish.name) {
        let names = certificate.shown_names().join(", ");
        return Err(OrderError::Unusable(format!("it is for {names}, not for {}", wish.name)));
    }
    Ok(Got { certificate: Arc::new(certificate), chain, key })
}

async fn begin(account: &Account, wish: &Wish<'_>) -> Result<Order, OrderError> {
    let names = [Identifier::Dns(wish.name.to_owned())];
    let order = || {
        let order = NewOrder::new(&names);
        wish.profile.into_iter().fold(order, NewOrder::profile)
    };
    let Some(replaces) = wish.replaces.clone() else { return Ok(account.new_order(&order()).await?) };
    match account.new_order(&order().replaces(replaces)).await.map_err(OrderError::from) {
        // What the order is for matters less than that there is one: some authorities have forgotten the certificate before.
        Err(OrderError::Acme(error)) if is_about_replacing(&error) => Ok(account.new_order(&order()).await?),
        ordered => ordered,
    }
}

fn is_about_replacing(error: &Error) -> bool {
    match error {
        Error::Api(problem) => {
            let kind = problem.r#type.as_deref().and_then(|kind| kind.rsplit(':').next());
            matches!(kind, Some("alreadyReplaced" | "malformed" | "conflict"))
        }
        Error::Unsupported(_) => true,
        Error::Other(why) => why.to_string().contains("replaces"),
        _ => false,
    }
}

/// Puts the answers where the authority looks, and has it look; `None`: it believes already.
async fn prove(
    order: &mut Order,
    wish: &Wish<'_>,
    challenges: &Arc<Challenges>,
) -> Result<Option<Answered>, OrderError> {
    let mut authorizations = order.authorizations();
    let mut answered = None;
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let (kind, label) = (kind(wish.challenge), label(wish.challenge));
        let mut challenge = authorization.challenge(kind).ok_or(OrderError::NotOffered(label))?;
        let proof = challenge.key_authorization();
        answered = Some(match wish.challenge {
            Challenge::Http01 => challenges.answer_text(&challenge.token, proof.as_str()),
            Challenge::TlsAlpn01 => {
                let own = challenge::certificate(wish.name, proof.digest().as_ref());
                let (certificate, key) = own.map_err(|why| OrderError::Own(why.to_string()))?;
                let answer = challenges.answer_handshake(wish.name, (&certificate, &key));
                answer.map_err(|fault| OrderError::Own(format!("the certificate for the challenge {fault}")))?
            }
        });
        challenge.set_ready().await?;
    }
    Ok(answered)
}

/// What the authority says of its look.
async fn why_invalid(order: &mut Order, wish: &Wish<'_>) -> OrderError {
    let mut why = "it does not say why".to_owned();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if let Ok(state) = authorization.refresh().await {
            let problems = state.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
            why = problems.map(said).next().unwrap_or(why);
        }
    }
    OrderError::Challenge { challenge: label(wish.challenge), why }
}

fn kind(challenge: Challenge) -> ChallengeType {
    match challenge {
        Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
        Challenge::Http01 => ChallengeType::Http01,
    }
}

fn label(challenge: Challenge) -> &'static str {
    match challenge {
        Challenge::TlsAlpn01 => "tls-alpn-01",
        Challenge::Http01 => "http-01",
    }
}
