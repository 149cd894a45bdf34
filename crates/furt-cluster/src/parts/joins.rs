//! Joins by tokens: those that this node made, those it answers, and its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::message::Transcript;
use crate::model::{ClusterId, Fingerprint, Nonce, Now, TokenId};
use crate::refused::Refused;
use crate::stored::Token;

/// The most challenges that wait for their proof. A stranger who asks with a token's name, which it read on the bus, can fill
/// them; the oldest gives way, and the joiner asks again.
const MAX_CHALLENGES: usize = 64;
/// The most tokens.
pub(crate) const MAX_TOKENS: usize = 64;
/// For how long a proof is taken after its challenge: as long as a message may be on its way.
const CHALLENGE_TTL: Duration = Duration::from_secs(60);

/// This node looks for the maker of its token.
#[derive(Debug, Clone)]
pub(crate) struct Joining {
    pub(crate) cluster: ClusterId,
    pub(crate) token: TokenId,
    /// Of the attempt that runs; `None`: none was made yet.
    pub(crate) nonce: Option<Nonce>,
    /// What the maker has proved that it knows the token over.
    pub(crate) proven: Option<Transcript>,
    pub(crate) tries: u32,
    pub(crate) next: Instant,
}

/// All joins that this node takes part in.
#[derive(Debug, Default)]
pub(crate) struct Joins {
    tokens: BTreeMap<TokenId, Token>,
    challenges: BTreeMap<Fingerprint, (Transcript, Instant)>,
    pub(crate) joining: Option<Joining>,
    /// Keys that may welcome this node, as an operator said.
    pub(crate) trusted: BTreeSet<Fingerprint>,
}

impl Joins {
    pub(crate) fn new(tokens: BTreeMap<TokenId, Token>, trusted: BTreeSet<Fingerprint>) -> Self {
        Self { tokens, trusted, ..Self::default() }
    }

    pub(crate) fn token(&self, token: &TokenId) -> Option<Token> {
        self.tokens.get(token).copied()
    }

    pub(crate) fn tokens(&self) -> &BTreeMap<TokenId, Token> {
        &self.tokens
    }

    #[cfg(any(test, debug_assertions))]
    pub(crate) fn challenges(&self) -> usize {
        self.challenges.len()
    }

    pub(crate) fn put_token(&mut self, token: TokenId, entry: Token) {
        self.tokens.insert(token, entry);
    }

    /// Takes a use of the token. What is left of it.
    pub(crate) fn use_token(&mut self, token: &TokenId) -> Result<Token, Refused> {
        let entry = self.tokens.get_mut(token).filter(|entry| entry.uses > 0).ok_or(Refused::TokenSpent)?;
        entry.uses -= 1;
        Ok(*entry)
    }

    pub(crate) fn remove_token(&mut self, token: &TokenId) {
        self.tokens.remove(token);
    }

    /// Tokens whose time is over.
    pub(crate) fn ended_tokens(&self, now: Now) -> Vec<TokenId> {
        let ended = self.tokens.iter().filter(|(_, token)| token.until_ms <= now.unix_ms);
        ended.map(|(id, _)| *id).collect()
    }

    pub(crate) fn challenge(&mut self, transcript: Transcript, now: Now) {
        self.challenges.retain(|_, (_, until)| *until > now.at);
        if self.challenges.len() >= MAX_CHALLENGES
            && let Some(oldest) = self.challenges.iter().min_by_key(|(_, (_, until))| *until).map(|(key, _)| *key)
        {
            self.challenges.remove(&oldest);
        }
        self.challenges.insert(transcript.joiner, (transcript, now.at + CHALLENGE_TTL));
    }

    /// Takes the challenge that this answers. Each is answered once.
    pub(crate) fn answer(&mut self, transcript: &Transcript, now: Now) -> Result<(), Refused> {
        let (challenged, until) = self.challenges.get(&transcript.joiner).ok_or(Refused::NotAsked)?;
        if challenged != transcript || *until <= now.at {
            return Err(Refused::NotAsked);
        }
        self.challenges.remove(&transcript.joiner);
        Ok(())
    }
}
