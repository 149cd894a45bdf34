//! The thread that does what `plan` says. It waits for its time or a reload, asks the Vault, and tells what is wrong, once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use furt_cluster::model::VaultSide;
use serde_json::Value;

use super::client::{Client, NewToken};
use super::fault::Fault;
use super::plan::{Failure, Lease, Plan, Step};
use super::token::Token;
use super::values::Values;
use crate::clock;
use crate::config::SecretRef;
use crate::private_files;
use crate::telemetry::VaultMetrics;

/// The longest value: passwords and digests are short.
const MAX_VALUE: usize = 64 * 1024;
/// How long a token that is made for another node can be unwrapped.
const WRAPPED: Duration = Duration::from_secs(60);
/// Without a step to wait for.
const IDLE: Duration = Duration::from_secs(3600);

/// A value that the configuration wants.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The key that has the reference.
    pub key: &'static str,
    /// Where the value is.
    pub place: SecretRef,
    /// What is wrong with a value; it is not in the sentence.
    pub check: fn(&str) -> Result<(), String>,
}

/// What the thread is made of.
pub struct Keeper {
    /// The Vault.
    pub client: Client,
    /// The file with this node's token.
    pub token_file: TokenFile,
    /// Whether this node makes tokens for others, now.
    pub makes_tokens: Box<dyn Fn() -> bool + Send>,
    /// What the configuration in force wants, now.
    pub wanted: Box<dyn Fn() -> Vec<Wanted> + Send>,
    /// Where the values go.
    pub values: Values,
    /// Where it is told.
    pub metrics: VaultMetrics,
}

/// Whose the token's file is.
#[derive(Debug, Clone)]
pub enum TokenFile {
    /// The operator's: furt reads it.
    Own(PathBuf),
    /// furt's: it keeps there what it was given.
    Given(PathBuf),
}

impl TokenFile {
    fn path(&self) -> &Path {
        match self {
            Self::Own(path) | Self::Given(path) => path,
        }
    }
}

/// Takes a token that was made, wrapped, or why none was.
pub type Taker = Box<dyn FnOnce(Result<Token, String>) + Send>;

/// What the thread is asked.
enum Order {
    Reload,
    Make(NewToken, Taker),
    Keep(Token),
    End,
}

/// The thread; it ends once it is told, or all of these are dropped, and nobody waits for it.
#[derive(Clone)]
pub struct Running {
    orders: mpsc::Sender<Order>,
    side: Arc<Mutex<VaultSide>>,
}

impl Running {
    /// A configuration is in force: all values are read now.
    pub fn reload(&self) {
        self.order(Order::Reload);
    }

    /// Has Vault make a token for another node.
    pub fn make_token(&self, new: NewToken, taker: Taker) {
        self.order(Order::Make(new, taker));
    }

    /// Unwraps a token of this node's own, and keeps it.
    pub fn keep_token(&self, wrapping: &str) {
        if let Some(wrapping) = Token::try_new(wrapping) {
            self.order(Order::Keep(wrapping));
        }
    }

    /// Ends the thread: another process renews the token from now on. What it was asked before is done first.
    pub fn end(&self) {
        self.order(Order::End);
    }

    /// Whether this node wants a token, or makes them.
    pub fn side(&self) -> VaultSide {
        *self.side.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn order(&self, order: Order) {
        // A thread that has ended by itself has said why.
        _ = self.orders.send(order);
    }
}

impl Keeper {
    /// Starts the thread.
    ///
    /// # Errors
    /// There is none.
    pub fn start(self) -> std::io::Result<Running> {
        let (orders, ordered) = mpsc::channel();
        let side = Arc::new(Mutex::new(VaultSide::Apart));
        let state = State {
            keeper: self,
            token: None,
            longest: None,
            about_token: None,
            about_file: None,
            about_values: BTreeMap::new(),
            alarm: None,
            side: Arc::clone(&side),
        };
        std::thread::Builder::new().name("vault".to_owned()).spawn(move || state.run(&ordered))?;
        Ok(Running { orders, side })
    }
}

struct State {
    keeper: Keeper,
    token: Option<Token>,
    /// The longest time that Vault gave the token.
    longest: Option<Duration>,
    /// What is wrong with the token, or with the Vault.
    about_token: Option<String>,
    /// What is wrong with the token's file, while a token from before is good.
    about_file: Option<String>,
    /// What is wrong with values, by the keys that want them.
    about_values: BTreeMap<&'static str, String>,
    /// Somebody else had this node's token; told until a reload.
    alarm: Option<String>,
    side: Arc<Mutex<VaultSide>>,
}

impl State {
    fn run(mut self, orders: &Receiver<Order>) {
        let mut plan = Plan::new(clock::now());
        loop {
            let next = plan.next();
            let wait = next.map_or(IDLE, |(at, _)| at.saturating_duration_since(clock::now()));
            match orders.recv_timeout(wait) {
                Ok(Order::Reload) => {
                    self.alarm = None;
                    plan.reload(clock::now());
                }
                Ok(Order::Make(new, taker)) => taker(self.make(&new)),
                Ok(Order::Keep(wrapping)) => {
                    if self.keep(&wrapping) {
                        plan.reload(clock::now());
                    }
                    self.show();
                }
                Ok(Order::End) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    if let Some((_, step)) = next {
                        self.take(step, &mut plan);
                        self.show();
                    }
                }
            }
        }
    }

    fn take(&mut self, step: Step, plan: &mut Plan) {
        let chance = fastrand::f64();
        match step {
            Step::TakeToken => {
                let outcome = self.take_token();
                plan.token_taken(clock::now(), outcome, chance);
            }
            Step::Renew => {
                let outcome = self.renew();
                plan.renewed(clock::now(), outcome, chance);
            }
            Step::Fetch => {
                let outcome = self.fetch();
                plan.fetched(clock::now(), outcome, chance);
            }
        }
    }

    /// The file's token, or the one before where the file's is of no use: a slip of an operator ends nothing.
    fn take_token(&mut self) -> Result<Lease, Failure> {
        let (why, failure) = match Token::read(self.keeper.token_file.path()) {
            Ok(token) => match self.keeper.client.look_up(&token) {
                Ok(lease) => {
                    self.about_file = None;
                    if self.token.replace(token.clone()) != Some(token) {
                        self.longest = None;
                    }
                    let ends = lease.ttl.filter(|_| !lease.renewable);
                    return Ok(self.leased(lease, ends.map(ending)));
                }
                Err(fault) => (fault.to_string(), failure(&fault)),
            },
            Err(why) => (why.to_string(), Failure::Refused),
        };
        if failure == Failure::Other {
            return Err(self.failed(&why, failure));
        }
        let why = match &self.keeper.token_file {
            TokenFile::Own(_) => format!("vault.token_file: {why}"),
            TokenFile::Given(_) => {
                // What is refused is of no use, and neither is one from before.
                self.token = None;
                return Err(
                    self.failed(&format!("this node has no token, and asks its cluster for one: {why}"), failure)
                );
            }
        };
        if let Some(before) = &self.token
            && let Ok(lease) = self.keeper.client.look_up(before)
        {
            let why = format!("{why}; the token before is kept");
            log::warn!("vault: {why}");
            self.about_file = Some(why);
            return Ok(self.leased(lease, None));
        }
        Err(self.failed(&why, failure))
    }

    fn renew(&mut self) -> Result<Lease, Failure> {
        let Some(token) = &self.token else { return Err(Failure::Refused) };
        match self.keeper.client.renew(token) {
            Ok(lease) => {
                self.longest = self.longest.max(lease.ttl);
                // Vault renews a token up to the greatest time that it may live, and then for ever less.
                let is_less = |ttl: &Duration| self.longest.is_some_and(|longest| *ttl < longest / 2);
                let ends = lease.ttl.filter(is_less);
                Ok(self.leased(lease, ends.map(ending)))
            }
            Err(fault) => Err(self.failed(&fault.to_string(), failure(&fault))),
        }
    }

    fn leased(&mut self, lease: Lease, wrong: Option<String>) -> Lease {
        self.keeper.metrics.leased(lease.ttl);
        self.about(wrong);
        lease
    }

    /// Reads what is wanted, each secret once. What cannot be had keeps its last value.
    fn fetch(&mut self) -> Result<(), Failure> {
        let Some(token) = self.token.clone() else { return Err(Failure::Refused) };
        let wanted = (self.keeper.wanted)();
        let mut values = self.keeper.values.all();
        values.retain(|place, _| wanted.iter().any(|one| one.place == *place));
        let mut secrets: BTreeMap<&str, Result<BTreeMap<String, Value>, Fault>> = BTreeMap::new();
        let (mut outcome, mut faults) = (Ok(()), BTreeMap::new());
        for one in &wanted {
            let path = one.place.path();
            if !secrets.contains_key(path) {
                // One that is away is not waited for once more for each secret.
                let is_away = secrets.values().find(|secret| matches!(secret, Err(Fault::Away(_))));
                let secret = is_away.cloned().unwrap_or_else(|| self.keeper.client.read(&token, path));
                secrets.insert(path, secret);
            }
            let Some(secret) = secrets.get(path) else { continue };
            let value = match secret {
                Ok(secret) => value_of(secret, one).map_err(|why| (why, Failure::Other)),
                Err(fault) => Err((fault.to_string(), failure(fault))),
            };
            match value {
                Ok(value) => {
                    let before = values.insert(one.place.clone(), Arc::clone(&value));
                    if before.is_some_and(|before| before != value) {
                        log::info!("vault: {} has another value in {}", one.key, one.place);
                    }
                }
                Err((why, failure)) => {
                    let last =
                        if values.contains_key(&one.place) { "the last value stays" } else { "there is no value yet" };
                    faults.insert(one.key, format!("{}: {}: {why}; {last}", one.key, one.place));
                    outcome = Err(if outcome == Err(Failure::Refused) { Failure::Refused } else { failure });
                }
            }
        }
        self.keeper.values.replace(values);
        self.keeper.metrics.fetched(clock::unix_ms(), outcome.is_ok());
        for (key, why) in &faults {
            if self.about_values.get(key) != Some(why) {
                log::warn!("vault: {why}");
            }
        }
        if faults.is_empty() && !self.about_values.is_empty() {
            log::info!("vault: every value is there again");
        }
        self.about_values = faults;
        outcome
    }

    fn make(&self, new: &NewToken) -> Result<Token, String> {
        let token = self.token.as_ref().ok_or("this node has no token itself")?;
        self.keeper.client.make_token(token, new, WRAPPED).map_err(|fault| fault.to_string())
    }

    /// Whether a token came of it.
    fn keep(&mut self, wrapping: &Token) -> bool {
        let TokenFile::Given(file) = &self.keeper.token_file else { return false };
        match self.keeper.client.unwrap_token(wrapping) {
            Ok((token, _)) => match private_files::write(file, token.reveal().as_bytes()) {
                Ok(()) => return true,
                Err(why) => log::error!("vault: {why}; the token is lost"),
            },
            Err(Fault::Rejected(_)) => {
                let why = "a token for this node was unwrapped by somebody else, or too late; look at Vault's audit log for who \
                           used it, and revoke it";
                log::error!("vault: {why}");
                self.alarm = Some(why.to_owned());
            }
            Err(fault) => log::warn!("vault: the token that this node was given cannot be unwrapped: {fault}"),
        }
        false
    }

    fn failed(&mut self, why: &str, failure: Failure) -> Failure {
        self.keeper.metrics.failed();
        self.about_file = None;
        self.about(Some(format!("{why}; the last values stay")));
        failure
    }

    /// Told once, until it is another.
    fn about(&mut self, why: Option<String>) {
        match (&self.about_token, &why) {
            (before, Some(why)) if before.as_ref() != Some(why) => log::warn!("vault: {why}"),
            (Some(_), None) => log::info!("vault: the token is good again"),
            _ => {}
        }
        self.about_token = why;
    }

    fn show(&self) {
        let side = match (&self.keeper.token_file, &self.token) {
            (TokenFile::Given(_), None) => VaultSide::Wants,
            (TokenFile::Own(_), Some(_)) if (self.keeper.makes_tokens)() => VaultSide::Makes,
            _ => VaultSide::Apart,
        };
        *self.side.lock().unwrap_or_else(PoisonError::into_inner) = side;
        let about_token = self.about_token.iter().chain(&self.about_file).chain(&self.alarm);
        self.keeper.metrics.set_issues(about_token.chain(self.about_values.values()).cloned().collect());
    }
}

fn ending(ttl: Duration) -> String {
    let minutes = ttl.as_secs().div_ceil(60);
    format!("the token ends within {minutes} min, and Vault does not renew it; put another one in vault.token_file")
}

fn failure(fault: &Fault) -> Failure {
    match fault {
        Fault::Refused(_) => Failure::Refused,
        Fault::Away(_) | Fault::Absent | Fault::Rejected(_) | Fault::Strange(_) => Failure::Other,
    }
}

fn value_of(secret: &BTreeMap<String, Value>, wanted: &Wanted) -> Result<Arc<str>, String> {
    let value = secret.get(wanted.place.key()).ok_or("the secret has no such key")?;
    let text = value.as_str().ok_or("it is no text; must be one")?;
    if text.is_empty() || text.len() > MAX_VALUE {
        return Err("it is empty, or longer than 64 KiB".to_owned());
    }
    (wanted.check)(text)?;
    Ok(text.into())
}
