//! Whose names are watched, and the token that an answer about each must carry.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::super::effects::Effects;
use super::super::ids::DnsSubject;
use super::super::plan::NameWatch;
use super::super::token::{NameToken, Tokens};
use crate::model::{UpstreamHost, UpstreamUrl};

/// The watches in force.
#[derive(Debug, Default)]
pub(in crate::registry) struct WatchedNames {
    tokens: HashMap<DnsSubject, NameToken>,
}

impl WatchedNames {
    /// Watches the name of a url, if it has one; answers about what the subject watched before count no more.
    pub(in crate::registry) fn watch(
        &mut self,
        subject: DnsSubject,
        url: &UpstreamUrl,
        tokens: &mut Tokens,
        effects: &mut Effects,
    ) {
        let UpstreamHost::Name(name) = &url.host else { return };
        let token = tokens.name();
        self.tokens.insert(subject.clone(), token);
        effects.watch_name(subject, NameWatch { token, name: name.clone(), port: url.port });
    }

    /// Ends the subject's watch, if it has one.
    pub(in crate::registry) fn unwatch(&mut self, subject: DnsSubject, effects: &mut Effects) {
        if self.tokens.remove(&subject).is_some() {
            effects.unwatch_name(subject);
        }
    }

    /// Whether an answer with this token is about the name that the subject has today.
    pub(in crate::registry) fn is_current(&self, subject: &DnsSubject, token: NameToken) -> bool {
        self.tokens.get(subject) == Some(&token)
    }
}

/// Whether two answers name the same addresses. Resolvers rotate the order of a name's addresses; that is no news.
pub(in crate::registry) fn is_same_set(before: &[SocketAddr], after: &[SocketAddr]) -> bool {
    before.len() == after.len() && after.iter().all(|address| before.contains(address))
}
