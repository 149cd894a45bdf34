//! Commands about API keys in short, and whether a request would be let in with one.

use std::time::Duration;

use super::{Harness, policy, settings};
use crate::model::{CidrSet, KeyName, KeySpec, PermissionRule, PermissionSet, RuntimeKey, Sha256Digest};
use crate::registry::tests::operator;
use crate::registry::{Answer, Event, KeyAnswer, KeyCommand, Refusal, ReplyId};

pub(in crate::registry) fn name(text: &str) -> KeyName {
    KeyName::try_new(text).unwrap()
}

pub(in crate::registry) fn digest(text: &str) -> Sha256Digest {
    Sha256Digest::of(text.as_bytes())
}

pub(in crate::registry) fn configured(text: &str, key: &str) -> KeySpec {
    KeySpec {
        name: name(text),
        sha256: digest(key),
        permissions: PermissionSet::new(vec![PermissionRule::All]),
        allow_from: CidrSet::default(),
        rate: None,
    }
}

/// A key without an end.
pub(in crate::registry) fn key(text: &str, key: &str) -> Box<RuntimeKey> {
    Box::new(RuntimeKey::try_new(configured(text, key), 0, None, Vec::new()).unwrap())
}

impl Harness {
    pub(in crate::registry) fn expiring(&self, text: &str, of: &str, seconds: u32) -> Box<RuntimeKey> {
        Box::new(RuntimeKey { expires_ms: Some(self.now.unix_ms + i64::from(seconds) * 1000), ..*key(text, of) })
    }

    /// Asks, without the expectation of an answer at once.
    pub(in crate::registry) fn ask_key(&mut self, command: KeyCommand) -> ReplyId {
        let reply = self.new_reply();
        self.send(Event::KeyRequested { command, by: operator("127.0.0.1").actor(), reply });
        reply
    }

    pub(in crate::registry) fn key(&mut self, command: KeyCommand) -> Result<KeyAnswer, Refusal> {
        let reply = self.ask_key(command);
        match self.answers[&reply].clone()? {
            Answer::Key(answer) => Ok(answer),
            other => panic!("{other:?} is no answer to a command about a key"),
        }
    }

    pub(in crate::registry) fn rotate(&mut self, text: &str, to: &str, seconds: u64) -> Result<KeyAnswer, Refusal> {
        let grace = Duration::from_secs(seconds);
        self.key(KeyCommand::Rotate { name: name(text), sha256: digest(to), grace })
    }

    /// Whether a request that comes now is let in with a key.
    pub(in crate::registry) fn is_good(&self, key: &str) -> bool {
        let found = self.snapshot.keys.get(&digest(key));
        found.is_some_and(|key| key.ends_ms.is_none_or(|end_ms| end_ms > self.now.unix_ms))
    }

    /// A crash, and a start with the same rules.
    pub(in crate::registry) fn restart_same(&mut self) {
        self.restart(settings(policy()), Vec::new());
    }
}
