//! An issuer whose server and clocks are the test's own: time passes only where a test waits.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::super::source::{Fetch, FetchError};
use super::super::{Issuer, TokenFault};
use super::signing::{NOW, Pair, claims, config, document, header};
use crate::auth::Identity;
use crate::clock;
use crate::config::{IssuerConfig, TokenAlgorithm};
use furt_core::model::Sha256Digest;

/// The server with the keys.
#[derive(Clone, Default)]
pub(super) struct Server(Arc<Mutex<Answers>>);

#[derive(Default)]
struct Answers {
    /// `None`: it is away.
    document: Option<Value>,
    takes: Duration,
    fetches: usize,
}

impl Server {
    /// One with these keys.
    pub(super) fn with(pairs: &[(&Pair, &str)]) -> Self {
        let server = Self::default();
        server.has(pairs);
        server
    }

    /// It has these keys from now on.
    pub(super) fn has(&self, pairs: &[(&Pair, &str)]) {
        let keys: Vec<_> = pairs.iter().map(|(pair, kid)| pair.jwk(kid)).collect();
        self.says(Some(document(&keys)));
    }

    /// It says this from now on.
    pub(super) fn says(&self, document: Option<Value>) {
        self.answers(|answers| answers.document = document);
    }

    /// It takes so long for an answer.
    pub(super) fn takes(&self, time: Duration) {
        self.answers(|answers| answers.takes = time);
    }

    /// How often it was asked.
    pub(super) fn fetches(&self) -> usize {
        self.answers(|answers| answers.fetches)
    }

    /// Whether nobody asks it any more.
    pub(super) fn is_left(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    fn answers<T>(&self, change: impl FnOnce(&mut Answers) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Fetch for Server {
    async fn fetch(&self) -> Result<Vec<u8>, FetchError> {
        let takes = self.answers(|answers| {
            answers.fetches += 1;
            answers.takes
        });
        tokio::time::sleep(takes).await;
        let document = self.answers(|answers| answers.document.clone());
        document.map(|document| document.to_string().into_bytes()).ok_or(FetchError("it is away".to_owned()))
    }
}

/// Starts an issuer at [`NOW`].
pub(super) fn start_as(config: &IssuerConfig, server: &Server, keep: Option<&Path>) -> Arc<Issuer> {
    start_at(NOW, config, server, keep)
}

/// The same at another time of day.
pub(super) fn start_at(unix: f64, config: &IssuerConfig, server: &Server, keep: Option<&Path>) -> Arc<Issuer> {
    let started = clock::now();
    let passed = move || i64::try_from(clock::now().duration_since(started).as_millis()).unwrap();
    let start_ms = (unix * 1000.0) as i64;
    Issuer::start_from(config, keep, Box::new(server.clone()), Arc::new(move || start_ms + passed()))
}

/// The usual one, with its keys.
pub(super) async fn started(server: &Server) -> Arc<Issuer> {
    let issuer = start_as(&config(), server, None);
    pass(1).await;
    issuer
}

/// Lets so many ms pass.
pub(super) async fn pass(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// A token that stays good for a day.
pub(super) fn token(pair: &Pair, kid: &str) -> String {
    let mut claims = claims();
    claims["exp"] = json!(NOW + 24.0 * 3600.0);
    pair.token(&header(TokenAlgorithm::EdDsa, kid), &claims)
}

pub(super) fn digest(token: &str) -> Sha256Digest {
    Sha256Digest::of(token.as_bytes())
}

/// The verdict of an issuer.
pub(super) async fn judged(issuer: &Issuer, token: &str) -> Result<Arc<Identity>, TokenFault> {
    issuer.verify(token, digest(token)).await
}
