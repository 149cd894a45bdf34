//! Keys in writes that are not of keys alone.

use std::sync::Arc;

use super::super::ids::WriteId;
use super::super::now::Now;
use super::refusal::KeyRefusal;
use super::state::{KeyParts, Keys};
use crate::model::{KeyName, RuntimeKey};

impl Keys {
    /// Whether no write is about any of them, nor about a digest that they are to have.
    pub(in crate::registry) fn are_free(&self, names: &[KeyName], put: &[Arc<RuntimeKey>]) -> bool {
        let is_pending = |key: &Arc<RuntimeKey>| key.digests().any(|sha256| self.pending_digests.contains_key(&sha256));
        !names.iter().any(|name| self.outbox.is_writing(name)) && !put.iter().any(is_pending)
    }

    /// Whether a shared store has a digest of theirs no longer under another key: one that has ended is there until its key is put anew
    /// or removed, as those in `names` are.
    ///
    /// # Errors
    /// The key that has it still.
    pub(in crate::registry) fn check_ended(
        &self,
        names: &[KeyName],
        put: &[Arc<RuntimeKey>],
    ) -> Result<(), KeyRefusal> {
        let digests = put.iter().flat_map(|key| key.digests());
        let mut holders = digests.filter_map(|sha256| self.ended_digests.get(&sha256));
        match holders.find(|holder| !names.contains(holder)) {
            None => Ok(()),
            Some(holder) => {
                let holder = format!("the API key \"{holder}\", until that is changed,");
                Err(KeyRefusal::Taken { what: "digest".to_owned(), holder })
            }
        }
    }

    /// Whether the store has a key of that name, as far as is known.
    pub(in crate::registry) fn is_stored(&self, name: &KeyName) -> bool {
        self.runtime.contains_key(name)
    }

    /// Has commands about these wait for that write.
    pub(in crate::registry) fn hold(&mut self, id: WriteId, names: Vec<KeyName>, put: Vec<Arc<RuntimeKey>>) {
        for key in &put {
            self.pending_digests.extend(key.digests().map(|sha256| (sha256, key.name().clone())));
        }
        self.outbox.hold(id, names);
        if !put.is_empty() {
            self.applied.insert(id, put);
        }
    }

    /// That write is done; gives the keys whose commands may go on.
    pub(in crate::registry) fn release(&mut self, id: WriteId) -> Vec<KeyName> {
        for key in self.applied.remove(&id).unwrap_or_default() {
            key.digests().for_each(|sha256| {
                self.pending_digests.remove(&sha256);
            });
        }
        self.outbox.release(id)
    }

    /// Lets the commands go on that waited for these.
    pub(in crate::registry) fn unpark_all(&mut self, names: &[KeyName], now: Now, parts: &mut KeyParts<'_>) {
        names.iter().for_each(|name| self.unpark(name, now, parts));
        self.arm(now);
    }
}
