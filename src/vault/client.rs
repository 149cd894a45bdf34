//! The calls of HashiCorp Vault's API that furt makes: each answer within a time and with a bound on its size, and nothing followed
//! elsewhere. A token goes to `vault.url` alone, over no proxy.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

use super::fault::{Fault, words};
use super::plan::Lease;
use super::token::Token;
use crate::telemetry::VERSION;
use crate::tls::{RootsError, roots, unasked};

/// The largest answer: a secret of Vault's own largest size would be 1 MiB, one of a configuration has some KiB.
const MAX_BYTES: u64 = 256 * 1024;
/// For a whole answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Seconds of a token's life that are believed: 100 years.
const LONGEST_TTL: u64 = 100 * 365 * 24 * 3600;

/// A token that is to be made for somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// How Vault's log calls it.
    pub display_name: String,
    /// What it may.
    pub policies: Vec<String>,
    /// It lives for so long after each renewal.
    pub period: Duration,
}

/// A client of one Vault.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    url: String,
    namespace: Option<String>,
    mount: String,
}

impl Client {
    /// One of the Vault at `url`, which has no slash at its end; `ca` names its authorities, or else it is the system's.
    ///
    /// # Errors
    /// The authorities cannot be used.
    pub fn try_new(url: &str, ca: Option<&Path>, namespace: Option<&str>, mount: &str) -> Result<Self, RootsError> {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .timeout_global(Some(TIMEOUT))
            .user_agent(format!("furt/{VERSION}"));
        let agent = if url.starts_with("https:") {
            let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&roots(ca)?)).build();
            agent.https_only(true).tls_config(tls)
        } else {
            agent
        };
        Ok(Self {
            agent: agent.build().into(),
            url: url.to_owned(),
            namespace: namespace.map(str::to_owned),
            mount: mount.to_owned(),
        })
    }

    /// What the token is.
    ///
    /// # Errors
    /// Vault is away, or refuses it.
    pub fn look_up(&self, token: &Token) -> Result<Lease, Fault> {
        let answer = self.ask(&Asked::get("auth/token/lookup-self", token))?;
        let Answer::<LookedUp> { data } = read(&answer, "it does not say what the token is")?;
        // Of a token that never ends it says 0, and no time.
        let ttl = (data.ttl > 0 || data.expire_time.is_some()).then(|| seconds(data.ttl));
        Ok(Lease { ttl, renewable: data.renewable })
    }

    /// Makes the token's time longer.
    ///
    /// # Errors
    /// Vault is away, or refuses it.
    pub fn renew(&self, token: &Token) -> Result<Lease, Fault> {
        let answer = self.ask(&Asked::post("auth/token/renew-self", token, json!({})))?;
        let Granted { auth } = read(&answer, "it does not say how long the token lives")?;
        Ok(auth.lease())
    }

    /// The texts of a secret, the newest version (KV, version 2).
    ///
    /// # Errors
    /// Vault is away, refuses it, or has no such secret.
    pub fn read(&self, token: &Token, path: &str) -> Result<BTreeMap<String, Value>, Fault> {
        let answer = self.ask(&Asked::get(&format!("{}/data/{path}", self.mount), token))?;
        let Answer::<Secret> { data } = read(&answer, "it is no secret of the KV engine, version 2")?;
        Ok(data.data)
    }

    /// Makes a token for somebody else: an orphan, which does not end with this node's, and periodic. It is answered wrapped:
    /// what comes back unwraps it, once, and for so long.
    ///
    /// # Errors
    /// Vault is away, or this node's token may not.
    pub fn make_token(&self, token: &Token, new: &NewToken, wrapped_for: Duration) -> Result<Token, Fault> {
        let body = json!({
            "display_name": new.display_name,
            "policies": new.policies,
            "period": format!("{}s", new.period.as_secs()),
            "renewable": true,
        });
        let mut asked = Asked::post("auth/token/create-orphan", token, body);
        asked.wrapped_for = Some(wrapped_for);
        let answer = self.ask(&asked)?;
        let Wrapped { wrap_info } = read(&answer, "it has no wrapped token")?;
        Token::try_new(&wrap_info.token).ok_or(Fault::Strange("its wrapping token is none"))
    }

    /// The token that a wrapping token wraps. It can be unwrapped once: a second time is [`Fault::Rejected`], and whoever was first has
    /// the token.
    ///
    /// # Errors
    /// Vault is away, or nothing is wrapped any more.
    pub fn unwrap_token(&self, wrapping: &Token) -> Result<(Token, Lease), Fault> {
        let answer = self.ask(&Asked::post("sys/wrapping/unwrap", wrapping, json!({})))?;
        let Granted { auth } = read(&answer, "it wraps no token")?;
        let token = auth.client_token.as_deref().and_then(Token::try_new);
        Ok((token.ok_or(Fault::Strange("it wraps no token"))?, auth.lease()))
    }

    fn ask(&self, asked: &Asked<'_>) -> Result<Vec<u8>, Fault> {
        let mut request = Request::builder()
            .method(asked.method.clone())
            .uri(format!("{}/v1/{}", self.url, asked.path))
            .header("X-Vault-Token", asked.token.reveal())
            // What Vault wants of agents, against requests that a browser was tricked into.
            .header("X-Vault-Request", "true");
        if let Some(namespace) = &self.namespace {
            request = request.header("X-Vault-Namespace", namespace);
        }
        if let Some(ttl) = asked.wrapped_for {
            request = request.header("X-Vault-Wrap-TTL", format!("{}s", ttl.as_secs()));
        }
        let sent = match &asked.body {
            Some(body) => request
                .header("Content-Type", "application/json")
                .body(serde_json::to_vec(body).unwrap_or_default())
                .map(|request| self.agent.run(request)),
            None => request.body(()).map(|request| self.agent.run(request)),
        };
        let sent = sent.map_err(|_| Fault::Strange("its url cannot be asked"))?;
        let (parts, mut body) = sent.map_err(|why| away(&why))?.into_parts();
        let body = body.with_config().limit(MAX_BYTES).read_to_vec().map_err(|why| match why {
            ureq::Error::BodyExceedsLimit(_) => Fault::Strange("it is larger than 256 KiB"),
            why => away(&why),
        })?;
        judge(&Response::from_parts(parts, body), asked.token)
    }
}

/// A request.
struct Asked<'a> {
    method: Method,
    path: String,
    token: &'a Token,
    body: Option<Value>,
    wrapped_for: Option<Duration>,
}

impl<'a> Asked<'a> {
    fn get(path: &str, token: &'a Token) -> Self {
        Self { method: Method::GET, path: path.to_owned(), token, body: None, wrapped_for: None }
    }

    fn post(path: &str, token: &'a Token, body: Value) -> Self {
        Self { method: Method::POST, path: path.to_owned(), token, body: Some(body), wrapped_for: None }
    }
}

fn away(why: &ureq::Error) -> Fault {
    Fault::Away(unasked(why, "vault.ca"))
}

/// The body of a good answer.
fn judge(answer: &Response<Vec<u8>>, token: &Token) -> Result<Vec<u8>, Fault> {
    let status = answer.status();
    let said = || {
        let errors = serde_json::from_slice(answer.body()).map(|Errors { errors }| errors);
        words(&errors.unwrap_or_default(), token.reveal())
    };
    match status {
        StatusCode::OK => Ok(answer.body().clone()),
        StatusCode::BAD_REQUEST => Err(Fault::Rejected(said())),
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => Err(Fault::Refused(said())),
        StatusCode::NOT_FOUND => Err(Fault::Absent),
        _ if status.is_redirection() => {
            Err(Fault::Away("it sends elsewhere, which furt does not follow; must be the active server".to_owned()))
        }
        // Standbys and what is behind a quorum answer 412, 472 and 473.
        _ if status.is_server_error() || matches!(status.as_u16(), 408 | 412 | 429 | 472 | 473) => {
            let (code, said) = (status.as_u16(), said());
            Err(Fault::Away(if said.is_empty() {
                format!("it answers {code}")
            } else {
                format!("it answers {code} ({said})")
            }))
        }
        _ => Err(Fault::Strange("its status has no meaning here")),
    }
}

/// Errors of the library would repeat what they found.
fn read<'a, T: Deserialize<'a>>(body: &'a [u8], strange: &'static str) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|_| Fault::Strange(strange))
}

fn seconds(ttl: u64) -> Duration {
    Duration::from_secs(ttl.min(LONGEST_TTL))
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<String>,
}

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
struct LookedUp {
    ttl: u64,
    expire_time: Option<String>,
    #[serde(default)]
    renewable: bool,
}

#[derive(Deserialize)]
struct Secret {
    data: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Granted {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    client_token: Option<String>,
    lease_duration: u64,
    #[serde(default)]
    renewable: bool,
}

impl Auth {
    fn lease(&self) -> Lease {
        Lease { ttl: Some(seconds(self.lease_duration)), renewable: self.renewable }
    }
}

#[derive(Deserialize)]
struct Wrapped {
    wrap_info: WrapInfo,
}

#[derive(Deserialize)]
struct WrapInfo {
    token: String,
}
