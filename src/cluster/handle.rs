//! How the rest of furt asks for what the cluster knows and does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use furt_cluster::model::{Restart, Role, Scope, SettingsId, TokenId};
use furt_cluster::{Agreement, Answer, Command, Refusal, View};
use tokio::sync::{mpsc, oneshot};

/// Orders that wait for the driver.
const MOST_WAITING: usize = 64;

/// Where orders are given. Clones lead to the same driver.
#[derive(Debug, Clone)]
pub struct Handle(mpsc::Sender<Order>);

/// What the driver is asked.
#[derive(Debug)]
pub enum Order {
    /// What is known now.
    Look(oneshot::Sender<Result<Shown, Failure>>),
    /// An operator's command, but those that need a token's secret.
    Command(Box<Command>, oneshot::Sender<Result<Answer, Failure>>),
    /// Make a token that lets nodes join; its text is answered.
    MakeToken {
        /// How many nodes may join.
        uses: u32,
        /// For how long.
        ttl: Duration,
        /// What they may.
        role: Role,
        /// The token.
        reply: oneshot::Sender<Result<MadeToken, Failure>>,
    },
    /// Change settings of the cluster or of nodes.
    Settings(SettingsChange, oneshot::Sender<Result<Answer, Failure>>),
    /// The settings that are in force or were, as far as this node has them.
    Documents(oneshot::Sender<Result<Vec<KnownSettings>, Failure>>),
    /// Join by a token of another node.
    Join(String, oneshot::Sender<Result<Answer, Failure>>),
}

/// A change of settings: the document of each scope as it is, with these keys set and those gone.
#[derive(Debug, Clone, PartialEq)]
pub struct SettingsChange {
    /// Whose settings, at least one.
    pub scopes: Vec<Scope>,
    /// Full names of keys, such as `limits.max_body`, and their values.
    pub set: BTreeMap<String, toml::Value>,
    /// Full names of keys that are not set any more.
    pub unset: BTreeSet<String>,
    /// The generation that the caller has seen, 0 for none; `None`: whichever is in force now.
    pub expect: Option<u64>,
    /// Whether all who are there must agree.
    pub agreement: Agreement,
    /// Whether nodes may restart for them.
    pub restart: Restart,
}

/// Settings that are in force, or were.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownSettings {
    /// Whose.
    pub scope: Scope,
    /// Which.
    pub id: SettingsId,
    /// Whether they are the latest of their scope.
    pub is_latest: bool,
    /// Whether they are in force at this node.
    pub is_applied: bool,
    /// When they were put in force at this node, in ms since the Unix epoch; `None`: never.
    pub applied_ms: Option<i64>,
    /// The document, in TOML; `None`: this node does not have it.
    pub text: Option<String>,
}

/// A new join token.
#[derive(Clone, PartialEq, Eq)]
pub struct MadeToken {
    /// The token itself, `furtc1.<cluster>.<maker>.<secret>`.
    pub text: String,
    /// Its name in [`View::tokens`].
    pub id: TokenId,
    /// Its end, in ms since the Unix epoch.
    pub until_ms: i64,
}

impl fmt::Debug for MadeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MadeToken").field("id", &self.id).field("until_ms", &self.until_ms).finish_non_exhaustive()
    }
}

/// Whether messages can be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// They can.
    Up,
    /// They cannot; why, in words, where anything was tried.
    Down(Option<String>),
}

/// What is known at a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// The core's view.
    pub view: View,
    /// The bus.
    pub link: Link,
}

/// Why an order was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The core refuses it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// 422: a join token that is none.
    #[error("{0}")]
    Token(String),
    /// 422: settings that are none, a sentence each.
    #[error("{}", .0.join("; "))]
    Settings(Vec<String>),
    /// 503: the node does not take part now, and why.
    #[error("{0}")]
    Unavailable(String),
}

impl Handle {
    /// A handle, and what the driver receives.
    pub fn channel() -> (Self, mpsc::Receiver<Order>) {
        let (sender, receiver) = mpsc::channel(MOST_WAITING);
        (Self(sender), receiver)
    }

    /// What is known now.
    ///
    /// # Errors
    /// [`Failure::Unavailable`].
    pub async fn look(&self) -> Result<Shown, Failure> {
        self.ask(Order::Look).await?
    }

    /// Carries out a command; `Command::Join` and `Command::MakeToken` have orders of their own.
    ///
    /// # Errors
    /// It was refused, or nobody carries out anything now.
    pub async fn command(&self, command: Command) -> Result<Answer, Failure> {
        self.ask(|reply| Order::Command(Box::new(command), reply)).await?
    }

    /// Makes a join token for `uses` nodes, 1 to 256, that lives for `ttl`, at most 7 days.
    ///
    /// # Errors
    /// As [`Self::command`].
    pub async fn make_token(&self, uses: u32, ttl: Duration, role: Role) -> Result<MadeToken, Failure> {
        self.ask(|reply| Order::MakeToken { uses, ttl, role, reply }).await?
    }

    /// Joins the cluster that the token is of.
    ///
    /// # Errors
    /// It is no token, or as [`Self::command`].
    pub async fn join(&self, token: String) -> Result<Answer, Failure> {
        self.ask(|reply| Order::Join(token, reply)).await?
    }

    /// Changes settings: every target checks them first, and each answers how it took them.
    ///
    /// # Errors
    /// As [`Self::command`].
    pub async fn set(&self, change: SettingsChange) -> Result<Answer, Failure> {
        self.ask(|reply| Order::Settings(change, reply)).await?
    }

    /// The settings of all scopes: the latest ones, and those that were in force at this node before, the latest first.
    ///
    /// # Errors
    /// [`Failure::Unavailable`].
    pub async fn documents(&self) -> Result<Vec<KnownSettings>, Failure> {
        self.ask(Order::Documents).await?
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<T, Failure> {
        let gone =
            || Failure::Unavailable("this node stops, or cannot write what it knows; its log says more".to_owned());
        let (reply, answer) = oneshot::channel();
        self.0.send(order(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }
}
